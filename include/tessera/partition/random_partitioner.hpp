// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/partition/detail/deal.hpp"
#include "tessera/partition/partition.hpp"

namespace tessera {

/// Deals shuffled nodes out evenly: the partition that knows nothing, for comparison.
///
/// Node and edge weights are respected in the figures, not in the choice: parts hold equally many nodes.
/// Cost     O(N + E)
/// Errors   as check_partition_options
/// Threads  result independent of T
class RandomPartitioner {
 public:
  Partition partition(CsrView<> graph, const PartitionOptions& options) const {
    check_partition_options(graph, options);
    Array<NodeId> order(graph.num_rows);
    for (std::size_t v = 0; v < order.size(); ++v) order[v] = static_cast<NodeId>(v);
    shuffle(order.span(), CounterRng(make_key(options.seed, 0, Purpose::partition), 0, 0));
    return detail::deal(graph, options, order);
  }
};

}  // namespace tessera
