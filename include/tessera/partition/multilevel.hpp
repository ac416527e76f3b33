// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/partition/coarsen/coarsener.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/fill.hpp"
#include "tessera/partition/partition.hpp"
#include "tessera/partition/preprocess.hpp"
#include "tessera/partition/refine/balancer.hpp"
#include "tessera/partition/refine/block_state.hpp"
#include "tessera/partition/refine/fm.hpp"
#include "tessera/partition/refine/label_propagation.hpp"
#include "tessera/partition/split.hpp"

namespace tessera {

namespace detail::multilevel {

/// The numbers behind an effort.
struct Plan {
  std::size_t nodes_per_block = 2000;  ///< C: a level of n nodes is cut into about n / C blocks
  int attempts = 4;                    ///< whole runs of each bisection while there are few blocks
  int repetitions = 4;                 ///< of each construction inside a run
  int label_rounds = 5;
  int fm_rounds = 10;
  std::size_t fm_improvement = 1000;  ///< a round must gain more than cut / this to be followed by another
};

inline Plan plan_for(PartitionEffort effort) {
  Plan plan;
  if (effort == PartitionEffort::fast) {
    plan.attempts = 1;
    plan.repetitions = 2;
    plan.fm_rounds = 0;
  }
  if (effort == PartitionEffort::high) {
    plan.attempts = 8;
    plan.fm_improvement = 2000;
  }
  return plan;
}

/// How many blocks a level of n nodes carries: k on the finest, else about one per C nodes.
inline std::size_t blocks_for(std::size_t nodes, std::size_t nodes_per_block, std::size_t k, bool finest) {
  if (finest) return k;
  if (nodes < 2 * nodes_per_block) return std::min<std::size_t>(2, k);
  return std::min(k, std::bit_ceil(nodes / nodes_per_block));
}

/// Balance, label propagation, local search; the cut grows only where balance asks for it.
class Refiner {
 public:
  /// `last` tells that no split follows on this level; before a split only small graphs get local search.
  void run(const LevelGraph& graph, const Plan& plan, bool last, std::uint64_t key, BlockState& state) {
    balancer_.run(graph, state);
    propagation_.run(graph, {.rounds = plan.label_rounds, .key = key}, state);
    if (!last && graph.col.size() > kSmallGraph) return;
    // Where a round takes seconds it must be worth them.
    const std::size_t demand = graph.col.size() > kLargeGraph ? std::size_t{10} : std::size_t{1};
    fm_.run(graph,
            {.rounds = plan.fm_rounds, .improvement = plan.fm_improvement / demand, .key = hash(key, 1)},
            state);
  }

 private:
  static constexpr std::size_t kSmallGraph = 1 << 18;  // stored edges
  static constexpr std::size_t kLargeGraph = 1 << 22;

  OverloadBalancer balancer_;
  RefineLabelPropagation propagation_;
  RefineFm fm_;
};

/// Deep multilevel partitioning of a connected or unconnected graph without isolated nodes.
///
/// `limit` bounds the final blocks. Cost as MultilevelPartitioner.
inline BlockState partition_levels(const LevelGraph& finest, std::size_t k, Weight limit, const Plan& plan,
                                   std::uint64_t key) {
  Hierarchy levels;
  levels.graph.push_back(borrow(finest));
  coarsen(levels, 2 * plan.nodes_per_block, plan.nodes_per_block, k, hash(key, 1));

  BlockTree tree;
  tree.final_blocks = k;
  tree.average = (levels.graph[0].total_weight + static_cast<Weight>(k) - 1) / static_cast<Weight>(k);
  tree.limit = limit;
  tree.finals.assign(1, static_cast<std::uint32_t>(k));
  BlockState state;
  state.block.assign(levels.graph.back().num_nodes, 0);
  BlockSplitter splitter;
  Refiner refiner;
  for (std::size_t level = levels.graph.size(); level-- > 0;) {
    const LevelGraph& graph = levels.graph[level];
    const std::uint64_t level_key = hash(key, 2, level);
    const bool finest_level = level == 0;
    if (level + 1 < levels.graph.size()) {
      const Array<NodeId>& coarse = levels.coarse[level];
      Array<Block> projected(graph.num_nodes);
      parallel_for(graph.num_nodes, kNodeGrain, [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) projected[v] = state.block[coarse[v]];
      });
      state.block = std::move(projected);
      levels.coarse.pop_back();
      levels.graph.pop_back();
    }
    const std::size_t wanted = blocks_for(graph.num_nodes, plan.nodes_per_block, k, finest_level);
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
      splitter.run(graph, {.attempts = plan.attempts, .repetitions = plan.repetitions, .seed = level_key},
                   finest_level, tree, state.block);
      refine();
    }
  }
  fill_empty_blocks(levels.graph[0], state);
  return state;
}

}  // namespace detail::multilevel

/// The multilevel k-way partitioner: coarsens by size-constrained clustering, bisects small graphs, splits
/// blocks while it uncoarsens, refines on every level.
///
/// Parts obey part_weight_limit exactly where node weights allow it, and none is empty as long as there are
/// as many nodes with neighbours as parts. Self loops do not matter, nodes without neighbours fill the
/// lightest parts. With more parts than nodes, node i gets part i and the rest stay empty.
/// Shapes   graph [N, N] with symmetric pattern (its own weights are not used)
/// Cost     work O(E log k) on typical graphs, memory O(E)
/// Errors   as check_partition_options; ConfigError for an edge weight of 0 or less and for an unsymmetric
/// graph
///          (names the edge); IndexError for a neighbour >= N
/// Threads  result independent of T; may run concurrently with itself
/// Source   Gottesbueren et al., Deep multilevel graph partitioning, ESA 2021; differs: synchronous rounds
///          everywhere, so that equal seeds give equal parts
class MultilevelPartitioner {
 public:
  Partition partition(CsrView<> graph, const PartitionOptions& options) const {
    using namespace detail::multilevel;
    using detail::multilevel::Block;  // not the mini-batch's
    check_partition_options(graph, options);
    const std::size_t n = graph.num_rows, k = options.parts;
    Partition out;
    out.num_parts = k;
    out.part.resize(n);
    const auto weight_of = [&](std::size_t v) {
      return options.node_weight.empty() ? Weight{1} : options.node_weight[v];
    };
    Weight total = 0, heaviest = 0;
    for (std::size_t v = 0; v < n; ++v) {
      total += weight_of(v);
      heaviest = std::max(heaviest, weight_of(v));
    }
    out.max_part_weight = part_weight_limit(total, heaviest, k, options.imbalance);

    Prepared prepared = prepare(graph, options);
    const std::size_t connected = prepared.graph.num_nodes;
    BlockState state;
    if (k == 1 || k >= n || k > connected) {
      // One part, or one part for every node that has neighbours.
      state.block.resize(connected);
      for (std::size_t v = 0; v < connected; ++v) state.block[v] = k == 1 ? 0 : static_cast<Block>(v);
      state.weigh(prepared.graph, k);
      out.cut = cut_of(prepared.graph, state.block);
    } else {
      const RngKey key = make_key(options.seed, 0, Purpose::partition);
      const std::uint64_t key64 = (std::uint64_t{key.hi} << 32) | key.lo;
      LevelGraph finest = std::move(prepared.graph);
      state = partition_levels(finest, k, out.max_part_weight, plan_for(options.effort), key64);
      out.cut = cut_of(finest, state.block);
    }
    for (std::size_t v = 0; v < connected; ++v) out.part[prepared.original(v)] = part_id(state.block[v]);
    place_isolated(prepared.isolated, weight_of, state, [&](NodeId v, Block b) { out.part[v] = part_id(b); });
    out.part_weight = std::move(state.weight);
    return out;
  }
};

/// Partitions a symmetric graph; see MultilevelPartitioner for the promises.
///
///     const Partition parts = partition(graph, {.parts = 1500, .seed = 1});
inline Partition partition(CsrView<> graph, const PartitionOptions& options) {
  return MultilevelPartitioner{}.partition(graph, options);
}

}  // namespace tessera
