// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>

#include "tessera/core/config.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/profile.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/column_sum.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/kernels/sddmm.hpp"

namespace tessera {

namespace detail {

/// y[f] += alpha x[f].
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void axpy_row(std::size_t count, T alpha, const T* x, T* y) noexcept {
  std::size_t f = 0;
  for (; f + W <= count; f += W) {
    Simd<T, W> from, to;
    simd_load<W, T>(from, x + f);
    simd_load<W, T>(to, y + f);
    to += alpha * from;
    simd_store<W, T>(y + f, to);
  }
  for (; f < count; ++f) y[f] += alpha * x[f];
}

template <class T>
std::size_t head_width(std::string_view operation, MatrixView<const T> x, std::size_t weights,
                       std::size_t heads) {
  check_size(operation, "weight", weights, x.cols());
  if (heads == 0 || x.cols() % heads != 0) {
    throw ShapeError(
        message(operation, ": y has ", heads, " columns, want a divisor of the ", x.cols(), " columns of x"));
  }
  return x.cols() / heads;
}

}  // namespace detail

/// One number per row and head: y_ih = <x_ih, weight_h>, head h being columns [h D, (h + 1) D).
///
/// Shapes   x [N, H D], weight [H D] -> y [N, H]
/// Cost     2 N H D flops
/// Errors   ShapeError if the extents do not fit
/// Threads  safe to call concurrently on distinct y; result independent of T
template <Real T>
void head_dots(std::type_identity_t<MatrixView<const T>> x, std::type_identity_t<std::span<const T>> weight,
               MatrixView<T> y) {
  const std::size_t width = detail::head_width<T>("head_dots", x, weight.size(), y.cols());
  detail::check_extent("head_dots", "y.rows()", y.rows(), x.rows());
  const KernelScope profile("head_dots", static_cast<double>((x.size() + y.size()) * sizeof(T)),
                            2.0 * static_cast<double>(x.size()));
  const Isa isa = active_isa();
  parallel_for(x.rows(), detail::rows_per_block(x.cols()), [&](std::size_t begin, std::size_t end) {
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      constexpr std::size_t W = decltype(level)::template lanes<T>();
      for (std::size_t i = begin; i < end; ++i) {
        const T* const from = x.data() + i * x.stride();
        for (std::size_t h = 0; h < y.cols(); ++h) {
          y(i, h) = detail::dot<W, T>(from + h * width, weight.data() + h * width, width);
        }
      }
    });
  });
}

/// The gradients of head_dots, added: grad_x_ih += grad_y_ih weight_h, grad_weight_h += sum over i of grad_y_ih
/// x_ih. Either output may be empty.
///
/// Shapes   x [N, H D], weight [H D], grad_y [N, H]; grad_x [N, H D], grad_weight [H D]
/// Cost     up to 4 N H D flops, one row of weights per block of rows from the pool
/// Errors   ShapeError if the extents do not fit
/// Threads  safe to call concurrently on distinct outputs; result independent of T
template <Real T>
void head_dots_backward(std::type_identity_t<MatrixView<const T>> x,
                        std::type_identity_t<std::span<const T>> weight,
                        std::type_identity_t<MatrixView<const T>> grad_y, MatrixView<T> grad_x,
                        std::type_identity_t<std::span<T>> grad_weight) {
  const std::size_t width = detail::head_width<T>("head_dots_backward", x, weight.size(), grad_y.cols());
  detail::check_extent("head_dots_backward", "grad_y.rows()", grad_y.rows(), x.rows());
  detail::check_size_or_empty("head_dots_backward", "grad_x.rows()", grad_x.rows(), x.rows());
  detail::check_size_or_empty("head_dots_backward", "grad_weight", grad_weight.size(), weight.size());
  const KernelScope profile("head_dots_backward",
                            static_cast<double>((x.size() + 2 * grad_x.size()) * sizeof(T)),
                            2.0 * static_cast<double>(x.size() + grad_x.size()));
  const Isa isa = active_isa();
  const auto rows = [&](std::size_t begin, std::size_t end, T* sums) {
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      constexpr std::size_t W = decltype(level)::template lanes<T>();
      for (std::size_t i = begin; i < end; ++i) {
        for (std::size_t h = 0; h < grad_y.cols(); ++h) {
          const std::size_t at = h * width;
          const T g = grad_y.data()[i * grad_y.stride() + h];
          if (grad_x.data() != nullptr) {
            detail::axpy_row<W>(width, g, weight.data() + at, grad_x.data() + i * grad_x.stride() + at);
          }
          if (sums != nullptr) detail::axpy_row<W>(width, g, x.data() + i * x.stride() + at, sums + at);
        }
      }
    });
  };
  if (grad_weight.empty()) {
    parallel_for(x.rows(), detail::rows_per_block(x.cols()),
                 [&](std::size_t begin, std::size_t end) { rows(begin, end, nullptr); });
    return;
  }
  detail::sum_row_blocks(x.rows(), x.cols(), detail::column_sum_rows(x.cols()), grad_weight, Accumulate::yes,
                         rows);
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void head_dots<float>(MatrixView<const float>, std::span<const float>, MatrixView<float>);
TESSERA_INSTANTIATE void head_dots<double>(MatrixView<const double>, std::span<const double>,
                                           MatrixView<double>);
TESSERA_INSTANTIATE void head_dots_backward<float>(MatrixView<const float>, std::span<const float>,
                                                   MatrixView<const float>, MatrixView<float>,
                                                   std::span<float>);
TESSERA_INSTANTIATE void head_dots_backward<double>(MatrixView<const double>, std::span<const double>,
                                                    MatrixView<const double>, MatrixView<double>,
                                                    std::span<double>);
#endif

}  // namespace tessera
