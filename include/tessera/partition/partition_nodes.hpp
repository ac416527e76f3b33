// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/graph/induced_subgraph.hpp"
#include "tessera/partition/concepts.hpp"
#include "tessera/partition/partition.hpp"

namespace tessera {

/// Cuts some nodes of a graph into parts as if no others were there; those get kNoPart. Inductive training wants
/// this: left in as isolated nodes, the held-out ones fill parts up and push the training nodes together.
///
///     partition_nodes(MultilevelPartitioner{}, data.graph, data.nodes(Role::train), {.parts = 50})
///
/// Shapes   graph [N, N], nodes [n] strictly ascending -> part [N]; options.node_weight [n] or empty
/// Cost     that of the partitioner on the induced subgraph, O(sum of the nodes' degrees) to make it
/// Errors   IndexError if nodes do not ascend or lie outside the graph; ConfigError for edge weights, which
///          would be those of another graph; otherwise as the partitioner
/// Threads  result independent of T
template <Partitioner P>
Partition partition_nodes(const P& partitioner, CsrView<> graph, std::span<const NodeId> nodes,
                          const PartitionOptions& options) {
  if (!options.edge_weight.empty()) {
    throw ConfigError("partition_nodes: options.edge_weight is given, want none");
  }
  InducedWorkspace workspace;
  Subgraph inside;
  induced_subgraph(graph, nodes, workspace, inside);
  Partition out = partitioner.partition(inside.view(), options);
  Array<PartId> part(graph.num_rows, kNoPart);
  for (std::size_t k = 0; k < nodes.size(); ++k) part[nodes[k]] = out.part[k];
  out.part = std::move(part);
  return out;
}

}  // namespace tessera
