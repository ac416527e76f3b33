// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/detail/dense_ratings.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/detail/loops.hpp"
#include "tessera/partition/detail/rating_map.hpp"
#include "tessera/partition/refine/block_state.hpp"

namespace tessera::detail::multilevel {

/// Moves nodes to the neighbouring block they are bound to most, many at a time, never past a limit and
/// never to a larger cut.
///
/// In each sub-round a hashed share of the nodes chooses against a frozen partition; a choice stands if it
/// still pays once all better neighbouring choices are made; what fits is applied, and undone should
/// the cut have grown after all.
/// Cost     work O(rounds E), extra memory O(n + k)
/// Threads  result independent of T
/// Source   the after-the-fact filter: Gilbert et al., Jet: multilevel graph partitioning on GPUs, 2023;
///          sub-rounds: Gottesbueren et al., Deterministic parallel hypergraph partitioning, 2022
class RefineLabelPropagation {
 public:
  struct Options {
    int rounds = 5;
    std::size_t sub_rounds = 8;
    std::uint64_t key = 0;
  };

  void run(const LevelGraph& graph, const Options& options, BlockState& state) {
    graph_ = &graph;
    const std::size_t n = graph.num_nodes;
    active_.assign(n, 1);
    target_.resize(n);
    gain_.resize(n);
    turn_.resize(n);
    block_movers_.resize((n + kGrain - 1) / kGrain * kGrain);
    movers_.resize((n + kGrain - 1) / kGrain);
    parallel_for(n, kNodeGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t v = begin; v < end; ++v) {
        target_[v] = kStay;
        turn_[v] = static_cast<std::uint8_t>(hash(options.key, v) % options.sub_rounds);
      }
    });
    inflow_.assign(state.num_blocks(), 0);
    for (int round = 0; round < options.rounds; ++round) {
      const std::uint64_t key = hash(options.key, static_cast<std::uint64_t>(round));
      std::size_t moved = 0;
      for (std::size_t s = 0; s < options.sub_rounds; ++s) moved += sub_round(s, key, state);
      if (moved * 2000 < n) break;
    }
  }

 private:
  static constexpr std::size_t kGrain = 2048;  // nodes per block of a sub-round
  static constexpr std::size_t kFewBlocks = 1 << 12;
  static constexpr Block kStay = ~Block{0};

  std::size_t sub_round(std::size_t turn, std::uint64_t key, BlockState& state) {
    parallel_for(graph_->num_nodes, kGrain, [&](std::size_t begin, std::size_t end) {
      if (state.num_blocks() <= kFewBlocks) {
        DenseRatings rating;
        rating.reset(state.num_blocks());
        collect_movers(begin, end, turn, key, state, rating);
      } else {
        RatingMap rating;
        collect_movers(begin, end, turn, key, state, rating);
      }
    });
    mover_.clear();
    for (std::size_t b = 0; b < movers_.size(); ++b) {
      for (std::size_t i = 0; i < movers_[b]; ++i) mover_.push_back(block_movers_[b * kGrain + i]);
    }
    keep_.resize(mover_.size());
    parallel_for(mover_.size(), kGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) keep_[i] = still_pays(mover_[i], state) ? 1 : 0;
    });
    parallel_for(mover_.size(), kGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        if (keep_[i] != 0) atomic_add(inflow_[target_[mover_[i]]], graph_->weight_of(mover_[i]));
      }
    });
    refuse_overflow(state);
    return apply(state);
  }

  template <class Ratings>
  void collect_movers(std::size_t begin, std::size_t end, std::size_t turn, std::uint64_t key,
                      const BlockState& state, Ratings& rating) {
    std::size_t at = begin;
    for (std::size_t v = begin; v < end; ++v) {
      if (turn_.data()[v] != turn || active_.data()[v] == 0) continue;
      active_.data()[v] = 0;
      if (!on_border(v, state)) continue;
      if (propose(static_cast<NodeId>(v), key, state, rating)) block_movers_[at++] = static_cast<NodeId>(v);
    }
    movers_[begin / kGrain] = at - begin;
  }

  bool on_border(std::size_t v, const BlockState& state) const noexcept {
    const Block* const block = state.block.data();
    const Block own = block[v];
    const NodeId* const to = graph_->col.data();
    const auto end = static_cast<std::size_t>(graph_->row_ptr[v + 1]);
    for (auto e = static_cast<std::size_t>(graph_->row_ptr[v]); e < end; ++e) {
      if (block[to[e]] != own) return true;
    }
    return false;
  }

  // Whether v, which has a neighbour elsewhere, wants to move; target_ says where.
  template <class Ratings>
  bool propose(NodeId v, std::uint64_t key, const BlockState& state, Ratings& rating) {
    const std::span<const Block> block = state.block;
    const std::span<const Weight> block_weight = state.weight, limit = state.limit;
    const Block own = block[v];
    graph_->for_values(v, block.data(), [&](Block b, Weight w) { rating.add(b, w); });
    const Weight internal = rating[own];
    const Weight node = graph_->weight_of(v);
    const Weight own_room = limit[own] - block_weight[own];
    Block best = own;
    Weight best_rating = internal;
    std::uint32_t best_tie = 0;
    const std::uint64_t tie_key = hash(key, v);
    rating.take([&](Block b, Weight weight) {
      if (b == own || weight < best_rating) return;
      const Weight room = limit[b] - block_weight[b] - node;
      if (room < 0 || (weight == internal && room <= own_room)) return;
      const std::uint32_t tie = tie_break(tie_key, b);
      if (weight > best_rating || tie > best_tie) {
        best = b;
        best_rating = weight;
        best_tie = tie;
      }
    });
    if (best == own) return false;
    target_[v] = best;
    gain_[v] = best_rating - internal;
    return true;
  }

  // The gain of v when all neighbours with a better claim have moved.
  bool still_pays(NodeId v, const BlockState& state) const {
    const Block from = state.block[v], to = target_[v];
    Weight gain = 0;
    graph_->for_neighbors(v, [&](NodeId u, Weight w) {
      Block b = state.block[u];
      if (target_[u] != kStay && (gain_[u] > gain_[v] || (gain_[u] == gain_[v] && u < v))) b = target_[u];
      gain += b == to ? w : b == from ? -w : 0;
    });
    return gain > 0 || (gain == 0 && gain_[v] == 0);
  }

  // Where more wants in than fits, lets in the largest gains first.
  void refuse_overflow(const BlockState& state) {
    const auto contested = [&](std::size_t i) {
      const Block to = target_[mover_[i]];
      return keep_[i] != 0 && state.weight[to] + inflow_[to] > state.limit[to];
    };
    parallel_collect(mover_.size(), contested, contested_);
    parallel_for(mover_.size(), kNodeGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) atomic_set(inflow_[target_[mover_[i]]], Weight{0});
    });
    if (contested_.empty()) return;
    parallel_sort(contested_.begin(), contested_.end(), [&](NodeId i, NodeId j) {
      const NodeId v = mover_[i], u = mover_[j];
      if (target_[v] != target_[u]) return target_[v] < target_[u];
      if (gain_[v] != gain_[u]) return gain_[v] > gain_[u];
      return v < u;
    });
    Block current = kStay;
    Weight filled = 0;
    for (const NodeId i : contested_) {
      const NodeId v = mover_[i];
      if (target_[v] != current) {
        current = target_[v];
        filled = state.weight[current];
      }
      if (filled + graph_->weight_of(v) > state.limit[current]) {
        keep_[i] = 0;
      } else {
        filled += graph_->weight_of(v);
      }
    }
  }

  // Returns the number of nodes moved. After the exchange target_ holds where a mover came from.
  std::size_t apply(BlockState& state) {
    parallel_for(mover_.size(), kNodeGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const NodeId v = mover_[i];
        if (keep_[i] != 0) continue;
        atomic_set(target_[v], kStay);
        atomic_set(active_[v], std::uint8_t{1});
      }
    });
    exchange(state);
    const Weight twice_delta = parallel_sum<Weight>(mover_.size(), kGrain, [&](std::size_t b, std::size_t e) {
      Weight sum = 0;
      for (std::size_t i = b; i < e; ++i) sum += keep_[i] != 0 ? twice_cut_change(mover_[i], state) : 0;
      return sum;
    });
    const bool worse = twice_delta > 0;
    if (worse) exchange(state);
    return parallel_sum<std::size_t>(mover_.size(), kGrain, [&](std::size_t begin, std::size_t end) {
      std::size_t moved = 0;
      for (std::size_t i = begin; i < end; ++i) {
        if (keep_[i] == 0) continue;
        target_[mover_[i]] = kStay;
        if (worse) continue;
        ++moved;
        graph_->for_neighbors(mover_[i], [&](NodeId u, Weight) { atomic_set(active_[u], std::uint8_t{1}); });
      }
      return moved;
    });
  }

  void exchange(BlockState& state) {
    parallel_for(mover_.size(), kNodeGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        if (keep_[i] == 0) continue;
        const NodeId v = mover_[i];
        const Weight node = graph_->weight_of(v);
        std::swap(state.block[v], target_[v]);
        atomic_add(state.weight[target_[v]], -node);
        atomic_add(state.weight[state.block[v]], node);
      }
    });
  }

  // Twice what the edges of a mover add to the cut; an edge between two movers is met from both ends.
  Weight twice_cut_change(NodeId v, const BlockState& state) const {
    Weight change = 0;
    graph_->for_neighbors(v, [&](NodeId u, Weight w) {
      const bool mover = target_[u] != kStay;
      const Block old_u = mover ? target_[u] : state.block[u];
      const int cut = (state.block[u] != state.block[v] ? 1 : 0) - (old_u != target_[v] ? 1 : 0);
      change += cut * (mover ? w : 2 * w);
    });
    return change;
  }

  const LevelGraph* graph_ = nullptr;
  Array<std::uint8_t> active_;
  Array<std::uint8_t> turn_;    // the sub-round of a node
  Array<NodeId> block_movers_;  // those of block b from b * kGrain on
  Array<std::size_t> movers_;   // how many a block has
  Array<Block> target_;
  Array<Weight> gain_;
  Array<Weight> inflow_;
  Array<NodeId> mover_;
  Array<std::uint8_t> keep_;
  Array<NodeId> contested_;
};

}  // namespace tessera::detail::multilevel
