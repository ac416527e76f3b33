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
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/detail/loops.hpp"
#include "tessera/partition/refine/block_state.hpp"
#include "tessera/partition/refine/connection_rows.hpp"

namespace tessera::detail::multilevel {

/// What the searches of one round share. `group` is frozen during a round; all else that belongs to a node, its
/// block included, is read and written by the search of its group alone.
///
/// Shapes   mark [n]
struct SearchBoard {
  struct Mark {
    std::uint32_t group;      ///< of the node's block
    std::uint32_t row;        ///< index in the group's rows plus one; 0 has none
    std::uint32_t heap_slot;  ///< position in the group's heap plus one; 0 is not in it
    std::uint32_t locked;     ///< moved in this round
  };
  Array<Mark> mark;

  /// Clears all marks; group_of [k] gives the group of a block.
  void reset(std::span<const Block> block, std::span<const std::uint32_t> group_of) {
    mark.resize(block.size());
    parallel_for(block.size(), kNodeGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t v = begin; v < end; ++v) {
        mark.data()[v] = {group_of.data()[block.data()[v]], 0, 0, 0};
      }
    });
  }
};

/// Local k-way FM searches among the blocks of one group: start at a few border nodes, make the best move,
/// go on with the neighbours through worse cuts, go back to the best state seen.
///
/// Nodes move between blocks of their group only, and a gain counts only neighbours in the group: the rest of the
/// cut stays as it is wherever they go. So groups are searched at the same time without reading a thing
/// that another may change, and every gain is exact.
/// Shapes   W holds the sum of all edge weights
/// Cost     O(degree) for every node met and every move made or undone, O(log n) per step
/// Source   Gottesbueren et al., Scalable shared-memory hypergraph partitioning, ALENEX 2021 (localised FM);
///          Osipov and Sanders, n-level graph partitioning, 2010 (when to stop); differs: groups of blocks
///          instead of shared blocks and a roll-back of races
template <class W>
class GroupSearch {
 public:
  struct Options {
    std::size_t seeds = 10;                ///< border nodes a search starts from
    std::size_t budget = ~std::size_t{0};  ///< edges to visit before no further search starts
  };

  /// Forgets all rows: the blocks have changed from outside, or the groups have.
  void clear(std::size_t blocks) { rows_.clear(blocks); }

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

  /// The nodes met since the last clear, and what they are bound to.
  const ConnectionRows<W>& rows() const noexcept { return rows_; }

 private:
  static constexpr Weight kNoMove = ConnectionRows<W>::kNoMove;
  static constexpr std::size_t kMaxMoves = 1000;
  static constexpr Weight kMaxGain = Weight{1} << 40;  // in the decision to stop: squares must not overflow
  static constexpr std::size_t kHubDegree = 1000;  // hubs do not spread a search and are met as seeds only

  struct Item {
    Weight gain;
    NodeId node;
  };
  struct Move {
    NodeId node;
    Block from;
    Block to;
  };

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
      const Weight gain = gain_of(top.node, true);
      if (gain != top.gain) {  // a block has filled up or has room again since
        if (gain == kNoMove) {
          pop();
        } else {
          update(top.node, gain);
        }
        continue;
      }
      pop();
      move(top.node, rows_.target(mark(top.node).row - 1));
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

  Weight gain_of(NodeId v, bool fresh) noexcept {
    return rows_.gain(mark(v).row - 1, *state_, graph_->weight_of(v), fresh);
  }

  void meet(NodeId v) {
    work_ += graph_->degree(v);
    const Block* const block = state_->block.data();
    const SearchBoard::Mark* const marks = board_->mark.data();
    const std::size_t row = rows_.meet(
        *graph_, v, block[v], [&](NodeId u) { return marks[u].group == group_; },
        [&](NodeId u) { return block[u]; });
    mark(v).row = static_cast<std::uint32_t>(row + 1);
  }

  // Puts a met node into the heap if it can go anywhere.
  void enter(NodeId v) {
    const Weight gain = gain_of(v, false);
    if (gain == kNoMove) return;
    heap_.push_back({gain, v});
    sift_up(heap_.size() - 1, {gain, v});
  }

  void place_in(NodeId v, Block from, Block to) noexcept {
    const Weight node = graph_->weight_of(v);
    state_->block.data()[v] = to;
    state_->weight.data()[from] -= node;
    state_->weight.data()[to] += node;
    rows_.moved(mark(v).row - 1, to);
    work_ += graph_->degree(v);
  }

  void move(NodeId v, Block to) {
    const Block from = rows_.block(mark(v).row - 1);
    place_in(v, from, to);
    moves_.push_back({v, from, to});
    mark(v).locked = 1;
    const bool spread = graph_->degree(v) <= kHubDegree;
    graph_->for_neighbors(v, [&](NodeId u, Weight w) {
      // The rest of a mark belongs to the search of its group: not even copied before that is known.
      const SearchBoard::Mark& at = mark(u);
      if (at.group != group_) return;
      if (at.row == 0) {
        if (!spread || graph_->degree(u) > kHubDegree) return;
        meet(u);
        enter(u);
        return;
      }
      rows_.shift(at.row - 1, from, to, w, *state_, graph_->weight_of(u));
      if (at.locked != 0) return;
      if (at.heap_slot == 0) {
        if (spread && graph_->degree(u) <= kHubDegree) enter(u);
        return;
      }
      const Weight gain = gain_of(u, false);
      if (gain == kNoMove) {
        remove(u);
      } else {
        update(u, gain);
      }
    });
  }

  void undo(const Move& made) {
    place_in(made.node, made.to, made.from);
    mark(made.node).locked = 0;
    graph_->for_neighbors(made.node, [&](NodeId u, Weight w) {
      const SearchBoard::Mark& at = mark(u);
      if (at.group == group_ && at.row != 0) {
        rows_.shift(at.row - 1, made.to, made.from, w, *state_, graph_->weight_of(u));
      }
    });
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
  std::size_t work_ = 0;
  Weight patience_ = 0;
  ConnectionRows<W> rows_;
  Array<Item> heap_;
  Array<Move> moves_;
};

}  // namespace tessera::detail::multilevel
