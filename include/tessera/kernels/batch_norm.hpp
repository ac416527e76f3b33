// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>

#include "tessera/core/array.hpp"
#include "tessera/core/config.hpp"
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

/// The mean and the variance (divided by N) of every column.
///
/// Shapes   x [N, F] -> mean, variance [F]; both 0 where N is 0
/// Cost     work O(N F) in two passes; one value per column and block of at least 64 rows from the pool
/// Errors   ShapeError if a span has another length
/// Threads  safe to call concurrently on distinct outputs; result independent of T
/// Source   two passes, the second over differences from the mean: no cancellation
template <Real T>
void column_statistics(std::type_identity_t<MatrixView<const T>> x, std::span<T> mean,
                       std::type_identity_t<std::span<T>> variance) {
  detail::check_size("column_statistics", "mean", mean.size(), x.cols());
  detail::check_size("column_statistics", "variance", variance.size(), x.cols());
  const KernelScope profile = detail::pass_scope("column_statistics", x, 1);
  const std::size_t cols = x.cols();
  const T count = static_cast<T>(std::max<std::size_t>(1, x.rows()));
  column_sum(x, mean);
  for (T& m : mean) m /= count;
  const Isa isa = active_isa();
  const T* const center = mean.data();
  detail::sum_row_blocks(x.rows(), cols, detail::column_sum_rows(cols), variance, Accumulate::no,
                         [&](std::size_t begin, std::size_t end, T* sums) {
                           dispatch(isa, [&](auto) TESSERA_INLINE_LAMBDA {
                             T* const to = sums;
                             for (std::size_t i = begin; i < end; ++i) {
                               const T* const from = x.data() + i * x.stride();
                               detail::map_vectors(
                                   cols, to,
                                   [](auto& sum, const auto& old, const auto& v, const auto& m)
                                       TESSERA_INLINE_LAMBDA { sum = old + (v - m) * (v - m); },
                                   to, from, center);
                             }
                           });
                         });
  for (T& v : variance) v /= count;
}

/// Normalises every column by the statistics given, then scales and shifts it: y_ij = gamma_j (x_ij - mean_j)
/// inv_std_j + beta_j.
///
/// Shapes   x, y [N, F]; mean, inv_std [F]; gamma, beta [F], or empty for 1 and 0; y may be x
/// Cost     work O(N F), nothing allocated but F values
/// Errors   ShapeError if extents do not fit
/// Threads  safe to call concurrently on distinct y; result independent of T
/// Source   Ioffe & Szegedy, Batch normalization, 2015, algorithm 1
template <Real T>
void batch_norm(std::type_identity_t<MatrixView<const T>> x, std::type_identity_t<std::span<const T>> gamma,
                std::type_identity_t<std::span<const T>> beta, std::type_identity_t<std::span<const T>> mean,
                std::type_identity_t<std::span<const T>> inv_std, MatrixView<T> y) {
  const std::size_t cols = y.cols();
  detail::check_shape("batch_norm", "x", x, y.rows(), cols);
  detail::check_size_or_empty("batch_norm", "gamma", gamma.size(), cols);
  detail::check_size_or_empty("batch_norm", "beta", beta.size(), cols);
  detail::check_size("batch_norm", "mean", mean.size(), cols);
  detail::check_size("batch_norm", "inv_std", inv_std.size(), cols);
  const KernelScope profile = detail::pass_scope("batch_norm", y, 2);
  Array<T> scale = Array<T>::copy_of(inv_std);
  for (std::size_t j = 0; j < gamma.size(); ++j) scale[j] *= gamma[j];
  Array<T> shift = beta.empty() ? Array<T>(cols, T{0}) : Array<T>::copy_of(beta);
  const T* const factor = scale.data();
  const T* const offset = shift.data();
  const T* const center = mean.data();
  detail::for_rows(y, [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const T* const from = x.data() + i * x.stride();
    detail::map_vectors(
        cols, to,
        [](auto& out, const auto& v, const auto& m, const auto& f, const auto& o)
            TESSERA_INLINE_LAMBDA { out = (v - m) * f + o; },
        from, center, factor, offset);
  });
}

/// The gradients of batch_norm when mean and inv_std are those of x itself. With n = (x - mean) inv_std:
/// grad_x = gamma inv_std (g - mean_i(g) - n mean_i(g n)); grad_gamma += sum_i g n; grad_beta += sum_i g.
///
/// Shapes   grad_y, x, grad_x [N, F]; gamma, grad_gamma, grad_beta [F] or empty; mean, inv_std [F];
///          grad_x may be grad_y, or an empty view where only the other two are wanted
/// Cost     work O(N F) in two passes; two values per column and block of at least 64 rows from the pool
/// Errors   ShapeError if extents do not fit
/// Threads  safe to call concurrently on distinct outputs; result independent of T
template <Real T>
void batch_norm_backward(std::type_identity_t<MatrixView<const T>> grad_y,
                         std::type_identity_t<MatrixView<const T>> x,
                         std::type_identity_t<std::span<const T>> gamma,
                         std::type_identity_t<std::span<const T>> mean,
                         std::type_identity_t<std::span<const T>> inv_std, MatrixView<T> grad_x,
                         std::type_identity_t<std::span<T>> grad_gamma = {},
                         std::type_identity_t<std::span<T>> grad_beta = {}) {
  const std::size_t rows = x.rows();
  const std::size_t cols = x.cols();
  detail::check_shape("batch_norm_backward", "grad_y", grad_y, rows, cols);
  if (!grad_x.empty()) detail::check_shape("batch_norm_backward", "grad_x", grad_x, rows, cols);
  detail::check_size_or_empty("batch_norm_backward", "gamma", gamma.size(), cols);
  detail::check_size("batch_norm_backward", "mean", mean.size(), cols);
  detail::check_size("batch_norm_backward", "inv_std", inv_std.size(), cols);
  detail::check_size_or_empty("batch_norm_backward", "grad_gamma", grad_gamma.size(), cols);
  detail::check_size_or_empty("batch_norm_backward", "grad_beta", grad_beta.size(), cols);
  if (x.empty()) return;
  const KernelScope profile = detail::pass_scope("batch_norm_backward", x, grad_x.empty() ? 2 : 3);
  const Isa isa = active_isa();
  const T* const center = mean.data();
  const T* const inv = inv_std.data();
  Array<T> sums(2 * cols);
  detail::sum_row_blocks(rows, 2 * cols, detail::column_sum_rows(cols), sums.span(), Accumulate::no,
                         [&](std::size_t begin, std::size_t end, T* partial) {
                           dispatch(isa, [&](auto) TESSERA_INLINE_LAMBDA {
                             T* const grad_sum = partial;
                             T* const product_sum = partial + cols;
                             for (std::size_t i = begin; i < end; ++i) {
                               const T* const g = grad_y.data() + i * grad_y.stride();
                               const T* const from = x.data() + i * x.stride();
                               detail::add_vectors(g, cols, grad_sum);
                               detail::map_vectors(
                                   cols, product_sum,
                                   [](auto& sum, const auto& old, const auto& d, const auto& v, const auto& m,
                                      const auto& r) TESSERA_INLINE_LAMBDA { sum = old + d * ((v - m) * r); },
                                   product_sum, g, from, center, inv);
                             }
                           });
                         });
  for (std::size_t j = 0; j < grad_beta.size(); ++j) grad_beta[j] += sums[j];
  for (std::size_t j = 0; j < grad_gamma.size(); ++j) grad_gamma[j] += sums[cols + j];
  if (grad_x.empty()) return;
  for (T& sum : sums) sum /= static_cast<T>(rows);
  Array<T> scale = Array<T>::copy_of(inv_std);
  for (std::size_t j = 0; j < gamma.size(); ++j) scale[j] *= gamma[j];
  const T* const factor = scale.data();
  const T* const grad_mean = sums.data();
  const T* const product_mean = sums.data() + cols;
  detail::for_rows(grad_x, [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const T* const g = grad_y.data() + i * grad_y.stride();
    const T* const from = x.data() + i * x.stride();
    detail::map_vectors(
        cols, to,
        [](auto& out, const auto& d, const auto& v, const auto& m, const auto& r, const auto& f,
           const auto& gm, const auto& pm) TESSERA_INLINE_LAMBDA { out = f * (d - gm - (v - m) * r * pm); },
        g, from, center, inv, factor, grad_mean, product_mean);
  });
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void column_statistics<float>(MatrixView<const float>, std::span<float>,
                                                  std::span<float>);
TESSERA_INSTANTIATE void batch_norm<float>(MatrixView<const float>, std::span<const float>,
                                           std::span<const float>, std::span<const float>,
                                           std::span<const float>, MatrixView<float>);
TESSERA_INSTANTIATE void batch_norm_backward<float>(MatrixView<const float>, MatrixView<const float>,
                                                    std::span<const float>, std::span<const float>,
                                                    std::span<const float>, MatrixView<float>,
                                                    std::span<float>, std::span<float>);
TESSERA_INSTANTIATE void column_statistics<double>(MatrixView<const double>, std::span<double>,
                                                   std::span<double>);
TESSERA_INSTANTIATE void batch_norm<double>(MatrixView<const double>, std::span<const double>,
                                            std::span<const double>, std::span<const double>,
                                            std::span<const double>, MatrixView<double>);
TESSERA_INSTANTIATE void batch_norm_backward<double>(MatrixView<const double>, MatrixView<const double>,
                                                     std::span<const double>, std::span<const double>,
                                                     std::span<const double>, MatrixView<double>,
                                                     std::span<double>, std::span<double>);
#endif

}  // namespace tessera
