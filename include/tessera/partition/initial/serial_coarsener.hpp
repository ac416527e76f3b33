// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/partition/coarsen/two_hop.hpp"
#include "tessera/partition/detail/dense_ratings.hpp"
#include "tessera/partition/detail/level_graph.hpp"

namespace tessera::detail::multilevel {

/// Coarsens a small graph by one level with one thread: label propagation one node after the other, then
/// contraction. Bisections do this thousands of times, so nothing here starts a parallel loop or hashes.
///
/// Cost     work O(E), memory O(E); scratch is kept from call to call
/// Source   Meyerhenke, Sanders, Schulz, Partitioning complex networks via size-constrained clustering, 2014
class SerialCoarsener {
 public:
  /// Clusters weigh at most `max_weight`. Returns whether the graph shrank by a twentieth at least; `coarse`
  /// and `out` mean something only then.
  ///
  /// Shapes   coarse [n] with values below out.num_nodes
  bool run(const LevelGraph& graph, Weight max_weight, std::uint64_t key, Array<NodeId>& coarse,
           LevelGraph& out) {
    ratings_.reset(graph.num_nodes);
    cluster(graph, max_weight, key);
    const std::size_t nodes = number(coarse);
    if (20 * nodes > 19 * graph.num_nodes) return false;
    contract(graph, coarse, nodes, out);
    return true;
  }

 private:
  static constexpr int kRounds = 2;

  void cluster(const LevelGraph& graph, Weight max_weight, std::uint64_t key) {
    const std::size_t n = graph.num_nodes;
    cluster_.resize(n);
    cluster_weight_.resize(n);
    order_.resize(n);
    std::uint64_t random = key;
    for (std::size_t v = 0; v < n; ++v) {
      cluster_.data()[v] = static_cast<NodeId>(v);
      cluster_weight_.data()[v] = graph.weight_of(v);
      random = split_mix64(random);
      const auto at = static_cast<std::size_t>(((random >> 32) * (v + 1)) >> 32);
      order_.data()[v] = order_.data()[at];
      order_.data()[at] = static_cast<NodeId>(v);
    }
    for (int round = 0; round < kRounds; ++round) {
      for (const NodeId v : order_) join_best(graph, v, max_weight, key + v);
    }
    std::size_t clusters = n;
    for (const Weight weight : cluster_weight_) clusters -= weight == 0 ? 1u : 0u;
    if (2 * clusters > n) match_two_hop(graph, max_weight, cluster_, cluster_weight_);
  }

  void join_best(const LevelGraph& graph, NodeId v, Weight max_weight, std::uint64_t key) {
    const NodeId own = cluster_.data()[v];
    const Weight weight = graph.weight_of(v);
    const NodeId* const cluster = cluster_.data();
    Weight* const cluster_weight = cluster_weight_.data();
    graph.for_neighbors(v, [&](NodeId u, Weight w) { ratings_.add(cluster[u], w); });
    NodeId best = own;
    Weight best_rating = 0;
    std::uint32_t best_tie = 0;
    ratings_.take([&](NodeId c, Weight rating) {
      if (rating < best_rating || (c != own && cluster_weight[c] + weight > max_weight)) return;
      const std::uint32_t tie = tie_break(key, c);
      if (rating == best_rating && tie <= best_tie) return;
      best = c;
      best_rating = rating;
      best_tie = tie;
    });
    cluster_weight[own] -= weight;
    cluster_weight[best] += weight;
    cluster_.data()[v] = best;
  }

  // Numbers the clusters in the order of their ids.
  std::size_t number(Array<NodeId>& coarse) {
    const std::size_t n = cluster_.size();
    start_.assign(n + 1, 0);
    for (const NodeId c : cluster_) start_.data()[c] = 1;
    NodeId clusters = 0;
    for (std::size_t c = 0; c < n; ++c) {
      const NodeId used = start_.data()[c];
      start_.data()[c] = clusters;
      clusters += used;
    }
    coarse.resize(n);
    for (std::size_t v = 0; v < n; ++v) coarse.data()[v] = start_.data()[cluster_.data()[v]];
    return clusters;
  }

  void contract(const LevelGraph& graph, const Array<NodeId>& coarse, std::size_t nodes, LevelGraph& out) {
    const std::size_t n = graph.num_nodes;
    start_.assign(nodes + 1, 0);
    for (std::size_t v = 0; v < n; ++v) ++start_.data()[coarse.data()[v] + 1];
    for (std::size_t c = 0; c < nodes; ++c) start_.data()[c + 1] += start_.data()[c];
    for (std::size_t v = 0; v < n; ++v)
      order_.data()[start_.data()[coarse.data()[v]]++] = static_cast<NodeId>(v);
    out.num_nodes = nodes;
    out.own_row_ptr.resize(nodes + 1);
    out.own_node_weight.resize(nodes);
    out.own_col.resize(graph.col.size());
    out.own_edge_weights(graph.col.size(), graph.total_edge_weight);
    out.total_weight = graph.total_weight;
    out.max_node_weight = 0;
    std::size_t edges = 0, member = 0;
    for (std::size_t c = 0; c < nodes; ++c) {
      Weight weight = 0;
      for (; member < start_.data()[c]; ++member) {
        const NodeId v = order_.data()[member];
        weight += graph.weight_of(v);
        graph.for_neighbors(v, [&](NodeId u, Weight w) {
          const NodeId to = coarse.data()[u];
          if (to != c) ratings_.add(to, w);
        });
      }
      out.own_node_weight.data()[c] = weight;
      out.max_node_weight = std::max(out.max_node_weight, weight);
      out.own_row_ptr.data()[c] = edges;
      ratings_.take([&](NodeId to, Weight sum) {
        out.own_col.data()[edges] = to;
        out.set_edge_weight(edges++, sum);
      });
    }
    out.own_row_ptr.data()[nodes] = edges;
    out.own_col.resize(edges);
    if (out.own_wide_edge_weight.empty()) {
      out.own_edge_weight.resize(edges);
    } else {
      out.own_wide_edge_weight.resize(edges);
    }
    out.view_owned();
  }

  DenseRatings ratings_;
  Array<NodeId> cluster_;
  Array<Weight> cluster_weight_;
  Array<NodeId> order_;
  Array<NodeId> start_;  // after the counting sort the end of every cluster's members
};

}  // namespace tessera::detail::multilevel
