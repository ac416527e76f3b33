// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/coarsen/coarsener.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/detail/phases.hpp"
#include "tessera/partition/fill.hpp"
#include "tessera/partition/partition.hpp"
#include "tessera/partition/refine/balancer.hpp"
#include "tessera/partition/refine/block_state.hpp"
#include "tessera/partition/refine/fm.hpp"
#include "tessera/partition/refine/label_propagation.hpp"
#include "tessera/partition/refine/loose_rounds.hpp"
#include "tessera/partition/split.hpp"

namespace tessera::detail::multilevel {

/// The numbers behind an effort.
struct Plan {
  std::size_t nodes_per_block = 2000;  ///< C: a level of n nodes is cut into about n / C blocks
  int attempts = 3;                    ///< whole runs of each bisection; fewer among many blocks
  int trials = 2;                      ///< runs of the coarse levels in each
  int repetitions = 4;                 ///< of each construction inside a trial
  int cluster_rounds = 5;
  int label_rounds = 5;
  int loose_rounds = 5;
  std::size_t loose_edges = std::size_t{1} << 22;  ///< larger levels get none
  int fm_rounds = 10;
  std::size_t fm_improvement = 1000;  ///< a round must gain more than cut / this to be followed by another
  double fm_budget = 12;              ///< edges a level's searches visit, per stored edge
  std::size_t fm_edges = std::size_t{1} << 23;        ///< larger levels get label propagation alone
  std::size_t fm_group_edges = std::size_t{1} << 18;  ///< searched at the same time; more at once find less
  int runs = 1;                                       ///< whole partitions, the best of which is returned
  int cycles = 0;                  ///< times the result is coarsened inside its blocks and refined again
  PhaseSeconds* phases = nullptr;  ///< where to note the time each step takes, if anywhere
};

inline Plan plan_for(PartitionEffort effort, std::size_t edges) {
  Plan plan;
  if (edges > (std::size_t{1} << 20)) plan.cluster_rounds = 3;
  if (edges > (std::size_t{1} << 22)) {
    plan.attempts = 2;
    plan.trials = 1;
    plan.cluster_rounds = 2;
    plan.label_rounds = 3;
    plan.fm_budget = 2;
  }
  if (effort == PartitionEffort::fast) {
    plan.attempts = 1;
    plan.repetitions = 2;
    plan.label_rounds = 3;
    plan.loose_rounds = 1;
    plan.fm_rounds = 0;
  }
  if (effort == PartitionEffort::high) {
    plan = Plan{};
    plan.attempts = 6;
    plan.loose_rounds = 20;
    plan.loose_edges = ~std::size_t{0};
    plan.fm_rounds = 20;
    plan.fm_improvement = 5000;
    plan.fm_budget = 1000;
    plan.fm_edges = ~std::size_t{0};
    plan.fm_group_edges = std::size_t{1} << 22;
    plan.cycles = 1;
    plan.runs = edges < (1 << 19) ? 3 : 1;
  }
  return plan;
}

/// How many blocks a level of n nodes carries: k on the finest, else about one per C nodes.
inline std::size_t blocks_for(std::size_t nodes, std::size_t nodes_per_block, std::size_t k, bool finest) {
  if (finest) return k;
  if (nodes < 2 * nodes_per_block) return std::min<std::size_t>(2, k);
  return std::min(k, std::bit_ceil(nodes / nodes_per_block));
}

/// Balance, label propagation, loose rounds, local search; the cut grows only where balance asks for it.
class Refiner {
 public:
  /// `last` tells that no split follows on this level; before a split only small graphs get local search.
  void run(const LevelGraph& graph, const Plan& plan, bool last, std::uint64_t key, BlockState& state) {
    {
      const PhaseTimer timer(plan.phases, Phase::balance);
      balancer_.run(graph, state);
    }
    {
      const PhaseTimer timer(plan.phases, Phase::labels);
      propagation_.run(graph, {.rounds = plan.label_rounds, .key = key}, state);
    }
    if (graph.col.size() <= plan.loose_edges) {
      const PhaseTimer timer(plan.phases, Phase::loose);
      loose_.run(graph, {.rounds = plan.loose_rounds, .key = hash(key, 2)}, propagation_, balancer_, state);
    }
    if (!last && graph.col.size() > kSmallGraph) return;
    if (graph.col.size() > plan.fm_edges) return;
    const PhaseTimer timer(plan.phases, Phase::search);
    fm_.run(graph,
            {.rounds = plan.fm_rounds,
             .improvement = plan.fm_improvement,
             .budget = plan.fm_budget,
             .group_edges = plan.fm_group_edges,
             .key = hash(key, 1)},
            state);
  }

 private:
  static constexpr std::size_t kSmallGraph = 1 << 18;  // stored edges

  OverloadBalancer balancer_;
  RefineLabelPropagation propagation_;
  LooseRounds loose_;
  RefineFm fm_;
};

/// Replaces a partition of the coarser graph by that of the finer one, whose nodes lie in `coarse`.
inline void project(std::span<const NodeId> coarse, BlockState& state) {
  Array<Block> projected(coarse.size());
  parallel_for(coarse.size(), kNodeGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t v = begin; v < end; ++v) projected[v] = state.block[coarse[v]];
  });
  state.block = std::move(projected);
}

/// Coarsens inside the blocks and refines on the way back: the cut never grows.
inline void cycle(const LevelGraph& finest, Weight limit, const Plan& plan, std::uint64_t key,
                  Refiner& refiner, BlockState& state) {
  const std::size_t k = state.num_blocks();
  Hierarchy levels;
  levels.graph.push_back(borrow(finest));
  coarsen(levels,
          {.stop_nodes = std::max<std::size_t>(2 * k, 1000),
           .nodes_per_block = 1000,
           .blocks = k,
           .rounds = plan.cluster_rounds,
           .key = key,
           .phases = plan.phases},
          &state.block);
  for (std::size_t level = levels.graph.size(); level-- > 0;) {
    if (level + 1 < levels.graph.size()) {
      project(levels.coarse[level], state);
      levels.coarse.pop_back();
      levels.graph.pop_back();
    }
    state.weigh(levels.graph[level], k);
    state.limit.assign(k, limit);
    refiner.run(levels.graph[level], plan, true, hash(key, 1, level), state);
  }
}

/// Deep multilevel partitioning of a connected or unconnected graph without isolated nodes.
///
/// `limit` bounds the final blocks. Cost as MultilevelPartitioner.
inline BlockState partition_levels(const LevelGraph& finest, std::size_t k, Weight limit, const Plan& plan,
                                   std::uint64_t key) {
  // Many blocks must be there long before the finest level, where splitting would cost most.
  const std::size_t nodes_per_block = std::clamp<std::size_t>(finest.num_nodes / k, 60, plan.nodes_per_block);
  BlockTree tree;
  tree.final_blocks = k;
  tree.average = (finest.total_weight + static_cast<Weight>(k) - 1) / static_cast<Weight>(k);
  tree.limit = limit;
  tree.finals.assign(1, static_cast<std::uint32_t>(k));
  Hierarchy levels;
  levels.graph.push_back(borrow(finest));
  coarsen(levels,
          {.stop_nodes = 2 * nodes_per_block,
           .nodes_per_block = nodes_per_block,
           .blocks = k,
           .slack_percent = std::clamp<Weight>((limit - tree.average) / (tree.average / 100 + 1), 3, 50),
           .rounds = plan.cluster_rounds,
           .key = hash(key, 1),
           .phases = plan.phases});

  BlockState state;
  state.block.assign(levels.graph.back().num_nodes, 0);
  BlockSplitter splitter;
  Refiner refiner;
  for (std::size_t level = levels.graph.size(); level-- > 0;) {
    const LevelGraph& graph = levels.graph[level];
    const std::uint64_t level_key = hash(key, 2, level);
    const bool finest_level = level == 0;
    if (level + 1 < levels.graph.size()) {
      project(levels.coarse[level], state);
      levels.coarse.pop_back();
      levels.graph.pop_back();
    }
    const std::size_t wanted = blocks_for(graph.num_nodes, nodes_per_block, k, finest_level);
    const auto refine = [&] {
      state.weigh(graph, tree.num_blocks());
      state.limit.resize(tree.num_blocks());
      for (std::size_t b = 0; b < tree.num_blocks(); ++b) {
        state.limit[b] = tree.limit_of(tree.finals[b], graph.max_node_weight, finest_level);
      }
      refiner.run(graph, plan, tree.num_blocks() >= wanted, hash(level_key, tree.num_blocks()), state);
    };
    if (tree.num_blocks() >= wanted) refine();
    while (tree.num_blocks() < wanted) {
      {
        const PhaseTimer timer(plan.phases, Phase::split);
        splitter.run(graph,
                     {.attempts = plan.attempts,
                      .trials = plan.trials,
                      .repetitions = plan.repetitions,
                      .seed = level_key},
                     finest_level, tree, state.block);
      }
      refine();
    }
  }
  for (int i = 0; i < plan.cycles; ++i)
    cycle(finest, limit, plan, hash(key, 3, static_cast<std::uint64_t>(i)), refiner, state);
  fill_empty_blocks(finest, state);
  return state;
}

/// The best of several whole runs.
inline BlockState best_partition(const LevelGraph& finest, std::size_t k, Weight limit, const Plan& plan,
                                 std::uint64_t key) {
  BlockState best = partition_levels(finest, k, limit, plan, key);
  Weight best_cut = plan.runs > 1 ? cut_of(finest, best.block) : 0;
  for (int run = 1; run < plan.runs; ++run) {
    BlockState next = partition_levels(finest, k, limit, plan, hash(key, 4, static_cast<std::uint64_t>(run)));
    const Weight cut = cut_of(finest, next.block);
    if (std::pair(next.overload(), cut) >= std::pair(best.overload(), best_cut)) continue;
    best = std::move(next);
    best_cut = cut;
  }
  return best;
}

}  // namespace tessera::detail::multilevel
