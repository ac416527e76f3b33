// SPDX-License-Identifier: MIT
#include "tessera/sampling/shadow_sampler.hpp"

#include <map>

#include "support/block_checks.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

static_assert(Sampler<ShadowSampler>);

ShadowSampler by_hops(std::size_t depth, int budget, std::size_t batch_size = 16) {
  return ShadowSampler(ShadowHops{depth, budget}, {.batch_size = batch_size});
}

ShadowSampler by_ppr(const CsrGraph& graph, const ShadowPpr& ppr, std::size_t batch_size = 16,
                     std::size_t k = 50) {
  const std::vector<NodeId> all = all_nodes(graph);
  return ShadowSampler(ppr_table(graph, all, {.push = {ordinary_alpha(0.15), 1e-5}, .k = k}),
                       graph.num_nodes(), ppr, {.batch_size = batch_size});
}

/// The nodes of one target's graph, from the read-out block.
std::set<NodeId> scope_of(const MiniBatch& batch, std::size_t b) {
  const Block& readout = batch.blocks[1];
  std::set<NodeId> out;
  for (auto e = readout.row_ptr[b]; e < readout.row_ptr[b + 1]; ++e)
    out.insert(batch.node_id[readout.col[e]]);
  return out;
}

std::set<NodeId> ball(const CsrGraph& graph, NodeId center, std::size_t depth) {
  std::set<NodeId> out{center};
  for (std::size_t hop = 0; hop < depth; ++hop) {
    std::set<NodeId> wider = out;
    for (const NodeId i : out) {
      const auto row = graph.view().neighbors(i);
      wider.insert(row.begin(), row.end());
    }
    out = wider;
  }
  return out;
}

/// Disjoint graphs, roots first, every link among a scope's nodes and no other, degrees taken inside.
void check_batch(const SampleSource& source, const AggregationSpec& spec, const MiniBatch& batch) {
  REQUIRE(batch.blocks.size() == 2);
  const Block& block = batch.blocks[0];
  const Block& readout = batch.blocks[1];
  const std::size_t n = batch.num_nodes();
  REQUIRE(block.num_dst == n);
  REQUIRE(block.num_src == n);
  REQUIRE(readout.num_dst == batch.num_targets);
  REQUIRE(readout.num_src == n);
  REQUIRE(readout.col.size() == n);
  std::vector<std::size_t> component(n, n);
  for (std::size_t b = 0; b < batch.num_targets; ++b) {
    REQUIRE(readout.col[readout.row_ptr[b]] == b);
    for (auto e = readout.row_ptr[b]; e < readout.row_ptr[b + 1]; ++e) {
      REQUIRE(component[readout.col[e]] == n);  // one graph each
      component[readout.col[e]] = b;
      if (e > readout.row_ptr[b] + 1)
        REQUIRE(batch.node_id[readout.col[e - 1]] < batch.node_id[readout.col[e]]);
    }
  }
  std::vector<double> degree(n);
  std::vector<std::size_t> loops(n);
  const auto weight = [&](EdgeId e) {
    return source.graph.weighted() && e != kNoEdge ? static_cast<double>(source.graph.weight[e]) : 1.0;
  };
  for (std::size_t i = 0; i < n; ++i) {
    std::set<NodeId> linked;
    for (auto e = block.row_ptr[i]; e < block.row_ptr[i + 1]; ++e) {
      const NodeId j = block.col[e];
      REQUIRE(component[i] == component[j]);
      REQUIRE(linked.insert(batch.node_id[j]).second);
      degree[i] += weight(block.edge_id[e]);
      if (block.edge_id[e] == kNoEdge) {
        REQUIRE((spec.self_loops && i == j));
        continue;
      }
      REQUIRE(source.graph.col[block.edge_id[e]] == batch.node_id[j]);
      REQUIRE(block.edge_id[e] >= source.graph.begin(batch.node_id[i]));
      REQUIRE(block.edge_id[e] < source.graph.end(batch.node_id[i]));
    }
    const std::set<NodeId> scope = scope_of(batch, component[i]);
    for (const NodeId j : source.graph.neighbors(batch.node_id[i]))
      REQUIRE(linked.count(j) == scope.count(j));
    if (spec.self_loops) REQUIRE(linked.count(batch.node_id[i]) == 1);
  }
  const AggregationRule rule(spec);
  std::map<std::pair<std::size_t, std::size_t>, float> entries;
  for (std::size_t i = 0; i < n; ++i) {
    for (auto e = block.row_ptr[i]; e < block.row_ptr[i + 1]; ++e) {
      const NodeId j = block.col[e];
      const float want =
          rule(weight(block.edge_id[e]), rule.factor(degree[i]), rule.factor(degree[j]), i == j);
      const float got = block.weight.empty() ? 1.0f : block.weight[e];
      // Degrees are sums in another order.
      REQUIRE(std::abs(got - want) <= 0x1p-22f * want);
      entries[{i, j}] = got;
    }
  }
  const Adjacency a = block.adjacency();
  REQUIRE(a.transpose.num_edges() == entries.size());
  for (std::size_t j = 0; j < n; ++j) {
    for (auto e = a.transpose.begin(j); e < a.transpose.end(j); ++e)
      REQUIRE(entries.at({a.transpose.col[e], j}) == (a.transpose.weighted() ? a.transpose.weight[e] : 1.0f));
  }
}

}  // namespace

TEST_CASE("ShadowSampler: every batch is made of disjoint, induced, normalised graphs") {
  const AggregationSpec spec{GENERATE(Normalization::none, Normalization::symmetric, Normalization::row),
                             GENERATE(false, true), 0.0f};
  std::vector<CsrGraph> graphs;
  graphs.push_back(random_undirected(80, 300, 1));
  graphs.push_back(with_random_weights(random_directed(80, 300, 2), 3));
  graphs.push_back(empty_graph(20));
  graphs.push_back(star(60));
  graphs.push_back(
      from_links(30, random_links(30, 80, 4), {.symmetrize = true, .self_loops = SelfLoops::add_missing}));
  for (const CsrGraph& graph : graphs) {
    const std::vector<NodeId> targets = all_nodes(graph);
    const SampleSource source = source_with(graph, targets);
    std::vector<ShadowSampler> samplers;
    samplers.push_back(by_hops(2, 3));
    samplers.push_back(by_hops(1, -1));
    samplers.push_back(by_ppr(graph, {.k = 8}));
    for (const ShadowSampler& sampler : samplers) {
      ShadowSampler::Workspace workspace;
      MiniBatch batch;
      std::vector<int> seen(graph.num_nodes());
      for (std::uint64_t b = 0; b < sampler.num_batches(source); ++b) {
        sampler.sample(source, spec, {1, 0, b}, workspace, batch);
        check_batch(source, spec, batch);
        for (std::size_t i = 0; i < batch.num_targets; ++i) ++seen[batch.node_id[i]];
      }
      for (const int count : seen) REQUIRE(count == 1);
    }
  }
}

TEST_CASE("ShadowSampler: without a budget a scope is the ball around the target") {
  const std::size_t depth = GENERATE(0u, 1u, 2u, 3u);
  const CsrGraph graph = random_directed(100, 250, 5);
  const std::vector<NodeId> targets = all_nodes(graph);
  ShadowSampler::Workspace workspace;
  MiniBatch batch;
  by_hops(depth, -1, 100).sample(source_with(graph, targets), kPlain, {}, workspace, batch);
  for (std::size_t b = 0; b < 100; ++b) CHECK(scope_of(batch, b) == ball(graph, batch.node_id[b], depth));
}

TEST_CASE("ShadowSampler: with a budget a scope is a part of the ball, and draws reach every neighbour") {
  const CsrGraph graph = star(40);
  const std::vector<NodeId> targets{0};
  const ShadowSampler sampler = by_hops(1, 4);
  ShadowSampler::Workspace workspace;
  MiniBatch batch;
  std::vector<double> hits(40);
  constexpr double kDraws = 20'000;
  for (std::uint64_t epoch = 0; epoch < static_cast<std::uint64_t>(kDraws); ++epoch) {
    sampler.sample(source_with(graph, targets), kPlain, {1, epoch, 0}, workspace, batch);
    REQUIRE(batch.num_nodes() <= 5);
    for (const NodeId j : batch.node_id) hits[j] += 1;
  }
  const double p = 1 - std::pow(1 - 1.0 / 39, 4);
  for (std::size_t j = 1; j < 40; ++j)
    CHECK(std::abs(hits[j] / kDraws - p) <= 5 * std::sqrt(p * (1 - p) / kDraws) + 1 / kDraws);
}

TEST_CASE("ShadowSampler: PageRank scopes on G6") {
  const CsrGraph graph = g6();
  const std::vector<NodeId> targets = all_nodes(graph);
  const SampleSource source = source_with(graph, targets);
  ShadowSampler::Workspace workspace;
  MiniBatch batch;
  const auto scopes = [&](const ShadowPpr& ppr) {
    by_ppr(graph, ppr).sample(source, kPlain, {}, workspace, batch);
    std::map<NodeId, std::set<NodeId>> out;
    for (std::size_t b = 0; b < batch.num_targets; ++b) out[batch.node_id[b]] = scope_of(batch, b);
    return out;
  };
  auto three = scopes({.k = 3});
  CHECK(three[0] == std::set<NodeId>{0, 1, 2});
  CHECK(three[4] == std::set<NodeId>{2, 3, 4});
  CHECK(three[5] == std::set<NodeId>{5});
  auto all = scopes({.k = 1000});
  CHECK(all[0] == std::set<NodeId>{0, 1, 2, 3, 4});
  // Of source 0 the second largest score is .261 and node 3's is .088: 0.34 of it.
  CHECK(scopes({.k = 1000, .threshold = 0.3})[0].count(3) == 1);
  CHECK(scopes({.k = 1000, .threshold = 0.4})[0].count(3) == 0);
}

TEST_CASE("ShadowSampler: a batch holds what its targets get one by one") {
  const CsrGraph graph = random_undirected(100, 900, 6);
  const std::vector<NodeId> targets{3, 14, 15, 92, 65};
  ShadowSampler::Workspace workspace;
  MiniBatch batch;
  const ShadowSampler sampler = by_hops(2, 3);
  sampler.sample(source_with(graph, targets), kPlain, {1, 2, 0}, workspace, batch);
  for (std::size_t b = 0; b < 5; ++b) {
    const std::vector<NodeId> one{batch.node_id[b]};
    MiniBatch alone;
    sampler.sample(source_with(graph, one), kPlain, {1, 2, 0}, workspace, alone);
    CHECK(scope_of(alone, 0) == scope_of(batch, b));
  }
}

TEST_CASE("ShadowSampler does not depend on threads, nor ask the system for memory") {
  const CsrGraph graph = random_undirected(2000, 12'000, 7);
  const AggregationSpec spec{GENERATE(Normalization::symmetric, Normalization::row), true, 0.0f};
  check_determinism(by_hops(2, 5, 300), graph, spec);
  check_determinism(by_ppr(graph, {.k = 30}, 300), graph, spec);
  const std::vector<NodeId> targets = all_nodes(graph);
  const SampleSource source = source_with(graph, targets);
  const ShadowSampler sampler = by_ppr(graph, {.k = 30}, 300);
  ShadowSampler::Workspace workspace;
  MiniBatch batch;
  const auto epochs = [&](std::uint64_t first, std::uint64_t last) {
    for (std::uint64_t e = first; e < last; ++e) {
      for (std::uint64_t b = 0; b < sampler.num_batches(source); ++b)
        sampler.sample(source, spec, {1, e, b}, workspace, batch);
    }
  };
  with_threads(1, [&] {
    epochs(0, 10);
    const auto before = BufferPool::global().stats().system_allocations;
    epochs(10, 14);
    CHECK(BufferPool::global().stats().system_allocations <= before + 1);
  });
}

TEST_CASE("ShadowSampler refuses what it cannot work with") {
  const CsrGraph graph = g6();
  const std::vector<NodeId> targets{0, 1};
  ShadowSampler::Workspace workspace;
  MiniBatch batch;
  REQUIRE_THROWS_AS(by_hops(2, -2), ConfigError);
  REQUIRE_THROWS_AS(by_hops(2, 5, 0), ConfigError);
  REQUIRE_THROWS_AS(by_ppr(graph, {.k = 0}), ConfigError);
  REQUIRE_THROWS_AS(by_ppr(graph, {.k = 3, .threshold = -1}), ConfigError);
  const PprTableOptions options{.k = 3};
  const ShadowSampler some(ppr_table(graph, std::vector<NodeId>{0}, options), 6, ShadowPpr{});
  REQUIRE_THROWS_AS(some.sample(source_with(graph, targets), kPlain, {}, workspace, batch), IndexError);
  REQUIRE_THROWS_AS(some.sample(source_with(path(9), targets), kPlain, {}, workspace, batch), ShapeError);
  REQUIRE_THROWS_AS(by_hops(1, 2).sample(source_with(graph, targets), kPlain, {0, 0, 1}, workspace, batch),
                    IndexError);
  REQUIRE_THROWS_AS(by_hops(1, 2).sample(source_with(graph, targets), {Normalization::row, false, 2.0f}, {},
                                         workspace, batch),
                    ConfigError);
}
