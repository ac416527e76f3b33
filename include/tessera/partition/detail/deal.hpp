// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/partition.hpp"

namespace tessera::detail {

/// The partition that puts equal runs of `order` into parts 0, 1, ...
///
/// Shapes   order [N], a permutation
/// Cost     O(N + E)
inline Partition deal(CsrView<> graph, const PartitionOptions& options, std::span<const NodeId> order) {
  const std::size_t n = order.size(), k = options.parts;
  Partition out;
  out.num_parts = k;
  out.part.resize(n);
  out.part_weight.assign(k, 0);
  std::int64_t total = 0, heaviest = 0;
  for (std::size_t p = 0; p < k; ++p) {
    for (std::size_t i = n * p / k; i < n * (p + 1) / k; ++i) {
      const std::int64_t weight = options.node_weight.empty() ? 1 : options.node_weight[order[i]];
      out.part[order[i]] = part_id(p);
      out.part_weight[p] += weight;
      total += weight;
      heaviest = std::max(heaviest, weight);
    }
  }
  out.max_part_weight = part_weight_limit(total, heaviest, k, options.imbalance);
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

}  // namespace tessera::detail
