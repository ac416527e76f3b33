// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>
#include <type_traits>

#include "tessera/core/config.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/profile.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/epilogue_row.hpp"
#include "tessera/kernels/detail/feature_tile.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/head_dots.hpp"
#include "tessera/kernels/sddmm.hpp"
#include "tessera/kernels/spmm_multi.hpp"

// Every row has a small matrix of its own: y_ih = sum over k of w_i[h, k] g_i[k], with H heads of D columns made of K
// pieces of D columns.

namespace tessera {

namespace detail {

/// y[column, column + span) = sum over k of weight[k] pieces[k D + ...].
template <std::size_t W, std::size_t V, class T>
TESSERA_ALWAYS_INLINE void combine_tile(std::size_t count, const T* weight, const T* pieces,
                                        std::size_t width, std::size_t column, std::size_t span,
                                        T* y) noexcept {
  const UnitOffsets<V, W> offset(span);
  Simd<T, W> sum[V] = {};
  for (std::size_t k = 0; k < count; ++k) {
    const T* const piece = pieces + k * width + column;
    const T w = weight[k];
    unroll<V>([&](auto v) TESSERA_INLINE_LAMBDA {
      Simd<T, W> value;
      simd_load<W, T>(value, piece + offset.template at<v>());
      sum[v] += w * value;
    });
  }
  unroll<V>([&](auto v)
                TESSERA_INLINE_LAMBDA { simd_store<W, T>(y + column + offset.template at<v>(), sum[v]); });
}

template <std::size_t W, std::size_t kMaxUnits = 4, class T>
TESSERA_ALWAYS_INLINE void combine_columns(std::size_t count, const T* weight, const T* pieces,
                                           std::size_t width, std::size_t column, std::size_t left,
                                           T* y) noexcept {
  for (; left >= kMaxUnits * W; left -= kMaxUnits * W, column += kMaxUnits * W) {
    combine_tile<W, kMaxUnits>(count, weight, pieces, width, column, kMaxUnits * W, y);
  }
  if (left >= W) {
    with_at_least((left + W - 1) / W, typename TileSizes<kMaxUnits>::type{},
                  [&](auto v) TESSERA_INLINE_LAMBDA {
                    combine_tile<W, v()>(count, weight, pieces, width, column, left, y);
                  });
  } else if constexpr (W > 1) {
    if (left > 0) combine_columns<W / 2, 2>(count, weight, pieces, width, column, left, y);
  }
}

/// One row: y [H D] from weight [H K] and pieces [K D].
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void combine_row(std::size_t heads, std::size_t count, std::size_t width,
                                       const T* weight, const T* pieces, T* y) noexcept {
  for (std::size_t h = 0; h < heads; ++h) {
    combine_columns<W>(count, weight + h * count, pieces, width, 0, width, y + h * width);
  }
}

/// <u, v> with the widest registers that `cols` fills.
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE T short_dot(const T* u, const T* v, std::size_t cols) noexcept {
  if constexpr (W > 4) {
    if (cols < W) return short_dot<W / 2, T>(u, v, cols);
  }
  return dot<W, T>(u, v, cols);
}

/// The sizes of a combination.
struct CombineShape {
  std::size_t heads = 0;
  std::size_t pieces = 0;
  std::size_t width = 0;
};

/// Errors   ShapeError unless weight [N, H K] and pieces [N, K D] make y [N, H D] for some K
template <class T>
CombineShape combine_shape(std::string_view operation, std::size_t heads, MatrixView<const T> weight,
                           std::size_t piece_columns, std::size_t rows, std::size_t cols) {
  if (heads == 0 || cols % heads != 0 || weight.cols() % heads != 0) {
    throw ShapeError(message(operation, ": heads is ", heads, ", want a divisor of the ", cols,
                             " columns of y and the ", weight.cols(), " of weight"));
  }
  const CombineShape shape{heads, weight.cols() / heads, cols / heads};
  check_extent(operation, "weight.rows()", weight.rows(), rows);
  check_extent(operation, "pieces.cols()", piece_columns, shape.pieces * shape.width);
  return shape;
}

}  // namespace detail

/// The gradients of a combination: grad_weight_i[h, k] = <pieces_i[k], G_i[h]>, grad_pieces_i[k] = sum over h of
/// weight_i[h, k] G_i[h].
///
/// Shapes   weight [N, H K], pieces [N, K D], grad_y [N, H D] -> grad_weight [N, H K], grad_pieces [N, K D]
/// Cost     4 N H K D flops
/// Errors   ShapeError if the extents do not fit
/// Threads  safe to call concurrently on distinct outputs; result independent of T
template <Real T>
void combine_heads_backward(std::size_t heads, std::type_identity_t<MatrixView<const T>> weight,
                            std::type_identity_t<MatrixView<const T>> pieces,
                            std::type_identity_t<MatrixView<const T>> grad_y, MatrixView<T> grad_weight,
                            MatrixView<T> grad_pieces) {
  constexpr std::string_view kName = "combine_heads_backward";
  const detail::CombineShape shape =
      detail::combine_shape<T>(kName, heads, weight, pieces.cols(), grad_y.rows(), grad_y.cols());
  detail::check_extent(kName, "pieces.rows()", pieces.rows(), grad_y.rows());
  detail::check_shape(kName, "grad_weight", grad_weight, weight.rows(), weight.cols());
  detail::check_shape(kName, "grad_pieces", grad_pieces, pieces.rows(), pieces.cols());
  const KernelScope profile(kName, detail::dense_bytes(weight, pieces, grad_y, grad_weight, grad_pieces),
                            4.0 * static_cast<double>(weight.size() * shape.width));
  const Isa isa = active_isa();
  parallel_for(grad_y.rows(), detail::rows_per_block(weight.cols() * shape.width),
               [&](std::size_t begin, std::size_t end) {
                 dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
                   constexpr std::size_t W = decltype(level)::template lanes<T>();
                   T by_head[64];
                   for (std::size_t i = begin; i < end; ++i) {
                     const T* const w = weight.data() + i * weight.stride();
                     const T* const g = grad_y.data() + i * grad_y.stride();
                     const T* const piece = pieces.data() + i * pieces.stride();
                     T* const gw = grad_weight.data() + i * grad_weight.stride();
                     T* const gp = grad_pieces.data() + i * grad_pieces.stride();
                     for (std::size_t k = 0; k < shape.pieces; ++k) {
                       for (std::size_t h = 0; h < shape.heads; ++h) {
                         gw[h * shape.pieces + k] = detail::short_dot<W, T>(piece + k * shape.width,
                                                                            g + h * shape.width, shape.width);
                       }
                       if (shape.heads <= 64) {
                         for (std::size_t h = 0; h < shape.heads; ++h) by_head[h] = w[h * shape.pieces + k];
                         detail::combine_columns<W>(shape.heads, by_head, g, shape.width, 0, shape.width,
                                                    gp + k * shape.width);
                         continue;
                       }
                       std::fill_n(gp + k * shape.width, shape.width, T{0});
                       for (std::size_t h = 0; h < shape.heads; ++h) {
                         detail::axpy_row<W>(shape.width, w[h * shape.pieces + k], g + h * shape.width,
                                             gp + k * shape.width);
                       }
                     }
                   }
                 });
               });
}

/// Aggregates the neighbours of every row by several aggregators and combines the results by weights of the row's
/// own (the heart of EGC): with u_j = [u_j1 | ... | u_jQ],
///
///     y_ih = sum over aggregators s and q of weight_i[h, s, q] s({u_jq : j in row i})
///
/// Where `aggregates` is empty, a row's aggregates live in cache only until they are combined.
///
/// Shapes   a CSR [N, M] with E stored, u [M, Q D], weight [N, H A Q] for A aggregators -> y [N, H D]; aggregates [N,
///          A Q D] or empty; y may not alias u
/// Cost     work O(A E Q D + N H A Q D), reads E Q D elements of u from memory at worst
/// Errors   ShapeError if the extents do not fit, ConfigError for no aggregator
/// Threads  safe to call concurrently on distinct outputs; result independent of T
/// Source   Tailor et al., Do we need anisotropic graph neural networks?, ICLR 2022, eq. (4) and section 4
template <Real T>
void spmm_multi_combine(CsrView<> a, std::type_identity_t<MatrixView<const T>> u,
                        std::type_identity_t<MatrixView<const T>> weight, std::size_t heads,
                        std::span<const Aggregator> aggregators, MatrixView<T> y,
                        std::type_identity_t<MatrixView<T>> aggregates = {},
                        const MultiSaved<T>& saved = {}) {
  constexpr std::string_view kName = "spmm_multi_combine";
  detail::check_multi<T>(kName, a, u, aggregators, saved);
  detail::check_extent(kName, "y.rows()", y.rows(), a.num_rows);
  const std::size_t columns = aggregators.size() * u.cols();
  const detail::CombineShape shape =
      detail::combine_shape<T>(kName, heads, weight, columns, y.rows(), y.cols());
  const bool keep = aggregates.data() != nullptr;
  if (keep) detail::check_shape(kName, "aggregates", aggregates, a.num_rows, columns);
  if (y.empty()) return;
  const KernelScope profile = detail::aggregate_scope("spmm_multi_combine", a, u, y);
  detail::multi_rows<T>(
      a, u, aggregators, saved,
      [&](std::size_t i, T* scratch) { return keep ? aggregates.data() + i * aggregates.stride() : scratch; },
      [&](auto level, std::size_t i, T* row) TESSERA_INLINE_LAMBDA {
        constexpr std::size_t W = decltype(level)::template lanes<T>();
        detail::combine_row<W>(shape.heads, shape.pieces, shape.width, weight.data() + i * weight.stride(),
                               row, y.data() + i * y.stride());
      });
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void combine_heads_backward<float>(std::size_t, MatrixView<const float>,
                                                       MatrixView<const float>, MatrixView<const float>,
                                                       MatrixView<float>, MatrixView<float>);
TESSERA_INSTANTIATE void combine_heads_backward<double>(std::size_t, MatrixView<const double>,
                                                        MatrixView<const double>, MatrixView<const double>,
                                                        MatrixView<double>, MatrixView<double>);
TESSERA_INSTANTIATE void spmm_multi_combine<float>(CsrView<>, MatrixView<const float>,
                                                   MatrixView<const float>, std::size_t,
                                                   std::span<const Aggregator>, MatrixView<float>,
                                                   MatrixView<float>, const MultiSaved<float>&);
TESSERA_INSTANTIATE void spmm_multi_combine<double>(CsrView<>, MatrixView<const double>,
                                                    MatrixView<const double>, std::size_t,
                                                    std::span<const Aggregator>, MatrixView<double>,
                                                    MatrixView<double>, const MultiSaved<double>&);
#endif

}  // namespace tessera
