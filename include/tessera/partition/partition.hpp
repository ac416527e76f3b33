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
/// Shapes   part [N], part_weight [num_parts]
/// Units    cut and part_weight in the units of the edge and node weights, 1 each by default
struct Partition {
  Array<PartId> part;
  std::size_t num_parts = 0;
  std::int64_t cut = 0;  ///< weight of the edges between parts, each undirected edge once
  Array<std::int64_t> part_weight;
  std::int64_t max_part_weight = 0;  ///< what a part was allowed to weigh, see part_weight_limit

  std::size_t num_nodes() const noexcept { return part.size(); }
  /// Every part is inside the limit; only heavy nodes can prevent that.
  bool feasible() const noexcept {
    return std::all_of(part_weight.begin(), part_weight.end(),
                       [this](std::int64_t w) { return w <= max_part_weight; });
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
  std::span<const std::int64_t> node_weight = {};  ///< [N], >= 0; empty: 1 each
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
  const auto slack = static_cast<std::int64_t>(static_cast<double>(average) * imbalance * (1 + 1e-12));
  return std::max(average + slack, (total - std::min(total, heaviest)) / k + heaviest);
}

/// Refuses options no partitioner can work with.
///
/// Cost     O(N) where node weights are given
/// Errors   ConfigError for parts = 0, a negative or NaN imbalance, a negative node weight; ShapeError for
///          spans of wrong length or a graph that is not square
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
  if (!options.node_weight.empty() && options.node_weight.size() != graph.num_rows) {
    throw ShapeError(
        message("partition: node_weight has ", options.node_weight.size(), " values, want ", graph.num_rows));
  }
  if (!options.edge_weight.empty() && options.edge_weight.size() != graph.num_edges()) {
    throw ShapeError(message("partition: edge_weight has ", options.edge_weight.size(), " values, want ",
                             graph.num_edges()));
  }
  for (const std::int64_t w : options.node_weight) {
    if (w < 0) throw ConfigError(message("partition: node_weight holds ", w, ", want >= 0"));
  }
}

}  // namespace tessera
