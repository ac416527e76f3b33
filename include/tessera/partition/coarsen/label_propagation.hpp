// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/detail/loops.hpp"
#include "tessera/partition/detail/rating_map.hpp"

namespace tessera::detail::multilevel {

/// Clusters nodes by size-constrained label propagation in synchronous sub-rounds.
///
/// Nodes are hashed into sub-rounds. All nodes of one choose against labels frozen at its start; then the
/// choices are applied so far as cluster weights allow, better rated ones first.
/// Shapes   cluster, cluster_weight [n]; cluster ids are node ids
/// Cost     work O(rounds E), extra memory O(n)
/// Threads  result independent of T
/// Source   Meyerhenke, Sanders, Schulz, Partitioning complex networks via size-constrained clustering, 2014;
///          sub-rounds after Gottesbueren et al., Deterministic parallel hypergraph partitioning, 2022
class ClusterLabelPropagation {
 public:
  struct Options {
    Weight max_weight = 1;  ///< of a cluster; a heavier node stays alone
    int rounds = 3;
    std::size_t sub_rounds = 8;
    std::uint64_t key = 0;
    std::span<const Block> within = {};  ///< [n]: nodes of different blocks stay apart; empty: no blocks
  };

  void run(const LevelGraph& graph, const Options& options, Array<NodeId>& cluster,
           Array<Weight>& cluster_weight) {
    graph_ = &graph;
    options_ = options;
    start(cluster, cluster_weight);
    for (int round = 0; round < options.rounds; ++round) {
      const std::uint64_t key = hash(options.key, static_cast<std::uint64_t>(round));
      std::size_t moved = 0;
      for (std::size_t s = 0; s < options.sub_rounds; ++s)
        moved += sub_round(s, key, cluster, cluster_weight);
      if (moved * 200 < graph.num_nodes) break;
    }
  }

 private:
  static constexpr std::size_t kGrain = 2048;  // nodes per block of a sub-round

  void start(Array<NodeId>& cluster, Array<Weight>& cluster_weight) {
    const std::size_t n = graph_->num_nodes;
    cluster.resize(n);
    cluster_weight.resize(n);
    target_.resize(n);
    rating_.resize(n);
    inflow_.resize(n);
    active_.resize(n);
    turn_.resize(n);
    mover_.resize((n + kGrain - 1) / kGrain * kGrain);
    movers_.resize((n + kGrain - 1) / kGrain);
    parallel_for(n, kNodeGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t v = begin; v < end; ++v) {
        cluster[v] = static_cast<NodeId>(v);
        cluster_weight[v] = graph_->weight_of(v);
        target_[v] = kNoNode;
        inflow_[v] = 0;
        active_[v] = 1;
        turn_[v] = static_cast<std::uint8_t>(hash(options_.key, v) % options_.sub_rounds);
      }
    });
  }

  // Returns the number of nodes that changed cluster.
  std::size_t sub_round(std::size_t turn, std::uint64_t key, Array<NodeId>& cluster,
                        Array<Weight>& cluster_weight) {
    const std::span<const NodeId> label = cluster;
    const std::span<const Weight> weight = cluster_weight;
    parallel_for(label.size(), kGrain, [&](std::size_t begin, std::size_t end) {
      RatingMap rating;
      std::size_t at = begin;
      for (std::size_t v = begin; v < end; ++v) {
        if (turn_.data()[v] != turn || active_.data()[v] == 0) continue;
        if (propose(static_cast<NodeId>(v), key, label, weight, rating))
          mover_[at++] = static_cast<NodeId>(v);
      }
      movers_[begin / kGrain] = at - begin;
    });
    const std::span<const NodeId> nodes = close_up();
    // A node may not join a founder that leaves; of two that want each other the smaller id moves.
    keep_.resize(nodes.size());
    parallel_for(nodes.size(), kNodeGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const NodeId v = nodes[i];
        const NodeId to = target_[v];
        bool keep = true;
        if (target_[to] != kNoNode && label[to] == to && weight[to] == graph_->weight_of(to)) {
          keep = target_[to] == label[v] && v < to;
        }
        keep_[i] = keep ? 1 : 0;
        if (keep) atomic_add(inflow_[to], graph_->weight_of(v));
      }
    });
    refuse_overflow(nodes, weight);
    return apply(nodes, cluster, cluster_weight);
  }

  // Moves the movers of all blocks behind each other.
  std::span<const NodeId> close_up() {
    std::size_t count = 0;
    for (std::size_t b = 0; b < movers_.size(); ++b) {
      std::copy_n(mover_.data() + b * kGrain, movers_[b], mover_.data() + count);
      count += movers_[b];
    }
    return mover_.span().first(count);
  }

  // Whether v wants to move; target_ says where.
  bool propose(NodeId v, std::uint64_t key, std::span<const NodeId> label, std::span<const Weight> weight,
               RatingMap& rating) {
    active_[v] = 0;
    rating.clear();
    if (options_.within.empty()) {
      graph_->for_values(v, label.data(), [&](NodeId c, Weight w) { rating.add(c, w); });
    } else {
      const Block block = options_.within[v];
      graph_->for_neighbors(v, [&](NodeId u, Weight w) {
        if (options_.within.data()[u] == block) rating.add(label.data()[u], w);
      });
    }
    const NodeId own = label[v];
    const Weight node_weight = graph_->weight_of(v);
    NodeId best = own;
    Weight best_rating = 0;
    std::uint32_t best_tie = 0;
    const std::uint64_t tie_key = hash(key, v);
    for (const RatingMap::Entry& entry : rating.entries()) {
      if (entry.weight < best_rating) continue;
      if (entry.key != own && weight[entry.key] + node_weight > options_.max_weight) continue;
      const std::uint32_t tie = tie_break(tie_key, entry.key);
      if (entry.weight > best_rating || tie > best_tie) {
        best = entry.key;
        best_rating = entry.weight;
        best_tie = tie;
      }
    }
    if (best == own) return false;
    target_[v] = best;
    rating_[v] = best_rating;
    return true;
  }

  // Where more wants in than fits, lets in the best rated first.
  void refuse_overflow(std::span<const NodeId> nodes, std::span<const Weight> weight) {
    const auto contested = [&](std::size_t i) {
      const NodeId to = target_[nodes[i]];
      return keep_[i] != 0 && weight[to] + inflow_[to] > options_.max_weight;
    };
    parallel_collect(nodes.size(), contested, contested_);
    if (contested_.empty()) return;
    parallel_sort(contested_.begin(), contested_.end(), [&](NodeId i, NodeId j) {
      const NodeId v = nodes[i], u = nodes[j];
      if (target_[v] != target_[u]) return target_[v] < target_[u];
      if (rating_[v] != rating_[u]) return rating_[v] > rating_[u];
      return v < u;
    });
    NodeId current = kNoNode;
    Weight filled = 0;
    for (const NodeId i : contested_) {
      const NodeId v = nodes[i];
      if (target_[v] != current) {
        current = target_[v];
        filled = weight[current];
      }
      if (filled + graph_->weight_of(v) > options_.max_weight) {
        keep_[i] = 0;
      } else {
        filled += graph_->weight_of(v);
      }
    }
  }

  std::size_t apply(std::span<const NodeId> nodes, Array<NodeId>& cluster, Array<Weight>& cluster_weight) {
    parallel_for(nodes.size(), kNodeGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        atomic_set(inflow_[target_[nodes[i]]], Weight{0});
      }
    });
    return parallel_sum<std::size_t>(nodes.size(), kGrain, [&](std::size_t begin, std::size_t end) {
      std::size_t moved = 0;
      for (std::size_t i = begin; i < end; ++i) {
        const NodeId v = nodes[i];
        const NodeId to = target_[v];
        target_[v] = kNoNode;
        if (keep_[i] == 0) {
          atomic_set(active_[v], std::uint8_t{1});
          continue;
        }
        const Weight weight = graph_->weight_of(v);
        atomic_add(cluster_weight[cluster[v]], -weight);
        atomic_add(cluster_weight[to], weight);
        cluster[v] = to;
        graph_->for_neighbors(v, [&](NodeId u, Weight) { atomic_set(active_[u], std::uint8_t{1}); });
        ++moved;
      }
      return moved;
    });
  }

  const LevelGraph* graph_ = nullptr;
  Options options_;
  Array<NodeId> target_;
  Array<Weight> rating_;
  Array<Weight> inflow_;
  Array<std::uint8_t> active_;
  Array<std::uint8_t> turn_;   // the sub-round of a node
  Array<NodeId> mover_;        // those of block b from b * kGrain on
  Array<std::size_t> movers_;  // how many a block has
  Array<std::uint8_t> keep_;
  Array<NodeId> contested_;
};

}  // namespace tessera::detail::multilevel
