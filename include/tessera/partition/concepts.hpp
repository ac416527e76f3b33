// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>

#include "tessera/core/csr_view.hpp"
#include "tessera/partition/partition.hpp"

namespace tessera {

/// Cuts a graph into parts.
///
/// Semantics no compiler can check: every node gets a part below `parts`; the result is a function of (graph,
/// options) for any number of threads; with unit node weights every part is within
/// `Partition::max_part_weight`.
template <class P>
concept Partitioner = requires(const P& partitioner, CsrView<> graph, const PartitionOptions& options) {
  { partitioner.partition(graph, options) } -> std::same_as<Partition>;
};

}  // namespace tessera
