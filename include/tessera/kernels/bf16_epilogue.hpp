// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

#include "tessera/core/array.hpp"
#include "tessera/core/bf16.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/profile.hpp"
#include "tessera/kernels/accumulate.hpp"
#include "tessera/kernels/bf16_gemm.hpp"
#include "tessera/kernels/column_sum.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/epilogue.hpp"
#include "tessera/kernels/epilogue_apply.hpp"
#include "tessera/kernels/rows.hpp"

namespace tessera {
namespace detail {

/// The gradient before ReLU and dropout of one row: where the output is positive both let it pass.
template <class L, Bf16Storage G>
TESSERA_ALWAYS_INLINE void relu_backward_bf16(L, const bf16* y, const G* grad_y, std::size_t cols,
                                              float factor, bf16* grad_pre, float* sums) noexcept {
  constexpr std::size_t W = L::template lanes<float>();
  std::size_t j = 0;
  for (; j + W <= cols; j += W) {
    Simd<float, W> out, g;
    simd_load<W, float>(out, y + j);
    simd_load<W, float>(g, grad_y + j);
    g = out > 0.0f ? g * factor : Simd<float, W>{};
    simd_store<W, float>(grad_pre + j, g);
    if (sums == nullptr) continue;
    Simd<float, W> sum;
    simd_load<W, float>(sum, sums + j);
    sum += g;
    simd_store<W, float>(sums + j, sum);
  }
  for (; j < cols; ++j) {
    const float g = static_cast<float>(y[j]) > 0.0f ? static_cast<float>(grad_y[j]) * factor : 0.0f;
    grad_pre[j] = bf16(g);
    if (sums != nullptr) sums[j] += g;
  }
}

}  // namespace detail

/// The gradients of apply_epilogue where rows are kept as bf16: as epilogue_backward, computed in float, grad_pre rounded
/// at the end and grad_bias summed before that.
///
/// Shapes   y (the output) and grad_pre [N, F] bf16, grad_y [N, F] bf16 or float; grad_bias [F] or empty; y may be empty
///          without an activation
/// Cost     work O(N F); one row of floats, and with a bias one value per column and block of rows, from the pool
/// Errors   ShapeError if extents do not fit, ConfigError if the probability is outside [0, 1]
/// Threads  safe to call concurrently on distinct outputs; result independent of T
template <Bf16Storage G>
void bf16_epilogue_backward(MatrixView<const bf16> y, MatrixView<const G> grad_y,
                            const Epilogue<float>& epilogue, MatrixView<bf16> grad_pre,
                            std::span<float> grad_bias = {}) {
  constexpr std::string_view kName = "bf16_epilogue_backward";
  detail::check_epilogue_fits(kName, epilogue, grad_pre.cols());
  detail::check_shape(kName, "grad_y", grad_y, grad_pre.rows(), grad_pre.cols());
  const bool reads_y = epilogue.activation != Activation::none;
  if (reads_y) detail::check_shape(kName, "y", y, grad_pre.rows(), grad_pre.cols());
  detail::check_size_or_empty(kName, "grad_bias", grad_bias.size(), grad_pre.cols());
  const std::size_t cols = grad_pre.cols();
  if (grad_pre.empty()) return;
  const KernelScope profile("bf16_epilogue_backward", static_cast<double>(grad_pre.size() * (4 + sizeof(G))),
                            0);
  const Isa isa = active_isa();
  const auto rows = [&](std::size_t begin, std::size_t end, float* sums) {
    if (epilogue.activation == Activation::relu) {
      const float factor = dropout_scale<float>(epilogue.dropout);
      dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
        for (std::size_t i = begin; i < end; ++i) {
          detail::relu_backward_bf16(level, y.data() + i * y.stride(), grad_y.data() + i * grad_y.stride(),
                                     cols, factor, grad_pre.data() + i * grad_pre.stride(), sums);
        }
      });
      return;
    }
    Array<float> room(2 * cols);
    float* const out = room.data();
    float* const g = room.data() + cols;
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      for (std::size_t i = begin; i < end; ++i) {
        if (reads_y) detail::convert_run(level, y.data() + i * y.stride(), cols, out);
        detail::convert_run(level, grad_y.data() + i * grad_y.stride(), cols, g);
        detail::epilogue_backward_row<float>(level, out, g, cols, i, epilogue, g);
        if (sums != nullptr) detail::add_vectors<float>(g, cols, sums);
        detail::convert_run(level, g, cols, grad_pre.data() + i * grad_pre.stride());
      }
    });
  };
  if (grad_bias.empty()) {
    parallel_for(grad_pre.rows(), detail::rows_per_block(cols),
                 [&](std::size_t begin, std::size_t end) { rows(begin, end, nullptr); });
  } else {
    detail::sum_row_blocks(grad_pre.rows(), cols, detail::column_sum_rows(cols), grad_bias, Accumulate::yes,
                           rows);
  }
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void bf16_epilogue_backward<bf16>(MatrixView<const bf16>, MatrixView<const bf16>,
                                                      const Epilogue<float>&, MatrixView<bf16>,
                                                      std::span<float>);
TESSERA_INSTANTIATE void bf16_epilogue_backward<float>(MatrixView<const bf16>, MatrixView<const float>,
                                                       const Epilogue<float>&, MatrixView<bf16>,
                                                       std::span<float>);
#endif

}  // namespace tessera
