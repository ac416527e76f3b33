// SPDX-License-Identifier: MIT
#pragma once

#include "tessera/core/config.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/partition/partition.hpp"

#if !defined(TESSERA_COMPILED) || defined(TESSERA_COMPILING)
#include <cstddef>
#include <cstdint>
#include <utility>

#include "tessera/core/rng.hpp"
#include "tessera/partition/fill.hpp"
#include "tessera/partition/levels.hpp"
#include "tessera/partition/preprocess.hpp"
#include "tessera/partition/second_balance.hpp"
#endif

namespace tessera {

/// The multilevel k-way partitioner: coarsens by size-constrained clustering, bisects small graphs, splits
/// blocks while it uncoarsens, refines on every level.
///
/// Parts obey part_weight_limit exactly where node weights allow it, and none is empty as long as there are
/// as many nodes with neighbours as parts. Self loops do not matter, nodes without neighbours fill the
/// lightest parts. With more parts than nodes, node i gets part i and the rest stay empty.
/// A second weight is balanced too: both count while the graph is cut, then nodes move until both limits hold, which
/// is certain for nodes of weight 1 with second weight 0 or 1.
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
  Partition partition(CsrView<> graph, const PartitionOptions& options) const;
};

/// Partitions a symmetric graph; see MultilevelPartitioner for the promises.
///
///     const Partition parts = partition(graph, {.parts = 1500, .seed = 1});
inline Partition partition(CsrView<> graph, const PartitionOptions& options) {
  return MultilevelPartitioner{}.partition(graph, options);
}

#if !defined(TESSERA_COMPILED) || defined(TESSERA_COMPILING)
TESSERA_DEFINE Partition MultilevelPartitioner::partition(CsrView<> graph,
                                                          const PartitionOptions& options) const {
  using namespace detail::multilevel;
  using detail::sum_node_weights;
  using detail::WeightSum;
  using detail::multilevel::Block;  // not the mini-batch's
  check_partition_options(graph, options);
  const std::size_t n = graph.num_rows, k = options.parts;
  Partition out;
  out.num_parts = k;
  out.part.resize(n);
  const WeightSum sum = sum_node_weights(options.node_weight, n, "node_weight");
  out.max_part_weight = part_weight_limit(sum.total, sum.heaviest, k, options.imbalance);
  const bool two = !options.second_weight.empty();
  PartitionOptions inner = options;  // with one weight per node
  Array<Weight> joint;
  Weight limit = out.max_part_weight;
  if (two) {
    const WeightSum second = sum_node_weights(options.second_weight, n, "second_weight");
    out.max_second_part_weight = part_weight_limit(second.total, second.heaviest, k, options.imbalance);
    joint = joint_weights(options.node_weight, options.second_weight, sum, second);
    inner.node_weight = joint;
    const WeightSum both = sum_node_weights(joint, n, "node_weight");
    limit = part_weight_limit(both.total, both.heaviest, k, options.imbalance);
  }
  const auto weight_of = [&](std::size_t v) {
    return inner.node_weight.empty() ? Weight{1} : inner.node_weight[v];
  };

  Prepared prepared = prepare(graph, inner);
  const LevelGraph& finest = prepared.graph;
  const std::size_t connected = finest.num_nodes;
  BlockState state;
  if (k == 1 || k >= n || k > connected) {
    // One part, or one part for every node that has neighbours.
    state.block.resize(connected);
    for (std::size_t v = 0; v < connected; ++v) state.block[v] = k == 1 ? 0 : static_cast<Block>(v);
    state.weigh(finest, k);
  } else {
    const RngKey key = make_key(options.seed, 0, Purpose::partition);
    const std::uint64_t key64 = (std::uint64_t{key.hi} << 32) | key.lo;
    state = best_partition(finest, k, limit, plan_for(options.effort, finest.col.size()), key64);
  }
  for (std::size_t v = 0; v < connected; ++v) out.part[prepared.original(v)] = part_id(state.block[v]);
  place_isolated(prepared.isolated, weight_of, state, [&](NodeId v, Block b) { out.part[v] = part_id(b); });
  if (two) {
    LevelGraph whole;
    whole.num_nodes = n;
    whole.row_ptr = graph.row_ptr;
    whole.col = graph.col;
    whole.edge_weight = options.edge_weight;
    BlockState all;
    all.block.resize(n);
    for (std::size_t v = 0; v < n; ++v) all.block[v] = static_cast<Block>(index(out.part[v]));
    all.weight.resize(k);
    balance_both(whole, options.node_weight, options.second_weight, out.max_part_weight,
                 out.max_second_part_weight, all);
    for (std::size_t v = 0; v < n; ++v) out.part[v] = part_id(all.block[v]);
    for (std::size_t v = 0; v < connected; ++v) state.block[v] = all.block[prepared.original(v)];
    out.second_part_weight.assign(k, 0);
    for (std::size_t v = 0; v < n; ++v) out.second_part_weight[all.block[v]] += options.second_weight[v];
    state.weight = std::move(all.weight);
  }
  out.cut = cut_of(finest, state.block);
  out.part_weight = std::move(state.weight);
  return out;
}
#endif

}  // namespace tessera
