// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <set>
#include <span>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/detail/indexed_heap.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/detail/loops.hpp"
#include "tessera/partition/detail/rating_map.hpp"
#include "tessera/partition/refine/block_state.hpp"

namespace tessera::detail::multilevel {

/// Empties overloaded blocks down to their limits, at the least cost to the cut it can find.
///
/// Nodes leave in the order of gain per weight for the best neighbouring block with room, else for the block
/// with most room. With unit weights the result is always feasible; with heavy nodes as far as this goes.
/// Cost     O(n) and O(E log n) over the edges of overloaded blocks
class OverloadBalancer {
 public:
  void run(const LevelGraph& graph, BlockState& state) {
    if (state.overload() == 0) return;
    const std::size_t n = graph.num_nodes;
    parallel_collect(
        n, [&](std::size_t v) { return state.weight[state.block[v]] > state.limit[state.block[v]]; },
        member_);
    key_.resize(member_.size());
    parallel_for(member_.size(), 512, [&](std::size_t begin, std::size_t end) {
      RatingMap rating;
      for (std::size_t i = begin; i < end; ++i) key_[i] = relative(graph, member_[i], state, rating).key;
    });
    heap_.reset(member_.size());
    for (std::size_t i = 0; i < member_.size(); ++i) heap_.push(static_cast<std::uint32_t>(i), key_[i]);
    rooms_.clear();
    for (std::size_t b = 0; b < state.num_blocks(); ++b) rooms_.insert(room_of(state, static_cast<Block>(b)));

    while (!heap_.empty()) {
      const std::uint32_t i = heap_.top();
      const NodeId v = member_[i];
      const Block from = state.block[v];
      if (state.weight[from] <= state.limit[from]) {
        heap_.pop();
        continue;
      }
      const Move move = relative(graph, v, state, rating_);
      if (move.key < heap_.top_key()) {  // the world has changed since it was keyed
        heap_.update(i, move.key);
        continue;
      }
      heap_.pop();
      if (move.to == from) continue;
      const Weight node = graph.weight_of(v);
      rooms_.erase(room_of(state, from));
      rooms_.erase(room_of(state, move.to));
      state.weight[from] -= node;
      state.weight[move.to] += node;
      state.block[v] = move.to;
      rooms_.insert(room_of(state, from));
      rooms_.insert(room_of(state, move.to));
    }
  }

 private:
  using Room = std::pair<Weight, Block>;  // (minus the room, block): the set begins with the roomiest

  struct Move {
    Weight key;
    Block to;
  };

  static Room room_of(const BlockState& state, Block b) { return {state.weight[b] - state.limit[b], b}; }

  // The best place for v outside its block, and gain per weight in units of 2^-16. Nodes without weight
  // relieve nothing and come last.
  Move relative(const LevelGraph& graph, NodeId v, const BlockState& state, RatingMap& rating) const {
    rating.clear();
    const Block from = state.block[v];
    const Weight node = graph.weight_of(v);
    graph.for_neighbors(v, [&](NodeId u, Weight w) { rating.add(state.block[u], w); });
    const Weight internal = rating[from];
    Block best = from;
    Weight best_rating = -1;
    for (const RatingMap::Entry& entry : rating.entries()) {
      if (entry.key == from || state.weight[entry.key] + node > state.limit[entry.key]) continue;
      if (entry.weight > best_rating || (entry.weight == best_rating && entry.key < best)) {
        best = entry.key;
        best_rating = entry.weight;
      }
    }
    if (best == from && !rooms_.empty()) {
      const auto [minus_room, roomiest] = *rooms_.begin();
      if (roomiest != from && node <= -minus_room) best = roomiest;
    }
    if (node == 0) return {std::numeric_limits<Weight>::min() / 2, from};
    const Weight gain = std::max<Weight>(0, best_rating) - internal;
    const Weight bounded = std::clamp<Weight>(gain, -(Weight{1} << 46), Weight{1} << 46);
    return {gain > 0 ? bounded * std::min<Weight>(node, 1 << 16) : bounded * (1 << 16) / node, best};
  }

  Array<NodeId> member_;
  Array<Weight> key_;
  IndexedHeap heap_;
  RatingMap rating_;
  std::set<Room> rooms_;
};

}  // namespace tessera::detail::multilevel
