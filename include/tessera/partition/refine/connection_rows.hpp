// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/detail/rating_map.hpp"
#include "tessera/partition/refine/block_state.hpp"

namespace tessera::detail::multilevel {

/// Runs of elements behind each other; what was handed out stays where it is.
template <class T>
class Runs {
 public:
  T* take(std::size_t count) {
    if (used_ + count > room_) {
      if (next_ == chunks_.size()) chunks_.emplace_back();
      Array<T>& chunk = chunks_[next_++];
      chunk.resize(std::max(count, kChunk));
      room_ = chunk.size();
      at_ = chunk.data();
      used_ = 0;
    }
    used_ += count;
    return at_ + used_ - count;
  }
  /// Takes everything back.
  void clear() noexcept { next_ = used_ = room_ = 0; }

 private:
  static constexpr std::size_t kChunk = 1 << 15;

  std::vector<Array<T>> chunks_;
  std::size_t next_ = 0;
  T* at_ = nullptr;
  std::size_t used_ = 0, room_ = 0;
};

/// For every node that was met: how strongly it is bound to which block, and the best block it could go to.
///
/// A row has a place for every block where that takes no more memory than a list of those around the node.
/// Where nodes move, what a neighbour's row says is brought up to date in O(1) for places and O(blocks listed)
/// for lists; the best block is sought anew only when it lost.
/// Shapes   W holds the sum of all edge weights
template <class W>
class ConnectionRows {
 public:
  static constexpr Weight kNoMove = std::numeric_limits<Weight>::min();

  /// Forgets all rows.
  void clear(std::size_t blocks) {
    row_.clear();
    places_.clear();
    lists_.clear();
    if (blocks_ == blocks) return;
    blocks_ = blocks;
    rating_ = RatingMap(blocks);
  }

  std::size_t size() const noexcept { return row_.size(); }
  NodeId node(std::size_t row) const noexcept { return row_.data()[row].node; }
  Block block(std::size_t row) const noexcept { return row_.data()[row].own; }
  Block target(std::size_t row) const noexcept { return row_.data()[row].target; }

  /// Adds a row for v, which is in block `own`; counts the neighbours u with mine(u) only, in block(u).
  template <class Mine, class BlockOf>
  std::size_t meet(const LevelGraph& graph, NodeId v, Block own, Mine&& mine, BlockOf&& block_of) {
    Row row{{nullptr}, v, static_cast<std::uint32_t>(blocks_), own, kUnknown, 0, 0, false};
    const std::size_t degree = graph.degree(v);
    if (4 * degree >= blocks_) {
      row.place = places_.take(blocks_);
      std::fill_n(row.place, blocks_, W{0});
      graph.for_neighbors(v, [&](NodeId u, Weight w) {
        if (mine(u)) row.place[block_of(u)] += static_cast<W>(w);
      });
      row.internal = row.place[own];
    } else {
      rating_.clear();
      graph.for_neighbors(v, [&](NodeId u, Weight w) {
        if (mine(u)) rating_.add(block_of(u), w);
      });
      row.list = lists_.take(degree);
      row.size = static_cast<std::uint32_t>(rating_.size());
      Connection* to = row.list;
      for (const RatingMap::Entry& entry : rating_.entries()) {
        if (entry.key == own) row.internal = static_cast<W>(entry.weight);
        *to++ = {entry.key, static_cast<W>(entry.weight)};
      }
    }
    row_.push_back(row);
    return row_.size() - 1;
  }

  /// A node moved to `block`.
  void moved(std::size_t at, Block block) noexcept {
    Row& row = row_.data()[at];
    row.own = block;
    row.target = kUnknown;
    row.internal = weight_of(row, block);
  }

  /// A neighbour moved: weight goes from one block to another. A row never outgrows the number of neighbours.
  void shift(std::size_t at, Block from, Block to, Weight weight, const BlockState& state,
             Weight node) noexcept {
    Row& row = row_.data()[at];
    const auto w = static_cast<W>(weight);
    const W bound = full(row) ? shift_places(row, from, to, w) : shift_list(row, from, to, w);
    if (from == row.own) row.internal -= w;
    if (to == row.own) row.internal += w;
    if (row.target == kUnknown) return;
    if (from == row.target) {
      row.target = kUnknown;
    } else if (to == row.target) {
      row.bound = bound;
    } else if (to != row.own && bound > row.bound) {
      if (state.weight.data()[to] + node <= state.limit.data()[to]) {
        row.target = to;
        row.bound = bound;
      } else {
        row.passed_over = true;
      }
    }
  }

  /// The gain of moving a node to its best block, kNoMove if there is none with room. Rooms are those of the last
  /// search for it unless `fresh`.
  Weight gain(std::size_t at, const BlockState& state, Weight node, bool fresh) noexcept {
    Row& row = row_.data()[at];
    const bool stale =
        fresh && row.target != kUnknown &&
        (row.passed_over || state.weight.data()[row.target] + node > state.limit.data()[row.target]);
    if (row.target == kUnknown || stale) choose(row, state, node);
    return row.target == kUnknown ? kNoMove : Weight{row.bound} - Weight{row.internal};
  }

  /// Whether a met node is bound to another block than its own.
  bool on_border(std::size_t at) const noexcept {
    const Row& row = row_.data()[at];
    bool border = false;
    each(row, [&](Block b, W w) { border = border || (b != row.own && w != 0); });
    return border;
  }

 private:
  static constexpr Block kUnknown = ~Block{0};

  struct Connection {
    Block block;
    W weight;
  };
  struct Row {
    union {
      W* place;
      Connection* list;
    };
    NodeId node;
    std::uint32_t size;  // of the list; as many as there are blocks where every block has a place
    Block own;
    Block target;      // the best block with room, if known
    W bound;           // to the target
    W internal;        // to the own block
    bool passed_over;  // a better block than the target had no room
  };

  bool full(const Row& row) const noexcept { return row.size == blocks_; }

  template <class F>
  void each(const Row& row, F&& f) const {
    if (full(row)) {
      for (std::size_t b = 0; b < blocks_; ++b) f(static_cast<Block>(b), row.place[b]);
    } else {
      for (std::uint32_t i = 0; i < row.size; ++i) f(row.list[i].block, row.list[i].weight);
    }
  }

  W weight_of(const Row& row, Block block) const noexcept {
    if (full(row)) return row.place[block];
    for (std::uint32_t i = 0; i < row.size; ++i) {
      if (row.list[i].block == block) return row.list[i].weight;
    }
    return 0;
  }

  static W shift_places(Row& row, Block from, Block to, W weight) noexcept {
    row.place[from] -= weight;
    return row.place[to] += weight;
  }

  static W shift_list(Row& row, Block from, Block to, W weight) noexcept {
    Connection* const first = row.list;
    Connection* at_to = nullptr;
    Connection* at_from = nullptr;
    for (std::uint32_t i = 0; i < row.size; ++i) {
      if (first[i].block == from) at_from = first + i;
      if (first[i].block == to) at_to = first + i;
    }
    at_from->weight -= weight;
    const W bound = at_to != nullptr ? at_to->weight += weight : weight;
    if (at_from->weight == 0) {
      if (at_to == nullptr) {
        *at_from = {to, weight};
      } else {
        *at_from = first[--row.size];
      }
    } else if (at_to == nullptr) {
      first[row.size++] = {to, weight};
    }
    return bound;
  }

  void choose(Row& row, const BlockState& state, Weight node) const noexcept {
    const Weight* const weight = state.weight.data();
    const Weight* const limit = state.limit.data();
    W best = 0, passed = 0;
    Weight best_room = 0;
    Block target = kUnknown;
    each(row, [&](Block b, W w) {
      if (w < best || w == 0 || b == row.own) return;
      const Weight room = limit[b] - weight[b] - node;
      if (room < 0) {
        passed = std::max(passed, w);
        return;
      }
      if (w == best && room <= best_room) return;
      best = w;
      best_room = room;
      target = b;
    });
    row.target = target;
    row.bound = best;
    row.passed_over = passed > best;
  }

  std::size_t blocks_ = 0;
  Array<Row> row_;
  Runs<W> places_;
  Runs<Connection> lists_;
  RatingMap rating_;
};

}  // namespace tessera::detail::multilevel
