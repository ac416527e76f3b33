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
#include "tessera/core/rng.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/detail/loops.hpp"
#include "tessera/partition/initial/bisector.hpp"

namespace tessera::detail::multilevel {

/// The blocks of a partition that is still growing: block b will be split into final[b] blocks.
struct BlockTree {
  std::size_t final_blocks = 1;
  Weight average = 1;  ///< what a final block weighs at least on average, rounded up
  Weight limit = 1;    ///< what a final block may weigh
  Array<std::uint32_t> finals;

  std::size_t num_blocks() const noexcept { return finals.size(); }

  /// What a block of `final_count` final blocks may weigh. The slack is shared among the splits to come: a
  /// block that still has d of D splits before it may use (D - d) / D of it.
  Weight limit_of(std::uint32_t final_count, Weight max_node_weight, bool strict) const noexcept {
    if (final_count == 1 && strict) return limit;
    const auto depth = static_cast<uint128>(std::max<std::size_t>(1, std::bit_width(final_blocks - 1)));
    const auto ahead = static_cast<uint128>(std::bit_width(final_count - 1u));
    const auto even = static_cast<Weight>(final_count) * average;
    const auto slack = static_cast<Weight>(std::min(
        static_cast<uint128>(final_count) * static_cast<uint128>(limit - average) * (depth - ahead) / depth,
        static_cast<uint128>(final_blocks) * static_cast<uint128>(average)));
    return even + std::max(slack, max_node_weight);
  }
};

/// Splits every block that has more than one final block in two. Blocks are independent problems.
///
/// Shapes   block [n] with values in [0, tree.num_blocks()), updated together with the tree
/// Cost     work O(E log n), memory O(E)
/// Threads  result independent of T
class BlockSplitter {
 public:
  void run(const LevelGraph& graph, const Bisector::Options& options, bool strict, BlockTree& tree,
           Array<Block>& block) {
    const std::size_t blocks = tree.num_blocks();
    child_.resize(graph.num_nodes);
    group_by(
        graph.num_nodes, blocks, [&](std::size_t v) { return static_cast<std::size_t>(block[v]); }, members_);
    local_.resize(graph.num_nodes);
    first_child_.resize(blocks);
    std::uint32_t next = 0;
    for (std::size_t b = 0; b < blocks; ++b) {
      first_child_[b] = next;
      next += tree.finals[b] > 1 ? 2u : 1u;
    }
    parallel_blocks(blocks, [&](std::size_t b) { split(graph, options, strict, tree, b, block); });
    std::swap(block, child_);
    Array<std::uint32_t> finals(next);
    for (std::size_t b = 0; b < blocks; ++b) {
      const std::uint32_t count = tree.finals[b];
      finals[first_child_[b]] = count - count / 2;
      if (count > 1) finals[first_child_[b] + 1] = count / 2;
    }
    tree.finals = std::move(finals);
  }

 private:
  static constexpr std::size_t kFewBlocks = 4;

  void split(const LevelGraph& graph, Bisector::Options options, bool strict, const BlockTree& tree,
             std::size_t b, std::span<const Block> block) {
    const std::span<const NodeId> members = members_[b];
    const std::uint32_t count = tree.finals[b];
    if (count == 1) {
      for (const NodeId v : members) child_[v] = first_child_[b];
      return;
    }
    for (std::size_t i = 0; i < members.size(); ++i) local_[members[i]] = static_cast<NodeId>(i);
    const LevelGraph part = extract(graph, members, b, block);
    const std::uint32_t right = count / 2, left = count - right;
    BisectionTargets targets;
    targets.target[1] = static_cast<Weight>(static_cast<uint128>(part.total_weight) * right / count);
    targets.target[0] = part.total_weight - targets.target[1];
    targets.limit[0] = tree.limit_of(left, part.max_node_weight, strict);
    targets.limit[1] = tree.limit_of(right, part.max_node_weight, strict);
    // A block that is itself too heavy cannot be cut into two that are not; aim at an even excess.
    for (std::size_t s = 0; s < 2; ++s) targets.limit[s] = std::max(targets.limit[s], targets.target[s] + 1);
    // The first splits decide most; one bad split among many matters little.
    if (tree.num_blocks() > kFewBlocks) options.attempts = (options.attempts + 1) / 2;
    options.seed = hash(options.seed, b, tree.num_blocks());
    Bisector bisector;
    Bisection result;
    bisector.run(part, targets, options, result);
    for (std::size_t i = 0; i < members.size(); ++i) child_[members[i]] = first_child_[b] + result.side[i];
  }

  // The subgraph of one block, in local ids.
  LevelGraph extract(const LevelGraph& graph, std::span<const NodeId> members, std::size_t b,
                     std::span<const Block> block) const {
    LevelGraph out;
    out.num_nodes = members.size();
    out.own_row_ptr.resize(members.size() + 1);
    std::size_t edges = 0;
    for (std::size_t i = 0; i < members.size(); ++i) {
      out.own_row_ptr[i] = edges;
      graph.for_neighbors(members[i], [&](NodeId u, Weight) { edges += block[u] == b ? 1u : 0u; });
    }
    out.own_row_ptr[members.size()] = edges;
    out.own_col.resize(edges);
    if (graph.weighted()) out.own_edge_weights(edges, graph.total_edge_weight);
    const bool weighted = graph.weighted();
    if (!graph.node_weight.empty()) out.own_node_weight.resize(members.size());
    std::size_t at = 0;
    for (std::size_t i = 0; i < members.size(); ++i) {
      const Weight weight = graph.weight_of(members[i]);
      if (!graph.node_weight.empty()) out.own_node_weight[i] = weight;
      out.total_weight += weight;
      out.max_node_weight = std::max(out.max_node_weight, weight);
      graph.for_neighbors(members[i], [&](NodeId u, Weight w) {
        if (block[u] != b) return;
        out.own_col[at] = local_[u];
        if (weighted) out.set_edge_weight(at, w);
        ++at;
      });
    }
    if (!weighted) out.total_edge_weight = static_cast<Weight>(edges);
    out.view_owned();
    return out;
  }

  Groups members_;
  Array<Block> child_;  // the new blocks: others still read the old ones
  Array<NodeId> local_;
  Array<std::uint32_t> first_child_;
};

}  // namespace tessera::detail::multilevel
