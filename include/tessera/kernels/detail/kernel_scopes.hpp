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

/// Bytes of a matrix's rows and ids, and of its weights where `weighted`.
inline double entry_bytes(const CsrView<>& a, bool weighted = false) noexcept {
  const std::size_t each = sizeof(NodeId) + (weighted && a.weighted() ? sizeof(float) : 0);
  return static_cast<double>((a.num_rows + 1) * sizeof(EdgeId) + a.num_edges() * each);
}

/// Bytes of dense operands.
template <class... T>
double dense_bytes(MatrixView<T>... operands) noexcept {
  return (0.0 + ... + static_cast<double>(operands.size() * sizeof(T)));
}

/// A pass over the entries of a matrix: `bytes` of everything it reads and writes, `flops` per entry and column.
inline KernelScope entry_scope(std::string_view name, const CsrView<>& a, std::size_t cols, double bytes,
                               double flops) noexcept {
  return KernelScope(name, bytes, flops * static_cast<double>(a.num_edges()) * static_cast<double>(cols));
}

/// An aggregation: every row of x and y once, every entry with its weight.
template <class X, class Y>
KernelScope aggregate_scope(std::string_view name, const CsrView<>& a, MatrixView<X> x, MatrixView<Y> y,
                            bool weighted = true) noexcept {
  return entry_scope(name, a, x.cols(), dense_bytes(x, y) + entry_bytes(a, weighted), 2);
}

}  // namespace tessera::detail
