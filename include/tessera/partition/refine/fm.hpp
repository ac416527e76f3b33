// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <numeric>
#include <span>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/detail/loops.hpp"
#include "tessera/partition/refine/block_groups.hpp"
#include "tessera/partition/refine/block_state.hpp"
#include "tessera/partition/refine/group_search.hpp"

namespace tessera::detail::multilevel {

/// Localised k-way FM: many small searches that may go through worse cuts to better ones. Feasible stays
/// feasible, the cut never grows.
///
/// Large graphs are searched in groups of blocks at the same time, other groups in every round; how many
/// depends on the graph alone. Small ones are one group.
/// Cost     typically O(E) per round; memory O(n) and a row for every node met
/// Threads  result independent of T
/// Source   as GroupSearch
class RefineFm {
 public:
  struct Options {
    int rounds = 10;
    std::size_t seeds = 10;          ///< border nodes a search starts from
    std::size_t improvement = 1000;  ///< goes on while a round gains more than cut / improvement
    double budget = 1e9;             ///< edges to visit per stored edge, all rounds together
    std::size_t group_edges = std::size_t{1} << 19;  ///< stored edges per group of blocks
    std::uint64_t key = 0;
  };

  /// Returns by how much the cut fell.
  Weight run(const LevelGraph& graph, const Options& options, BlockState& state) {
    if (options.rounds <= 0 || state.num_blocks() < 2) return 0;
    // What a row sums may pass 32 bits where no single weight does.
    return graph.total_edge_weight <= std::numeric_limits<std::int32_t>::max()
               ? run(graph, options, narrow_, state)
               : run(graph, options, wide_, state);
  }

 private:
  template <class W>
  Weight run(const LevelGraph& graph, const Options& options, std::vector<GroupSearch<W>>& search,
             BlockState& state) {
    Weight cut = cut_of(graph, state.block);
    const Weight before = cut;
    const std::size_t groups = std::clamp<std::size_t>(
        graph.col.size() / options.group_edges, 1, std::min<std::size_t>(kMaxGroups, state.num_blocks() / 2));
    if (search.size() < groups) search.resize(groups);
    BlockGroups grouping;
    if (groups > 1) grouping.survey(graph, state);
    group_.assign(state.num_blocks(), 0);
    double work = 0;
    const double allowed = options.budget * static_cast<double>(graph.col.size());
    for (int round = 0; round < options.rounds && cut > 0 && work < allowed; ++round) {
      const std::uint64_t key = hash(options.key, static_cast<std::uint64_t>(round));
      if (groups > 1 || round == 0) {
        if (groups > 1) grouping.assign(groups, key, group_);
        board_.reset(state.block, group_);
        for (std::size_t g = 0; g < groups; ++g) search[g].clear(state.num_blocks());
        collect_border(graph, key, state);
      } else {
        next_border(search[0].rows(), key);
      }
      group_by(
          border_.size(), groups, [&](std::size_t i) { return std::size_t{board_.mark[border_[i]].group}; },
          by_group_);
      for (NodeId& i : by_group_.member) i = border_[i];
      Array<Weight> gains(groups);
      Array<std::size_t> works(groups);
      const auto budget =
          static_cast<std::size_t>(std::min(1e18, (allowed - work) / static_cast<double>(groups)));
      parallel_blocks(groups, [&](std::size_t g) {
        gains[g] = search[g].run(graph, static_cast<std::uint32_t>(g), by_group_[g],
                                 {.seeds = options.seeds, .budget = budget}, state, board_);
        works[g] = search[g].work();
      });
      const Weight gain = std::accumulate(gains.begin(), gains.end(), Weight{0});
      work += static_cast<double>(std::accumulate(works.begin(), works.end(), std::size_t{0}));
      cut -= gain;
      // With groups a round sees a part of the border only.
      if (gain * static_cast<Weight>(options.improvement) <= cut && (groups == 1 || round >= 2)) break;
    }
    return before - cut;
  }

  static constexpr std::size_t kMaxGroups = 64;

  // Nodes with a neighbour in another block of their group, shuffled.
  void collect_border(const LevelGraph& graph, std::uint64_t key, const BlockState& state) {
    const SearchBoard::Mark* const mark = board_.mark.data();
    const Block* const block = state.block.data();
    parallel_collect(
        graph.num_nodes,
        [&](std::size_t v) {
          const Block own = block[v];
          const std::uint32_t group = mark[v].group;
          const auto begin = static_cast<std::size_t>(graph.row_ptr[v]),
                     end = static_cast<std::size_t>(graph.row_ptr[v + 1]);
          for (std::size_t e = begin; e < end; ++e) {
            const NodeId u = graph.col[e];
            if (block[u] != own && group_.data()[block[u]] == group) return true;
          }
          return false;
        },
        border_);
    shuffle_border(key);
  }

  // Of one group every node that may be on the border has a row by now.
  template <class W>
  void next_border(const ConnectionRows<W>& rows, std::uint64_t key) {
    border_.clear();
    for (std::size_t i = 0; i < rows.size(); ++i) {
      if (rows.on_border(i)) border_.push_back(rows.node(i));
      board_.mark[rows.node(i)].locked = 0;
    }
    shuffle_border(key);
  }

  void shuffle_border(std::uint64_t key) {
    keyed_.resize(border_.size());
    parallel_for(border_.size(), kNodeGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        keyed_[i] = (hash(key, border_[i]) & ~std::uint64_t{0xffffffffu}) | border_[i];
      }
    });
    parallel_sort(keyed_.begin(), keyed_.end());
    for (std::size_t i = 0; i < border_.size(); ++i) border_[i] = static_cast<NodeId>(keyed_[i]);
  }

  std::vector<GroupSearch<std::int32_t>> narrow_;
  std::vector<GroupSearch<Weight>> wide_;
  Array<std::uint32_t> group_;  // of a block
  SearchBoard board_;
  Array<NodeId> border_;
  Array<std::uint64_t> keyed_;
  Groups by_group_;
};

}  // namespace tessera::detail::multilevel
