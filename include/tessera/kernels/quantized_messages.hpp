// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "tessera/core/array.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/feature_tile.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/kernels/fake_quantize.hpp"

// Sums over neighbours whose messages are rounded one by one, as the published placement of quantisers has it.

namespace tessera {
namespace detail {

/// Calls body.operator()<W, V>(f) for tiles of V vectors of W lanes that cover columns [f, n): fours of full vectors, then
/// ever narrower ones.
template <std::size_t W, bool kFirst = true, class Body>
TESSERA_ALWAYS_INLINE void for_column_tiles(std::size_t n, Body&& body, std::size_t f = 0) {
  if constexpr (kFirst) {
    for (; f + 4 * W <= n; f += 4 * W) body.template operator()<W, 4>(f);
  }
  for (; f + W <= n; f += W) body.template operator()<W, 1>(f);
  if constexpr (W > 1) for_column_tiles<W / 2, false>(n, body, f);
}

/// to[column + j] = sum over the entries of row i of Q(w x_j) for V vectors of columns; kept sources' are not rounded.
template <std::size_t W, std::size_t V, Real T>
TESSERA_ALWAYS_INLINE void sum_messages_tile(const CsrView<>& a, std::size_t i, MatrixView<const T> x,
                                             std::size_t column, const QuantGrid<T>& grid,
                                             std::span<const std::uint8_t> keep, T* to) noexcept {
  const T inverse = grid.inverse[0];
  const T scale = grid.scale[0];
  Simd<T, W> low, high, sum[V] = {};
  simd_fill<W, T>(low, grid.low[0]);
  simd_fill<W, T>(high, grid.high[0]);
  for (auto e = a.begin(i); e < a.end(i); ++e) {
    const T* const from = x.data() + a.col[e] * x.stride() + column;
    const NodeId next = a.col[std::min<std::size_t>(e + kPrefetchEntries, a.num_edges() - 1)];
    prefetch_bytes(x.data() + next * x.stride() + column, V * W * sizeof(T));
    const T w = static_cast<T>(a.weight[e]);
    const bool exact = !keep.empty() && keep[a.col[e]] != 0;
    unroll<V>([&](auto k) TESSERA_INLINE_LAMBDA {
      Simd<T, W> v;
      simd_load<W, T>(v, from + k * W);
      v *= w;
      if (!exact) {
        v *= inverse;
        round_clamp_lanes<T, W>(v, low, high);
        v *= scale;
      }
      sum[k] += v;
    });
  }
  unroll<V>([&](auto k) TESSERA_INLINE_LAMBDA { simd_store<W, T>(to + column + k * W, sum[k]); });
}

/// to[column + l] = sum over the entries of row j of w times the gradient that passes, for V vectors of columns.
template <std::size_t W, std::size_t V, Real T>
TESSERA_ALWAYS_INLINE void sum_passing_tile(const CsrView<>& transpose, std::size_t j, const T* own,
                                            MatrixView<const T> grad_y, std::size_t column,
                                            const QuantGrid<T>& grid, bool clips, bool inclusive,
                                            T* to) noexcept {
  const T inverse = grid.inverse[0];
  Simd<T, W> low, high, x[V], sum[V] = {};
  simd_fill<W, T>(low, grid.low[0]);
  simd_fill<W, T>(high, grid.high[0]);
  unroll<V>([&](auto k) TESSERA_INLINE_LAMBDA { simd_load<W, T>(x[k], own + column + k * W); });
  for (auto e = transpose.begin(j); e < transpose.end(j); ++e) {
    const T* const from = grad_y.data() + transpose.col[e] * grad_y.stride() + column;
    const NodeId next = transpose.col[std::min<std::size_t>(e + kPrefetchEntries, transpose.num_edges() - 1)];
    prefetch_bytes(grad_y.data() + next * grad_y.stride() + column, V * W * sizeof(T));
    const T w = static_cast<T>(transpose.weight[e]);
    unroll<V>([&](auto k) TESSERA_INLINE_LAMBDA {
      Simd<T, W> g;
      simd_load<W, T>(g, from + k * W);
      if (clips) clip_gradient<T, W>(g, (w * x[k]) * inverse, low, high, inclusive);
      sum[k] += w * g;
    });
  }
  unroll<V>([&](auto k) TESSERA_INLINE_LAMBDA { simd_store<W, T>(to + column + k * W, sum[k]); });
}

/// The least and largest of each of `heads` equal runs of columns of every row: [N, heads], head by head.
template <Real T>
Array<ValueRange<T>> source_ranges(MatrixView<const T> x, std::size_t heads) {
  Array<ValueRange<T>> out(x.rows() * heads);
  const std::size_t width = x.cols() / heads;
  const Isa isa = tessera::active_isa();
  parallel_for(x.rows(), rows_per_block(x.cols()), [&](std::size_t begin, std::size_t end) {
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      for (std::size_t i = begin; i < end; ++i) {
        for (std::size_t h = 0; h < heads; ++h) {
          ValueRange<T> range;
          range_of_run(level, x.data() + i * x.stride() + h * width, width, range);
          out[i * heads + h] = range;
        }
      }
    });
  });
  return out;
}

/// The range of w times numbers of a range.
template <Real T>
ValueRange<T> scaled_range(const ValueRange<T>& range, T w) noexcept {
  if (range.empty()) return range;
  const T one = w * range.min;
  const T other = w * range.max;
  return {std::min(one, other), std::max(one, other)};
}

}  // namespace detail

/// y_i = sum over the entries of row i of Q(a_ij x_j), Q left out for kept sources.
///
/// Shapes   a [N_dst, N_src] with weights, x [N_src, F], keep [N_src] or empty, a grid for all columns -> y [N_dst, F]
/// Cost     about 6 E F operations, nothing stored per entry
/// Errors   ShapeError if extents do not fit
/// Threads  safe to call concurrently on distinct y; result independent of T
template <Real T>
void quantized_messages(const CsrView<>& a, std::type_identity_t<MatrixView<const T>> x,
                        const QuantGrid<T>& grid, std::span<const std::uint8_t> keep, MatrixView<T> y) {
  detail::check_shape("quantized_messages", "x", x, a.num_cols, y.cols());
  detail::check_size("quantized_messages", "y.rows()", y.rows(), a.num_rows);
  detail::check_size("quantized_messages", "a.weight", a.weight.size(), a.num_edges());
  detail::check_grid("quantized_messages", grid, {keep, {}}, a.num_cols, y.cols());
  detail::check_size("quantized_messages", "grid.scale", grid.scale.size(), 1);
  const KernelScope profile = detail::entry_scope(
      "quantized_messages", a, x.cols(), detail::dense_bytes(x, y) + detail::entry_bytes(a, true), 6);
  detail::for_rows(y, [&](auto level, T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const std::size_t n = y.cols();
    detail::for_column_tiles<decltype(level)::template lanes<T>()>(
        n, [&]<std::size_t W, std::size_t V>(std::size_t f)
               TESSERA_INLINE_LAMBDA { detail::sum_messages_tile<W, V, T>(a, i, x, f, grid, keep, to); });
  });
}

/// The gradient of quantized_messages, by rows of the transposed matrix.
///
/// Shapes   transpose [N_src, N_dst] with weights, x [N_src, F], grad_y [N_dst, F] -> grad_x [N_src, F]
/// Errors   ShapeError if extents do not fit
/// Threads  safe to call concurrently on distinct grad_x; result independent of T
template <Real T>
void quantized_messages_backward(const CsrView<>& transpose, std::type_identity_t<MatrixView<const T>> x,
                                 const QuantGrid<T>& grid, std::span<const std::uint8_t> keep,
                                 std::type_identity_t<MatrixView<const T>> grad_y, QuantGradient gradient,
                                 MatrixView<T> grad_x) {
  detail::check_shape("quantized_messages_backward", "x", x, grad_x.rows(), grad_x.cols());
  detail::check_shape("quantized_messages_backward", "grad_y", grad_y, transpose.num_cols, grad_x.cols());
  detail::check_size("quantized_messages_backward", "transpose.weight", transpose.weight.size(),
                     transpose.num_edges());
  detail::check_grid("quantized_messages_backward", grid, {keep, {}}, grad_x.rows(), grad_x.cols());
  detail::check_size("quantized_messages_backward", "grid.scale", grid.scale.size(), 1);
  const KernelScope profile =
      detail::entry_scope("quantized_messages_backward", transpose, x.cols(),
                          detail::dense_bytes(x, grad_y, grad_x) + detail::entry_bytes(transpose, true), 6);
  detail::for_rows(grad_x, [&](auto level, T* to, std::size_t j) TESSERA_INLINE_LAMBDA {
    const std::size_t n = grad_x.cols();
    const bool clips = gradient != QuantGradient::straight && (keep.empty() || keep[j] == 0);
    const T* const own = x.data() + j * x.stride();
    const bool inclusive = gradient == QuantGradient::clipped_inclusive;
    detail::for_column_tiles<decltype(level)::template lanes<T>()>(
        n, [&]<std::size_t W, std::size_t V>(std::size_t f) TESSERA_INLINE_LAMBDA {
          detail::sum_passing_tile<W, V, T>(transpose, j, own, grad_y, f, grid, clips, inclusive, to);
        });
  });
}

/// The least and largest a_ij x_j over entries whose source is not kept.
///
/// Shapes   as quantized_messages
/// Cost     work O(N_src F + E), memory of one pair per source
/// Errors   ShapeError if extents do not fit
/// Threads  safe to call concurrently; result independent of T
template <Real T>
ValueRange<T> message_range(const CsrView<>& a, MatrixView<const T> x, std::span<const std::uint8_t> keep) {
  detail::check_size("message_range", "x.rows()", x.rows(), a.num_cols);
  detail::check_size("message_range", "a.weight", a.weight.size(), a.num_edges());
  detail::check_size_or_empty("message_range", "keep", keep.size(), a.num_cols);
  const KernelScope profile = detail::entry_scope("message_range", a, x.cols(),
                                                  detail::dense_bytes(x) + detail::entry_bytes(a, true), 2);
  const Array<ValueRange<T>> source = detail::source_ranges(x, 1);
  return parallel_reduce(
      a.num_rows, 256, ValueRange<T>{},
      [&](std::size_t begin, std::size_t end) {
        ValueRange<T> all;
        for (std::size_t e = a.begin(begin); e < a.end(end - 1); ++e) {
          if (!keep.empty() && keep[a.col[e]] != 0) continue;
          all = join(all, detail::scaled_range(source[a.col[e]], static_cast<T>(a.weight[e])));
        }
        return all;
      },
      [](const ValueRange<T>& p, const ValueRange<T>& q) { return join(p, q); });
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void quantized_messages<float>(const CsrView<>&, MatrixView<const float>,
                                                   const QuantGrid<float>&, std::span<const std::uint8_t>,
                                                   MatrixView<float>);
TESSERA_INSTANTIATE void quantized_messages_backward<float>(const CsrView<>&, MatrixView<const float>,
                                                            const QuantGrid<float>&,
                                                            std::span<const std::uint8_t>,
                                                            MatrixView<const float>, QuantGradient,
                                                            MatrixView<float>);
TESSERA_INSTANTIATE ValueRange<float> message_range<float>(const CsrView<>&, MatrixView<const float>,
                                                           std::span<const std::uint8_t>);
#endif

}  // namespace tessera
