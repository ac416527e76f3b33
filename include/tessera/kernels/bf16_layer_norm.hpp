// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>

#include "tessera/core/array.hpp"
#include "tessera/core/bf16.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/profile.hpp"
#include "tessera/kernels/accumulate.hpp"
#include "tessera/kernels/bf16_gemm.hpp"
#include "tessera/kernels/column_sum.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/epilogue_row.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/epilogue.hpp"
#include "tessera/kernels/epilogue_apply.hpp"
#include "tessera/kernels/layer_norm.hpp"
#include "tessera/kernels/rows.hpp"

namespace tessera {
namespace detail {

inline constexpr std::size_t kNormLanes = 16;
using NormLanes = Simd<float, kNormLanes>;

/// A row of floats in whole vectors; what lies behind its end stays as the caller leaves it.
constexpr std::size_t norm_padded(std::size_t cols) noexcept {
  return (cols + kNormLanes - 1) / kNormLanes * kNormLanes;
}

/// body(j) for the vectors of a padded row.
template <class Body>
TESSERA_ALWAYS_INLINE void for_norm_vectors(std::size_t padded, Body&& body) {
  for (std::size_t j = 0; j < padded; j += kNormLanes) body(j);
}

/// Copies [F] into a padded row with `rest` behind it; `rest` alone where there is nothing to copy.
inline void pad_norm_row(std::span<const float> from, std::size_t padded, float rest, float* to) noexcept {
  std::fill_n(std::copy(from.begin(), from.end(), to), padded - from.size(), rest);
}

}  // namespace detail

/// layer_norm of rows kept as bf16 and what follows it: y = dropout(activation(gamma (x - mean) inv_std + beta)),
/// computed in float and rounded once.
///
/// Shapes   x, y [N, F]; gamma, beta [F]; mean, inv_std [N], kept for backward; no bias in the epilogue; y may be x
/// Cost     work O(N F), one row of floats per block from the pool
/// Errors   ShapeError if extents do not fit, ConfigError if epsilon is negative or not a number
/// Threads  safe to call concurrently on distinct outputs; result independent of T
inline void bf16_layer_norm(MatrixView<const bf16> x, std::span<const float> gamma,
                            std::span<const float> beta, MatrixView<bf16> y, std::span<float> mean,
                            std::span<float> inv_std, LayerNormOptions options,
                            const Epilogue<float>& epilogue) {
  constexpr std::string_view kName = "bf16_layer_norm";
  detail::check_shape(kName, "x", x, y.rows(), y.cols());
  detail::check_size(kName, "gamma", gamma.size(), y.cols());
  detail::check_size(kName, "beta", beta.size(), y.cols());
  detail::check_size(kName, "mean", mean.size(), y.rows());
  detail::check_size(kName, "inv_std", inv_std.size(), y.rows());
  detail::check_epilogue_fits(kName, epilogue, y.cols());
  if (!(options.epsilon >= 0)) {
    throw ConfigError(message("bf16_layer_norm: epsilon is ", options.epsilon, ", want a number >= 0"));
  }
  if (y.empty()) return;
  const KernelScope profile(kName, 4.0 * static_cast<double>(y.size()), 0);
  const std::size_t cols = y.cols();
  const std::size_t padded = detail::norm_padded(cols);
  const auto epsilon = static_cast<float>(options.epsilon);
  const Isa isa = active_isa();
  parallel_for(y.rows(), detail::rows_per_block(cols), [&](std::size_t begin, std::size_t end) {
    Array<float> room(3 * padded);
    float* const v = room.data();
    float* const scale = v + padded;
    float* const shift = scale + padded;
    detail::pad_norm_row(gamma, padded, 0, scale);
    detail::pad_norm_row(beta, padded, 0, shift);
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      using detail::NormLanes;
      constexpr std::size_t W = detail::kNormLanes;
      for (std::size_t i = begin; i < end; ++i) {
        detail::convert_run(level, x.data() + i * x.stride(), cols, v);
        std::fill_n(v + cols, padded - cols, 0.0f);
        NormLanes sum{}, square{}, value, factor, offset;
        detail::for_norm_vectors(padded, [&](std::size_t j) TESSERA_INLINE_LAMBDA {
          detail::simd_load<W, float>(value, v + j);
          sum += value;
        });
        const float mu = detail::simd_sum<W, float>(sum) / static_cast<float>(cols);
        std::fill_n(v + cols, padded - cols, mu);
        detail::for_norm_vectors(padded, [&](std::size_t j) TESSERA_INLINE_LAMBDA {
          detail::simd_load<W, float>(value, v + j);
          value -= mu;
          square += value * value;
        });
        const float inv =
            1.0f / std::sqrt(detail::simd_sum<W, float>(square) / static_cast<float>(cols) + epsilon);
        mean[i] = mu;
        inv_std[i] = inv;
        detail::for_norm_vectors(padded, [&](std::size_t j) TESSERA_INLINE_LAMBDA {
          detail::simd_load<W, float>(value, v + j);
          detail::simd_load<W, float>(factor, scale + j);
          detail::simd_load<W, float>(offset, shift + j);
          value = (value - mu) * inv * factor + offset;
          detail::simd_store<W, float>(v + j, value);
        });
        detail::apply_epilogue_row(level, std::span<float>(v, cols), i, epilogue);
        detail::convert_run(level, v, cols, y.data() + i * y.stride());
      }
    });
  });
}

/// The gradients of bf16_layer_norm, computed in float: layer_norm_backward of what the epilogue lets pass. grad_x is
/// rounded at the end, grad_gamma and grad_beta are added to before that.
///
/// Shapes   y (the output) and x, grad_x [N, F] bf16; grad_y [N, F] bf16 or float; gamma [F]; grad_gamma, grad_beta
///          [F] or empty; mean, inv_std [N] of the forward call; y may be empty without an activation; grad_x may be
///          grad_y
/// Cost     work O(N F); two values per column and block of at least 64 rows from the pool
/// Errors   ShapeError if extents do not fit
/// Threads  safe to call concurrently on distinct outputs; result independent of T
template <Bf16Storage G>
void bf16_layer_norm_backward(MatrixView<const bf16> y, MatrixView<const G> grad_y, MatrixView<const bf16> x,
                              std::span<const float> gamma, std::span<const float> mean,
                              std::span<const float> inv_std, const Epilogue<float>& epilogue,
                              MatrixView<bf16> grad_x, std::span<float> grad_gamma,
                              std::span<float> grad_beta) {
  constexpr std::string_view kName = "bf16_layer_norm_backward";
  const std::size_t rows = grad_x.rows();
  const std::size_t cols = grad_x.cols();
  const bool reads_y = epilogue.activation != Activation::none;
  if (reads_y) detail::check_shape(kName, "y", y, rows, cols);
  detail::check_shape(kName, "grad_y", grad_y, rows, cols);
  detail::check_shape(kName, "x", x, rows, cols);
  detail::check_size(kName, "gamma", gamma.size(), cols);
  detail::check_size(kName, "mean", mean.size(), rows);
  detail::check_size(kName, "inv_std", inv_std.size(), rows);
  detail::check_size_or_empty(kName, "grad_gamma", grad_gamma.size(), cols);
  detail::check_size_or_empty(kName, "grad_beta", grad_beta.size(), cols);
  if (grad_x.empty()) return;
  const KernelScope profile(kName, static_cast<double>(grad_x.size() * (6 + sizeof(G))), 0);
  const std::size_t padded = detail::norm_padded(cols);
  const float share = 1.0f / static_cast<float>(cols);
  const Isa isa = active_isa();
  Array<float> affine(2 * padded);
  detail::sum_row_blocks(rows, 2 * padded, detail::column_sum_rows(cols), affine.span(), Accumulate::no,
                         [&](std::size_t begin, std::size_t end, float* sums) {
                           Array<float> room(4 * padded);
                           float* const n = room.data();
                           float* const g = n + padded;
                           float* const out = g + padded;
                           float* const scale = out + padded;
                           detail::pad_norm_row(gamma, padded, 0, scale);
                           std::fill_n(g + cols, padded - cols, 0.0f);
                           dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
                             using detail::NormLanes;
                             constexpr std::size_t W = detail::kNormLanes;
                             for (std::size_t i = begin; i < end; ++i) {
                               detail::convert_run(level, grad_y.data() + i * grad_y.stride(), cols, g);
                               if (reads_y) detail::convert_run(level, y.data() + i * y.stride(), cols, out);
                               detail::epilogue_backward_row<float>(level, out, g, cols, i, epilogue, g);
                               detail::convert_run(level, x.data() + i * x.stride(), cols, n);
                               std::fill_n(n + cols, padded - cols, 0.0f);
                               const float mu = mean[i];
                               const float inv = inv_std[i];
                               NormLanes sum{}, dot{}, value, grad, term;
                               detail::for_norm_vectors(padded, [&](std::size_t j) TESSERA_INLINE_LAMBDA {
                                 detail::simd_load<W, float>(value, n + j);
                                 detail::simd_load<W, float>(grad, g + j);
                                 value = (value - mu) * inv;
                                 detail::simd_store<W, float>(n + j, value);
                                 detail::simd_load<W, float>(term, sums + j);
                                 term += grad * value;
                                 detail::simd_store<W, float>(sums + j, term);
                                 detail::simd_load<W, float>(term, sums + padded + j);
                                 term += grad;
                                 detail::simd_store<W, float>(sums + padded + j, term);
                                 detail::simd_load<W, float>(term, scale + j);
                                 grad *= term;
                                 detail::simd_store<W, float>(g + j, grad);
                                 sum += grad;
                                 dot += grad * value;
                               });
                               const float h = detail::simd_sum<W, float>(sum) * share;
                               const float hn = detail::simd_sum<W, float>(dot) * share;
                               detail::for_norm_vectors(padded, [&](std::size_t j) TESSERA_INLINE_LAMBDA {
                                 detail::simd_load<W, float>(value, n + j);
                                 detail::simd_load<W, float>(grad, g + j);
                                 grad = inv * (grad - h - value * hn);
                                 detail::simd_store<W, float>(n + j, grad);
                               });
                               detail::convert_run(level, n, cols, grad_x.data() + i * grad_x.stride());
                             }
                           });
                         });
  for (std::size_t j = 0; j < grad_gamma.size(); ++j) grad_gamma[j] += affine[j];
  for (std::size_t j = 0; j < grad_beta.size(); ++j) grad_beta[j] += affine[padded + j];
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void bf16_layer_norm_backward<bf16>(MatrixView<const bf16>, MatrixView<const bf16>,
                                                        MatrixView<const bf16>, std::span<const float>,
                                                        std::span<const float>, std::span<const float>,
                                                        const Epilogue<float>&, MatrixView<bf16>,
                                                        std::span<float>, std::span<float>);
TESSERA_INSTANTIATE void bf16_layer_norm_backward<float>(MatrixView<const bf16>, MatrixView<const float>,
                                                         MatrixView<const bf16>, std::span<const float>,
                                                         std::span<const float>, std::span<const float>,
                                                         const Epilogue<float>&, MatrixView<bf16>,
                                                         std::span<float>, std::span<float>);
#endif

}  // namespace tessera
