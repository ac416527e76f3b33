// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <set>
#include <span>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/detail/loops.hpp"
#include "tessera/partition/refine/block_state.hpp"

namespace tessera::detail::multilevel {

/// Gives every empty block one node: the least attached one of the heaviest block that has two or more.
///
/// Cost     O(n + k), and O(E_b) for every block b that gives a node away
inline void fill_empty_blocks(const LevelGraph& graph, BlockState& state) {
  const std::size_t k = state.num_blocks();
  Groups members;
  group_by(
      graph.num_nodes, k, [&](std::size_t v) { return static_cast<std::size_t>(state.block[v]); }, members);
  std::set<std::pair<Weight, Block>> donors;
  Array<Block> empty;
  Array<std::size_t> left(k);
  for (std::size_t b = 0; b < k; ++b) {
    left[b] = members[b].size();
    if (left[b] == 0) empty.push_back(static_cast<Block>(b));
    if (left[b] >= 2) donors.insert({state.weight[b], static_cast<Block>(b)});
  }
  for (const Block to : empty) {
    if (donors.empty()) return;
    const Block from = std::prev(donors.end())->second;
    donors.erase(std::prev(donors.end()));
    NodeId chosen = kNoNode;
    Weight least = std::numeric_limits<Weight>::max();
    for (const NodeId v : members[from]) {
      if (state.block[v] != from) continue;  // given away already
      Weight internal = 0;
      graph.for_neighbors(v, [&](NodeId u, Weight w) { internal += state.block[u] == from ? w : 0; });
      if (internal < least) {
        least = internal;
        chosen = v;
      }
    }
    state.block[chosen] = to;
    state.weight[from] -= graph.weight_of(chosen);
    state.weight[to] += graph.weight_of(chosen);
    if (--left[from] >= 2) donors.insert({state.weight[from], from});
  }
}

/// Deals nodes without neighbours out, heaviest first, always to the block with most room.
///
/// Shapes   nodes: ids for weight_of(node); calls assign(node, block) for each
/// Cost     O((nodes + k) log k)
template <class WeightOf, class Assign>
void place_isolated(std::span<const NodeId> nodes, WeightOf&& weight_of, BlockState& state, Assign&& assign) {
  if (nodes.empty()) return;
  Array<NodeId> order = Array<NodeId>::copy_of(nodes);
  std::stable_sort(order.begin(), order.end(),
                   [&](NodeId a, NodeId b) { return weight_of(a) > weight_of(b); });
  std::set<std::pair<Weight, Block>> load;
  for (std::size_t b = 0; b < state.num_blocks(); ++b) load.insert({state.weight[b], static_cast<Block>(b)});
  for (const NodeId v : order) {
    const auto [weight, block] = *load.begin();
    load.erase(load.begin());
    state.weight[block] = weight + weight_of(v);
    load.insert({state.weight[block], block});
    assign(v, block);
  }
}

}  // namespace tessera::detail::multilevel
