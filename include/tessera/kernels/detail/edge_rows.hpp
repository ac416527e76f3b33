// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/detail/simd_math.hpp"
#include "tessera/kernels/detail/sparse_checks.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/edge_ranges.hpp"

// What the kernels share whose messages depend on the entry: rows of numbers [E, F] that belong to entries.

namespace tessera::detail {

/// Calls body(integral_constant<lanes>, column) over all columns, W at a time and one by one at the end.
template <std::size_t W, class Body>
TESSERA_ALWAYS_INLINE void over_columns(std::size_t cols, Body&& body) noexcept {
  std::size_t f = 0;
  for (; f + W <= cols; f += W) body(std::integral_constant<std::size_t, W>{}, f);
  for (; f < cols; ++f) body(std::integral_constant<std::size_t, 1>{}, f);
}

/// Calls row(level, i) for every row, hubs last; a row stays with one thread.
template <class Row>
void for_each_entry_row(const CsrView<>& a, Row&& row) {
  const Isa isa = tessera::active_isa();
  const EdgeRanges ranges(a.row_ptr);
  const auto run = [&](std::size_t first, std::size_t last) {
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      for (std::size_t i = first; i < last; ++i) row(level, i);
    });
  };
  ranges.for_each_rows(run);
  for (const HubRow& hub : ranges.hubs()) run(hub.row, hub.row + 1);
}

/// Row `at` of an optional matrix.
template <class T>
TESSERA_ALWAYS_INLINE T* entry_row(MatrixView<T> m, std::size_t at) noexcept {
  return m.data() == nullptr ? nullptr : m.data() + at * m.stride();
}

/// out += from[column], nothing for null.
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void add_lanes(Simd<T, W>& out, const T* from, std::size_t column) noexcept {
  if (from == nullptr) return;
  Simd<T, W> value;
  simd_load<W, T>(value, from + column);
  out += value;
}

/// to[column] += value, nothing for null.
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void add_to_row(T* to, std::size_t column, const Simd<T, W>& value) noexcept {
  Simd<T, W> sum;
  simd_load<W, T>(sum, to + column);
  sum += value;
  simd_store<W, T>(to + column, sum);
}

/// x = exp(x) for x <= 0 or NaN.
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void exp_lanes(Simd<T, W>& x) noexcept {
  if constexpr (W == 1) {
    x = std::exp(x);
  } else {
    simd_exp_nonpositive<W, T>(x);
  }
}

/// x = 1 / (1 + exp(-x)), never past the range of exp.
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void sigmoid_lanes(Simd<T, W>& x) noexcept {
  const Simd<T, W> zero{};
  Simd<T, W> small = x < zero ? x : -x;
  exp_lanes<W, T>(small);
  const Simd<T, W> below = small / (T{1} + small);
  const Simd<T, W> above = T{1} / (T{1} + small);
  x = x < zero ? below : above;
}

/// Errors   ShapeError unless `position` lists an entry of `a` for every entry of its transpose
inline void check_positions(std::string_view operation, const CsrView<>& a, const CsrView<>& transpose,
                            std::span<const EdgeId> position) {
  check_csr(operation, "a", a);
  check_csr(operation, "transpose", transpose);
  check_extent(operation, "transpose.num_rows", transpose.num_rows, a.num_cols);
  check_extent(operation, "transpose.num_edges()", transpose.num_edges(), a.num_edges());
  check_extent(operation, "position.size()", position.size(), a.num_edges());
}

}  // namespace tessera::detail
