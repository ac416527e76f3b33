// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>

#include "tessera/core/config.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/profile.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/accumulate.hpp"
#include "tessera/kernels/column_sum.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/epilogue_row.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/kernels/epilogue.hpp"

namespace tessera {
namespace detail {

/// The gradient before an epilogue of one row, from its output and the gradient after it; `level` as in
/// apply_epilogue_row.
template <Real T, class L>
TESSERA_ALWAYS_INLINE void epilogue_backward_row(L level, const T* y, const T* grad_y, std::size_t cols,
                                                 std::size_t i, const Epilogue<T>& epilogue,
                                                 T* grad_pre) noexcept {
  if (epilogue.activation == Activation::relu) {
    // An output is positive iff its input was and dropout kept it, so the mask need not be drawn again.
    const T factor = dropout_scale<T>(epilogue.dropout);
    for_vectors<T, L::kVectorBytes>(cols, [=]<std::size_t W>(std::size_t j) TESSERA_INLINE_LAMBDA {
      Simd<T, W> out, grad;
      simd_load<W, T>(out, y + j);
      simd_load<W, T>(grad, grad_y + j);
      grad = out > T{0} ? grad * factor : Simd<T, W>{};
      simd_store<W, T>(grad_pre + j, grad);
    });
  } else {
    if (grad_pre != grad_y) std::copy_n(grad_y, cols, grad_pre);
    dropout_row(level, grad_pre, cols, i, epilogue.dropout);
    if (epilogue.activation == Activation::elu) {
      // d elu / dz = e^z = elu + 1 for z <= 0. Where dropout has zeroed y, grad_pre is 0 as well.
      const T kept = T{1} - static_cast<T>(epilogue.dropout.probability);
      for_vectors<T, L::kVectorBytes>(cols, [=]<std::size_t W>(std::size_t j) TESSERA_INLINE_LAMBDA {
        Simd<T, W> out, grad, one;
        simd_load<W, T>(out, y + j);
        simd_load<W, T>(grad, grad_pre + j);
        simd_fill<W, T>(one, T{1});
        grad *= out > T{0} ? one : out * kept + T{1};
        simd_store<W, T>(grad_pre + j, grad);
      });
    }
  }
}

}  // namespace detail

/// y_i = dropout(activation(y_i + bias)), in place.
///
/// Shapes   y [N, F], bias [F] or empty
/// Cost     work O(N F), nothing allocated
/// Errors   ShapeError if the bias has another length, ConfigError if the probability is outside [0, 1]
/// Threads  safe to call concurrently on distinct y; result independent of T
template <Real T>
void apply_epilogue(MatrixView<T> y, const std::type_identity_t<Epilogue<T>>& epilogue) {
  detail::check_epilogue_fits("apply_epilogue", epilogue, y.cols());
  if (detail::is_identity(epilogue)) return;
  const KernelScope profile = detail::pass_scope("apply_epilogue", y, 2);
  detail::for_rows(y, [&](auto level, T* row, std::size_t i) TESSERA_INLINE_LAMBDA {
    detail::apply_epilogue_row(level, std::span<T>(row, y.cols()), i, epilogue);
  });
}

/// The gradients of apply_epilogue. With z = y_before + bias: grad_pre = dL/dz, grad_bias += column sums of
/// it.
///
/// Shapes   y (the output), grad_y, grad_pre [N, F]; grad_bias [F] or empty; grad_pre may be grad_y
/// Cost     work O(N F); with a bias one value per column and block of rows from the pool
/// Errors   ShapeError if extents do not fit, ConfigError if the probability is outside [0, 1]
/// Threads  safe to call concurrently on distinct outputs; result independent of T
template <Real T>
void epilogue_backward(std::type_identity_t<MatrixView<const T>> y,
                       std::type_identity_t<MatrixView<const T>> grad_y,
                       const std::type_identity_t<Epilogue<T>>& epilogue, MatrixView<T> grad_pre,
                       std::type_identity_t<std::span<T>> grad_bias = {}) {
  detail::check_epilogue_fits("epilogue_backward", epilogue, grad_pre.cols());
  detail::check_shape("epilogue_backward", "grad_y", grad_y, grad_pre.rows(), grad_pre.cols());
  if (epilogue.activation != Activation::none) {
    detail::check_shape("epilogue_backward", "y", y, grad_pre.rows(), grad_pre.cols());
  }
  detail::check_size_or_empty("epilogue_backward", "grad_bias", grad_bias.size(), grad_pre.cols());
  const std::size_t cols = grad_pre.cols();
  const KernelScope profile("epilogue_backward", 3.0 * static_cast<double>(grad_pre.size() * sizeof(T)), 0);
  const Isa isa = active_isa();
  const auto row = [&](auto level, T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const T* const value = y.data() + i * y.stride();
    detail::epilogue_backward_row(level, value, grad_y.data() + i * grad_y.stride(), cols, i, epilogue, to);
  };
  if (grad_bias.empty()) {
    detail::for_rows(grad_pre, row);
    return;
  }
  detail::sum_row_blocks(grad_pre.rows(), cols, detail::column_sum_rows(cols), grad_bias, Accumulate::yes,
                         [&](std::size_t begin, std::size_t end, T* sums) {
                           dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
                             T* const sum = sums;
                             for (std::size_t i = begin; i < end; ++i) {
                               T* const to = grad_pre.data() + i * grad_pre.stride();
                               row(level, to, i);
                               detail::add_vectors<T>(to, cols, sum);
                             }
                           });
                         });
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void apply_epilogue<float>(MatrixView<float>, const Epilogue<float>&);
TESSERA_INSTANTIATE void epilogue_backward<float>(MatrixView<const float>, MatrixView<const float>,
                                                  const Epilogue<float>&, MatrixView<float>,
                                                  std::span<float>);
TESSERA_INSTANTIATE void apply_epilogue<double>(MatrixView<double>, const Epilogue<double>&);
TESSERA_INSTANTIATE void epilogue_backward<double>(MatrixView<const double>, MatrixView<const double>,
                                                   const Epilogue<double>&, MatrixView<double>,
                                                   std::span<double>);
#endif

}  // namespace tessera
