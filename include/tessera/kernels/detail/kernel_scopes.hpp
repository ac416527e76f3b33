// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string_view>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/profile.hpp"

// What sparse and row-wise kernels tell the profile: the bytes that must move and the flops of their products.

namespace tessera::detail {

/// A pass over dense rows that reads or writes `matrices` matrices of y's extents.
template <class T>
KernelScope pass_scope(std::string_view name, MatrixView<T> y, double matrices) noexcept {
  return KernelScope(name, matrices * static_cast<double>(y.size() * sizeof(T)), 0);
}

/// A pass over the entries of a matrix: rows of x and y once each, ids, weights, and `more` bytes of other operands;
/// `flops` per entry and column.
template <class X, class Y>
KernelScope entry_scope(std::string_view name, const CsrView<>& a, MatrixView<X> x, MatrixView<Y> y,
                        double flops = 2, double more = 0) noexcept {
  const auto entries = static_cast<double>(a.num_edges());
  const auto rows =
      static_cast<double>(x.size() * sizeof(X) + y.size() * sizeof(Y) + (a.num_rows + 1) * sizeof(EdgeId));
  return KernelScope(name, rows + more + entries * (a.weighted() ? 8 : 4),
                     flops * entries * static_cast<double>(x.cols()));
}

}  // namespace tessera::detail
