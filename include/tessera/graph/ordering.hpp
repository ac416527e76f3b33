// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/renumber.hpp"

namespace tessera {

/// How nodes stand inside their part.
enum class OrderWithin {
  id,      ///< as they were
  degree,  ///< many neighbours first
  bfs      ///< breadth first from the node of least degree, neighbours by id: neighbours stand close
};

/// An order of all nodes for `renumber`: part after part, inside a part as asked, nodes of no part last.
///
///     renumber(data, order_nodes(data.graph, parts.part, OrderWithin::degree));
///
/// Shapes   graph [N, N], parts [N] -> [N]
/// Cost     O((N + E) log N) at most, parallel over parts
/// Errors   ShapeError if parts.size() is not the number of rows or the graph is not square
/// Threads  result independent of T
inline Array<NodeId> order_nodes(CsrView<> graph, std::span<const PartId> parts, OrderWithin within) {
  if (graph.num_rows != graph.num_cols) {
    throw ShapeError(
        message("order_nodes: graph is [", graph.num_rows, ", ", graph.num_cols, "], want square"));
  }
  if (parts.size() != graph.num_rows) {
    throw ShapeError(message("order_nodes: parts has ", parts.size(), " entries, want ", graph.num_rows));
  }
  Array<NodeId> order = order_by_part(parts);
  if (within == OrderWithin::id) return order;
  Array<std::size_t> start;
  for (std::size_t k = 0; k < order.size(); ++k) {
    if (k == 0 || parts[order[k]] != parts[order[k - 1]]) start.push_back(k);
  }
  start.push_back(order.size());
  const auto before = [&](NodeId a, NodeId b) {
    const std::size_t da = graph.degree(a), db = graph.degree(b);
    if (da == db) return a < b;
    return within == OrderWithin::degree ? da > db : da < db;
  };
  Array<std::uint8_t> seen(within == OrderWithin::bfs ? order.size() : 0, std::uint8_t{0});
  parallel_blocks(start.size() - 1, [&](std::size_t p) {
    NodeId* const first = order.data() + start[p];
    NodeId* const last = order.data() + start[p + 1];
    std::sort(first, last, before);
    if (within == OrderWithin::degree) return;
    const std::span<const NodeId> roots(first, last);
    Array<NodeId> queue;
    for (const NodeId root : Array<NodeId>::copy_of(roots)) {
      if (seen[root] != 0) continue;
      seen[root] = 1;
      for (std::size_t next = (queue.push_back(root), queue.size() - 1); next < queue.size(); ++next) {
        for (const NodeId u : graph.neighbors(queue[next])) {
          if (parts[u] != parts[root] || seen[u] != 0) continue;
          seen[u] = 1;
          queue.push_back(u);
        }
      }
    }
    std::copy(queue.begin(), queue.end(), first);
  });
  return order;
}

}  // namespace tessera
