// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/partition/detail/indexed_heap.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/detail/rating_map.hpp"
#include "tessera/partition/refine/block_state.hpp"
#include "tessera/partition/refine/gain_cache.hpp"

namespace tessera::detail::multilevel {

/// One move of a node between blocks.
struct NodeMove {
  NodeId node;
  Block from;
  Block to;
};

/// A k-way FM search around a few seeds that only imagines its moves: the partition is read, never written.
///
/// Keeps private copies of what it changes: blocks of moved nodes, block weights, and for every node it has
/// met a row of connections to the blocks around. `moves` are those up to the best state it saw.
/// Cost     O(degree) for every node met, O(log n) per step
/// Threads  searches on the same partition may run concurrently, each with its own object
/// Source   Gottesbueren et al., Scalable shared-memory hypergraph partitioning, ALENEX 2021 (localised FM);
///          Osipov and Sanders, n-level graph partitioning, 2010 (when to stop)
class LocalSearch {
 public:
  void run(const LevelGraph& graph, const BlockState& state, const GainCache& cache,
           std::span<const std::uint8_t> locked, std::span<const NodeId> seeds) {
    graph_ = &graph;
    state_ = &state;
    cache_ = &cache;
    locked_ = locked;
    clear();
    for (const NodeId v : seeds) {
      if (locked_[v] == 0 && find(v) == kNone) meet(v);
    }
    search();
    moves_.resize(best_moves_);
  }

  /// The moves worth making, in order, and what they gain together if nothing else has moved.
  std::span<const NodeMove> moves() const noexcept { return moves_.span(); }
  Weight gain() const noexcept { return best_gain_; }

 private:
  static constexpr std::uint32_t kNone = ~std::uint32_t{0};
  static constexpr std::size_t kMaxMoves = 500;    // a longer search leaves the cache and its batch behind
  static constexpr std::size_t kHubDegree = 1000;  // hubs do not spread a search and are met as seeds only

  // A node the search has met. Until its second change it has no row of its own: it is the row of the cache
  // after `weight` has gone from block `from` to block `to`.
  struct Known {
    NodeId node;
    std::uint32_t slot;  // in table_
    Block block;
    Block target;
    std::uint32_t row;  // its own connections are row_[row, row + size); kNone if it has none
    std::uint32_t size;
    std::uint32_t capacity;
    bool moved;
    Block from;
    Block to;
    Weight weight;
  };

  void clear() {
    if (table_.empty()) table_.assign(1024, 0u);
    for (const Known& known : known_) table_[known.slot] = 0;
    known_.clear();
    row_.clear();
    heap_.reset(0);
    shift_.clear();
    moves_.clear();
    best_moves_ = 0;
    best_gain_ = 0;
  }

  void search() {
    // The walk of gains since the last best state: steps, sum, sum of squares.
    Weight total = 0, steps = 0, sum = 0, squares = 0;
    // about ln n
    const auto patience = static_cast<Weight>(std::bit_width(graph_->num_nodes) * 2 / 3);
    while (!heap_.empty() && moves_.size() < kMaxMoves) {
      const std::uint32_t at = heap_.top();
      const Weight claimed = heap_.top_key();
      const Weight gain = choose_target(at);
      if (known_[at].target == known_[at].block) {
        heap_.pop();
        continue;
      }
      if (gain < claimed) {  // a block has filled up since
        heap_.update(at, gain);
        continue;
      }
      heap_.pop();
      move(at);
      total += gain;
      if (total > best_gain_) {
        best_gain_ = total;
        best_moves_ = moves_.size();
        steps = sum = squares = 0;
        continue;
      }
      ++steps;
      sum += gain;
      squares += gain * gain;
      // Hopeless when steps >= variance / (4 mean^2), rearranged to stay with integers.
      const auto lhs = static_cast<uint128>(4 * steps + 1) * static_cast<uint128>(sum * sum);
      if (steps > patience && lhs >= static_cast<uint128>(steps) * static_cast<uint128>(squares)) break;
    }
  }

  void move(std::uint32_t at) {
    known_[at].moved = true;
    const NodeId v = known_[at].node;
    const Block from = known_[at].block, to = known_[at].target;
    const Weight node = graph_->weight_of(v);
    shift_.add(from, -node);
    shift_.add(to, node);
    known_[at].block = to;
    moves_.push_back({v, from, to});
    const bool spread = graph_->degree(v) <= kHubDegree;
    graph_->for_neighbors(v, [&](NodeId u, Weight w) {
      const std::uint32_t other = find(u);
      if (other == kNone) {
        if (spread && locked_[u] == 0 && graph_->degree(u) <= kHubDegree) meet(u, from, to, w);
        return;
      }
      if (known_[other].moved) return;
      connect(other, from, -w);
      connect(other, to, w);
      const Weight gain = choose_target(other);
      if (heap_.contains(other)) {
        heap_.update(other, gain);
      } else if (known_[other].target != known_[other].block) {
        heap_.push(other, gain);
      }
    });
  }

  // Takes a node the search has not seen yet into the heap. If a neighbour has just moved, `weight` goes from
  // block to block in its row. No earlier mover touches it, or it would be known (but for hubs, which do
  // not spread a search: then the row is a little off, and the gain an estimate).
  void meet(NodeId v, Block from = 0, Block to = 0, Weight weight = 0) {
    const auto at = static_cast<std::uint32_t>(known_.size());
    const Block block = state_->block[v];
    known_.push_back({v, slot_of(v), block, block, kNone, 0, 0, false, from, to, weight});
    table_[known_[at].slot] = at + 1;
    if (2 * known_.size() > table_.size()) grow();
    heap_.extend();
    const Weight gain = choose_target(at);
    if (known_[at].target != block) heap_.push(at, gain);
  }

  // Gives a known node its own row.
  void copy_row(std::uint32_t at) {
    Known& known = known_[at];
    const std::span<const Connection> connections = cache_->row(known.node);
    known.row = static_cast<std::uint32_t>(row_.size());
    known.size = static_cast<std::uint32_t>(connections.size());
    known.capacity = known.size + 4;
    extend_rows(known.capacity);
    std::copy(connections.begin(), connections.end(), row_.data() + known.row);
    if (known.weight == 0) return;
    connect(at, known.from, -known.weight);
    connect(at, known.to, known.weight);
  }

  // Adds to the connection of a known node with a block.
  void connect(std::uint32_t at, Block block, Weight weight) {
    if (known_[at].row == kNone) copy_row(at);
    Known& known = known_[at];
    for (std::uint32_t i = known.row; i < known.row + known.size; ++i) {
      if (row_.data()[i].block != block) continue;
      row_.data()[i].weight += weight;
      return;
    }
    if (known.size == known.capacity) {
      const auto row = static_cast<std::uint32_t>(row_.size());
      extend_rows(2 * known.capacity);
      std::copy_n(row_.data() + known.row, known.size, row_.data() + row);
      known.row = row;
      known.capacity *= 2;
    }
    row_[known.row + known.size++] = {block, weight};
  }

  void extend_rows(std::size_t entries) {
    const std::size_t size = row_.size() + entries;
    if (size > row_.capacity()) row_.resize(2 * size);
    row_.resize(size);
  }

  // The gain of moving a known node to its best block with room; its target is its own block if none is.
  Weight choose_target(std::uint32_t at) {
    Known& known = known_[at];
    const Weight node = graph_->weight_of(known.node);
    const std::span<const Weight> block_weight = state_->weight, limit = state_->limit;
    Weight internal = 0, best = 0, best_room = 0;
    known.target = known.block;
    const auto consider = [&](Block block, Weight weight) {
      if (block == known.block) {
        internal = weight;
        return;
      }
      if (weight <= 0 || weight < best) return;
      const Weight room = limit[block] - block_weight[block] - shift_[block] - node;
      if (room < 0 || (weight == best && room <= best_room)) return;
      best = weight;
      best_room = room;
      known.target = block;
    };
    if (known.row != kNone) {
      for (std::uint32_t i = known.row; i < known.row + known.size; ++i) {
        consider(row_.data()[i].block, row_.data()[i].weight);
      }
      return best - internal;
    }
    bool arrived = known.weight == 0;
    for (const Connection& c : cache_->row(known.node)) {
      Weight weight = c.weight;
      if (c.block == known.from) weight -= known.weight;
      if (c.block == known.to) {
        weight += known.weight;
        arrived = true;
      }
      consider(c.block, weight);
    }
    if (!arrived) consider(known.to, known.weight);
    return best - internal;
  }

  std::uint32_t slot_of(NodeId v) const noexcept {
    const auto mask = static_cast<std::uint32_t>(table_.size() - 1);
    std::uint32_t slot = (v * 0x9E3779B1u >> 7) & mask;
    while (table_.data()[slot] != 0 && known_.data()[table_.data()[slot] - 1].node != v)
      slot = (slot + 1) & mask;
    return slot;
  }
  std::uint32_t find(NodeId v) const noexcept { return table_.data()[slot_of(v)] - 1u; }

  void grow() {
    table_.assign(4 * table_.size(), 0u);
    for (std::size_t i = 0; i < known_.size(); ++i) {
      const std::uint32_t slot = slot_of(known_[i].node);
      known_[i].slot = slot;
      table_[slot] = static_cast<std::uint32_t>(i + 1);
    }
  }

  const LevelGraph* graph_ = nullptr;
  const BlockState* state_ = nullptr;
  const GainCache* cache_ = nullptr;
  std::span<const std::uint8_t> locked_;
  Array<std::uint32_t> table_;  // position in known_ plus one; 0 is free
  Array<Known> known_;
  Array<Connection> row_;
  IndexedHeap heap_;
  RatingMap shift_;  // block -> change of its weight
  Array<NodeMove> moves_;
  std::size_t best_moves_ = 0;
  Weight best_gain_ = 0;
};

}  // namespace tessera::detail::multilevel
