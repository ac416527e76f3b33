// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/partition/detail/indexed_heap.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/initial/bisection.hpp"

namespace tessera::detail::multilevel {

/// How a region grows from its seed.
enum class Growth {
  greedy,         ///< by the node that cuts least
  breadth_first,  ///< by distance
  random,         ///< by chance, connected or not
};

/// Bisects a small graph by growing side 0 from a random node until it has its weight.
///
/// Cost     O(E log n)
/// Source   Karypis and Kumar, A fast and high quality multilevel scheme for partitioning irregular graphs,
///          1998 (greedy graph growing)
class RegionGrowing {
 public:
  void run(const LevelGraph& graph, const BisectionTargets& targets, Growth growth, CounterRng rng,
           Bisection& state) {
    const std::size_t n = graph.num_nodes;
    state.side.assign(n, 1);
    order_.resize(n);
    for (std::size_t v = 0; v < n; ++v) order_[v] = static_cast<NodeId>(v);
    shuffle(order_.span(), rng);
    heap_.reset(n);
    key_.resize(n);
    std::size_t next = 0;  // the first node of order_ that may still be unassigned
    Weight arrivals = 0;   // keys of breadth first search fall by one per node found
    Weight weight = 0;
    while (weight < targets.target[0]) {
      if (heap_.empty()) {
        while (next < n && state.side[order_[next]] == 0) ++next;
        if (next == n) break;
        key_[order_[next]] = gain(graph, state, order_[next]);
        heap_.push(order_[next++], 0);
      }
      const std::uint32_t v = heap_.top();
      heap_.pop();
      const Weight node = graph.weight_of(v);
      if (weight + node > targets.limit[0]) continue;
      // Stop short of the target when passing it would miss by more.
      if (weight + node - targets.target[0] > targets.target[0] - weight && weight > 0) break;
      state.side[v] = 0;
      weight += node;
      if (growth == Growth::random) continue;
      graph.for_neighbors(v, [&](NodeId u, Weight w) {
        if (state.side[u] == 0) return;
        if (growth == Growth::breadth_first) {
          if (!heap_.contains(u)) heap_.push(u, --arrivals);
        } else if (heap_.contains(u)) {
          key_[u] += 2 * w;
          heap_.update(u, key_[u]);
        } else {
          key_[u] = gain(graph, state, u);
          heap_.push(u, key_[u]);
        }
      });
    }
    state.measure(graph);
  }

 private:
  // What the cut loses when u joins side 0.
  static Weight gain(const LevelGraph& graph, const Bisection& state, NodeId u) {
    Weight gain = 0;
    graph.for_neighbors(u, [&](NodeId x, Weight w) { gain += state.side[x] == 0 ? w : -w; });
    return gain;
  }

  Array<NodeId> order_;
  Array<Weight> key_;
  IndexedHeap heap_;
};

}  // namespace tessera::detail::multilevel
