// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/partition.hpp"
#include "tessera/partition/refine/balancer.hpp"
#include "tessera/partition/refine/block_state.hpp"

namespace tessera::detail::multilevel {

/// One weight per node in which both constraints count alike: first + second * (W_first / W_second), in 1024ths.
///
/// Shapes   first [n] or empty (1 each), second [n] -> [n]
inline Array<Weight> joint_weights(std::span<const Weight> first, std::span<const Weight> second,
                                   WeightSum first_sum, WeightSum second_sum) {
  const std::size_t n = second.size();
  Array<Weight> out(n);
  // Both terms add up to about 2^40, whatever the units; a few nodes are rounded to 0 or up, balance is exact later.
  const double scale = std::min(1024.0, 0x1p40 / std::max(1.0, static_cast<double>(first_sum.total)));
  const double exchange = second_sum.total == 0
                              ? 0
                              : static_cast<double>(first_sum.total) / static_cast<double>(second_sum.total);
  for (std::size_t v = 0; v < n; ++v) {
    const double one = first.empty() ? 1 : static_cast<double>(first[v]);
    out[v] = static_cast<Weight>(scale * (one + exchange * static_cast<double>(second[v])));
  }
  return out;
}

/// Brings both weights of every block within their limits: first the second weight, whatever that does to
/// the first, then the first by moving nodes without second weight only.
///
/// Feasible for certain where nodes weigh 1 and have second weight 0 or 1.
/// Shapes   block [n]; first [n] or empty, second [n]; `graph` may hold self loops and isolated nodes
/// Cost     O(E log n) over the edges of blocks that are too heavy
inline void balance_both(LevelGraph& graph, std::span<const Weight> first, std::span<const Weight> second,
                         Weight first_limit, Weight second_limit, BlockState& state) {
  const std::size_t n = graph.num_nodes, k = state.num_blocks();
  OverloadBalancer balancer;
  graph.node_weight = second;
  state.weigh(graph, k);
  state.limit.assign(k, second_limit);
  balancer.run(graph, state);

  Array<Weight> movable(n);
  Array<Weight> room(k, first_limit);
  for (std::size_t v = 0; v < n; ++v) {
    const Weight weight = first.empty() ? 1 : first[v];
    movable[v] = second[v] == 0 ? weight : 0;
    if (second[v] != 0) room[state.block[v]] -= weight;
  }
  graph.node_weight = movable;
  state.weigh(graph, k);
  state.limit = std::move(room);
  balancer.run(graph, state);

  graph.node_weight = first;
  state.weigh(graph, k);
  state.limit.assign(k, first_limit);
}

}  // namespace tessera::detail::multilevel
