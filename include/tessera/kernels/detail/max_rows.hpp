// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "tessera/core/ids.hpp"
#include "tessera/kernels/detail/feature_tile.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/detail/spmm_rows.hpp"
#include "tessera/kernels/dispatch.hpp"

namespace tessera::detail {

/// The largest values so far, the columns they came from, and a sum that is NaN if a NaN passed.
template <class Y, std::size_t W>
struct MaxRegisters {
  using Id = SameWidthInt<Y>;
  Simd<Y, W> best;
  Simd<Id, W> from;
  Simd<Y, W> sum;
};

/// Consecutive rows, or one part of a row.
template <class Y>
struct MaxOutput {
  const EdgeId* bounds = nullptr;
  std::size_t first = 0;
  std::size_t last = 0;
  Y* y = nullptr;  ///< of row `first`
  std::size_t y_stride = 0;
  std::int32_t* arg = nullptr;  ///< of row `first`
  std::size_t arg_stride = 0;
  std::size_t readable = 0;
};

/// One row by the definition, for rows that may hold a NaN.
template <class X, class Y>
[[gnu::noinline]] void max_row_exact(const SumInput<X, Y>& in, std::size_t first, std::size_t last, Y* y,
                                     std::int32_t* arg) {
  for (std::size_t e = first; e < last; ++e) {
    const X* const row = in.x + std::size_t{in.col[e]} * in.stride;
    for (std::size_t f = 0; f < in.cols; ++f) {
      const Y value = static_cast<Y>(row[f]);
      const bool keep = e > first && (value <= y[f] || y[f] != y[f]);
      if (keep) continue;
      y[f] = value;
      arg[f] = static_cast<std::int32_t>(in.col[e]);
    }
  }
}

/// One tile of one row; true if a NaN may have been among the values, which the comparisons here pass over.
template <std::size_t W, std::size_t V, class X, class Y>
TESSERA_ALWAYS_INLINE bool max_tile(const SumInput<X, Y>& in, const UnitOffsets<V, W>& offset,
                                    std::size_t tile, std::size_t first, std::size_t last,
                                    std::size_t readable, Y* y, std::int32_t* arg) {
  using Id = SameWidthInt<Y>;
  const NodeId* const col = in.col;
  const X* const x = in.x + tile;
  const std::size_t stride = in.stride;
  MaxRegisters<Y, W> r[V] = {};
  const Id start = first < last ? static_cast<Id>(col[first]) : Id{-1};
  unroll<V>([&](auto k) TESSERA_INLINE_LAMBDA {
    if (first < last) {
      simd_load<W, Y>(r[k].best, x + static_cast<std::size_t>(start) * stride + offset.template at<k>());
    }
    r[k].sum = r[k].best;
    simd_fill<W, Id>(r[k].from, start);
  });
  for (std::size_t e = first + 1; e < last; ++e) {
    const X* const ahead = x + std::size_t{col[std::min(e + kPrefetchEntries, readable)]} * stride;
    if (in.far) {
      prefetch_tile<kSecondCache>(ahead, offset);
    } else {
      prefetch_tile<kFirstCache>(ahead, offset);
    }
    const X* const row = x + std::size_t{col[e]} * stride;
    Simd<Id, W> j;
    simd_fill<W, Id>(j, static_cast<Id>(col[e]));
    unroll<V>([&](auto k) TESSERA_INLINE_LAMBDA {
      Simd<Y, W> value;
      simd_load<W, Y>(value, row + offset.template at<k>());
      r[k].sum += value;
      r[k].from = value > r[k].best ? j : r[k].from;  // the first of equals stays
      r[k].best = value > r[k].best ? value : r[k].best;
    });
  }
  Simd<Y, W> sum = r[0].sum;
  unroll<V>([&](auto k) TESSERA_INLINE_LAMBDA {
    if constexpr (k > 0) sum += r[k].sum;
    simd_store<W, Y>(y + tile + offset.template at<k>(), r[k].best);
    simd_store<W, Id>(arg + tile + offset.template at<k>(), r[k].from);
  });
  const Y total = simd_sum<W, Y>(sum);
  return total != total;
}

template <std::size_t W, std::size_t V, class X, class Y>
TESSERA_ALWAYS_INLINE void max_rows_tiled(const SumInput<X, Y>& input, const MaxOutput<Y>& output,
                                          const TilePlan& plan) {
  const SumInput<X, Y> in = input;
  const MaxOutput<Y> out = output;
  for (std::size_t r = out.first; r < out.last; ++r) {
    const auto first = static_cast<std::size_t>(out.bounds[r]);
    const auto last = static_cast<std::size_t>(out.bounds[r + 1]);
    Y* const y = out.y + (r - out.first) * out.y_stride;
    std::int32_t* const arg = out.arg + (r - out.first) * out.arg_stride;
    bool doubtful = false;
    for (std::size_t t = 0; t < plan.tiles; ++t) {
      const UnitOffsets<V, W> offset(plan.span(t));
      doubtful |= max_tile<W, V>(in, offset, plan.start(t), first, last, out.readable, y, arg);
    }
    if (doubtful) max_row_exact(input, first, last, y, arg);
  }
}

/// Maxima of rows [out.first, out.last) in units of W columns, the widest that fit.
template <std::size_t W, std::size_t kMaxUnits, class X, class Y>
TESSERA_ALWAYS_INLINE void max_rows(const SumInput<X, Y>& in, const MaxOutput<Y>& out) {
  if (in.cols < W) {
    if constexpr (W > 1) max_rows<W / 2, 2>(in, out);
    return;
  }
  const TilePlan plan(in.cols, W, kMaxUnits);
  with_at_least(plan.units, typename TileSizes<kMaxUnits>::type{},
                [&](auto v) TESSERA_INLINE_LAMBDA { max_rows_tiled<W, v()>(in, out, plan); });
}

/// What the gradient of a maximum reads, and one row it writes.
template <class T>
struct MaxBackwardInput {
  const std::int32_t* arg = nullptr;
  std::size_t arg_stride = 0;
  const T* grad = nullptr;
  std::size_t grad_stride = 0;
  std::size_t cols = 0;
};

/// out[f] = sum of grad[i, f] over the ids i of `rows` (ascending; repeated ids count once) with
/// arg[i, f] == j.
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void max_backward_row(const MaxBackwardInput<T>& input, const NodeId* rows,
                                            std::size_t count, std::int32_t j, T* out) {
  using Id = SameWidthInt<T>;
  const MaxBackwardInput<T> in = input;
  for (std::size_t f = 0; f < in.cols; ++f) out[f] = T{0};
  Simd<Id, W> wanted;
  simd_fill<W, Id>(wanted, static_cast<Id>(j));
  for (std::size_t e = 0; e < count; ++e) {
    const std::size_t i = rows[e];
    const std::size_t next = rows[std::min(e + 4, count - 1)];
    prefetch_bytes(in.arg + next * in.arg_stride, in.cols * sizeof(std::int32_t));
    if (e > 0 && rows[e - 1] == i) continue;
    const std::int32_t* const arg = in.arg + i * in.arg_stride;
    const T* const grad = in.grad + i * in.grad_stride;
    std::size_t f = 0;
    for (; f + W <= in.cols; f += W) {
      Simd<Id, W> from;
      Simd<T, W> g, sum;
      simd_load<W, Id>(from, arg + f);
      simd_load<W, T>(g, grad + f);
      simd_load<W, T>(sum, out + f);
      sum += from == wanted ? g : Simd<T, W>{};
      simd_store<W, T>(out + f, sum);
    }
    for (; f < in.cols; ++f) out[f] += arg[f] == j ? grad[f] : T{0};
  }
}

}  // namespace tessera::detail
