// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>

#include "tessera/core/config.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/elementwise.hpp"

namespace tessera {

/// The numbers a quantiser can give, as its loops want them: scale times an integer in [low, high], zero among them.
/// One for all columns, or one per column.
///
/// Shapes   scale, inverse, low and high each [1] or [F]
template <Real T>
struct QuantGrid {
  std::span<const T> scale;
  std::span<const T> inverse;  ///< of scale
  std::span<const T> low;      ///< qmin - zero_point
  std::span<const T> high;     ///< qmax - zero_point
};

/// Which gradient passes a quantiser, whose own is zero almost everywhere.
enum class QuantGradient {
  straight,          ///< all of it
  clipped,           ///< where the code lies strictly between the extreme ones
  clipped_inclusive  ///< where the code needs no clamping
};

/// What a quantiser does besides rounding.
///
/// Shapes   keep [N] or empty: rows that pass untouched; row_factor [N] or empty: rows are multiplied by it on the way
///          in and divided by it on the way out
struct QuantRows {
  std::span<const std::uint8_t> keep{};
  std::span<const float> row_factor{};
};

/// The least and largest of some numbers; min > max where there were none.
template <Real T>
struct ValueRange {
  T min = std::numeric_limits<T>::infinity();
  T max = -std::numeric_limits<T>::infinity();

  bool empty() const noexcept { return min > max; }
  friend ValueRange join(const ValueRange& a, const ValueRange& b) noexcept {
    return {std::min(a.min, b.min), std::max(a.max, b.max)};
  }
};

namespace detail {

/// 1.5 * 2^(digits - 1): adding and subtracting it rounds to the nearest integer, halves to even.
template <Real T>
inline constexpr T kRounder = std::is_same_v<T, float> ? T(12582912.0) : T(6755399441055744.0);

/// v becomes rne(clamp(v, low, high)); NaN becomes low.
template <Real T, std::size_t W>
TESSERA_ALWAYS_INLINE void round_clamp_lanes(Simd<T, W>& v, const Simd<T, W>& low,
                                             const Simd<T, W>& high) noexcept {
  v = v > low ? v : low;
  v = v < high ? v : high;
  v = (v + kRounder<T>)-kRounder<T>;
}

template <Real T>
TESSERA_ALWAYS_INLINE T round_clamped(T v, T low, T high) noexcept {
  round_clamp_lanes<T, 1>(v, low, high);
  return v;
}

template <Real T>
TESSERA_ALWAYS_INLINE bool passes_gradient(T v, T low, T high, bool inclusive) noexcept {
  const T r = round_clamped(v, low - T{1}, high + T{1});
  return inclusive ? (r >= low && r <= high) : (r > low && r < high);
}

/// grad becomes 0 where clamping v holds it back.
template <Real T, std::size_t W>
TESSERA_ALWAYS_INLINE void clip_gradient(Simd<T, W>& grad, const Simd<T, W>& v, const Simd<T, W>& low,
                                         const Simd<T, W>& high, bool inclusive) noexcept {
  if constexpr (W == 1) {
    if (!passes_gradient<T>(v, low, high, inclusive)) grad = 0;
  } else {
    const T edge = inclusive ? T{0} : T{1};  // codes are whole numbers
    const Simd<T, W> none = {};
    Simd<T, W> r = v;
    round_clamp_lanes<T, W>(r, low - T{1}, high + T{1});
    // How far inside: compilers take two comparisons of wide vectors apart, lane by lane, one they do not.
    const Simd<T, W> above = r - (low + edge);
    Simd<T, W> inside = (high - edge) - r;
    inside = above < inside ? above : inside;
    grad = inside >= T{0} ? grad : none;
  }
}

/// Bytes of a vector: compilers compare wider ones number by number.
inline constexpr std::size_t kQuantBytes = 32;

/// The one scale of a grid, times a row's factor, in every lane: compilers fill lanes anew in every step of a loop.
template <Real T>
struct ScaleLanes {
  static constexpr std::size_t kLanes = kQuantBytes / sizeof(T);
  T inverse[kLanes], scale[kLanes], low[kLanes], high[kLanes];

  ScaleLanes(const QuantGrid<T>& grid, T factor) noexcept {
    std::fill_n(inverse, kLanes, grid.inverse[0] * factor);
    std::fill_n(scale, kLanes, grid.scale[0] / factor);
    std::fill_n(low, kLanes, grid.low[0]);
    std::fill_n(high, kLanes, grid.high[0]);
  }
  template <std::size_t W>
  TESSERA_ALWAYS_INLINE void load(Simd<T, W>& by, Simd<T, W>& least, Simd<T, W>& most) const noexcept {
    simd_load<W, T>(by, inverse);
    simd_load<W, T>(least, low);
    simd_load<W, T>(most, high);
  }
};

template <Real T>
void check_grid(std::string_view operation, const QuantGrid<T>& grid, const QuantRows& rows, std::size_t n,
                std::size_t cols) {
  const std::size_t channels = grid.scale.size();
  if ((channels != 1 && channels != cols) || grid.inverse.size() != channels || grid.low.size() != channels ||
      grid.high.size() != channels) {
    throw ShapeError(message(operation, ": grid has ", channels, " scales, want 1 or ", cols));
  }
  if ((!rows.keep.empty() && rows.keep.size() != n) ||
      (!rows.row_factor.empty() && rows.row_factor.size() != n)) {
    throw ShapeError(message(operation, ": rows.keep has ", rows.keep.size(), " and rows.row_factor ",
                             rows.row_factor.size(), " elements, want none or ", n));
  }
  if (channels != 1 && !rows.row_factor.empty()) {
    throw ShapeError(message(operation, ": rows.row_factor is set with a scale per column, want one scale"));
  }
}

template <Real T>
TESSERA_ALWAYS_INLINE void fake_quantize_row(const T* x, T* y, std::size_t n, const QuantGrid<T>& grid,
                                             T factor) noexcept {
  if (grid.scale.size() == 1) {
    const ScaleLanes<T> one(grid, factor);
    for_vectors<T, kQuantBytes>(n, [x, y, &one]<std::size_t W>(std::size_t j) TESSERA_INLINE_LAMBDA {
      Simd<T, W> v, inverse, scale, low, high;
      simd_load<W, T>(v, x + j);
      one.template load<W>(inverse, low, high);
      simd_load<W, T>(scale, one.scale);
      v *= inverse;
      round_clamp_lanes<T, W>(v, low, high);
      v *= scale;
      simd_store<W, T>(y + j, v);
    });
    return;
  }
  for_vectors<T, kQuantBytes>(n, [x, y, &grid]<std::size_t W>(std::size_t j) TESSERA_INLINE_LAMBDA {
    Simd<T, W> v, inverse, scale, low, high;
    simd_load<W, T>(v, x + j);
    simd_load<W, T>(inverse, grid.inverse.data() + j);
    simd_load<W, T>(low, grid.low.data() + j);
    simd_load<W, T>(high, grid.high.data() + j);
    simd_load<W, T>(scale, grid.scale.data() + j);
    v *= inverse;
    round_clamp_lanes<T, W>(v, low, high);
    v *= scale;
    simd_store<W, T>(y + j, v);
  });
}

/// Least and largest of `n` numbers by lanes, NaN left out.
template <class L, Real T>
TESSERA_ALWAYS_INLINE void range_of_run(L, const T* x, std::size_t n, ValueRange<T>& out) noexcept {
  constexpr std::size_t W = L::template lanes<T>();
  std::size_t j = 0;
  if (n >= W) {
    Simd<T, W> low, high, v;
    simd_fill<W>(low, out.min);
    simd_fill<W>(high, out.max);
    for (; j + W <= n; j += W) {
      simd_load<W, T>(v, x + j);
      low = v < low ? v : low;
      high = v > high ? v : high;
    }
    for (std::size_t lane = 0; lane < W; ++lane) {
      out.min = std::min(out.min, static_cast<T>(low[lane]));
      out.max = std::max(out.max, static_cast<T>(high[lane]));
    }
  }
  for (; j < n; ++j) {
    if (x[j] < out.min) out.min = x[j];
    if (x[j] > out.max) out.max = x[j];
  }
}

}  // namespace detail

/// y = scale clamp(rne(x / scale), low, high): what is left of x after it was stored as a code.
///
/// Shapes   x [N, F] -> y [N, F]; y may be x
/// Cost     work O(N F), nothing allocated
/// Errors   ShapeError if extents do not fit
/// Threads  safe to call concurrently on distinct y; result independent of T
template <Real T>
void fake_quantize(std::type_identity_t<MatrixView<const T>> x, const QuantGrid<T>& grid, MatrixView<T> y,
                   const QuantRows& rows = {}) {
  detail::check_shape("fake_quantize", "x", x, y.rows(), y.cols());
  detail::check_grid("fake_quantize", grid, rows, y.rows(), y.cols());
  const KernelScope profile = detail::pass_scope("fake_quantize", y, 2);
  detail::for_rows(y, [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const T* const from = x.data() + i * x.stride();
    if (!rows.keep.empty() && rows.keep[i] != 0) {
      if (from != to) std::copy_n(from, y.cols(), to);
      return;
    }
    const T factor = rows.row_factor.empty() ? T{1} : static_cast<T>(rows.row_factor[i]);
    detail::fake_quantize_row(from, to, y.cols(), grid, factor);
  });
}

/// The gradient that passes: grad_y where `gradient` lets it, 0 elsewhere; protected rows pass all of it.
///
/// Shapes   x, grad_y [N, F] -> grad_x [N, F], which may be grad_y
/// Cost     work O(N F), nothing allocated
/// Errors   ShapeError if extents do not fit
/// Threads  safe to call concurrently on distinct grad_x; result independent of T
template <Real T>
void fake_quantize_backward(std::type_identity_t<MatrixView<const T>> x, const QuantGrid<T>& grid,
                            std::type_identity_t<MatrixView<const T>> grad_y, MatrixView<T> grad_x,
                            QuantGradient gradient, const QuantRows& rows = {}) {
  detail::check_shape("fake_quantize_backward", "x", x, grad_x.rows(), grad_x.cols());
  detail::check_shape("fake_quantize_backward", "grad_y", grad_y, grad_x.rows(), grad_x.cols());
  detail::check_grid("fake_quantize_backward", grid, rows, grad_x.rows(), grad_x.cols());
  const KernelScope profile = detail::pass_scope("fake_quantize_backward", grad_x, 3);
  const bool inclusive = gradient == QuantGradient::clipped_inclusive;
  detail::for_rows(grad_x, [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const T* const from = x.data() + i * x.stride();
    const T* const g = grad_y.data() + i * grad_y.stride();
    const std::size_t n = grad_x.cols();
    if (gradient == QuantGradient::straight || (!rows.keep.empty() && rows.keep[i] != 0)) {
      if (g != to) std::copy_n(g, n, to);
      return;
    }
    const T factor = rows.row_factor.empty() ? T{1} : static_cast<T>(rows.row_factor[i]);
    if (grid.scale.size() == 1) {
      const detail::ScaleLanes<T> one(grid, factor);
      detail::for_vectors<T, detail::kQuantBytes>(n, [&]<std::size_t W>(std::size_t j) TESSERA_INLINE_LAMBDA {
        detail::Simd<T, W> v, grad, inverse, low, high;
        detail::simd_load<W, T>(v, from + j);
        detail::simd_load<W, T>(grad, g + j);
        one.template load<W>(inverse, low, high);
        v *= inverse;
        detail::clip_gradient<T, W>(grad, v, low, high, inclusive);
        detail::simd_store<W, T>(to + j, grad);
      });
      return;
    }
    detail::for_vectors<T, detail::kQuantBytes>(n, [&]<std::size_t W>(std::size_t j) TESSERA_INLINE_LAMBDA {
      detail::Simd<T, W> v, grad, inverse, low, high;
      detail::simd_load<W, T>(v, from + j);
      detail::simd_load<W, T>(grad, g + j);
      detail::simd_load<W, T>(inverse, grid.inverse.data() + j);
      detail::simd_load<W, T>(low, grid.low.data() + j);
      detail::simd_load<W, T>(high, grid.high.data() + j);
      v *= inverse * factor;
      detail::clip_gradient<T, W>(grad, v, low, high, inclusive);
      detail::simd_store<W, T>(to + j, grad);
    });
  });
}

/// The least and largest element of the rows that are not kept, times their factor; NaN is left out.
///
/// Shapes   x [N, F]
/// Cost     work O(N F), memory of one pair per block of rows
/// Errors   ShapeError if extents do not fit
/// Threads  safe to call concurrently; result independent of T
template <Real T>
ValueRange<T> value_range(MatrixView<const T> x, const QuantRows& rows = {}) {
  if ((!rows.keep.empty() && rows.keep.size() != x.rows()) ||
      (!rows.row_factor.empty() && rows.row_factor.size() != x.rows())) {
    throw ShapeError(message("value_range: rows has ", rows.keep.size(), " and ", rows.row_factor.size(),
                             " elements, want none or ", x.rows()));
  }
  const KernelScope profile = detail::pass_scope("value_range", x, 1);
  const Isa isa = active_isa();
  const std::size_t grain =
      std::max<std::size_t>(1, (std::size_t{1} << 14) / std::max<std::size_t>(1, x.cols()));
  return parallel_reduce(
      x.rows(), grain, ValueRange<T>{},
      [&](std::size_t begin, std::size_t end) {
        ValueRange<T> all;
        dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
          for (std::size_t i = begin; i < end; ++i) {
            if (!rows.keep.empty() && rows.keep[i] != 0) continue;
            ValueRange<T> row;
            detail::range_of_run(level, x.data() + i * x.stride(), x.cols(), row);
            if (!rows.row_factor.empty() && !row.empty()) {
              row.min *= static_cast<T>(rows.row_factor[i]);
              row.max *= static_cast<T>(rows.row_factor[i]);
            }
            all = join(all, row);
          }
        });
        return all;
      },
      [](const ValueRange<T>& a, const ValueRange<T>& b) { return join(a, b); });
}

/// The least and largest element of every column.
///
/// Shapes   x [N, F], min and max [F]
/// Errors   ShapeError if extents do not fit
/// Threads  safe to call concurrently on distinct outputs; result independent of T
template <Real T>
void column_ranges(MatrixView<const T> x, std::span<T> min, std::span<T> max) {
  detail::check_size("column_ranges", "min", min.size(), x.cols());
  detail::check_size("column_ranges", "max", max.size(), x.cols());
  const KernelScope profile = detail::pass_scope("column_ranges", x, 1);
  std::fill(min.begin(), min.end(), std::numeric_limits<T>::infinity());
  std::fill(max.begin(), max.end(), -std::numeric_limits<T>::infinity());
  parallel_for(x.cols(), 64, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = 0; i < x.rows(); ++i) {
      const T* const row = x.data() + i * x.stride();
      for (std::size_t j = begin; j < end; ++j) {
        if (row[j] < min[j]) min[j] = row[j];
        if (row[j] > max[j]) max[j] = row[j];
      }
    }
  });
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void fake_quantize<float>(MatrixView<const float>, const QuantGrid<float>&,
                                              MatrixView<float>, const QuantRows&);
TESSERA_INSTANTIATE void fake_quantize_backward<float>(MatrixView<const float>, const QuantGrid<float>&,
                                                       MatrixView<const float>, MatrixView<float>,
                                                       QuantGradient, const QuantRows&);
TESSERA_INSTANTIATE ValueRange<float> value_range<float>(MatrixView<const float>, const QuantRows&);
#endif

}  // namespace tessera
