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

/// The sum of what term(out, from[j]...) leaves in `out`, in sixteen interleaved lanes: the same tree at every
/// instruction set.
template <class T, class Term, class... From>
TESSERA_ALWAYS_INLINE T lane_sum(std::size_t count, Term&& term, const From*... from) noexcept {
  constexpr std::size_t kLanes = 16;
  constexpr std::size_t W = 32 / sizeof(T);  // wider ones do not stay in registers below AVX-512
  Simd<T, W> sum[kLanes / W] = {};
  std::size_t j = 0;
  for (; j + kLanes <= count; j += kLanes) {
    unroll<kLanes / W>([&](auto k) TESSERA_INLINE_LAMBDA {
      Simd<T, W> value;
      apply_to_vectors<W, T>(j + k * W, value, term, from...);
      sum[k] += value;
    });
  }
  T lane[kLanes];
  unroll<kLanes / W>([&](auto k) TESSERA_INLINE_LAMBDA { simd_store<W, T>(lane + k * W, sum[k]); });
  for (std::size_t l = 0; j + l < count; ++l) {
    T value;
    apply_to_vectors<1, T>(j + l, value, term, from...);
    lane[l] += value;
  }
  for (std::size_t half = kLanes / 2; half > 0; half /= 2) {
    for (std::size_t l = 0; l < half; ++l) lane[l] += lane[l + half];
  }
  return lane[0];
}

}  // namespace tessera::detail
