// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/refine/balancer.hpp"
#include "tessera/partition/refine/block_state.hpp"
#include "tessera/partition/refine/label_propagation.hpp"

namespace tessera::detail::multilevel {

/// Refinement that may pass the limits on its way: label propagation against loosened ones, then balance, then label
/// propagation within them; what did not help is undone.
///
/// Where blocks are full, a node can come in only once another has left, and a single move that pays does not
/// exist: the core of a skewed graph stays spread over blocks for good. Meshes gain nothing by it.
/// Cost     work O(E) per round plus that of the balancer, extra memory O(n + k)
/// Threads  result independent of T
/// Source   Gilbert et al., Jet: multilevel graph partitioning on GPUs, 2023; Maas et al., Parallel unconstrained
///          local search for partitioning irregular graphs, ALENEX 2024; differs: label propagation instead of FM
class LooseRounds {
 public:
  struct Options {
    int rounds = 5;
    Weight loosening_percent = 30;
    Weight improvement = 500;  ///< a round must gain more than cut / this to be followed by another
    std::uint64_t key = 0;
  };

  /// Overload and cut never grow, in this order.
  void run(const LevelGraph& graph, const Options& options, RefineLabelPropagation& propagation,
           OverloadBalancer& balancer, BlockState& state) {
    if (options.rounds <= 0 || state.num_blocks() < 2) return;
    std::pair rank(state.overload(), cut_of(graph, state.block));
    for (int round = 0; round < options.rounds && rank.second > 0; ++round) {
      copy(state.block, block_);
      copy(state.weight, weight_);
      copy(state.limit, limit_);
      for (Weight& limit : state.limit) {
        limit += limit / 100 * options.loosening_percent + limit % 100 * options.loosening_percent / 100 + 1;
      }
      const std::uint64_t key = hash(options.key, static_cast<std::uint64_t>(round));
      propagation.run(graph, {.rounds = 1, .key = hash(key, 1)}, state);
      std::swap(state.limit, limit_);
      balancer.run(graph, state);
      propagation.run(graph, {.rounds = 1, .key = hash(key, 2)}, state);
      const std::pair now(state.overload(), cut_of(graph, state.block));
      if (now >= rank) {
        std::swap(state.block, block_);
        std::swap(state.weight, weight_);
        return;
      }
      const bool enough = (rank.second - now.second) * options.improvement <= rank.second;
      rank = now;
      if (enough) return;
    }
  }

 private:
  template <class T>
  static void copy(const Array<T>& from, Array<T>& to) {
    to.resize(from.size());
    std::copy(from.begin(), from.end(), to.begin());
  }

  Array<Block> block_;
  Array<Weight> weight_, limit_;
};

}  // namespace tessera::detail::multilevel
