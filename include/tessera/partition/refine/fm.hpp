// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/detail/loops.hpp"
#include "tessera/partition/refine/block_state.hpp"
#include "tessera/partition/refine/gain_cache.hpp"
#include "tessera/partition/refine/local_search.hpp"

namespace tessera::detail::multilevel {

/// Localised k-way FM: many small searches that may go through worse cuts to better ones.
///
/// Searches run in batches whose size depends on the graph alone. All of a batch imagine their moves on
/// the same partition, in parallel; then one after the other is made for real as far as it still pays: gains
/// are recomputed, and what follows the best prefix is undone. Feasible stays feasible, the cut never grows.
/// Cost     typically O(E) per round; memory O(n + work of one batch)
/// Threads  result independent of T
/// Source   as LocalSearch; differs: batches and exact sequential commits instead of races and a roll-back
class RefineFm {
 public:
  struct Options {
    int rounds = 10;
    std::size_t seeds = 10;          ///< border nodes a search starts from
    std::size_t improvement = 1000;  ///< goes on while a round gains more than cut / improvement
    std::uint64_t key = 0;
  };

  /// Returns by how much the cut fell.
  Weight run(const LevelGraph& graph, const Options& options, BlockState& state) {
    if (options.rounds <= 0) return 0;
    Weight cut = cut_of(graph, state.block);
    cache_.build(graph, state.block);
    const Weight before = cut;
    for (int round = 0; round < options.rounds && cut > 0; ++round) {
      const Weight gain =
          run_round(graph, options, hash(options.key, static_cast<std::uint64_t>(round)), cut, state);
      cut -= gain;
      if (hopeless(gain, 1, cut, options)) break;
    }
    return before - cut;
  }

 private:
  static constexpr std::size_t kMaxBatch = 64;
  // With fewer searches per batch than 1 / kSpread of all, two of them rarely meet.
  static constexpr std::size_t kSpread = 16;

  Weight run_round(const LevelGraph& graph, const Options& options, std::uint64_t key, Weight cut,
                   BlockState& state) {
    collect_border(graph, key, state);
    locked_.assign(graph.num_nodes, 0);
    const std::size_t searches = (border_.size() + options.seeds - 1) / options.seeds;
    const std::size_t batch = std::clamp<std::size_t>(searches / kSpread, 1, kMaxBatch);
    if (search_.size() < batch) search_.resize(batch);
    Weight gain = 0;
    for (std::size_t first = 0; first < searches; first += batch) {
      const std::size_t count = std::min(batch, searches - first);
      parallel_blocks(count, [&](std::size_t i) {
        const std::size_t begin = (first + i) * options.seeds;
        const std::size_t length = std::min(options.seeds, border_.size() - begin);
        search_[i].run(graph, state, cache_, locked_, border_.span().subspan(begin, length));
      });
      for (std::size_t i = 0; i < count; ++i) gain += commit(graph, search_[i].moves(), state);
      // When an eighth of the searches promises too little for the whole round, the rest are spared.
      const std::size_t done = first + count;
      if (done * 8 >= searches && hopeless(gain, searches / done + 1, cut, options)) break;
    }
    return gain;
  }

  static bool hopeless(Weight gain, std::size_t times, Weight cut, const Options& options) noexcept {
    return gain * static_cast<Weight>(times * options.improvement) <= cut;
  }

  // Nodes with a neighbour in another block, shuffled.
  void collect_border(const LevelGraph& graph, std::uint64_t key, const BlockState& state) {
    const auto on_border = [&](std::size_t v) {
      const std::span<const Connection> row = cache_.row(v);
      return row.size() > 1 || (row.size() == 1 && row[0].block != state.block[v]);
    };
    parallel_collect(graph.num_nodes, on_border, border_);
    parallel_sort(border_.begin(), border_.end(), [&](NodeId a, NodeId b) {
      const std::uint64_t ha = hash(key, a), hb = hash(key, b);
      return ha != hb ? ha < hb : a < b;
    });
  }

  // Makes the moves of one search as far as they gain now; returns what they gain.
  Weight commit(const LevelGraph& graph, std::span<const NodeMove> moves, BlockState& state) {
    made_.clear();
    Weight total = 0, best = 0;
    std::size_t best_made = 0;
    for (const NodeMove& move : moves) {
      const Weight node = graph.weight_of(move.node);
      if (locked_[move.node] != 0 || state.weight[move.to] + node > state.limit[move.to]) continue;
      total += cache_.connection(move.node, move.to) - cache_.connection(move.node, move.from);
      make(graph, move.node, move.from, move.to, state);
      made_.push_back(move);
      if (total > best) {
        best = total;
        best_made = made_.size();
      }
    }
    for (std::size_t i = made_.size(); i > best_made; --i) {
      const NodeMove& move = made_[i - 1];
      make(graph, move.node, move.to, move.from, state);
    }
    for (std::size_t i = 0; i < best_made; ++i) locked_[made_[i].node] = 1;
    return best;
  }

  void make(const LevelGraph& graph, NodeId v, Block from, Block to, BlockState& state) {
    const Weight node = graph.weight_of(v);
    state.block[v] = to;
    state.weight[from] -= node;
    state.weight[to] += node;
    cache_.move(graph, v, from, to);
  }

  GainCache cache_;
  std::vector<LocalSearch> search_;
  Array<std::uint8_t> locked_;
  Array<NodeId> border_;
  Array<NodeMove> made_;
};

}  // namespace tessera::detail::multilevel
