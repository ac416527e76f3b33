// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <span>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/detail/loops.hpp"
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
/// Shapes   mark [n], group [k]
struct SearchBoard {
  struct Mark {
    std::uint32_t row;        ///< index in the group's rows plus one; 0 has none
    std::uint32_t heap_slot;  ///< position in the group's heap plus one; 0 is not in it
    std::uint32_t locked;     ///< moved in this round
  };
  Array<Mark> mark;
  Array<std::uint32_t> group;  ///< of a block

  void reset(std::size_t nodes) {
    mark.resize(nodes);
    parallel_for(nodes, kNodeGrain, [&](std::size_t begin, std::size_t end) {
      std::fill(mark.data() + begin, mark.data() + end, Mark{0, 0, 0});
    });
  }
};

/// Rows of connections behind each other; what was handed out stays where it is.
class ConnectionRows {
 public:
  Connection* take(std::size_t count) {
    if (used_ + count > room_) {
      const std::size_t chunk = next_++;
      if (chunk == chunks_.size()) chunks_.emplace_back();
      room_ = std::max(count, kChunk);
      chunks_[chunk].resize(room_);
      room_ = chunks_[chunk].size();
      at_ = chunks_[chunk].data();
      used_ = 0;
    }
    used_ += count;
    return at_ + used_ - count;
  }
  /// Takes everything back.
  void clear() noexcept {
    next_ = 0;
    used_ = room_ = 0;
  }

 private:
  static constexpr std::size_t kChunk = 1 << 15;

  std::vector<Array<Connection>> chunks_;
  std::size_t next_ = 0;
  Connection* at_ = nullptr;
  std::size_t used_ = 0, room_ = 0;
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
    rows_.clear();
  }

  /// Searches from `border`, nodes of the group's blocks; returns by how much the cut fell.
  Weight run(const LevelGraph& graph, std::uint32_t group, std::span<const NodeId> border,
             const Options& options, BlockState& state, SearchBoard& board) {
    graph_ = &graph;
    state_ = &state;
    board_ = &board;
    group_ = group;
    work_ = 0;
    if (blocks_ != state.num_blocks()) {
      blocks_ = state.num_blocks();
      rating_ = RatingMap(blocks_);
    }
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
    const Block own = state_->block.data()[row.node];
    return std::any_of(row.first, row.first + row.size,
                       [own](const Connection& c) { return c.block != own && c.weight != 0; });
  }

 private:
  static constexpr std::size_t kMaxMoves = 1000;
  static constexpr Weight kMaxGain = Weight{1} << 40;  // in the decision to stop: squares must not overflow
  static constexpr std::size_t kHubDegree = 1000;  // hubs do not spread a search and are met as seeds only

  // A node with k neighbours or more has an entry for every block, in order; others list the blocks they touch.
  struct Row {
    Connection* first;
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
  // Other groups may be moving v, but never into or out of this one.
  Block block_of(NodeId v) const noexcept {
    return std::atomic_ref<Block>(state_->block.data()[v]).load(std::memory_order_relaxed);
  }
  void set_block(NodeId v, Block block) noexcept { atomic_set(state_->block.data()[v], block); }
  SearchBoard::Mark& mark(NodeId v) noexcept { return board_->mark.data()[v]; }

  Weight search(std::span<const NodeId> seeds) {
    for (const NodeId v : seeds) {
      if (mark(v).locked != 0 || mark(v).heap_slot != 0) continue;
      if (mark(v).row == 0) meet(v);
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
    for (const Item& item : heap_) mark(item.node).heap_slot = 0;
    heap_.clear();
    while (moves_.size() > best_moves) {
      const Move last = moves_[moves_.size() - 1];
      moves_.resize(moves_.size() - 1);
      undo(last);
    }
    return best;
  }

  Row& row_of(NodeId v) noexcept { return row_.data()[mark(v).row - 1]; }

  // Lists what v is bound to in the group.
  void meet(NodeId v) {
    const std::size_t degree = graph_->degree(v);
    work_ += degree;
    const bool dense = degree >= blocks_;
    Connection* const first = rows_.take(dense ? blocks_ : degree);
    std::size_t size = blocks_;
    if (dense) {
      for (std::size_t b = 0; b < blocks_; ++b) first[b] = {static_cast<Block>(b), 0};
      graph_->for_neighbors(v, [&](NodeId u, Weight w) {
        const Block b = block_of(u);
        if (mine(b)) first[b].weight += w;
      });
    } else {
      rating_.clear();
      graph_->for_neighbors(v, [&](NodeId u, Weight w) {
        const Block b = block_of(u);
        if (mine(b)) rating_.add(b, w);
      });
      size = rating_.size();
      Connection* to = first;
      for (const RatingMap::Entry& entry : rating_.entries()) *to++ = {entry.key, entry.weight};
    }
    row_.push_back({first, v, static_cast<std::uint32_t>(size), 0});
    mark(v).row = static_cast<std::uint32_t>(row_.size());
  }

  // Puts a met node into the heap if it can go anywhere.
  void enter(NodeId v) {
    const Weight gain = choose_target(row_of(v));
    if (gain == kNoMove) return;
    heap_.push_back({gain, v});
    sift_up(heap_.size() - 1, {gain, v});
  }

  void move(NodeId v, Block to) {
    const Block from = block_of(v);
    const Weight node = graph_->weight_of(v);
    set_block(v, to);
    state_->weight.data()[from] -= node;
    state_->weight.data()[to] += node;
    moves_.push_back({v, from, to});
    mark(v).locked = 1;
    const std::size_t degree = graph_->degree(v);
    const bool spread = degree <= kHubDegree;
    work_ += degree;
    graph_->for_neighbors(v, [&](NodeId u, Weight w) {
      if (!mine(block_of(u))) return;
      const SearchBoard::Mark at = mark(u);
      if (at.row == 0) {
        if (!spread || graph_->degree(u) > kHubDegree) return;
        meet(u);
        enter(u);
        return;
      }
      Row& row = row_.data()[at.row - 1];
      shift(row, from, to, w);
      if (at.locked != 0) return;
      if (at.heap_slot == 0) {
        if (spread && graph_->degree(u) <= kHubDegree) enter(u);
        return;
      }
      const Weight gain = choose_target(row);
      if (gain == kNoMove) {
        remove(u);
      } else {
        update(u, gain);
      }
    });
  }

  void undo(const Move& made) {
    const Weight node = graph_->weight_of(made.node);
    set_block(made.node, made.from);
    state_->weight.data()[made.to] -= node;
    state_->weight.data()[made.from] += node;
    mark(made.node).locked = 0;
    work_ += graph_->degree(made.node);
    graph_->for_neighbors(made.node, [&](NodeId u, Weight w) {
      if (mine(block_of(u)) && mark(u).row != 0) shift(row_of(u), made.to, made.from, w);
    });
  }

  // Weight goes from one block to another in a row. A row never outgrows the number of neighbours.
  void shift(Row& row, Block from, Block to, Weight weight) noexcept {
    Connection* const first = row.first;
    std::uint32_t size = row.size;
    if (size == blocks_) {
      first[from].weight -= weight;
      first[to].weight += weight;
      return;
    }
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
    const Connection* const first = row.first;
    const Block own = block_of(row.node);
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
    mark(item.node).heap_slot = static_cast<std::uint32_t>(at + 1);
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
    const std::size_t at = mark(v).heap_slot - 1;
    const Weight old = heap_.data()[at].gain;
    if (gain > old) {
      sift_up(at, {gain, v});
    } else if (gain < old) {
      sift_down(at, {gain, v});
    }
  }
  void remove(NodeId v) noexcept {
    const std::size_t at = mark(v).heap_slot - 1;
    mark(v).heap_slot = 0;
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
  std::size_t blocks_ = 0;
  std::size_t work_ = 0;
  Weight patience_ = 0;
  Array<Row> row_;
  ConnectionRows rows_;
  Array<Item> heap_;
  Array<Move> moves_;
  RatingMap rating_;
};

}  // namespace tessera::detail::multilevel
