// SPDX-License-Identifier: MIT
#include "tessera/sampling/cluster_sampler.hpp"

#include <cmath>
#include <set>
#include <vector>

#include "support/batch_checks.hpp"
#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

static_assert(Sampler<ClusterSampler>);
static_assert(Sampler<FullGraphSampler>);

/// Returns the batch instead of filling it: not a Sampler.
struct ReturnsBatch {
  struct Workspace {};
  std::size_t num_batches(const SampleSource&) const { return 1; }
  MiniBatch sample(const SampleSource&, const AggregationSpec&, BatchKey, Workspace&, MiniBatch&) const;
};
static_assert(!Sampler<ReturnsBatch>);

constexpr AggregationSpec kRowLambda1{Normalization::row, true, 1.0f};

SampleSource source_of(const CsrGraph& graph) { return {graph.view(), graph.symmetric, {}}; }

std::vector<PartId> random_parts(std::size_t nodes, std::size_t parts, std::uint64_t seed) {
  std::vector<PartId> out(nodes);
  for (std::size_t i = 0; i < nodes; ++i)
    out[i] = part_id(CounterRng(make_key(seed, 0, Purpose::partition), 0, i).below(parts));
  return out;
}

std::vector<PartId> contiguous_parts(std::size_t nodes, std::size_t parts) {
  std::vector<PartId> out(nodes);
  for (std::size_t i = 0; i < nodes; ++i) out[i] = part_id(i * parts / nodes);
  return out;
}

MiniBatch sample_one(const ClusterSampler& sampler, const CsrGraph& graph, const AggregationSpec& spec,
                     BatchKey key = {}) {
  ClusterSampler::Workspace workspace;
  MiniBatch batch;
  sampler.sample(source_of(graph), spec, key, workspace, batch);
  return batch;
}

float at(const Block& block, std::size_t i, NodeId j) {
  for (auto e = block.row_ptr[i]; e < block.row_ptr[i + 1]; ++e) {
    if (block.col[e] == j) return block.weight[e];
  }
  return 0.0f;
}

void check_row(const Block& block, std::size_t i, const std::vector<double>& want) {
  for (std::size_t j = 0; j < want.size(); ++j)
    CHECK(at(block, i, static_cast<NodeId>(j)) == static_cast<float>(want[j]));
}

}  // namespace

TEST_CASE("ClusterSampler: golden values on G6, one part at a time") {
  const CsrGraph graph = g6();
  const ClusterSampler sampler(contiguous_parts(6, 2));
  REQUIRE(sampler.num_batches(source_of(graph)) == 2);
  for (std::uint64_t b = 0; b < 2; ++b) {
    const MiniBatch batch = sample_one(sampler, graph, kRowLambda1, {1, 0, b});
    check_subgraph_batch(source_of(graph), kRowLambda1, batch);
    const Block& block = batch.blocks[0];
    if (batch.node_id[0] == 0) {
      check_row(block, 0, {2 / 3., 1 / 3., 1 / 3.});
      check_row(block, 1, {1 / 3., 2 / 3., 1 / 3.});
      check_row(block, 2, {1 / 3., 1 / 3., 2 / 3.});
    } else {
      check_row(block, 0, {1, 1 / 2., 0});
      check_row(block, 1, {1 / 2., 1, 0});
      check_row(block, 2, {0, 0, 2});
    }
  }
}

TEST_CASE("ClusterSampler: golden values on G6, both parts: the cut link is back") {
  const CsrGraph graph = g6();
  const ClusterSampler sampler(contiguous_parts(6, 2), {.clusters_per_batch = 2});
  const MiniBatch batch = sample_one(sampler, graph, kRowLambda1);
  const Block& block = batch.blocks[0];
  check_row(block, 2, {1 / 4., 1 / 4., 1 / 2., 1 / 4., 0, 0});
  check_row(block, 3, {0, 0, 1 / 3., 2 / 3., 1 / 3., 0});
  check_row(block, 4, {0, 0, 0, 1 / 2., 1, 0});
  check_row(block, 5, {0, 0, 0, 0, 0, 2});
}

TEST_CASE("ClusterSampler: row normalisation without loops leaves isolated rows empty") {
  const AggregationSpec spec{Normalization::row, false, 0.0f};
  const MiniBatch batch = sample_one(ClusterSampler(contiguous_parts(6, 2)), g6(), spec, {0, 0, 0});
  const Block& block = batch.blocks[0];
  for (std::size_t i = 0; i < 3; ++i) {
    double sum = 0;
    for (auto e = block.row_ptr[i]; e < block.row_ptr[i + 1]; ++e)
      sum += static_cast<double>(block.weight[e]);
    CHECK(sum == (block.row_ptr[i + 1] == block.row_ptr[i] ? 0.0 : 1.0));
  }
}

TEST_CASE("ClusterSampler counts a loop the data already has once") {
  const Links links{{0, 0}, {0, 1}, {1, 2}};
  const CsrGraph graph = from_links(3, links, {.symmetrize = true, .self_loops = SelfLoops::keep});
  const MiniBatch batch = sample_one(ClusterSampler(contiguous_parts(3, 1)), graph, {});
  const Block& block = batch.blocks[0];
  CHECK(block.num_dst == 3);
  CHECK(at(block, 0, 0) == 0.5f);  // degree 2: the loop and one neighbour
  CHECK(block.edge_id[0] == 0);
  CHECK(block.col.size() == 7);
}

TEST_CASE("ClusterSampler: one part, or all parts at once, is the prepared whole graph bit for bit") {
  const bool is_directed = GENERATE(false, true);
  const bool weighted = GENERATE(false, true);
  const Normalization normalization =
      GENERATE(Normalization::none, Normalization::symmetric, Normalization::row);
  CsrGraph graph = is_directed ? random_directed(500, 4000, 1) : random_undirected(500, 4000, 2);
  if (weighted) graph = with_random_weights(std::move(graph), 3);
  const AggregationSpec spec{normalization, true, 0.25f};
  const PreparedAdjacency prepared = prepare_adjacency(graph, spec);
  const Adjacency want = prepared.adjacency();
  MiniBatch full;
  FullGraphSampler::Workspace full_workspace;
  FullGraphSampler().sample(source_of(graph), spec, {}, full_workspace, full);
  for (const std::size_t parts : {1u, 7u}) {
    const ClusterSampler sampler(random_parts(500, parts, 4), {.clusters_per_batch = parts});
    const MiniBatch batch = sample_one(sampler, graph, spec);
    check_subgraph_batch(source_of(graph), spec, batch);
    CHECK(same_bits(batch, full));
    const Adjacency got = batch.blocks[0].adjacency();
    for (const auto side : {&Adjacency::forward, &Adjacency::transpose}) {
      const CsrView<> x = want.*side;
      const CsrView<> y = got.*side;
      CHECK(std::equal(x.row_ptr.begin(), x.row_ptr.end(), y.row_ptr.begin(), y.row_ptr.end()));
      CHECK(std::equal(x.col.begin(), x.col.end(), y.col.begin(), y.col.end()));
      CHECK(std::equal(x.weight.begin(), x.weight.end(), y.weight.begin(), y.weight.end()));
    }
  }
}

TEST_CASE("ClusterSampler: every batch keeps the promises of a sampler") {
  const AggregationSpec spec{GENERATE(Normalization::none, Normalization::symmetric, Normalization::row),
                             GENERATE(false, true), 0.0f};
  std::vector<CsrGraph> graphs;
  graphs.push_back(random_undirected(300, 2000, 5));
  graphs.push_back(random_directed(300, 2000, 6));
  graphs.push_back(with_random_weights(random_directed(300, 2000, 7), 8));
  graphs.push_back(with_random_weights(random_undirected(300, 2000, 9), 10));
  graphs.push_back(empty_graph(300));
  graphs.push_back(star(300));
  const ClusterSampler sampler(random_parts(300, 11, 11), {.clusters_per_batch = 3});
  ClusterSampler::Workspace workspace;
  MiniBatch batch;
  for (const CsrGraph& graph : graphs) {
    for (std::uint64_t b = 0; b < sampler.num_batches(source_of(graph)); ++b) {
      sampler.sample(source_of(graph), spec, {12, 3, b}, workspace, batch);
      check_subgraph_batch(source_of(graph), spec, batch);
    }
  }
}

TEST_CASE("ClusterSampler visits every node with a part once per epoch") {
  const std::size_t clusters = GENERATE(1u, 3u, 10u, 1000u);
  const CsrGraph graph = random_undirected(400, 1500, 13);
  std::vector<PartId> parts = random_parts(400, 10, 14);
  for (std::size_t i = 0; i < parts.size(); ++i) {
    if (i % 5 == 0) parts[i] = kNoPart;
    if (parts[i] == part_id(4)) parts[i] = part_id(15);  // part 4 and 10..14 are empty
  }
  const ClusterSampler sampler(parts, {.clusters_per_batch = clusters});
  REQUIRE(sampler.num_parts() == 10);
  ClusterSampler::Workspace workspace;
  MiniBatch batch;
  std::set<std::vector<NodeId>> first_batches;
  for (std::uint64_t epoch = 0; epoch < 6; ++epoch) {
    std::vector<int> seen(400);
    for (std::uint64_t b = 0; b < sampler.num_batches(source_of(graph)); ++b) {
      sampler.sample(source_of(graph), {}, {1, epoch, b}, workspace, batch);
      for (const NodeId i : batch.node_id) ++seen[i];
      if (b == 0) first_batches.insert(values(batch.node_id));
    }
    for (std::size_t i = 0; i < seen.size(); ++i) REQUIRE(seen[i] == (parts[i] == kNoPart ? 0 : 1));
  }
  if (clusters <= 3) CHECK(first_batches.size() > 1);  // epochs are shuffled
}

TEST_CASE("ClusterSampler brings back links between parts as often as chance joins their parts") {
  // Two parts meet in a batch of q out of P with probability (q - 1) / (P - 1). Epochs are independent, and the
  // entries one epoch restores lie in [0, cut]: their standard deviation is at most cut / 2.
  const std::size_t num_parts = 12;
  const std::size_t q = 3;
  const CsrGraph graph = cliques(num_parts, 5, true);
  std::vector<PartId> parts;
  for (std::uint32_t v = 0; v < 5 * num_parts; ++v) parts.push_back(part_id(v / 5));
  const ClusterSampler sampler(parts, {.clusters_per_batch = q});
  const SampleSource source{graph.view(), true, {}};
  ClusterSampler::Workspace workspace;
  MiniBatch batch;
  const double inside = 20.0 * static_cast<double>(num_parts);
  const double cut = 2.0 * static_cast<double>(num_parts);
  const std::uint64_t epochs = 400;
  double kept = 0;
  for (std::uint64_t epoch = 0; epoch < epochs; ++epoch) {
    for (std::uint64_t b = 0; b < sampler.num_batches(source); ++b) {
      sampler.sample(source, {Normalization::none, false, 0.0f}, {7, epoch, b}, workspace, batch);
      kept += static_cast<double>(batch.blocks[0].col.size());
    }
  }
  const double mean = kept / static_cast<double>(epochs) - inside;
  const double want = cut * static_cast<double>(q - 1) / static_cast<double>(num_parts - 1);
  CHECK(std::abs(mean - want) <= 5 * (cut / 2) / std::sqrt(static_cast<double>(epochs)));
}

TEST_CASE("ClusterSampler: a batch depends on its key alone, not on history or threads") {
  const CsrGraph graph = with_random_weights(random_directed(20'000, 150'000, 15), 16);
  const ClusterSampler sampler(random_parts(20'000, 40, 17), {.clusters_per_batch = 7});
  const AggregationSpec spec{Normalization::row, true, 0.5f};
  std::vector<MiniBatch> want;
  for (std::uint64_t b = 0; b < 6; ++b) {
    want.push_back(with_threads(1, [&] { return sample_one(sampler, graph, spec, {1, 2, b}); }));
  }
  for (const std::size_t threads : {2u, 4u, 16u}) {
    with_threads(threads, [&] {
      ClusterSampler::Workspace workspace;
      MiniBatch batch;
      for (std::uint64_t b = 6; b-- > 0;) {
        sampler.sample(source_of(graph), spec, {1, 1, b}, workspace, batch);
        sampler.sample(source_of(graph), spec, {1, 2, b}, workspace, batch);
        CHECK(same_bits(batch, want[b]));
      }
    });
  }
}

TEST_CASE("ClusterSampler restores cut links with probability (q - 1) / (P - 1)") {
  const CsrGraph graph = random_undirected(60, 200, 18);
  const std::vector<PartId> parts = random_parts(60, 12, 19);
  constexpr std::size_t kClusters = 4;
  const ClusterSampler sampler(parts, {.clusters_per_batch = kClusters});
  REQUIRE(sampler.num_parts() == 12);
  // One cut link, so that repetitions are independent.
  NodeId u = 0;
  NodeId v = 0;
  for (NodeId i = 0; i < 60 && u == v; ++i) {
    for (const NodeId j : graph.view().neighbors(i)) {
      if (parts[i] != parts[j]) {
        u = i;
        v = j;
      }
    }
  }
  REQUIRE(u != v);
  constexpr std::uint64_t kEpochs = 20'000;
  double together = 0;
  ClusterSampler::Workspace workspace;
  MiniBatch batch;
  for (std::uint64_t epoch = 0; epoch < kEpochs; ++epoch) {
    for (std::uint64_t b = 0; b < sampler.num_batches(source_of(graph)); ++b) {
      sampler.sample(source_of(graph), {Normalization::none, false, 0.0f}, {20, epoch, b}, workspace, batch);
      const auto has = [&](NodeId x) {
        return std::binary_search(batch.node_id.begin(), batch.node_id.end(), x);
      };
      together += has(u) && has(v) ? 1 : 0;
    }
  }
  const double p = (kClusters - 1) / (12.0 - 1);
  CHECK(std::abs(together / kEpochs - p) <= 5 * std::sqrt(p * (1 - p) / kEpochs) + 1.0 / kEpochs);
}

TEST_CASE("ClusterSampler allocates nothing after its first epoch") {
  const bool is_directed = GENERATE(false, true);
  const CsrGraph graph =
      is_directed ? random_directed(5000, 50'000, 21) : random_undirected(5000, 50'000, 22);
  const AggregationSpec spec{GENERATE(Normalization::symmetric, Normalization::row), true, 0.0f};
  const ClusterSampler sampler(random_parts(5000, 20, 23), {.clusters_per_batch = 4});
  ClusterSampler::Workspace workspace;
  MiniBatch batch;
  const auto epoch = [&](std::uint64_t number) {
    for (std::uint64_t b = 0; b < sampler.num_batches(source_of(graph)); ++b)
      sampler.sample(source_of(graph), spec, {24, number, b}, workspace, batch);
  };
  epoch(0);
  const auto before = BufferPool::global().stats().system_allocations;
  for (std::uint64_t e = 1; e < 10; ++e) epoch(e);
  CHECK(BufferPool::global().stats().system_allocations == before);
}

TEST_CASE("ClusterSampler refuses wrong options, parts, sources and keys") {
  const std::vector<PartId> parts = contiguous_parts(6, 2);
  REQUIRE_THROWS_AS(ClusterSampler(parts, {.clusters_per_batch = 0}), ConfigError);
  std::vector<PartId> wild = parts;
  wild[3] = part_id(1u << 30);
  REQUIRE_THROWS_AS(ClusterSampler(wild), IndexError);
  const ClusterSampler sampler(parts);
  REQUIRE_THROWS_AS(sample_one(sampler, path(5), {}), ShapeError);
  REQUIRE_THROWS_AS(sample_one(sampler, g6(), {}, {0, 0, 2}), IndexError);
  REQUIRE_THROWS_AS(sample_one(sampler, g6(), {Normalization::row, false, 1.0f}), ConfigError);
  const ClusterSampler nothing(std::vector<PartId>(6, kNoPart));
  CHECK(nothing.num_batches(source_of(g6())) == 0);
  const ClusterSampler all(parts, {.clusters_per_batch = std::numeric_limits<std::size_t>::max()});
  CHECK(all.num_batches(source_of(g6())) == 1);
  CHECK(sample_one(all, g6(), {}).num_nodes() == 6);
}

TEST_CASE("induced_block refuses a matrix that is not square") {
  const CsrGraph graph = g6();
  const CsrView<> square = graph.view();
  const CsrView<> wide{square.num_rows, 4'000'001, square.row_ptr, square.col, square.weight};
  const std::vector<NodeId> nodes{0, 1, 2};
  InducedBlockWorkspace workspace;
  Block block;
  REQUIRE_THROWS_AS(induced_block(wide, false, nodes, {}, workspace, block), ShapeError);
}
