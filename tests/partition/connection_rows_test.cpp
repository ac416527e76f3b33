// SPDX-License-Identifier: MIT
#include "tessera/partition/refine/connection_rows.hpp"

#include <algorithm>
#include <vector>

#include "support/catch.hpp"
#include "support/partition_graphs.hpp"
#include "support/partition_level.hpp"

using namespace tessera;
using namespace tessera::test;
using namespace tessera::detail::multilevel;

namespace {

// The best gain of moving v to another block with room, counted anew.
Weight best_gain(const LevelGraph& graph, const BlockState& state, std::size_t v) {
  std::vector<Weight> bound(state.num_blocks(), 0);
  graph.for_neighbors(v, [&](NodeId u, Weight w) { bound[state.block[u]] += w; });
  const Block own = state.block[v];
  Weight best = 0;
  for (std::size_t b = 0; b < bound.size(); ++b) {
    if (b != own && state.weight[b] + graph.weight_of(v) <= state.limit[b]) best = std::max(best, bound[b]);
  }
  return best == 0 ? ConnectionRows<Weight>::kNoMove : best - bound[own];
}

template <class W>
void check_rows(std::size_t blocks) {
  EdgeList edges;
  constexpr NodeId kNodes = 300;
  for (NodeId v = 0; v < kNodes; ++v) {
    edges.push_back({v, (v + 1) % kNodes});
    for (std::uint64_t t = 0; t < 3; ++t) edges.push_back({v, static_cast<NodeId>(hash(9, v, t) % kNodes)});
  }
  const PartitionGraph source = undirected(kNodes, edges);
  const LevelGraph graph = level_of(source);
  BlockState state = scattered(graph, blocks, 1, 4);
  ConnectionRows<W> rows;
  rows.clear(blocks);
  for (std::size_t v = 0; v < kNodes; ++v) {
    const auto node = static_cast<NodeId>(v);
    REQUIRE(rows.meet(
                graph, node, state.block[v], [](NodeId) { return true; },
                [&](NodeId u) { return state.block[u]; }) == v);
  }
  std::size_t moves = 0;
  for (std::uint64_t step = 0; step < 2000; ++step) {
    const auto v = static_cast<NodeId>(hash(1, step) % kNodes);
    const auto to = static_cast<Block>(hash(2, step) % blocks);
    const Block from = state.block[v];
    if (to == from || state.weight[to] + 1 > state.limit[to]) continue;
    ++moves;
    state.block[v] = to;
    --state.weight[from];
    ++state.weight[to];
    rows.moved(v, to);
    graph.for_neighbors(v, [&](NodeId u, Weight w) { rows.shift(u, from, to, w, state, 1); });
    // Rooms have changed for all, so only a fresh gain is the best one; it must name a block that gives it.
    for (const std::size_t u : {std::size_t{v}, std::size_t{graph.col[graph.row_ptr[v]]}}) {
      const Weight gain = rows.gain(u, state, 1, true);
      const Weight best = best_gain(graph, state, u);
      CHECK(gain <= best);
      REQUIRE(rows.block(u) == state.block[u]);
      if (gain == ConnectionRows<W>::kNoMove) continue;
      Weight exact = 0;
      graph.for_neighbors(u, [&](NodeId x, Weight w) {
        exact += state.block[x] == rows.target(u) ? w : state.block[x] == state.block[u] ? -w : 0;
      });
      CHECK(gain == exact);
      CHECK(state.weight[rows.target(u)] < state.limit[rows.target(u)]);
    }
  }
  CHECK(moves > 500);
  for (std::size_t v = 0; v < kNodes; ++v) {
    bool border = false;
    graph.for_neighbors(v, [&](NodeId u, Weight) { border = border || state.block[u] != state.block[v]; });
    CHECK(rows.on_border(v) == border);
  }
}

}  // namespace

TEST_CASE("rows of connections stay exact while nodes move") {
  check_rows<std::int32_t>(5);    // a place for every block
  check_rows<std::int32_t>(200);  // lists
  check_rows<Weight>(5);
  check_rows<Weight>(200);
}

TEST_CASE("with room everywhere a gain is the best there is") {
  const PartitionGraph source = grid_graph(12, 12);
  const LevelGraph graph = level_of(source);
  BlockState state = scattered(graph, 40, 1000, 7);
  ConnectionRows<std::int32_t> rows;
  rows.clear(40);
  for (NodeId v = 0; v < 144; ++v) {
    rows.meet(
        graph, v, state.block[v], [](NodeId) { return true; }, [&](NodeId u) { return state.block[u]; });
  }
  for (std::uint64_t step = 0; step < 500; ++step) {
    const auto v = static_cast<NodeId>(hash(3, step) % 144);
    const Block from = state.block[v], to = static_cast<Block>(hash(4, step) % 40);
    if (from == to) continue;
    state.block[v] = to;
    rows.moved(v, to);
    graph.for_neighbors(v, [&](NodeId u, Weight w) { rows.shift(u, from, to, w, state, 1); });
    for (std::size_t u = 0; u < 144; ++u)
      REQUIRE(rows.gain(u, state, 1, false) == best_gain(graph, state, u));
  }
}
