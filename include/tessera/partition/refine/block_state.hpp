// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/detail/loops.hpp"

namespace tessera::detail::multilevel {

/// A partition of one level under refinement.
///
/// Shapes   block [n] with values in [0, k), weight and limit [k]
struct BlockState {
  Array<Block> block;
  Array<Weight> weight;
  Array<Weight> limit;

  std::size_t num_blocks() const noexcept { return weight.size(); }

  /// Weight above the limits; 0 is feasible.
  Weight overload() const noexcept {
    Weight sum = 0;
    for (std::size_t b = 0; b < weight.size(); ++b) sum += std::max<Weight>(0, weight[b] - limit[b]);
    return sum;
  }

  /// Recounts the block weights.
  void weigh(const LevelGraph& graph, std::size_t blocks) {
    weight.assign(blocks, 0);
    parallel_for(graph.num_nodes, kNodeGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t v = begin; v < end; ++v) atomic_add(weight[block[v]], graph.weight_of(v));
    });
  }
};

/// The weight of edges between blocks, each undirected edge once.
inline Weight cut_of(const LevelGraph& graph, std::span<const Block> block) {
  const std::size_t n = graph.num_nodes;
  const Weight twice = parallel_sum<Weight>(n, 1024, [&](std::size_t begin, std::size_t end) {
    Weight sum = 0;
    for (std::size_t v = begin; v < end; ++v) {
      graph.for_neighbors(v, [&](NodeId u, Weight w) { sum += block[u] != block[v] ? w : 0; });
    }
    return sum;
  });
  return twice / 2;
}

}  // namespace tessera::detail::multilevel
