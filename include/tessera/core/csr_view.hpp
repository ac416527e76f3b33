// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>

#include "tessera/core/assert.hpp"
#include "tessera/core/ids.hpp"

namespace tessera {

/// A borrowed sparse matrix in compressed sparse rows: row i lists the sources j of the edges j -> i.
///
/// Shapes   [num_rows, num_cols]; row_ptr [num_rows + 1], col [E], weight [E] or empty (every weight is 1)
/// Units    row_ptr counts entries and starts at 0; col holds positions in [0, num_cols)
/// Errors   none: a view trusts its arrays; `validate` (graph/validate.hpp) checks them once, where they come
/// from
template <class Index = NodeId, class Offset = EdgeId, class Weight = float>
struct CsrView {
  std::size_t num_rows = 0;
  std::size_t num_cols = 0;
  std::span<const Offset> row_ptr;
  std::span<const Index> col;
  std::span<const Weight> weight;

  constexpr std::size_t num_edges() const noexcept { return col.size(); }
  constexpr bool weighted() const noexcept { return !weight.empty(); }
  constexpr Offset begin(std::size_t row) const noexcept { return row_ptr[row]; }
  constexpr Offset end(std::size_t row) const noexcept { return row_ptr[row + 1]; }
  constexpr std::size_t degree(std::size_t row) const noexcept {
    TESSERA_ASSERT(light, row < num_rows);
    return static_cast<std::size_t>(row_ptr[row + 1] - row_ptr[row]);
  }
  constexpr std::span<const Index> neighbors(std::size_t row) const noexcept {
    return col.subspan(static_cast<std::size_t>(row_ptr[row]), degree(row));
  }
  /// The weights of one row; empty when the matrix has none.
  constexpr std::span<const Weight> weights(std::size_t row) const noexcept {
    return weighted() ? weight.subspan(static_cast<std::size_t>(row_ptr[row]), degree(row)) : weight;
  }
};

}  // namespace tessera
