// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"

namespace tessera {

/// A graph cut into parts.
///
/// Shapes   part [N], part_weight [num_parts], second_part_weight [num_parts] or empty
/// Units    cut and part_weight in the units of the edge and node weights, 1 each by default
struct Partition {
  Array<PartId> part;
  std::size_t num_parts = 0;
  std::int64_t cut = 0;  ///< weight of the edges between parts, each undirected edge once
  Array<std::int64_t> part_weight;
  std::int64_t max_part_weight = 0;         ///< what a part was allowed to weigh, see part_weight_limit
  Array<std::int64_t> second_part_weight;   ///< [num_parts] where a second weight was given, else empty
  std::int64_t max_second_part_weight = 0;  ///< its limit

  std::size_t num_nodes() const noexcept { return part.size(); }
  /// Every part is inside the limit; only heavy nodes can prevent that.
  bool feasible() const noexcept {
    return std::all_of(part_weight.begin(), part_weight.end(),
                       [this](std::int64_t w) { return w <= max_part_weight; }) &&
           std::all_of(second_part_weight.begin(), second_part_weight.end(),
                       [this](std::int64_t w) { return w <= max_second_part_weight; });
  }
};

/// How much refinement a partition gets.
enum class PartitionEffort {
  fast,      ///< label propagation
  standard,  ///< label propagation, then local search
  high,      ///< more attempts and rounds of both
};

/// What to partition into. Weights are views: they must outlive the call only.
struct PartitionOptions {
  std::size_t parts = 1;
  double imbalance = 0.03;  ///< by how much a part may pass the average weight, 0.03 = 3 %
  std::uint64_t seed = 0;
  PartitionEffort effort = PartitionEffort::standard;
  bool symmetrize = false;  ///< treat j -> i as i - j where only one direction is stored; else it is an error
  /// Where one node alone outweighs the limit, part with as little excess as can be instead of refusing.
  bool relax_limit = false;
  std::span<const std::int64_t> node_weight = {};  ///< [N], >= 0; empty: 1 each
  /// [N], >= 0: a second weight to balance within the same imbalance, e.g. 1 for training nodes; empty: none.
  std::span<const std::int64_t> second_weight = {};
  std::span<const std::int32_t> edge_weight = {};  ///< [E], > 0, symmetric; empty: 1 each
};

/// The most a part may weigh: (1 + imbalance) ceil(W / k), or, where heavy nodes make that unreachable, what
/// giving each node to the lightest part guarantees.
///
/// Units    those of the node weights
constexpr std::int64_t part_weight_limit(std::int64_t total, std::int64_t heaviest, std::size_t parts,
                                         double imbalance) noexcept {
  const auto k = static_cast<std::int64_t>(parts);
  const std::int64_t average = (total + k - 1) / k;
  // The last factor forgives that 0.29 * 100 is 28.999999999999996.
  const double wanted = static_cast<double>(average) * imbalance * (1 + 1e-12);
  const std::int64_t slack = wanted < static_cast<double>(total) ? static_cast<std::int64_t>(wanted) : total;
  return std::max(average + slack, (total - std::min(total, heaviest)) / k + heaviest);
}

namespace detail {

/// Sum and maximum of node weights.
struct WeightSum {
  std::int64_t total = 0, heaviest = 0;
};

/// Errors   ShapeError for another length than `nodes`; ConfigError for a negative weight or a sum of 2^56 or more
inline WeightSum sum_node_weights(std::span<const std::int64_t> weights, std::size_t nodes,
                                  const char* name) {
  if (weights.empty()) return {static_cast<std::int64_t>(nodes), nodes == 0 ? 0 : 1};
  if (weights.size() != nodes) {
    throw ShapeError(message("partition: ", name, " has ", weights.size(), " values, want ", nodes));
  }
  constexpr std::int64_t kMost = std::int64_t{1} << 56;
  WeightSum sum;
  for (std::size_t v = 0; v < nodes; ++v) {
    const std::int64_t w = weights[v];
    if (w < 0) throw ConfigError(message("partition: ", name, "[", v, "] is ", w, ", want >= 0"));
    if (w >= kMost - sum.total) {
      throw ConfigError(message("partition: ", name, " add up to 2^56 or more at node ", v,
                                ", want less: divide all by a common factor"));
    }
    sum.total += w;
    sum.heaviest = std::max(sum.heaviest, w);
  }
  return sum;
}

inline void require_feasible(WeightSum sum, const PartitionOptions& options, const char* name) {
  const auto k = static_cast<std::int64_t>(options.parts);
  const std::int64_t average = (sum.total + k - 1) / k;
  const std::int64_t limit = part_weight_limit(sum.total, 0, options.parts, options.imbalance);
  if (sum.heaviest <= limit || options.relax_limit || options.parts == 1) return;
  throw ConfigError(
      message("partition: imbalance ", options.imbalance, " is infeasible: one node has ", name, " ",
              sum.heaviest, ", a part may weigh ", limit, "; the smallest feasible imbalance is ",
              static_cast<double>(sum.heaviest) / static_cast<double>(average) - 1, ", or set relax_limit"));
}

}  // namespace detail

/// Refuses options no partitioner can work with.
///
/// Cost     O(N) where node weights are given
/// Errors   ConfigError for parts = 0, a negative or NaN imbalance, a negative node weight, weights that add up to
///          2^56, and, unless relax_limit is set, a node that no part may hold (names the smallest imbalance that
///          would do); ShapeError for spans of wrong length or a graph that is not square
inline void check_partition_options(CsrView<> graph, const PartitionOptions& options) {
  if (options.parts == 0) throw ConfigError("partition: parts is 0, want >= 1");
  if (options.parts >= kNoNode) {
    throw ConfigError(message("partition: parts is ", options.parts, ", want < ", kNoNode));
  }
  if (!(options.imbalance >= 0) || !std::isfinite(options.imbalance)) {
    throw ConfigError(message("partition: imbalance is ", options.imbalance, ", want a finite number >= 0"));
  }
  if (graph.num_rows != graph.num_cols) {
    throw ShapeError(
        message("partition: graph is [", graph.num_rows, ", ", graph.num_cols, "], want square"));
  }
  if (graph.num_rows >= kNoNode) {
    throw ConfigError(message("partition: graph has ", graph.num_rows, " nodes, want < ", kNoNode));
  }
  if (!options.edge_weight.empty() && options.edge_weight.size() != graph.num_edges()) {
    throw ShapeError(message("partition: edge_weight has ", options.edge_weight.size(), " values, want ",
                             graph.num_edges()));
  }
  const std::size_t n = graph.num_rows;
  detail::require_feasible(detail::sum_node_weights(options.node_weight, n, "node_weight"), options,
                           "node_weight");
  if (options.second_weight.empty()) return;
  detail::require_feasible(detail::sum_node_weights(options.second_weight, n, "second_weight"), options,
                           "second_weight");
}

}  // namespace tessera
