// SPDX-License-Identifier: MIT
#include "tessera/partition/initial/bisector.hpp"

#include <algorithm>
#include <array>
#include <numeric>

#include "support/catch.hpp"
#include "support/partition_graphs.hpp"
#include "support/partition_level.hpp"

using namespace tessera;
using namespace tessera::test;
using namespace tessera::detail::multilevel;

namespace {

BisectionTargets halves(const LevelGraph& graph, Weight slack) {
  const Weight half = graph.total_weight / 2;
  return {{graph.total_weight - half, half}, {graph.total_weight - half + slack, half + slack}};
}

// The smallest cut among all bisections within the limits.
Weight best_cut(const LevelGraph& graph, const BisectionTargets& targets) {
  Weight best = 1 << 30;
  for (std::uint32_t mask = 0; mask < 1u << graph.num_nodes; ++mask) {
    Bisection b;
    b.side.resize(graph.num_nodes);
    for (std::size_t v = 0; v < graph.num_nodes; ++v) b.side[v] = (mask >> v) & 1u;
    b.measure(graph);
    if (b.overload(targets) == 0) best = std::min(best, b.cut);
  }
  return best;
}

}  // namespace

TEST_CASE("small graphs are bisected optimally") {
  for (const PartitionGraph& source :
       {grid_graph(3, 5), grid_graph(4, 4), clique_chain(4, 4), clique_chain(2, 8), star_graph(13)}) {
    const LevelGraph graph = level_of(source);
    for (const Weight slack : {0, 1, 3}) {
      const BisectionTargets targets = halves(graph, slack);
      Bisector bisector;
      Bisection result;
      bisector.run(graph, targets, {.seed = 3}, result);
      CHECK(result.overload(targets) == 0);
      CHECK(result.cut == best_cut(graph, targets));
    }
  }
}

TEST_CASE("refinement of a bisection keeps its books and never worsens it") {
  const PartitionGraph source = grid_graph(20, 20);
  const LevelGraph graph = level_of(source);
  for (const Weight slack : {0, 5, 40}) {
    const BisectionTargets targets = halves(graph, slack);
    for (std::uint64_t seed = 0; seed < 10; ++seed) {
      Bisection state;
      state.side.resize(400);
      for (std::size_t v = 0; v < 400; ++v) state.side[v] = hash(seed, v) % 3 == 0 ? 1 : 0;  // overloaded
      state.measure(graph);
      const auto before = state.rank(targets);
      FmBisection().run(graph, targets, {}, state);
      CHECK(state.rank(targets) <= before);
      CHECK(state.overload(targets) == 0);
      Bisection recount;
      recount.copy_from(state);
      recount.measure(graph);
      CHECK(recount.cut == state.cut);
      CHECK(recount.weight == state.weight);
    }
  }
}

TEST_CASE("regions grow to their weight in every way") {
  const PartitionGraph source = clique_chain(10, 10);
  const LevelGraph graph = level_of(source);
  const BisectionTargets targets{{30, 70}, {33, 77}};
  for (const Growth growth : {Growth::greedy, Growth::breadth_first, Growth::random}) {
    Bisection state;
    RegionGrowing().run(graph, targets, growth, CounterRng({1, 2}, 0, 0), state);
    CHECK(state.weight[0] == 30);
    CHECK(state.weight[1] == 70);
    if (growth == Growth::greedy) CHECK(state.cut <= 4);
  }
}

TEST_CASE("disconnected graphs are bisected between components") {
  EdgeList edges;
  for (NodeId c = 0; c < 4; ++c) {
    for (NodeId i = 0; i < 30; ++i) edges.push_back({c * 30 + i, c * 30 + (i + 1) % 30});
  }
  const PartitionGraph source = undirected(120, edges);
  const LevelGraph graph = level_of(source);
  const BisectionTargets targets = halves(graph, 2);
  Bisection result;
  Bisector().run(graph, targets, {.attempts = 4, .seed = 1}, result);
  CHECK(result.cut == 0);
  CHECK(result.weight[0] == 60);
}

TEST_CASE("a small graph shrinks within the weight limit and keeps every cut") {
  for (const PartitionGraph& source : {grid_graph(30, 20), clique_chain(20, 7), star_graph(300)}) {
    const LevelGraph graph = level_of(source);
    SerialCoarsener coarsener;
    Array<NodeId> coarse;
    LevelGraph out;
    REQUIRE(coarsener.run(graph, 12, 5, coarse, out));
    CHECK(20 * out.num_nodes <= 19 * graph.num_nodes);
    CHECK(out.total_weight == graph.total_weight);
    CHECK(std::accumulate(out.node_weight.begin(), out.node_weight.end(), Weight{0}) == graph.total_weight);
    CHECK(out.max_node_weight == *std::max_element(out.node_weight.begin(), out.node_weight.end()));
    CHECK(out.max_node_weight <= 12);
    Bisection small, large;
    small.side.resize(out.num_nodes);
    for (std::size_t c = 0; c < out.num_nodes; ++c) small.side[c] = static_cast<std::uint8_t>(hash(1, c) % 2);
    large.side.resize(graph.num_nodes);
    for (std::size_t v = 0; v < graph.num_nodes; ++v) large.side[v] = small.side[coarse[v]];
    small.measure(out);
    large.measure(graph);
    CHECK(small.cut == large.cut);
    CHECK(small.weight == large.weight);
  }
  const PartitionGraph two = grid_graph(1, 2);
  const LevelGraph pair = level_of(two);
  SerialCoarsener coarsener;
  Array<NodeId> coarse;
  LevelGraph out;
  CHECK(!coarsener.run(pair, 1, 5, coarse, out));  // nothing fits together
}
