// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <utility>

#include "tessera/core/ids.hpp"
#include "tessera/kernels/detail/feature_tile.hpp"
#include "tessera/kernels/detail/simd.hpp"

// Rows of several heads: head h of a row holds columns [h D, (h + 1) D). A run of entries is worked on with one
// number per entry and head, entry k's at [k * kHeads + h]; heads beyond the real ones are padding.

namespace tessera::detail {

/// A run of entries and the rows they point at.
template <class T>
struct HeadRun {
  const NodeId* col = nullptr;
  std::size_t count = 0;
  std::size_t readable = 0;  ///< entries from `col` on that may be looked ahead to
  const T* x = nullptr;      ///< of the first head
  std::size_t stride = 0;
  std::size_t heads = 0;
  std::size_t width = 0;  ///< columns D of one head
  bool far = false;       ///< see lies_far

  TESSERA_ALWAYS_INLINE const T* row(std::size_t k) const noexcept {
    return x + std::size_t{col[k]} * stride;
  }
  TESSERA_ALWAYS_INLINE const T* ahead(std::size_t k) const noexcept {
    return row(std::min(k + kPrefetchEntries, readable - 1));
  }
  TESSERA_ALWAYS_INLINE void ask_ahead(std::size_t k, std::size_t bytes) const noexcept {
    if (far) {
      prefetch_bytes<kSecondCache>(ahead(k), bytes);
    } else {
      prefetch_bytes<kFirstCache>(ahead(k), bytes);
    }
  }
};

/// One step of adding up lanes: of a and b, with groups of S lanes each, the lower and upper halves of every
/// group are added; b's groups follow a's.
template <std::size_t W, std::size_t S, class T, std::size_t... K>
TESSERA_ALWAYS_INLINE void add_halves(const Simd<T, W>& a, const Simd<T, W>& b, Simd<T, W>& out,
                                      std::index_sequence<K...>) noexcept {
  constexpr std::size_t kHalf = S / 2;
  constexpr auto from = [](std::size_t lane) {
    const std::size_t group = lane / kHalf;
    const bool second = group >= W / S;
    return (second ? W + (group - W / S) * S : group * S) + lane % kHalf;
  };
  const Simd<T, W> low = __builtin_shufflevector(a, b, from(K)...);
  const Simd<T, W> high = __builtin_shufflevector(a, b, (from(K) + kHalf)...);
  out = low + high;
}

/// sums[0][u] = the sum of the lanes of sums[u], for all u < W at once, in a fixed tree.
template <std::size_t W, class T, std::size_t S = W>
TESSERA_ALWAYS_INLINE void sum_lanes(Simd<T, W> (&sums)[W]) noexcept {
  if constexpr (S > 1) {
    unroll<S / 2>([&](auto u) TESSERA_INLINE_LAMBDA {
      add_halves<W, S, T>(sums[2 * u], sums[2 * u + 1], sums[u], std::make_index_sequence<W>{});
    });
    sum_lanes<W, T, S / 2>(sums);
  }
}

/// out[k * kHeads + h] = sum over f of term(left_h[f], row_h[f]); W <= D. Writes up to a multiple of W.
template <std::size_t W, std::size_t kHeads, bool kOneUnit, class T, class Term>
TESSERA_ALWAYS_INLINE void head_reduce_as(const HeadRun<T>& run, Term&& term, T* out) noexcept {
  const std::size_t width = kOneUnit ? W : run.width;
  const std::size_t bytes = run.heads * width * sizeof(T);
  for (std::size_t base = 0; base < run.count * kHeads; base += W) {
    Simd<T, W> sums[W];
    unroll<W>([&](auto u) TESSERA_INLINE_LAMBDA {
      const std::size_t k = std::min((base + u) / kHeads, run.count - 1);
      const std::size_t h = std::min((base + u) % kHeads, run.heads - 1);
      if constexpr (u % kHeads == 0) run.ask_ahead(k, bytes);
      const T* const row = run.row(k) + h * width;
      Simd<T, W> sum{};
      if constexpr (kOneUnit) {
        term.template add<W>(sum, h * width, row);
      } else {
        std::size_t f = 0;
        for (; f + W <= width; f += W) term.template add<W>(sum, h * width + f, row + f);
        T rest{0};
        for (; f < width; ++f) term.template add<1>(rest, h * width + f, row + f);
        if constexpr (W == 1) {
          sum += rest;
        } else {
          sum[0] += rest;
        }
      }
      sums[u] = sum;
    });
    sum_lanes<W, T>(sums);
    simd_store<W, T>(out + base, sums[0]);
  }
}

template <std::size_t W, std::size_t kHeads, class T, class Term>
TESSERA_ALWAYS_INLINE void head_reduce(const HeadRun<T>& run, Term&& term, T* out) noexcept {
  if constexpr (W > 1) {
    if (run.width < W) return head_reduce<W / 2, kHeads>(run, term, out);
  }
  if (run.width == W) {
    head_reduce_as<W, kHeads, true>(run, term, out);
  } else {
    head_reduce_as<W, kHeads, false>(run, term, out);
  }
}

/// Products with a row of the same heads: <left_h, row_h>.
template <class T>
struct DotTerm {
  const T* left = nullptr;

  template <std::size_t W>
  TESSERA_ALWAYS_INLINE void add(Simd<T, W>& sum, std::size_t at, const T* row) const noexcept {
    Simd<T, W> l, r;
    simd_load<W, T>(l, left + at);
    simd_load<W, T>(r, row);
    sum += l * r;
  }
};

/// Scores of GATv2: <weight_h, leaky(left_h + row_h)>.
template <class T>
struct LeakyTerm {
  const T* left = nullptr;
  const T* weight = nullptr;
  T slope{};

  template <std::size_t W>
  TESSERA_ALWAYS_INLINE void add(Simd<T, W>& sum, std::size_t at, const T* row) const noexcept {
    Simd<T, W> l, r, a;
    simd_load<W, T>(l, left + at);
    simd_load<W, T>(r, row);
    simd_load<W, T>(a, weight + at);
    l += r;
    l = l > T{0} ? l : l * slope;
    sum += a * l;
  }
};

/// y += sum over k of weights[k] times the columns [0, span) of row k; units overlap inside the tile only.
template <std::size_t W, std::size_t V, std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void head_sum_tile(const HeadRun<T>& given, std::size_t column, std::size_t span,
                                         const T* weights, T* y) noexcept {
  const HeadRun<T> run = given;
  const UnitOffsets<V, W> offset(span);
  Simd<T, W> sum[V];
  unroll<V>([&](auto v)
                TESSERA_INLINE_LAMBDA { simd_load<W, T>(sum[v], y + column + offset.template at<v>()); });
  for (std::size_t k = 0; k < run.count; ++k) {
    const T* const row = run.row(k) + column;
    const T* const ahead = run.ahead(k) + column;
    const T w = weights[k * kHeads];
    prefetch_tile<kSecondCache>(ahead, offset);
    unroll<V>([&](auto v) TESSERA_INLINE_LAMBDA {
      Simd<T, W> value;
      simd_load<W, T>(value, row + offset.template at<v>());
      sum[v] += w * value;
    });
  }
  unroll<V>([&](auto v)
                TESSERA_INLINE_LAMBDA { simd_store<W, T>(y + column + offset.template at<v>(), sum[v]); });
}

/// One head: columns [column, column + left) in tiles of at most eight units, narrower units for the rest.
template <std::size_t W, std::size_t kHeads, std::size_t kMaxUnits = 8, class T>
TESSERA_ALWAYS_INLINE void head_sum_columns(const HeadRun<T>& run, std::size_t column, std::size_t left,
                                            const T* weights, T* y) noexcept {
  for (; left >= kMaxUnits * W; left -= kMaxUnits * W, column += kMaxUnits * W) {
    head_sum_tile<W, kMaxUnits, kHeads>(run, column, kMaxUnits * W, weights, y);
  }
  if (left >= W) {
    with_at_least(
        (left + W - 1) / W, typename TileSizes<kMaxUnits>::type{},
        [&](auto v) TESSERA_INLINE_LAMBDA { head_sum_tile<W, v(), kHeads>(run, column, left, weights, y); });
  } else if constexpr (W > 1) {
    if (left > 0) head_sum_columns<W / 2, kHeads, 2>(run, column, left, weights, y);
  }
}

/// All heads in one pass over the entries, where a head is one unit and none is padding.
template <std::size_t W, std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void head_sum_together(const HeadRun<T>& given, const T* weights, T* y) noexcept {
  const HeadRun<T> run = given;
  Simd<T, W> sum[kHeads];
  unroll<kHeads>([&](auto h) TESSERA_INLINE_LAMBDA { simd_load<W, T>(sum[h], y + h * W); });
  for (std::size_t k = 0; k < run.count; ++k) {
    const T* const row = run.row(k);
    run.ask_ahead(k, kHeads * W * sizeof(T));
    const T* const w = weights + k * kHeads;
    unroll<kHeads>([&](auto h) TESSERA_INLINE_LAMBDA {
      Simd<T, W> value;
      simd_load<W, T>(value, row + h * W);
      sum[h] += w[h] * value;
    });
  }
  unroll<kHeads>([&](auto h) TESSERA_INLINE_LAMBDA { simd_store<W, T>(y + h * W, sum[h]); });
}

/// y_h += sum over k of weights[k * kHeads + h] row_h(k).
template <std::size_t W, std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void head_sum(const HeadRun<T>& run, const T* weights, T* y) noexcept {
  if (run.heads == kHeads && run.width == W) return head_sum_together<W, kHeads>(run, weights, y);
  if constexpr (W >= 8) {
    if (run.heads == kHeads && run.width == W / 2) return head_sum_together<W / 2, kHeads>(run, weights, y);
  }
  for (std::size_t h = 0; h < run.heads; ++h) {
    head_sum_columns<W, kHeads>(run, h * run.width, run.width, weights + h, y);
  }
}

}  // namespace tessera::detail
