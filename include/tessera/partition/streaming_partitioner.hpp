// SPDX-License-Identifier: MIT
#pragma once

#include "tessera/core/config.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/partition/partition.hpp"

#if !defined(TESSERA_COMPILED) || defined(TESSERA_COMPILING)
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/partition/detail/rating_map.hpp"
#include "tessera/partition/from_parts.hpp"
#endif

namespace tessera {

/// How a streaming partitioner weighs neighbours against load.
enum class StreamRule {
  fennel,  ///< neighbours in the part minus alpha gamma load^(gamma - 1)
  ldg      ///< neighbours in the part times the share of its room that is left
};

/// Places one node after the other, in the order of their ids or at random, where most of its placed neighbours
/// are and room is left: one pass over the edges, memory for the parts only.
///
/// Restreaming passes take every node out and place it again knowing all others. Parts obey part_weight_limit
/// where node weights are 1. Directed graphs are allowed: what counts is the rows.
/// Cost     passes * (O(E) + O(N log k))
/// Errors   as check_partition_options; ConfigError for 0 passes or a second weight; IndexError for a neighbour >= N
/// Threads  sequential, as the method is; result independent of T
/// Source   Tsourakakis et al., FENNEL: streaming graph partitioning for massive scale graphs, 2014, eq. (5), gamma
///          1.5; Stanton and Kliot, Streaming graph partitioning for large distributed graphs, 2012 (LDG);
///          Nishimura and Ugander, Restreaming graph partitioning, 2013
class StreamingPartitioner {
 public:
  struct Options {
    StreamRule rule = StreamRule::fennel;
    int passes = 1;
    bool shuffled = false;  ///< else in the order of the ids
  };

  StreamingPartitioner() = default;
  explicit StreamingPartitioner(Options options) : options_(options) {}

  Partition partition(CsrView<> graph, const PartitionOptions& options) const;

 private:
  Options options_;
};

#if !defined(TESSERA_COMPILED) || defined(TESSERA_COMPILING)
namespace detail {

/// Parts by load: the lightest is found in O(log k), changes cost as much.
class LightestPart {
 public:
  explicit LightestPart(std::size_t parts) : leaves_(1) {
    while (leaves_ < parts) leaves_ *= 2;
    tree_.assign(2 * leaves_, std::numeric_limits<std::int64_t>::max());
    for (std::size_t p = 0; p < parts; ++p) tree_[leaves_ + p] = 0;
    for (std::size_t i = leaves_ - 1; i > 0; --i) tree_[i] = std::min(tree_[2 * i], tree_[2 * i + 1]);
  }
  std::int64_t load(std::size_t part) const noexcept { return tree_[leaves_ + part]; }
  void add(std::size_t part, std::int64_t weight) noexcept {
    std::size_t i = leaves_ + part;
    tree_[i] += weight;
    for (i /= 2; i > 0; i /= 2) tree_[i] = std::min(tree_[2 * i], tree_[2 * i + 1]);
  }
  /// The first of the lightest parts.
  std::size_t lightest() const noexcept {
    std::size_t i = 1;
    while (i < leaves_) i = tree_[2 * i] <= tree_[2 * i + 1] ? 2 * i : 2 * i + 1;
    return i - leaves_;
  }

 private:
  std::size_t leaves_;
  Array<std::int64_t> tree_;
};

}  // namespace detail

TESSERA_DEFINE Partition StreamingPartitioner::partition(CsrView<> graph,
                                                         const PartitionOptions& options) const {
  check_partition_options(graph, options);
  if (options_.passes < 1) {
    throw ConfigError(message("StreamingPartitioner: passes is ", options_.passes, ", want >= 1"));
  }
  if (!options.second_weight.empty()) {
    throw ConfigError("StreamingPartitioner: second_weight is given, want none: one weight is balanced");
  }
  for (const NodeId u : graph.col) {
    if (u >= graph.num_rows) {
      throw IndexError(message("StreamingPartitioner: graph has neighbour ", u, ", want < ", graph.num_rows));
    }
  }
  const std::size_t n = graph.num_rows, k = options.parts;
  const detail::WeightSum sum = detail::sum_node_weights(options.node_weight, n, "node_weight");
  const std::int64_t limit = part_weight_limit(sum.total, sum.heaviest, k, options.imbalance);
  Array<NodeId> order(n);
  for (std::size_t v = 0; v < n; ++v) order[v] = static_cast<NodeId>(v);
  if (options_.shuffled) {
    shuffle(order.span(), CounterRng(make_key(options.seed, 0, Purpose::partition), 1, 0));
  }
  // Fennel's alpha for gamma = 1.5: M sqrt(k) / W^1.5 with M undirected edges.
  const double total = static_cast<double>(std::max<std::int64_t>(1, sum.total));
  const double alpha = static_cast<double>(graph.num_edges()) / 2 * std::sqrt(static_cast<double>(k)) /
                       (total * std::sqrt(total));
  const auto score = [&](double weight, std::int64_t load) {
    if (options_.rule == StreamRule::ldg) {
      return weight * (1 - static_cast<double>(load) / static_cast<double>(limit));
    }
    return weight - 1.5 * alpha * std::sqrt(static_cast<double>(load));
  };
  Array<PartId> part(n, kNoPart);
  detail::LightestPart loads(k);
  detail::multilevel::RatingMap rating;
  for (int pass = 0; pass < options_.passes; ++pass) {
    for (const NodeId v : order) {
      const std::int64_t node = options.node_weight.empty() ? 1 : options.node_weight[v];
      if (part[v] != kNoPart) loads.add(index(part[v]), -node);
      rating.clear();
      for (auto e = static_cast<std::size_t>(graph.begin(v)); e < graph.end(v); ++e) {
        const NodeId u = graph.col[e];
        if (u == v || part[u] == kNoPart) continue;
        rating.add(static_cast<std::uint32_t>(index(part[u])),
                   options.edge_weight.empty() ? 1 : options.edge_weight[e]);
      }
      std::size_t best = loads.lightest();
      double best_score =
          score(static_cast<double>(rating[static_cast<std::uint32_t>(best)]), loads.load(best));
      for (const auto& entry : rating.entries()) {
        if (loads.load(entry.key) + node > limit) continue;
        const double s = score(static_cast<double>(entry.weight), loads.load(entry.key));
        if (s > best_score || (s == best_score && entry.key < best)) {
          best = entry.key;
          best_score = s;
        }
      }
      part[v] = part_id(best);
      loads.add(best, node);
    }
  }
  return partition_from_parts(graph, options, std::move(part));
}
#endif

}  // namespace tessera
