// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <limits>
#include <type_traits>

#include "tessera/core/config.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/elementwise.hpp"

namespace tessera {
namespace detail {

/// The largest element; -inf for none. NaNs may be skipped: the sum of exponentials picks them up.
template <class T>
TESSERA_ALWAYS_INLINE T row_max(const T* z, std::size_t count) noexcept {
  T top = -std::numeric_limits<T>::infinity();
  for (std::size_t j = 0; j < count; ++j) top = z[j] > top ? z[j] : top;
  return top;
}

}  // namespace detail

/// y_ij = exp(x_ij) / sum over j of exp(x_ij), shifted by the row's maximum so that no finite row overflows.
///
/// Shapes   x, y [N, C]; y may be x. A row of only -inf gives zeros; +inf and NaN give NaN
/// Cost     work O(N C), nothing allocated
/// Errors   ShapeError if the extents differ
/// Threads  safe to call concurrently on distinct y; result independent of T
template <Real T>
void softmax(std::type_identity_t<MatrixView<const T>> x, MatrixView<T> y) {
  detail::check_shape("softmax", "x", x, y.rows(), y.cols());
  const KernelScope profile = detail::pass_scope("softmax", y, 2);
  detail::for_rows(y, [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const T* const z = x.data() + i * x.stride();
    const std::size_t cols = y.cols();
    const T top = detail::row_max(z, cols);
    bool masked = true;
    for (std::size_t j = 0; j < cols; ++j) masked = masked && z[j] == -std::numeric_limits<T>::infinity();
    T sum{0};
    for (std::size_t j = 0; j < cols; ++j) {
      const T e = masked ? T{0} : std::exp(z[j] - top);
      to[j] = e;
      sum += e;
    }
    for (std::size_t j = 0; j < cols && !masked; ++j) to[j] /= sum;
  });
}

/// y_ij = x_ij - log(sum over j of exp(x_ij)), without forming the quotient. Contract as softmax, but -inf
/// stays.
template <Real T>
void log_softmax(std::type_identity_t<MatrixView<const T>> x, MatrixView<T> y) {
  detail::check_shape("log_softmax", "x", x, y.rows(), y.cols());
  const KernelScope profile = detail::pass_scope("log_softmax", y, 2);
  detail::for_rows(y, [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const T* const z = x.data() + i * x.stride();
    const std::size_t cols = y.cols();
    const T top = detail::row_max(z, cols);
    T sum{0};
    for (std::size_t j = 0; j < cols; ++j) sum += std::exp(z[j] - top);
    const T log_sum = std::log(sum);
    for (std::size_t j = 0; j < cols; ++j) to[j] = z[j] - top - log_sum;
  });
}

/// grad_x = y * (grad_y - sum over j of grad_y y), with y the output of softmax.
///
/// Shapes   y, grad_y, grad_x [N, C]; grad_x may be grad_y
/// Errors   ShapeError if the extents differ
/// Threads  safe to call concurrently on distinct grad_x; result independent of T
template <Real T>
void softmax_backward(std::type_identity_t<MatrixView<const T>> y,
                      std::type_identity_t<MatrixView<const T>> grad_y, MatrixView<T> grad_x) {
  detail::check_shape("softmax_backward", "y", y, grad_x.rows(), grad_x.cols());
  detail::check_shape("softmax_backward", "grad_y", grad_y, grad_x.rows(), grad_x.cols());
  const KernelScope profile = detail::pass_scope("softmax_backward", grad_x, 3);
  detail::for_rows(grad_x, [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const T* const p = y.data() + i * y.stride();
    const T* const g = grad_y.data() + i * grad_y.stride();
    const std::size_t cols = grad_x.cols();
    const T dot = detail::lane_sum<T>(
        cols, [](auto& out, const auto& s, const auto& t) TESSERA_INLINE_LAMBDA { out = s * t; }, p, g);
    detail::map_vectors(
        cols, to,
        [dot](auto& out, const auto& s, const auto& t) TESSERA_INLINE_LAMBDA { out = s * (t - dot); }, p, g);
  });
}

/// grad_x = grad_y - exp(y) sum over j of grad_y, with y the output of log_softmax. Contract as
/// softmax_backward.
template <Real T>
void log_softmax_backward(std::type_identity_t<MatrixView<const T>> y,
                          std::type_identity_t<MatrixView<const T>> grad_y, MatrixView<T> grad_x) {
  detail::check_shape("log_softmax_backward", "y", y, grad_x.rows(), grad_x.cols());
  detail::check_shape("log_softmax_backward", "grad_y", grad_y, grad_x.rows(), grad_x.cols());
  const KernelScope profile = detail::pass_scope("log_softmax_backward", grad_x, 3);
  detail::for_rows(grad_x, [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const T* const log_p = y.data() + i * y.stride();
    const T* const g = grad_y.data() + i * grad_y.stride();
    const std::size_t cols = grad_x.cols();
    const T sum = detail::lane_sum<T>(
        cols, [](auto& out, const auto& s) TESSERA_INLINE_LAMBDA { out = s; }, g);
    for (std::size_t j = 0; j < cols; ++j) to[j] = g[j] - std::exp(log_p[j]) * sum;
  });
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void softmax<float>(MatrixView<const float>, MatrixView<float>);
TESSERA_INSTANTIATE void log_softmax<float>(MatrixView<const float>, MatrixView<float>);
TESSERA_INSTANTIATE void softmax_backward<float>(MatrixView<const float>, MatrixView<const float>,
                                                 MatrixView<float>);
TESSERA_INSTANTIATE void log_softmax_backward<float>(MatrixView<const float>, MatrixView<const float>,
                                                     MatrixView<float>);
TESSERA_INSTANTIATE void softmax<double>(MatrixView<const double>, MatrixView<double>);
TESSERA_INSTANTIATE void log_softmax<double>(MatrixView<const double>, MatrixView<double>);
TESSERA_INSTANTIATE void softmax_backward<double>(MatrixView<const double>, MatrixView<const double>,
                                                  MatrixView<double>);
TESSERA_INSTANTIATE void log_softmax_backward<double>(MatrixView<const double>, MatrixView<const double>,
                                                      MatrixView<double>);
#endif

}  // namespace tessera
