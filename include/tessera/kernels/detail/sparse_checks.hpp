// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <functional>
#include <string_view>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"

namespace tessera::detail {

inline void check_extent(std::string_view operation, std::string_view what, std::size_t got,
                         std::size_t wanted) {
  if (got != wanted) throw ShapeError(message(operation, ": ", what, " is ", got, ", want ", wanted));
}

/// The arrays of `a` have the lengths its extents promise.
inline void check_csr(std::string_view operation, std::string_view name, const CsrView<>& a) {
  if (a.num_rows == 0 && a.row_ptr.empty() && a.col.empty()) return;
  if (a.row_ptr.size() != a.num_rows + 1) {
    throw ShapeError(
        message(operation, ": ", name, ".row_ptr has length ", a.row_ptr.size(), ", want ", a.num_rows + 1));
  }
  if (a.row_ptr.back() != a.col.size()) {
    throw ShapeError(
        message(operation, ": ", name, ".col has length ", a.col.size(), ", want ", a.row_ptr.back()));
  }
  if (a.weighted() && a.weight.size() != a.col.size()) {
    throw ShapeError(message(operation, ": ", name, ".weight has length ", a.weight.size(), ", want ",
                             a.col.size(), " or 0"));
  }
}

/// y = A x fits: x [a.num_cols, F], y [a.num_rows, F], and y does not lie in x.
template <class X, class Y>
void check_spmm(std::string_view operation, const CsrView<>& a, MatrixView<const X> x, MatrixView<Y> y) {
  check_csr(operation, "a", a);
  check_extent(operation, "x.rows()", x.rows(), a.num_cols);
  check_extent(operation, "y.rows()", y.rows(), a.num_rows);
  check_extent(operation, "y.cols()", y.cols(), x.cols());
  if (x.empty() || y.empty()) return;
  const void* const x_last = &x(x.rows() - 1, x.cols() - 1);
  const void* const y_last = &y(y.rows() - 1, y.cols() - 1);
  const std::less<> before;
  const bool apart = before(x_last, static_cast<const void*>(y.data())) ||
                     before(y_last, static_cast<const void*>(x.data()));
  if (!apart) throw ShapeError(message(operation, ": y overlaps x, want separate memory"));
}

}  // namespace tessera::detail
