// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/induced_subgraph.hpp"
#include "tessera/partition/concepts.hpp"
#include "tessera/partition/partition.hpp"

namespace tessera {

/// What a cut link costs.
enum class LinkCost {
  one,             ///< 1, or its place in PartitionOptions::edge_weight
  neighbor_shares  ///< the share of their neighbourhoods that its two ends lose
};

/// Link weights under which a cut is the sum over nodes of the share of neighbours in other parts.
///
/// Aggregation divides by the degree: a node that keeps none of its three neighbours is lost, a hub misses
/// three of a thousand hardly. Counting links alone, a partition gathers the hubs and strips the others.
/// Shapes   graph [N, N] symmetric with E stored -> [E]
/// Units    thousandths, rounded up: 1000 / degree of one end plus 1000 / degree of the other
/// Threads  parallel; the result does not depend on T
inline Array<std::int32_t> neighbor_share_weights(CsrView<> graph) {
  Array<std::int32_t> weights(graph.num_edges());
  const auto share = [&](std::size_t v) {
    const std::size_t degree = std::max<std::size_t>(1, graph.degree(v));
    return static_cast<std::int32_t>((1000 + degree - 1) / degree);
  };
  parallel_for(graph.num_rows, 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t v = begin; v < end; ++v) {
      const std::int32_t own = share(v);
      for (EdgeId e = graph.begin(v); e < graph.end(v); ++e) weights[e] = own + share(graph.col[e]);
    }
  });
  return weights;
}

/// Cuts some nodes of a graph into parts as if no others were there; those get kNoPart. Inductive training wants
/// this: left in as isolated nodes, the held-out ones fill parts up and push the training nodes together.
///
///     partition_nodes(MultilevelPartitioner{}, data.graph, data.nodes(Role::train), {.parts = 50},
///                     LinkCost::neighbor_shares)
///
/// Shapes   graph [N, N], nodes [n] strictly ascending -> part [N]; options.node_weight [n] or empty
/// Cost     that of the partitioner on the induced subgraph, O(sum of the nodes' degrees) to make it
/// Errors   IndexError if nodes do not ascend or lie outside the graph; ConfigError for edge weights, which
///          would be those of another graph; otherwise as the partitioner
/// Threads  result independent of T
template <Partitioner P>
Partition partition_nodes(const P& partitioner, CsrView<> graph, std::span<const NodeId> nodes,
                          PartitionOptions options, LinkCost cost = LinkCost::one) {
  if (!options.edge_weight.empty()) {
    throw ConfigError("partition_nodes: options.edge_weight is given, want none");
  }
  InducedWorkspace workspace;
  Subgraph inside;
  induced_subgraph(graph, nodes, workspace, inside);
  Array<std::int32_t> weights;
  if (cost == LinkCost::neighbor_shares) {
    weights = neighbor_share_weights(inside.view());
    options.edge_weight = weights;
  }
  Partition out = partitioner.partition(inside.view(), options);
  Array<PartId> part(graph.num_rows, kNoPart);
  for (std::size_t k = 0; k < nodes.size(); ++k) part[nodes[k]] = out.part[k];
  out.part = std::move(part);
  return out;
}

}  // namespace tessera
