// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <type_traits>

#include "tessera/core/array.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/accumulate.hpp"
#include "tessera/kernels/column_sum.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/elementwise.hpp"

namespace tessera {

/// Settings of layer_norm.
struct LayerNormOptions {
  double epsilon = 1e-5;  ///< added to the variance
};

/// Normalises every row to mean 0 and variance 1, then scales and shifts by feature: y_ij = gamma_j (x_ij -
/// mean_i) inv_std_i + beta_j with inv_std_i = 1 / sqrt(variance_i + epsilon).
///
/// Shapes   x, y [N, F]; gamma, beta [F], or empty for 1 and 0; mean, inv_std [N], kept for backward; y may
///          be x
/// Cost     work O(N F) in three passes over a row in cache, nothing allocated
/// Errors   ShapeError if extents do not fit, ConfigError if epsilon is negative or not a number
/// Threads  safe to call concurrently on distinct outputs; result independent of T
/// Source   Ba et al., Layer normalization, 2016, eq. (4); as published, per node, two-pass variance
template <Real T>
void layer_norm(std::type_identity_t<MatrixView<const T>> x, std::type_identity_t<std::span<const T>> gamma,
                std::type_identity_t<std::span<const T>> beta, MatrixView<T> y,
                std::type_identity_t<std::span<T>> mean, std::type_identity_t<std::span<T>> inv_std,
                LayerNormOptions options = {}) {
  detail::check_shape("layer_norm", "x", x, y.rows(), y.cols());
  detail::check_size_or_empty("layer_norm", "gamma", gamma.size(), y.cols());
  detail::check_size_or_empty("layer_norm", "beta", beta.size(), y.cols());
  detail::check_size("layer_norm", "mean", mean.size(), y.rows());
  detail::check_size("layer_norm", "inv_std", inv_std.size(), y.rows());
  if (!(options.epsilon >= 0)) {
    throw ConfigError(message("layer_norm: epsilon is ", options.epsilon, ", want a number >= 0"));
  }
  const std::size_t cols = y.cols();
  const T count = static_cast<T>(cols);
  const T epsilon = static_cast<T>(options.epsilon);
  const KernelScope profile = detail::pass_scope("layer_norm", y, 2);
  detail::for_rows(y, [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const T* const from = x.data() + i * x.stride();
    const T sum = detail::lane_sum<T>(
        cols, [](auto& out, const auto& v) TESSERA_INLINE_LAMBDA { out = v; }, from);
    const T mu = cols == 0 ? T{0} : sum / count;
    const T square = detail::lane_sum<T>(
        cols, [mu](auto& out, const auto& v) TESSERA_INLINE_LAMBDA { out = (v - mu) * (v - mu); }, from);
    const T inv = T{1} / std::sqrt((cols == 0 ? T{0} : square / count) + epsilon);
    mean[i] = mu;
    inv_std[i] = inv;
    detail::map_vectors(
        cols, to, [mu, inv](auto& out, const auto& v) TESSERA_INLINE_LAMBDA { out = (v - mu) * inv; }, from);
    if (!gamma.empty()) {
      detail::map_vectors(
          cols, to, [](auto& out, const auto& n, const auto& g) TESSERA_INLINE_LAMBDA { out = n * g; }, to,
          gamma.data());
    }
    if (!beta.empty()) detail::add_vectors(beta.data(), cols, to);
  });
}

/// The gradients of layer_norm. With n = (x - mean) inv_std and h = gamma * grad_y:
/// grad_x = inv_std (h - mean_j(h) - n mean_j(h n)); grad_gamma += sum_i grad_y n; grad_beta += sum_i grad_y.
///
/// Shapes   grad_y, x, grad_x [N, F]; gamma, grad_gamma, grad_beta [F] or empty; mean, inv_std [N] of the
/// forward
///          call; grad_x may be grad_y
/// Cost     work O(N F); two values per column and block of at least 64 rows from the pool
/// Errors   ShapeError if extents do not fit
/// Threads  safe to call concurrently on distinct outputs; result independent of T
template <Real T>
void layer_norm_backward(std::type_identity_t<MatrixView<const T>> grad_y,
                         std::type_identity_t<MatrixView<const T>> x,
                         std::type_identity_t<std::span<const T>> gamma,
                         std::type_identity_t<std::span<const T>> mean,
                         std::type_identity_t<std::span<const T>> inv_std, MatrixView<T> grad_x,
                         std::type_identity_t<std::span<T>> grad_gamma = {},
                         std::type_identity_t<std::span<T>> grad_beta = {}) {
  const std::size_t rows = grad_x.rows();
  const std::size_t cols = grad_x.cols();
  detail::check_shape("layer_norm_backward", "grad_y", grad_y, rows, cols);
  detail::check_shape("layer_norm_backward", "x", x, rows, cols);
  detail::check_size_or_empty("layer_norm_backward", "gamma", gamma.size(), cols);
  detail::check_size("layer_norm_backward", "mean", mean.size(), rows);
  detail::check_size("layer_norm_backward", "inv_std", inv_std.size(), rows);
  detail::check_size_or_empty("layer_norm_backward", "grad_gamma", grad_gamma.size(), cols);
  detail::check_size_or_empty("layer_norm_backward", "grad_beta", grad_beta.size(), cols);
  if (cols == 0) return;
  const KernelScope profile = detail::pass_scope("layer_norm_backward", grad_x, 3);
  const Isa isa = active_isa();
  const T count = static_cast<T>(cols);
  Array<T> affine(2 * cols);
  detail::sum_row_blocks(
      rows, 2 * cols, detail::column_sum_rows(cols), affine.span(), Accumulate::no,
      [&](std::size_t begin, std::size_t end, T* sums) {
        dispatch(isa, [&](auto) TESSERA_INLINE_LAMBDA {
          T* const gamma_sum = sums;
          T* const beta_sum = sums + cols;
          const T* const scale = gamma.empty() ? nullptr : gamma.data();
          for (std::size_t i = begin; i < end; ++i) {
            const T* const g = grad_y.data() + i * grad_y.stride();
            const T* const from = x.data() + i * x.stride();
            T* const to = grad_x.data() + i * grad_x.stride();
            const T mu = mean[i];
            const T inv = inv_std[i];
            detail::map_vectors(
                cols, gamma_sum,
                [mu, inv](auto& sum, const auto& old, const auto& d, const auto& v)
                    TESSERA_INLINE_LAMBDA { sum = old + d * ((v - mu) * inv); },
                gamma_sum, g, from);
            detail::add_vectors(g, cols, beta_sum);
            if (scale != nullptr) {
              detail::map_vectors(
                  cols, to,
                  [](auto& out, const auto& d, const auto& s) TESSERA_INLINE_LAMBDA { out = d * s; }, g,
                  scale);
            } else if (to != g) {
              std::copy_n(g, cols, to);
            }
            const T h = detail::lane_sum<T>(
                            cols, [](auto& out, const auto& d) TESSERA_INLINE_LAMBDA { out = d; }, to) /
                        count;
            const T hn = detail::lane_sum<T>(
                             cols,
                             [mu, inv](auto& out, const auto& d, const auto& v)
                                 TESSERA_INLINE_LAMBDA { out = d * ((v - mu) * inv); },
                             to, from) /
                         count;
            detail::map_vectors(
                cols, to,
                [=](auto& out, const auto& d, const auto& v)
                    TESSERA_INLINE_LAMBDA { out = inv * (d - h - (v - mu) * inv * hn); },
                to, from);
          }
        });
      });
  for (std::size_t j = 0; j < grad_gamma.size(); ++j) grad_gamma[j] += affine[j];
  for (std::size_t j = 0; j < grad_beta.size(); ++j) grad_beta[j] += affine[cols + j];
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void layer_norm<float>(MatrixView<const float>, std::span<const float>,
                                           std::span<const float>, MatrixView<float>, std::span<float>,
                                           std::span<float>, LayerNormOptions);
TESSERA_INSTANTIATE void layer_norm_backward<float>(MatrixView<const float>, MatrixView<const float>,
                                                    std::span<const float>, std::span<const float>,
                                                    std::span<const float>, MatrixView<float>,
                                                    std::span<float>, std::span<float>);
TESSERA_INSTANTIATE void layer_norm<double>(MatrixView<const double>, std::span<const double>,
                                            std::span<const double>, MatrixView<double>, std::span<double>,
                                            std::span<double>, LayerNormOptions);
TESSERA_INSTANTIATE void layer_norm_backward<double>(MatrixView<const double>, MatrixView<const double>,
                                                     std::span<const double>, std::span<const double>,
                                                     std::span<const double>, MatrixView<double>,
                                                     std::span<double>, std::span<double>);
#endif

}  // namespace tessera
