// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <type_traits>

#include "tessera/core/config.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/profile.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/elementwise.hpp"

namespace tessera {
namespace detail {

/// to[j] = from[j], converting; double and bf16 meet by way of float.
template <class L, class X, class Y>
TESSERA_ALWAYS_INLINE void convert_run(L, const X* from, std::size_t count, Y* to) noexcept {
  if constexpr (std::is_same_v<X, Y>) {
    std::copy_n(from, count, to);
  } else {
    constexpr std::size_t W = L::template lanes<float>();
    std::size_t j = 0;
    if constexpr (!std::is_same_v<X, double> && !std::is_same_v<Y, double>) {
      for (; j + W <= count; j += W) {
        Simd<float, W> value;
        simd_load<W, float>(value, from + j);
        simd_store<W, float>(to + j, value);
      }
    }
    for (; j < count; ++j) {
      if constexpr (std::is_same_v<Y, double>) {
        to[j] = static_cast<double>(from[j]);
      } else {
        to[j] = static_cast<Y>(static_cast<float>(from[j]));
      }
    }
  }
}

}  // namespace detail

/// y_i = x_{rows[i]}, converting between float, bf16 and double where the types differ.
///
/// Shapes   x [M, F], rows [N] with values in [0, M) -> y [N, F]; y may not overlap x
/// Cost     work O(N F), nothing allocated; the next rows are prefetched
/// Errors   ShapeError if extents do not fit; ids are trusted
/// Threads  safe to call concurrently on distinct y; result independent of T
template <Scalar X, Scalar Y>
void gather_rows(MatrixView<const X> x, std::span<const NodeId> rows, MatrixView<Y> y) {
  detail::check_shape("gather_rows", "y", y, rows.size(), x.cols());
  const KernelScope profile("gather_rows", static_cast<double>(y.size() * (sizeof(X) + sizeof(Y))), 0);
  const Isa isa = active_isa();
  parallel_for(rows.size(), detail::rows_per_block(x.cols()), [&](std::size_t begin, std::size_t end) {
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      constexpr std::size_t kAhead = 4;
      const std::size_t cols = x.cols();
      for (std::size_t i = begin; i < end; ++i) {
        TESSERA_ASSERT(heavy, rows[i] < x.rows());
        if (i + kAhead < end) {
          detail::prefetch_bytes(x.data() + rows[i + kAhead] * x.stride(), cols * sizeof(X));
        }
        detail::convert_run(level, x.data() + rows[i] * x.stride(), cols, y.data() + i * y.stride());
      }
    });
  });
}

/// y_{rows[i]} += z_i for i = 0, 1, ... in that order: the adjoint of gather_rows.
///
/// Shapes   z [N, F], rows [N] with values in [0, M), repeats allowed; y [M, F]
/// Cost     work O(N F), nothing allocated; threads share the columns by cache lines, so narrow matrices run
/// on
///          few of them
/// Errors   ShapeError if extents do not fit; ids are trusted
/// Threads  safe to call concurrently on distinct y; result independent of T
template <Real T>
void scatter_add_rows(std::type_identity_t<MatrixView<const T>> z, std::span<const NodeId> rows,
                      MatrixView<T> y) {
  detail::check_shape("scatter_add_rows", "z", z, rows.size(), y.cols());
  const KernelScope profile("scatter_add_rows", 3.0 * static_cast<double>(z.size() * sizeof(T)), 0);
  constexpr std::size_t kLine = 64 / sizeof(T);
  // One thread adds all rows of a strip, so every sum runs in the order of `rows`; strips change no bits.
  const std::size_t lines = (y.cols() + kLine - 1) / kLine;
  const std::size_t strips = z.size() <= 16384 ? 1 : std::min(lines, max_threads());
  const std::size_t width = strips == 0 ? 0 : (lines + strips - 1) / strips * kLine;
  const Isa isa = active_isa();
  parallel_for(y.cols(), width, [&](std::size_t begin, std::size_t end) {
    dispatch(isa, [&](auto) TESSERA_INLINE_LAMBDA {
      const std::size_t count = end - begin;
      for (std::size_t i = 0; i < rows.size(); ++i) {
        TESSERA_ASSERT(heavy, rows[i] < y.rows());
        const T* const from = z.data() + i * z.stride() + begin;
        T* const to = y.data() + rows[i] * y.stride() + begin;
        detail::add_vectors(from, count, to);
      }
    });
  });
}

/// y_i = factor_i x_i.
///
/// Shapes   x [N, F], factor [N] -> y [N, F]; y may be x
/// Cost     work O(N F), nothing allocated
/// Errors   ShapeError if extents do not fit
/// Threads  safe to call concurrently on distinct y; result independent of T
template <Real T>
void row_scale(std::type_identity_t<MatrixView<const T>> x, std::span<const float> factor, MatrixView<T> y) {
  detail::check_shape("row_scale", "x", x, y.rows(), y.cols());
  detail::check_size("row_scale", "factor", factor.size(), y.rows());
  detail::for_rows(y, [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const T* const from = x.data() + i * x.stride();
    const T f = static_cast<T>(factor[i]);
    detail::map_vectors(
        y.cols(), to, [f](auto& out, const auto& v) TESSERA_INLINE_LAMBDA { out = f * v; }, from);
  });
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void scatter_add_rows<float>(MatrixView<const float>, std::span<const NodeId>,
                                                 MatrixView<float>);
TESSERA_INSTANTIATE void row_scale<float>(MatrixView<const float>, std::span<const float>, MatrixView<float>);
TESSERA_INSTANTIATE void gather_rows<float, float>(MatrixView<const float>, std::span<const NodeId>,
                                                   MatrixView<float>);
TESSERA_INSTANTIATE void scatter_add_rows<double>(MatrixView<const double>, std::span<const NodeId>,
                                                  MatrixView<double>);
TESSERA_INSTANTIATE void row_scale<double>(MatrixView<const double>, std::span<const float>,
                                           MatrixView<double>);
TESSERA_INSTANTIATE void gather_rows<double, double>(MatrixView<const double>, std::span<const NodeId>,
                                                     MatrixView<double>);
#endif

}  // namespace tessera
