// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/detail/loops.hpp"
#include "tessera/partition/detail/rating_map.hpp"

namespace tessera::detail::multilevel {

/// Merges clusters of one node that favour the same cluster but could not join it, two at a time. Stars
/// and power laws shrink by nothing else: the leaves of a hub see only the hub, and the hub is full.
///
/// Nodes without neighbours count as favouring one common cluster.
/// Cost     work O(E + n log n), extra memory O(n)
/// Threads  result independent of T
/// Source   LaSalle et al., Improving graph partitioning for modern graphs and architectures, 2015
inline void match_two_hop(const LevelGraph& graph, Weight max_weight, Array<NodeId>& cluster,
                          Array<Weight>& cluster_weight) {
  Array<NodeId> single;
  const auto alone = [&](std::size_t v) {
    return cluster[v] == v && cluster_weight[v] == graph.weight_of(v) && 2 * cluster_weight[v] <= max_weight;
  };
  parallel_collect(graph.num_nodes, alone, single);

  // (favoured cluster, node): sorting brings rivals for one cluster together, in node order.
  Array<std::uint64_t> wish(single.size());
  parallel_for(single.size(), 512, [&](std::size_t begin, std::size_t end) {
    RatingMap rating;
    for (std::size_t i = begin; i < end; ++i) {
      rating.clear();
      graph.for_neighbors(single[i], [&](NodeId u, Weight w) { rating.add(cluster[u], w); });
      NodeId favoured = kNoNode;
      Weight best = 0;
      for (const RatingMap::Entry& entry : rating.entries()) {
        if (entry.weight > best || (entry.weight == best && entry.key < favoured)) {
          favoured = entry.key;
          best = entry.weight;
        }
      }
      wish[i] = (std::uint64_t{favoured} << 32) | single[i];
    }
  });
  parallel_sort(wish.begin(), wish.end());

  for (std::size_t i = 0; i + 1 < wish.size(); ++i) {
    if (wish[i] >> 32 != wish[i + 1] >> 32) continue;
    const auto keeper = static_cast<NodeId>(wish[i]);
    const auto joiner = static_cast<NodeId>(wish[i + 1]);
    // Others may have joined either since the list was made only through this loop, so both are still alone.
    cluster[joiner] = keeper;
    cluster_weight[keeper] += cluster_weight[joiner];
    cluster_weight[joiner] = 0;
    ++i;
  }
}

}  // namespace tessera::detail::multilevel
