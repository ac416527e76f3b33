// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/csr_graph.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/graph/dataset_view.hpp"

namespace tessera::io {

/// The edges of `graph` that join two training nodes; every node stays, most others isolated.
///
/// This is what inductive training may see where a layout does not store it.
/// Shapes   graph [N, N], roles [N] -> [N, N]
/// Cost     work O(N + E), in parallel
/// Errors   ShapeError if roles has not one entry per node
inline CsrGraph edges_among_training_nodes(const GraphRef& whole, std::span<const Role> roles) {
  const CsrView<> graph = whole.matrix;
  const std::size_t n = graph.num_rows;
  if (roles.size() != n) {
    throw ShapeError(message("edges_among_training_nodes: roles has ", roles.size(), " entries, want ", n));
  }
  constexpr std::size_t kRows = 2048;
  CsrGraph out;
  out.num_cols = n;
  out.symmetric = whole.symmetric;
  out.row_ptr.assign(n + 1, 0);
  const auto for_each_kept = [&](std::size_t row, auto&& keep) {
    if (roles[row] != Role::train) return;
    for (EdgeId e = graph.row_ptr[row]; e < graph.row_ptr[row + 1]; ++e) {
      if (roles[graph.col[e]] == Role::train) keep(e);
    }
  };
  parallel_for(n, kRows, [&](std::size_t begin, std::size_t end) {
    for (std::size_t row = begin; row < end; ++row) {
      EdgeId kept = 0;
      for_each_kept(row, [&](EdgeId) { ++kept; });
      out.row_ptr[row] = kept;
    }
  });
  const EdgeId total = parallel_exclusive_scan(out.row_ptr.span());
  out.col.resize(total);
  if (!graph.weight.empty()) out.weight.resize(total);
  parallel_for(n, kRows, [&](std::size_t begin, std::size_t end) {
    for (std::size_t row = begin; row < end; ++row) {
      EdgeId at = out.row_ptr[row];
      for_each_kept(row, [&](EdgeId e) {
        out.col[at] = graph.col[e];
        if (!graph.weight.empty()) out.weight[at] = graph.weight[e];
        ++at;
      });
    }
  });
  return out;
}

}  // namespace tessera::io
