// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/partition/detail/deal.hpp"
#include "tessera/partition/partition.hpp"

namespace tessera {

/// Cuts the id range into equal runs: right where ids already follow communities, and free.
///
/// Cost     O(N + E)
/// Errors   as check_partition_options
/// Threads  result independent of T
class ContiguousPartitioner {
 public:
  Partition partition(CsrView<> graph, const PartitionOptions& options) const {
    check_partition_options(graph, options);
    Array<NodeId> order(graph.num_rows);
    for (std::size_t v = 0; v < order.size(); ++v) order[v] = static_cast<NodeId>(v);
    return detail::deal(graph, options, order);
  }
};

}  // namespace tessera
