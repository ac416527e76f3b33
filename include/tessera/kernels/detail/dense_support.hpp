// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string_view>

#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/kernels/detail/simd.hpp"

// What the row-wise dense kernels share: argument checks, block sizes, and a lane-wise sum.

namespace tessera::detail {

template <class T>
void check_shape(std::string_view operation, std::string_view argument, MatrixView<T> got, std::size_t rows,
                 std::size_t cols) {
  if (got.rows() != rows || got.cols() != cols) {
    throw ShapeError(message(operation, ": ", argument, " is [", got.rows(), ", ", got.cols(), "], want [",
                             rows, ", ", cols, "]"));
  }
}

inline void check_size(std::string_view operation, std::string_view argument, std::size_t got,
                       std::size_t want) {
  if (got != want) {
    throw ShapeError(message(operation, ": ", argument, " has ", got, " elements, want ", want));
  }
}

/// For arguments that may be absent.
inline void check_size_or_empty(std::string_view operation, std::string_view argument, std::size_t got,
                                std::size_t want) {
  if (got != 0) check_size(operation, argument, got, want);
}

/// Rows per parallel block: about 16 Ki elements, some 5 microseconds of streaming, whatever the width.
constexpr std::size_t rows_per_block(std::size_t cols) noexcept {
  return std::max<std::size_t>(1, 16384 / std::max<std::size_t>(1, cols));
}

/// The sum of term(j) for j < count in sixteen interleaved lanes: the same tree at every instruction set.
template <class T, class Term>
TESSERA_ALWAYS_INLINE T lane_sum(std::size_t count, Term&& term) noexcept {
  constexpr std::size_t kLanes = 16;
  T lane[kLanes] = {};
  std::size_t j = 0;
  for (; j + kLanes <= count; j += kLanes) {
    for (std::size_t l = 0; l < kLanes; ++l) lane[l] += term(j + l);
  }
  for (std::size_t l = 0; j + l < count; ++l) lane[l] += term(j + l);
  for (std::size_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::size_t l = 0; l < half; ++l) lane[l] += lane[l + half];
  }
  return lane[0];
}

}  // namespace tessera::detail
