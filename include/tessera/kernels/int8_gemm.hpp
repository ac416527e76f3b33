// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "tessera/core/array.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/kernels/int8_isa.hpp"
#include "tessera/kernels/int8_weights.hpp"

namespace tessera {

/// The codes a result may have: clamp(round(v) + zero_point, qmin, qmax), halves to even.
struct CodeRange {
  std::int32_t zero_point = 0;
  std::int32_t qmin = 0;
  std::int32_t qmax = 255;

  /// The same codes after max(x, 0).
  CodeRange relu() const noexcept { return {zero_point, std::max(qmin, zero_point), qmax}; }
};

/// Codes times weights, as real numbers: y_ij = (sum_k x_ik w_kj + offset_j - zw sum_k x_ik) row_i multiplier_j + bias_j
/// + addend_ij, with zw the weights' zero point.
///
/// Shapes   x [N, K], weights [K, M]; offset [M], multiplier [M], row [N] or empty (1), bias [M] or empty (0), addend
///          [N, M] or none. Weights that are deep have their offsets in deep_offset [M], and offset is empty
struct Int8Product {
  MatrixView<const std::uint8_t> x;
  const Int8Weights& weights;
  std::span<const std::int32_t> offset;
  std::span<const float> multiplier;
  std::span<const float> row{};
  std::span<const float> bias{};
  MatrixView<const float> addend{};
  std::span<const std::int64_t> deep_offset{};
};

/// The sums alone: y_ij = sum_k x_ik w_kj.
///
/// Shapes   x [N, K] unsigned codes, w [K, M] -> y [N, M]
/// Cost     N K M products; sums of 32 or 48 rows per thread; the same integers at every instruction set
/// Errors   ShapeError if extents do not fit, or for deep weights, whose sums 32 bits may not hold
/// Threads  safe to call concurrently on distinct y; result independent of T
void int8_gemm(MatrixView<const std::uint8_t> x, const Int8Weights& w, MatrixView<std::int32_t> y);

/// Real numbers as codes: round(x factor row_i) in `range`.
///
/// Shapes   x [N, F], row [N] or empty (1) -> y [N, F]
/// Units    factor is one over the step of the codes
/// Errors   ShapeError if extents do not fit; ConfigError for codes outside [0, 255]. NaN becomes the lowest code
/// Threads  safe to call concurrently on distinct y; the same bits at every instruction set
void int8_quantize(MatrixView<const float> x, float factor, std::span<const float> row,
                   const CodeRange& range, MatrixView<std::uint8_t> y);

/// The product's codes in `range`, or its real numbers, without writing sums to memory. Sums are exact at any depth.
///
/// Shapes   -> y [N, M]
/// Units    codes: multiplier holds s_x s_w,j / s_y; bias and addend are in steps of the output too
/// Errors   ShapeError if extents do not fit; ConfigError for codes outside [0, 255]
/// Threads  as int8_gemm; the same bits at every instruction set
void int8_linear(const Int8Product& product, const CodeRange& range, MatrixView<std::uint8_t> y);
void int8_linear(const Int8Product& product, MatrixView<float> y);

/// The sum of two products over the same rows and columns (a node and its neighbours), finished once.
///
/// Shapes, units, errors and threads as int8_linear; `second` has no row, bias or addend
void int8_linear_pair(const Int8Product& first, const Int8Product& second, const CodeRange& range,
                      MatrixView<std::uint8_t> y);
void int8_linear_pair(const Int8Product& first, const Int8Product& second, MatrixView<float> y);

}  // namespace tessera

#if !defined(TESSERA_COMPILED) || defined(TESSERA_COMPILING)
#include "tessera/kernels/detail/int8_gemm.hpp"
#endif
