// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/partition.hpp"

namespace tessera {

/// A Partition made of given parts: weights, limits and cut are counted. The graph must be symmetric for the cut to be
/// right.
///
/// Shapes   part [N], each below options.parts
/// Cost     O(N + E)
/// Errors   ShapeError if part has another length; IndexError for a part >= options.parts; as check_partition_options
inline Partition partition_from_parts(CsrView<> graph, const PartitionOptions& options, Array<PartId> part) {
  const std::size_t n = part.size(), k = options.parts;
  check_partition_options(graph, options);
  if (n != graph.num_rows) {
    throw ShapeError(message("partition_from_parts: part has ", n, " values, want ", graph.num_rows));
  }
  for (const PartId p : part) {
    if (index(p) >= k)
      throw IndexError(message("partition_from_parts: part ", index(p), " is given, want < ", k));
  }
  Partition out;
  out.num_parts = k;
  out.part = std::move(part);
  const auto weigh = [&](std::span<const std::int64_t> weight, const char* name, Array<std::int64_t>& weights,
                         std::int64_t& limit) {
    const detail::WeightSum sum = detail::sum_node_weights(weight, n, name);
    limit = part_weight_limit(sum.total, sum.heaviest, k, options.imbalance);
    weights.assign(k, 0);
    for (std::size_t v = 0; v < n; ++v) weights[index(out.part[v])] += weight.empty() ? 1 : weight[v];
  };
  weigh(options.node_weight, "node_weight", out.part_weight, out.max_part_weight);
  if (!options.second_weight.empty()) {
    weigh(options.second_weight, "second_weight", out.second_part_weight, out.max_second_part_weight);
  }
  const auto twice = parallel_sum<std::int64_t>(n, 1024, [&](std::size_t begin, std::size_t end) {
    std::int64_t sum = 0;
    for (std::size_t v = begin; v < end; ++v) {
      for (auto e = static_cast<std::size_t>(graph.begin(v)); e < graph.end(v); ++e) {
        if (out.part[graph.col[e]] == out.part[v]) continue;
        sum += options.edge_weight.empty() ? 1 : options.edge_weight[e];
      }
    }
    return sum;
  });
  out.cut = twice / 2;
  return out;
}

}  // namespace tessera
