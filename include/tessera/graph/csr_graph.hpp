// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"

namespace tessera {

/// An owned graph in compressed sparse rows: row i lists the in-neighbours of node i, ascending and without
/// duplicates.
///
/// Shapes   row_ptr [N + 1], col [E], weight [E] or empty (every edge weighs 1)
/// `symmetric` records that the graph equals its transpose, weights included; builders set it.
struct CsrGraph {
  Array<EdgeId> row_ptr{1, EdgeId{0}};
  Array<NodeId> col;
  Array<float> weight;
  std::size_t num_cols = 0;  ///< equals num_nodes() except for bipartite levels
  bool symmetric = true;

  std::size_t num_nodes() const noexcept { return row_ptr.size() - 1; }
  std::size_t num_edges() const noexcept { return col.size(); }
  std::size_t degree(std::size_t node) const noexcept {
    return static_cast<std::size_t>(row_ptr[node + 1] - row_ptr[node]);
  }
  CsrView<> view() const noexcept { return {num_nodes(), num_cols, row_ptr, col, weight}; }
  operator CsrView<>() const noexcept { return view(); }

  /// A copy; copying is never implicit.
  CsrGraph clone() const {
    return {Array<EdgeId>::copy_of(row_ptr), Array<NodeId>::copy_of(col), Array<float>::copy_of(weight),
            num_cols, symmetric};
  }
};

}  // namespace tessera
