// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/partition/from_parts.hpp"
#include "tessera/partition/partition.hpp"

namespace tessera::detail {

/// The partition that puts equal runs of `order` into parts 0, 1, ...
///
/// Shapes   order [N], a permutation
/// Cost     O(N + E)
inline Partition deal(CsrView<> graph, const PartitionOptions& options, std::span<const NodeId> order) {
  const std::size_t n = order.size(), k = options.parts;
  Array<PartId> part(n);
  for (std::size_t p = 0; p < k; ++p) {
    for (std::size_t i = n * p / k; i < n * (p + 1) / k; ++i) part[order[i]] = part_id(p);
  }
  return partition_from_parts(graph, options, std::move(part));
}

}  // namespace tessera::detail
