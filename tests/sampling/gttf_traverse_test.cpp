// SPDX-License-Identifier: MIT
#include "tessera/sampling/gttf_traverse.hpp"

#include <map>

#include "support/block_checks.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

static_assert(TraversalBias<UniformBias>);
static_assert(TraversalAccumulator<SampledAdjacency>);
struct NoWeights {
  void operator()(std::span<const NodeId>, std::span<const NodeId>) const {}
};
static_assert(!TraversalBias<NoWeights>);

TraversalKey key_of(std::uint64_t epoch) { return {make_key(1, epoch, Purpose::walk), 0}; }

bool near(double count, double draws, double p) {
  return std::abs(count / draws - p) <= 5 * std::sqrt(p * (1 - p) / draws) + 1 / draws;
}

// GraphSAINT's random-walk sampler, in a few lines: the nodes that r walks of h steps visit.
std::vector<NodeId> random_walk_nodes(const CsrGraph& graph, std::span<const NodeId> roots, std::size_t steps,
                                      TraversalKey key) {
  std::set<NodeId> visited(roots.begin(), roots.end());
  auto visit = [&](std::span<const NodeId>, std::span<const NodeId> next) {
    if (next[0] != kNoNode) visited.insert(next[0]);
  };
  traverse(graph.view(), roots, std::vector<std::size_t>(steps, 1), UniformBias{}, visit, key);
  return {visited.begin(), visited.end()};
}

// Neighbour sampling with replacement, in a few lines: for each seed, the links that were drawn.
std::map<NodeId, std::vector<NodeId>> sampled_neighbors(const CsrGraph& graph, std::span<const NodeId> seeds,
                                                        std::size_t fanout, TraversalKey key) {
  std::map<NodeId, std::vector<NodeId>> picked;
  auto collect = [&](std::span<const NodeId> path, std::span<const NodeId> next) {
    for (const NodeId j : next) {
      if (j != kNoNode) picked[path.back()].push_back(j);
    }
  };
  traverse(graph.view(), seeds, std::vector<std::size_t>{fanout}, UniformBias{}, collect, key);
  return picked;
}

/// Path, next nodes: everything a traversal shows.
using Trace = std::vector<std::pair<std::vector<NodeId>, std::vector<NodeId>>>;

template <class W>
Trace trace_of(const CsrGraph& graph, const std::vector<NodeId>& seeds,
               const std::vector<std::size_t>& fanouts, const W& bias, TraversalKey key) {
  Trace out;
  auto keep = [&](std::span<const NodeId> path, std::span<const NodeId> next) {
    out.emplace_back(std::vector<NodeId>(path.begin(), path.end()),
                     std::vector<NodeId>(next.begin(), next.end()));
  };
  traverse(graph.view(), seeds, fanouts, bias, keep, key);
  return out;
}

}  // namespace

TEST_CASE("traverse: paths are walks of the graph, in order of levels and positions") {
  const CsrGraph graph = random_directed(50, 120, 1);
  const std::vector<NodeId> seeds{4, 9, 4, 30};
  const std::vector<std::size_t> fanouts{3, 2, 2};
  const Trace trace = trace_of(graph, seeds, fanouts, UniformBias{}, key_of(0));
  std::size_t level = 1;
  for (const auto& [path, next] : trace) {
    REQUIRE(path.size() >= level);
    level = path.size();
    REQUIRE(next.size() == fanouts[level - 1]);
    std::vector<NodeId> whole = path;
    for (const NodeId child : next) {
      whole.resize(path.size());
      whole.push_back(child);
      for (std::size_t t = 0; t + 1 < whole.size(); ++t) {
        const auto row = graph.view().neighbors(whole[t]);
        if (whole[t + 1] == kNoNode) {
          REQUIRE(row.empty());
        } else {
          REQUIRE(std::binary_search(row.begin(), row.end(), whole[t + 1]));
        }
      }
    }
  }
  CHECK(level == 3);
  CHECK(trace[0].first == std::vector<NodeId>{4});
  CHECK(trace[3].first == std::vector<NodeId>{30});
}

TEST_CASE("traverse does not depend on threads, with and without a bias") {
  const CsrGraph graph = random_undirected(3000, 20'000, 2);
  const std::vector<NodeId> seeds = all_nodes(graph);
  const auto first_half = [](std::span<const NodeId>, std::span<const NodeId> row, std::span<double> weight) {
    for (std::size_t t = 0; t < row.size(); ++t) weight[t] = row[t] < 1500 ? 1.0 : 0.25;
  };
  const auto run = [&](std::size_t threads) {
    return with_threads(threads, [&] {
      return std::pair{trace_of(graph, seeds, {2, 2}, UniformBias{}, key_of(0)),
                       trace_of(graph, seeds, {2, 2}, first_half, key_of(0))};
    });
  };
  const auto want = run(1);
  for (const std::size_t threads : {2u, 4u, 8u}) CHECK(run(threads) == want);
}

TEST_CASE("traverse: a bias sets the odds, and the walk ends where it leaves none") {
  const CsrGraph graph = star(5);  // 0 - 1..4
  const auto bias = [](std::span<const NodeId> path, std::span<const NodeId> row, std::span<double> weight) {
    // From the hub node j with weight j; back from a leaf never.
    for (std::size_t t = 0; t < row.size(); ++t)
      weight[t] = path.back() == 0 ? static_cast<double>(row[t]) : 0.0;
  };
  constexpr double kDraws = 20'000;
  std::map<NodeId, double> hits;
  auto count = [&](std::span<const NodeId> path, std::span<const NodeId> next) {
    if (path.size() == 1) ++hits[next[0]];
    if (path.size() == 2) REQUIRE(next[0] == kNoNode);
    REQUIRE(path.size() < 3);
  };
  const std::vector<NodeId> seeds{0};
  for (std::uint64_t r = 0; r < static_cast<std::uint64_t>(kDraws); ++r)
    traverse(graph.view(), seeds, std::vector<std::size_t>{1, 1, 1}, bias, count, key_of(r));
  for (NodeId j = 1; j < 5; ++j) CHECK(near(hits[j], kDraws, j / 10.0));
}

TEST_CASE("GraphSAINT's walks through traverse visit what its transition matrix says") {
  const CsrGraph graph = g6();
  constexpr double kDraws = 20'000;
  const std::vector<NodeId> root{0};
  std::map<NodeId, double> hits;
  for (std::uint64_t r = 0; r < static_cast<std::uint64_t>(kDraws); ++r) {
    for (const NodeId i : random_walk_nodes(graph, root, 2, key_of(r))) ++hits[i];
  }
  // Two steps from 0: 1 then {0, 2}; 2 then {0, 1, 3}.
  CHECK(hits[0] == kDraws);
  CHECK(near(hits[1], kDraws, 0.5 + 0.5 / 3));
  CHECK(near(hits[2], kDraws, 0.5 + 0.5 / 2));
  CHECK(near(hits[3], kDraws, 0.5 / 3));
  CHECK(random_walk_nodes(graph, root, 0, key_of(0)) == root);  // no steps
  CHECK(random_walk_nodes(graph, std::vector<NodeId>{5}, 9, key_of(0)) ==
        std::vector<NodeId>{5});  // isolated
}

TEST_CASE("neighbour sampling through traverse has the frequencies of NeighborSampler with replacement") {
  const CsrGraph graph = g6();
  constexpr double kDraws = 20'000;
  const std::vector<NodeId> seeds{2, 4, 5};
  std::map<std::pair<NodeId, NodeId>, double> ours;
  std::map<std::pair<NodeId, NodeId>, double> theirs;
  const NeighborSampler sampler({.fanouts = {2}, .replace = true});
  NeighborSampler::Workspace workspace;
  MiniBatch batch;
  for (std::uint64_t r = 0; r < static_cast<std::uint64_t>(kDraws); ++r) {
    for (const auto& [i, row] : sampled_neighbors(graph, seeds, 2, key_of(r))) {
      REQUIRE(row.size() == 2);
      for (const NodeId j : std::set<NodeId>(row.begin(), row.end())) ++ours[{i, j}];
    }
    sampler.sample_seeds(source_with(graph, seeds), kPlain, seeds, {1, 0, r}, workspace, batch);
    const Block& block = batch.blocks[0];
    for (std::size_t i = 0; i < 3; ++i) {
      std::set<NodeId> row;
      for (auto e = block.row_ptr[i]; e < block.row_ptr[i + 1]; ++e) row.insert(batch.node_id[block.col[e]]);
      for (const NodeId j : row) ++theirs[{batch.node_id[i], j}];
    }
  }
  REQUIRE(ours.size() == 4);  // 2 -> {0, 1, 3}, 4 -> 3
  REQUIRE(theirs.size() == 4);
  for (const auto& [link, count] : ours) {
    const double p = 1 - std::pow(1 - 1.0 / static_cast<double>(graph.degree(link.first)), 2);
    CHECK(near(count, kDraws, p));
    CHECK(near(theirs[link], kDraws, p));
  }
}

TEST_CASE("SampledAdjacency holds the links that were drawn, each once") {
  const CsrGraph graph = random_undirected(60, 200, 3);
  const std::vector<NodeId> seeds{1, 2, 3};
  SampledAdjacency found;
  traverse(graph.view(), seeds, std::vector<std::size_t>{4, 3}, UniformBias{}, found, key_of(0));
  std::set<std::pair<NodeId, NodeId>> want;
  for (const auto& [path, next] : trace_of(graph, seeds, {4, 3}, UniformBias{}, key_of(0))) {
    for (const NodeId j : next) {
      if (j != kNoNode) want.emplace(path.back(), j);
    }
  }
  const CsrGraph is_directed = found.graph(60, true);
  CHECK(is_directed.num_edges() == want.size());
  for (const auto& [i, j] : want) {
    const auto row = is_directed.view().neighbors(i);
    CHECK(std::binary_search(row.begin(), row.end(), j));
  }
  for (const auto& [i, j] : std::set<std::pair<NodeId, NodeId>>(want)) want.emplace(j, i);
  const CsrGraph both = found.graph(60, false);
  CHECK(both.num_edges() == want.size());
  CHECK(both.symmetric);
}

TEST_CASE("traverse: counts over fan-out estimate the transition matrix without bias") {
  const CsrGraph graph = g6();
  const std::vector<NodeId> seeds{2};
  constexpr double kRounds = 5000;
  constexpr double kFanout = 4;
  std::map<NodeId, double> count;
  for (std::uint64_t r = 0; r < static_cast<std::uint64_t>(kRounds); ++r) {
    for (const auto& [i, row] : sampled_neighbors(graph, seeds, 4, key_of(r))) {
      for (const NodeId j : row) ++count[j];
    }
  }
  for (const NodeId j : {0u, 1u, 3u}) CHECK(near(count[j], kRounds * kFanout, 1.0 / 3));
}

TEST_CASE("traverse refuses what it cannot work with, and does nothing for nothing") {
  const CsrGraph graph = g6();
  SampledAdjacency found;
  const std::vector<NodeId> outside{6};
  REQUIRE_THROWS_AS(
      traverse(graph.view(), outside, std::vector<std::size_t>{1}, UniformBias{}, found, key_of(0)),
      IndexError);
  const std::vector<NodeId> seeds{0};
  REQUIRE_THROWS_AS(traverse(graph.view(), seeds, std::vector<std::size_t>{1u << 20, 1u << 20}, UniformBias{},
                             found, key_of(0)),
                    ShapeError);
  const auto negative = [](std::span<const NodeId>, std::span<const NodeId>, std::span<double> weight) {
    for (double& w : weight) w = -1;
  };
  REQUIRE_THROWS_AS(traverse(graph.view(), seeds, std::vector<std::size_t>{1}, negative, found, key_of(0)),
                    Error);
  SampledAdjacency nothing;
  traverse(graph.view(), {}, std::vector<std::size_t>{3}, UniformBias{}, nothing, key_of(0));
  traverse(graph.view(), seeds, {}, UniformBias{}, nothing, key_of(0));
  traverse(graph.view(), seeds, std::vector<std::size_t>{0, 5}, UniformBias{}, nothing, key_of(0));
  CHECK(nothing.num_links() == 0);
}
