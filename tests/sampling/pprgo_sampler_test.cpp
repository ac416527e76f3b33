// SPDX-License-Identifier: MIT
#include "tessera/sampling/pprgo_sampler.hpp"

#include <map>

#include "support/block_checks.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

static_assert(Sampler<PprgoSampler>);

PprgoSampler sampler_for(const CsrGraph& graph, const std::vector<NodeId>& targets, std::size_t k,
                         std::size_t batch_size) {
  return PprgoSampler(ppr_table(graph, targets, {.k = k}), graph.num_nodes(), {.batch_size = batch_size});
}

}  // namespace

TEST_CASE("PprgoSampler: a batch is the targets' rows of the table") {
  const CsrGraph graph = random_undirected(200, 600, 1);
  const std::vector<NodeId> targets = all_nodes(graph);
  const SampleSource source = source_with(graph, targets);
  const PprgoSampler sampler = sampler_for(graph, targets, 8, 30);
  PprgoSampler::Workspace workspace;
  MiniBatch batch;
  std::vector<int> seen(200);
  REQUIRE(sampler.num_batches(source) == 7);
  for (std::uint64_t b = 0; b < 7; ++b) {
    sampler.sample(source, kPlain, {1, 0, b}, workspace, batch);
    REQUIRE(batch.blocks.size() == 1);
    const Block& block = batch.blocks[0];
    REQUIRE(block.num_src == batch.num_nodes());
    REQUIRE(block.num_dst == batch.num_targets);
    REQUIRE(std::set<NodeId>(batch.node_id.begin(), batch.node_id.end()).size() == batch.num_nodes());
    for (std::size_t i = 0; i < batch.num_targets; ++i) {
      const NodeId target = batch.node_id[i];
      ++seen[target];
      const auto nodes = sampler.table().nodes(target);
      REQUIRE(block.row_ptr[i + 1] - block.row_ptr[i] == nodes.size());
      for (std::size_t t = 0; t < nodes.size(); ++t) {
        REQUIRE(batch.node_id[block.col[block.row_ptr[i] + t]] == nodes[t]);
        REQUIRE(block.weight[block.row_ptr[i] + t] == sampler.table().scores(target)[t]);
      }
    }
    const Adjacency a = block.adjacency();
    REQUIRE(a.transpose.num_edges() == block.col.size());
    for (std::size_t j = 0; j < block.num_src; ++j) {
      for (auto e = a.transpose.begin(j); e < a.transpose.end(j); ++e) {
        REQUIRE(block.col[a.transpose_edge[e]] == j);
        REQUIRE(a.transpose.weight[e] == block.weight[a.transpose_edge[e]]);
      }
    }
  }
  for (const int count : seen) REQUIRE(count == 1);
}

TEST_CASE("PprgoSampler does not depend on threads, nor ask the system for memory") {
  const CsrGraph graph = random_undirected(4000, 20'000, 2);
  const PprgoSampler sampler = sampler_for(graph, all_nodes(graph), 32, 700);
  check_determinism(sampler, graph, kPlain);
  check_steady_state(sampler, graph, kPlain);
}

TEST_CASE("PprgoSampler refuses what it cannot work with") {
  const CsrGraph graph = g6();
  const std::vector<NodeId> targets{0, 3};
  const PprgoSampler sampler = sampler_for(graph, targets, 4, 2);
  PprgoSampler::Workspace workspace;
  MiniBatch batch;
  const std::vector<NodeId> others{0, 1};
  REQUIRE_THROWS_AS(sampler.sample(source_with(graph, others), kPlain, {}, workspace, batch), IndexError);
  REQUIRE_THROWS_AS(sampler.sample(source_with(graph, targets), kPlain, {0, 0, 1}, workspace, batch),
                    IndexError);
  REQUIRE_THROWS_AS(sampler.sample(source_with(path(5), targets), kPlain, {}, workspace, batch), ShapeError);
  REQUIRE_THROWS_AS(sampler_for(graph, targets, 4, 0), ConfigError);
  REQUIRE_THROWS_AS(PprgoSampler(ppr_table(graph, targets, {}), 3), IndexError);
  CHECK(sampler.num_batches(source_with(graph, {})) == 0);
}
