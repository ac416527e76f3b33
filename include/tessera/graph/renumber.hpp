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
#include "tessera/core/tensor.hpp"
#include "tessera/graph/csr_graph.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/graph/detail/row_ranges.hpp"

namespace tessera {

/// The place every node has in an order: place[order[k]] = k. Of an order of all nodes it is the inverse.
///
/// Shapes   order [N] -> [N]
/// Errors   IndexError names the first entry that is no node or a node for the second time
inline Array<NodeId> inverse_permutation(std::span<const NodeId> order) {
  Array<NodeId> place(order.size(), kNoNode);
  for (std::size_t k = 0; k < order.size(); ++k) {
    if (order[k] >= order.size()) {
      throw IndexError(
          message("inverse_permutation: order[", k, "] is ", order[k], ", want less than ", order.size()));
    }
    if (place[order[k]] != kNoNode) {
      throw IndexError(message("inverse_permutation: order[", k, "] is ", order[k], ", as is order[",
                               place[order[k]], "]; want every node once"));
    }
    place[order[k]] = static_cast<NodeId>(k);
  }
  return place;
}

/// The nodes sorted by part, ids ascending inside a part, nodes of no part last: the order that makes every
/// part a range of consecutive ids.
///
/// Shapes   parts [N] -> [N]
inline Array<NodeId> order_by_part(std::span<const PartId> parts) {
  Array<std::uint64_t> keyed(parts.size());
  parallel_for(parts.size(), 1 << 14, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) keyed[i] = std::uint64_t{index(parts[i])} << 32 | i;
  });
  parallel_sort(keyed.begin(), keyed.end());
  Array<NodeId> order(parts.size());
  parallel_for(parts.size(), 1 << 14, [&](std::size_t begin, std::size_t end) {
    for (std::size_t k = begin; k < end; ++k) order[k] = static_cast<NodeId>(keyed[k]);
  });
  return order;
}

namespace detail {

inline void require_order(std::span<const NodeId> order, std::size_t nodes) {
  if (order.size() != nodes)
    throw ShapeError(
        message("renumber: order has ", order.size(), " entries, want ", nodes, ", one per node"));
}

/// Renumbers with the inverse at hand.
inline CsrGraph renumber(CsrView<> graph, std::span<const NodeId> order, std::span<const NodeId> place) {
  CsrGraph out;
  const std::size_t n = graph.num_rows;
  out.num_cols = n;
  out.row_ptr.resize(n + 1);
  parallel_for(n, 1 << 14, [&](std::size_t begin, std::size_t end) {
    for (std::size_t k = begin; k < end; ++k) out.row_ptr[k] = graph.degree(order[k]);
  });
  out.row_ptr[n] = 0;
  parallel_exclusive_scan(out.row_ptr.span());
  out.col.resize(graph.num_edges());
  out.weight.resize(graph.weighted() ? graph.num_edges() : 0);
  parallel_rows(out.row_ptr, [&](std::size_t begin, std::size_t end) {
    Array<std::uint64_t> keyed;  // new column above, position in the old row below
    for (std::size_t k = begin; k < end; ++k) {
      const std::span<const NodeId> row = graph.neighbors(order[k]);
      NodeId* const to = out.col.data() + out.row_ptr[k];
      if (!graph.weighted()) {
        for (std::size_t e = 0; e < row.size(); ++e) to[e] = place[row[e]];
        std::sort(to, to + row.size());
        continue;
      }
      keyed.resize(row.size());
      for (std::size_t e = 0; e < row.size(); ++e) keyed[e] = std::uint64_t{place[row[e]]} << 32 | e;
      std::sort(keyed.begin(), keyed.end());
      for (std::size_t e = 0; e < row.size(); ++e) {
        to[e] = static_cast<NodeId>(keyed[e] >> 32);
        out.weight[out.row_ptr[k] + e] = graph.weights(order[k])[keyed[e] & 0xffffffffu];
      }
    }
  });
  return out;
}

}  // namespace detail

/// Gives node order[k] the number k.
///
/// Shapes   graph [N, N], order [N] holding every node once
/// Cost     work O(E log max_degree), one more graph in memory
/// Errors   ShapeError if order has another length or the graph is not square; IndexError if a node repeats
/// Threads  parallel; the result does not depend on T
inline CsrGraph renumber(const CsrGraph& graph, std::span<const NodeId> order) {
  detail::require_order(order, graph.num_nodes());
  if (graph.num_cols != graph.num_nodes()) {
    throw ShapeError(
        message("renumber: graph is [", graph.num_nodes(), ", ", graph.num_cols, "], want a square matrix"));
  }
  const Array<NodeId> place = inverse_permutation(order);
  CsrGraph out = detail::renumber(graph.view(), order, place);
  out.symmetric = graph.symmetric;
  return out;
}

/// Renumbers everything a data set says about its nodes. One array at a time is replaced, so that memory
/// peaks at the data set and its largest array.
///
/// Shapes   order [N] holding every node of `data` once
/// Errors   as renumber of a graph; nothing is thrown once `data` is touched, unless memory runs out
/// Threads  parallel
inline void renumber(Dataset& data, std::span<const NodeId> order) {
  detail::require_order(order, data.num_nodes());
  const Array<NodeId> place = inverse_permutation(order);
  for (CsrGraph* graph : {&data.graph, &data.train_graph}) {
    if (graph->num_nodes() != data.num_nodes()) continue;
    CsrGraph next = detail::renumber(graph->view(), order, place);
    next.symmetric = graph->symmetric;
    *graph = std::move(next);
  }
  const auto move_rows = [&](Tensor<float>& rows) {
    if (rows.rows() != order.size()) return;
    Tensor<float> next(rows.rows(), rows.cols());
    parallel_for(order.size(), 256, [&](std::size_t begin, std::size_t end) {
      for (std::size_t k = begin; k < end; ++k)
        std::copy(rows.row(order[k]).begin(), rows.row(order[k]).end(), next.row(k).begin());
    });
    rows = std::move(next);
  };
  const auto move_values = [&](auto& values) {
    if (values.size() != order.size()) return;
    auto next = std::remove_reference_t<decltype(values)>(values.size());
    for (std::size_t k = 0; k < order.size(); ++k) next[k] = values[order[k]];
    values = std::move(next);
  };
  move_rows(data.features);
  move_rows(data.labels.indicators);
  move_values(data.labels.classes);
  move_values(data.roles);
}

}  // namespace tessera
