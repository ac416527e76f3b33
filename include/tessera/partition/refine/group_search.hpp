// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/detail/rating_map.hpp"
#include "tessera/partition/refine/block_state.hpp"

namespace tessera::detail::multilevel {

/// How strongly a node is bound to a block.
struct Connection {
  Block block;
  Weight weight;
};

/// What the searches of one round share. A search writes what belongs to nodes in blocks of its own group.
///
/// Shapes   row, heap_slot, locked [n]; group [k]
struct SearchBoard {
  Array<std::uint32_t> row;        ///< index in the group's rows plus one; 0 has none
  Array<std::uint32_t> heap_slot;  ///< position in the group's heap plus one; 0 is not in it
  Array<std::uint8_t> locked;      ///< moved in this round
  Array<std::uint32_t> group;      ///< of a block

  void reset(std::size_t nodes) {
    row.assign(nodes, 0);
    heap_slot.assign(nodes, 0);
    locked.assign(nodes, 0);
  }
};

/// Local k-way FM searches among the blocks of one group: start at a few border nodes, make the best move,
/// go on with the neighbours through worse cuts, go back to the best state seen.
///
/// Blocks outside the group neither give nor take nodes, so nothing that happens there changes a gain in
/// here: groups are searched at the same time, and every gain is exact.
/// Cost     O(degree) for every node met and every move made or undone, O(log n) per step
/// Source   Gottesbueren et al., Scalable shared-memory hypergraph partitioning, ALENEX 2021 (localised FM);
///          Osipov and Sanders, n-level graph partitioning, 2010 (when to stop); differs: groups of blocks
///          instead of shared blocks and a roll-back of races
class GroupSearch {
 public:
  struct Options {
    std::size_t seeds = 10;                ///< border nodes a search starts from
    std::size_t budget = ~std::size_t{0};  ///< edges to visit before no further search starts
  };

  /// Forgets all rows: the blocks have changed from outside, or the groups have.
  void clear() {
    row_.clear();
    entry_.clear();
  }

  /// Searches from `border`, nodes of the group's blocks; returns by how much the cut fell.
  Weight run(const LevelGraph& graph, std::uint32_t group, std::span<const NodeId> border,
             const Options& options, BlockState& state, SearchBoard& board) {
    graph_ = &graph;
    state_ = &state;
    board_ = &board;
    group_ = group;
    work_ = 0;
    patience_ = static_cast<Weight>(std::bit_width(graph.num_nodes) * 2 / 3);
    Weight gain = 0;
    for (std::size_t i = 0; i < border.size() && work_ < options.budget; i += options.seeds) {
      gain += search(border.subspan(i, std::min(options.seeds, border.size() - i)));
    }
    return gain;
  }

  std::size_t work() const noexcept { return work_; }

  /// Nodes that have a row: all that were met since the last clear.
  std::size_t num_met() const noexcept { return row_.size(); }
  NodeId met(std::size_t i) const noexcept { return row_[i].node; }
  /// Whether a met node has neighbours in other blocks of the group.
  bool on_border(std::size_t i) const noexcept {
    const Row& row = row_.data()[i];
    return row.size > 1 || (row.size == 1 && entry_.data()[row.start].block != state_->block[row.node]);
  }

 private:
  static constexpr std::size_t kMaxMoves = 1000;
  static constexpr Weight kMaxGain = Weight{1} << 40;  // in the decision to stop: squares must not overflow
  static constexpr std::size_t kHubDegree = 1000;  // hubs do not spread a search and are met as seeds only

  struct Row {
    std::size_t start;
    NodeId node;
    std::uint32_t size;
    Block target;
  };
  struct Item {
    Weight gain;
    NodeId node;
  };
  struct Move {
    NodeId node;
    Block from;
    Block to;
  };

  bool mine(Block block) const noexcept { return board_->group.data()[block] == group_; }

  Weight search(std::span<const NodeId> seeds) {
    for (const NodeId v : seeds) {
      if (board_->locked.data()[v] != 0 || board_->heap_slot.data()[v] != 0) continue;
      if (board_->row.data()[v] == 0) meet(v);
      enter(v);
    }
    moves_.clear();
    std::size_t best_moves = 0;
    Weight total = 0, best = 0;
    // The walk of gains since the last best state: steps, sum, sum of squares.
    Weight steps = 0, sum = 0;
    uint128 squares = 0;
    while (!heap_.empty() && moves_.size() < kMaxMoves) {
      const Item top = heap_.data()[0];
      const Weight gain = choose_target(row_of(top.node));
      if (gain != top.gain) {  // a block has filled up or has room again since
        if (gain == kNoMove) {
          pop();
        } else {
          update(top.node, gain);
        }
        continue;
      }
      pop();
      move(top.node, row_of(top.node).target);
      total += gain;
      if (total > best) {
        best = total;
        best_moves = moves_.size();
        steps = sum = 0;
        squares = 0;
        continue;
      }
      ++steps;
      const Weight bounded = std::clamp(gain, -kMaxGain, kMaxGain);
      sum += bounded;
      const auto magnitude = static_cast<uint128>(std::abs(bounded)),
                 total_magnitude = static_cast<uint128>(std::abs(sum));
      squares += magnitude * magnitude;
      // Hopeless when steps >= variance / (4 mean^2), rearranged to stay with integers.
      const uint128 lhs = static_cast<uint128>(4 * steps + 1) * total_magnitude * total_magnitude;
      if (steps > patience_ && lhs >= static_cast<uint128>(steps) * squares) break;
    }
    for (const Item& item : heap_) board_->heap_slot.data()[item.node] = 0;
    heap_.clear();
    while (moves_.size() > best_moves) {
      const Move last = moves_[moves_.size() - 1];
      moves_.resize(moves_.size() - 1);
      undo(last);
    }
    return best;
  }

  Row& row_of(NodeId v) noexcept { return row_.data()[board_->row.data()[v] - 1]; }

  // Lists what v is bound to in the group.
  void meet(NodeId v) {
    rating_.clear();
    graph_->for_neighbors(v, [&](NodeId u, Weight w) {
      const Block b = state_->block.data()[u];
      if (mine(b)) rating_.add(b, w);
    });
    const std::size_t degree = graph_->degree(v);
    work_ += degree;
    const std::size_t start = entry_.size();
    const std::size_t capacity = std::min<std::size_t>(degree, state_->num_blocks());
    if (start + capacity > entry_.capacity()) entry_.reserve(2 * (start + capacity));
    entry_.resize(start + capacity);
    Connection* to = entry_.data() + start;
    for (const RatingMap::Entry& entry : rating_.entries()) *to++ = {entry.key, entry.weight};
    row_.push_back({start, v, static_cast<std::uint32_t>(rating_.size()), 0});
    board_->row.data()[v] = static_cast<std::uint32_t>(row_.size());
  }

  // Puts a met node into the heap if it can go anywhere.
  void enter(NodeId v) {
    const Weight gain = choose_target(row_of(v));
    if (gain == kNoMove) return;
    heap_.push_back({gain, v});
    sift_up(heap_.size() - 1, {gain, v});
  }

  void move(NodeId v, Block to) {
    const Block from = state_->block.data()[v];
    const Weight node = graph_->weight_of(v);
    state_->block.data()[v] = to;
    state_->weight.data()[from] -= node;
    state_->weight.data()[to] += node;
    moves_.push_back({v, from, to});
    board_->locked.data()[v] = 1;
    const std::size_t degree = graph_->degree(v);
    const bool spread = degree <= kHubDegree;
    work_ += degree;
    graph_->for_neighbors(v, [&](NodeId u, Weight w) {
      if (!mine(state_->block.data()[u])) return;
      if (board_->row.data()[u] == 0) {
        if (!spread || graph_->degree(u) > kHubDegree) return;
        meet(u);
        enter(u);
        return;
      }
      shift(row_of(u), from, to, w);
      if (board_->locked.data()[u] != 0) return;
      if (board_->heap_slot.data()[u] == 0) {
        if (spread && graph_->degree(u) <= kHubDegree) enter(u);
        return;
      }
      const Weight gain = choose_target(row_of(u));
      if (gain == kNoMove) {
        remove(u);
      } else {
        update(u, gain);
      }
    });
  }

  void undo(const Move& made) {
    const Weight node = graph_->weight_of(made.node);
    state_->block.data()[made.node] = made.from;
    state_->weight.data()[made.to] -= node;
    state_->weight.data()[made.from] += node;
    board_->locked.data()[made.node] = 0;
    work_ += graph_->degree(made.node);
    graph_->for_neighbors(made.node, [&](NodeId u, Weight w) {
      if (board_->row.data()[u] != 0 && mine(state_->block.data()[u]))
        shift(row_of(u), made.to, made.from, w);
    });
  }

  // Weight goes from one block to another in a row. A row never outgrows the number of neighbours.
  void shift(Row& row, Block from, Block to, Weight weight) noexcept {
    Connection* const first = entry_.data() + row.start;
    std::uint32_t size = row.size;
    Connection* at_to = nullptr;
    Connection* at_from = nullptr;
    for (std::uint32_t i = 0; i < size; ++i) {
      if (first[i].block == from) at_from = first + i;
      if (first[i].block == to) at_to = first + i;
    }
    at_from->weight -= weight;
    if (at_to != nullptr) at_to->weight += weight;
    if (at_from->weight == 0) {
      if (at_to == nullptr) {
        *at_from = {to, weight};
      } else {
        *at_from = first[--size];
      }
    } else if (at_to == nullptr) {
      first[size++] = {to, weight};
    }
    row.size = size;
  }

  static constexpr Weight kNoMove = std::numeric_limits<Weight>::min();

  // The gain of moving a met node to its best block with room, noted as its target; kNoMove if there is none.
  Weight choose_target(Row& row) noexcept {
    const Connection* const first = entry_.data() + row.start;
    const Block own = state_->block.data()[row.node];
    const Weight node = graph_->weight_of(row.node);
    const Weight* const weight = state_->weight.data();
    const Weight* const limit = state_->limit.data();
    Weight internal = 0, best = 0, best_room = 0;
    for (std::uint32_t i = 0; i < row.size; ++i) {
      const Connection c = first[i];
      if (c.block == own) {
        internal = c.weight;
        continue;
      }
      if (c.weight < best) continue;
      const Weight room = limit[c.block] - weight[c.block] - node;
      if (room < 0 || (c.weight == best && room <= best_room)) continue;
      best = c.weight;
      best_room = room;
      row.target = c.block;
    }
    return best == 0 ? kNoMove : best - internal;
  }

  // A binary max-heap that knows where every node stands.
  void place(std::size_t at, Item item) noexcept {
    heap_.data()[at] = item;
    board_->heap_slot.data()[item.node] = static_cast<std::uint32_t>(at + 1);
  }
  void sift_up(std::size_t at, Item item) noexcept {
    for (; at > 0 && heap_.data()[(at - 1) / 2].gain < item.gain; at = (at - 1) / 2) {
      place(at, heap_.data()[(at - 1) / 2]);
    }
    place(at, item);
  }
  void sift_down(std::size_t at, Item item) noexcept {
    const std::size_t size = heap_.size();
    for (std::size_t child; (child = 2 * at + 1) < size; at = child) {
      if (child + 1 < size && heap_.data()[child].gain < heap_.data()[child + 1].gain) ++child;
      if (heap_.data()[child].gain <= item.gain) break;
      place(at, heap_.data()[child]);
    }
    place(at, item);
  }
  void update(NodeId v, Weight gain) noexcept {
    const std::size_t at = board_->heap_slot.data()[v] - 1;
    const Weight old = heap_.data()[at].gain;
    if (gain > old) {
      sift_up(at, {gain, v});
    } else if (gain < old) {
      sift_down(at, {gain, v});
    }
  }
  void remove(NodeId v) noexcept {
    const std::size_t at = board_->heap_slot.data()[v] - 1;
    board_->heap_slot.data()[v] = 0;
    const Weight old = heap_.data()[at].gain;
    const Item last = heap_.data()[heap_.size() - 1];
    heap_.resize(heap_.size() - 1);
    if (at == heap_.size()) return;
    if (last.gain > old) {
      sift_up(at, last);
    } else {
      sift_down(at, last);
    }
  }
  void pop() noexcept { remove(heap_.data()[0].node); }

  const LevelGraph* graph_ = nullptr;
  BlockState* state_ = nullptr;
  SearchBoard* board_ = nullptr;
  std::uint32_t group_ = 0;
  std::size_t work_ = 0;
  Weight patience_ = 0;
  Array<Row> row_;
  Array<Connection> entry_;
  Array<Item> heap_;
  Array<Move> moves_;
  RatingMap rating_;
};

}  // namespace tessera::detail::multilevel
