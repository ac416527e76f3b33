// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "tessera/core/ids.hpp"
#include "tessera/kernels/detail/feature_tile.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/detail/spmm_rows.hpp"

// Several aggregates of a row from one reading of its neighbours. A run of entries times a tile of columns stays in
// the nearest cache, so the pass over it that follows (extrema after sums) reads no memory; accumulators rest in a
// row buffer between runs.

namespace tessera::detail {

inline constexpr std::size_t kMultiRun = 64;  // entries; times a tile of 8 registers: 32 KiB

/// Which sums a row needs. Squares are taken of x - s, s being the row's first neighbour, because E[x^2] - mean^2
/// cancels; then the plain sum is n s + sum of x - s.
struct SumsWanted {
  bool weighted = false;
  bool plain = false;
  bool shifted = false;  ///< sums of x - s and of its square
};

/// The accumulators of one row, each [F].
template <class T>
struct MultiRow {
  T* weighted = nullptr;
  T* plain = nullptr;  ///< sum of x, or of x - s
  T* square = nullptr;
  T* largest = nullptr;
  T* smallest = nullptr;
  std::int32_t* arg_largest = nullptr;  ///< null where nobody asks
  std::int32_t* arg_smallest = nullptr;
};

/// A run of entries of one row.
template <class T>
struct MultiRun {
  const NodeId* col = nullptr;
  const float* weight = nullptr;
  std::size_t count = 0;
  std::size_t readable = 0;
  const T* x = nullptr;
  std::size_t stride = 0;
  const T* shift = nullptr;
};

template <std::size_t W, std::size_t V, bool kWeighted, bool kPlain, bool kShifted, class T>
TESSERA_ALWAYS_INLINE void add_run(const MultiRun<T>& given, std::size_t column, std::size_t span,
                                   const MultiRow<T>& to) noexcept {
  const MultiRun<T> run = given;
  const UnitOffsets<V, W> offset(span);
  Simd<T, W> weighted[V], plain[V], square[V], shift[V];
  unroll<V>([&](auto v) TESSERA_INLINE_LAMBDA {
    const std::size_t at = column + offset.template at<v>();
    if constexpr (kWeighted) simd_load<W, T>(weighted[v], to.weighted + at);
    if constexpr (kPlain || kShifted) simd_load<W, T>(plain[v], to.plain + at);
    if constexpr (kShifted) {
      simd_load<W, T>(square[v], to.square + at);
      simd_load<W, T>(shift[v], run.shift + at);
    }
  });
  for (std::size_t k = 0; k < run.count; ++k) {
    const T* const row = run.x + std::size_t{run.col[k]} * run.stride + column;
    const T* const ahead =
        run.x + std::size_t{run.col[std::min(k + kPrefetchEntries, run.readable - 1)]} * run.stride + column;
    T w{1};
    if constexpr (kWeighted) w = run.weight == nullptr ? T{1} : static_cast<T>(run.weight[k]);
    unroll<V>([&](auto v) TESSERA_INLINE_LAMBDA {
      __builtin_prefetch(ahead + offset.template at<v>());
      Simd<T, W> value;
      simd_load<W, T>(value, row + offset.template at<v>());
      if constexpr (kWeighted) weighted[v] += w * value;
      if constexpr (kPlain) plain[v] += value;
      if constexpr (kShifted) {
        value -= shift[v];
        plain[v] += value;
        square[v] += value * value;
      }
    });
  }
  unroll<V>([&](auto v) TESSERA_INLINE_LAMBDA {
    const std::size_t at = column + offset.template at<v>();
    if constexpr (kWeighted) simd_store<W, T>(to.weighted + at, weighted[v]);
    if constexpr (kPlain || kShifted) simd_store<W, T>(to.plain + at, plain[v]);
    if constexpr (kShifted) simd_store<W, T>(to.square + at, square[v]);
  });
}

/// Extremum of a run with the columns it came from. A NaN is passed over here: the sums show it.
template <std::size_t W, std::size_t V, bool kLargest, bool kArg, class T>
TESSERA_ALWAYS_INLINE void compare_run(const MultiRun<T>& given, std::size_t column, std::size_t span,
                                       T* best, std::int32_t* arg) noexcept {
  using Id = SameWidthInt<T>;
  const MultiRun<T> run = given;
  const UnitOffsets<V, W> offset(span);
  Simd<T, W> value[V];
  Simd<Id, W> from[V];
  unroll<V>([&](auto v) TESSERA_INLINE_LAMBDA {
    const std::size_t at = column + offset.template at<v>();
    simd_load<W, T>(value[v], best + at);
    if constexpr (kArg) simd_load<W, Id>(from[v], arg + at);
  });
  for (std::size_t k = 0; k < run.count; ++k) {
    const T* const row = run.x + std::size_t{run.col[k]} * run.stride + column;
    [[maybe_unused]] Simd<Id, W> j;
    if constexpr (kArg) simd_fill<W, Id>(j, static_cast<Id>(run.col[k]));
    unroll<V>([&](auto v) TESSERA_INLINE_LAMBDA {
      Simd<T, W> next;
      simd_load<W, T>(next, row + offset.template at<v>());
      if constexpr (kLargest) {
        if constexpr (kArg) from[v] = next > value[v] ? j : from[v];
        value[v] = next > value[v] ? next : value[v];
      } else {
        if constexpr (kArg) from[v] = next < value[v] ? j : from[v];
        value[v] = next < value[v] ? next : value[v];
      }
    });
  }
  unroll<V>([&](auto v) TESSERA_INLINE_LAMBDA {
    const std::size_t at = column + offset.template at<v>();
    simd_store<W, T>(best + at, value[v]);
    if constexpr (kArg) simd_store<W, Id>(arg + at, from[v]);
  });
}

/// One tile: every pass its accumulators ask for.
template <std::size_t W, std::size_t V, class T>
TESSERA_ALWAYS_INLINE void multi_tile(const MultiRun<T>& run, const SumsWanted& sums, std::size_t column,
                                      std::size_t span, const MultiRow<T>& to) noexcept {
  if (sums.shifted && sums.weighted) {
    add_run<W, V, true, false, true>(run, column, span, to);
  } else if (sums.shifted) {
    add_run<W, V, false, false, true>(run, column, span, to);
  } else if (sums.plain && sums.weighted) {
    add_run<W, V, true, true, false>(run, column, span, to);
  } else if (sums.plain) {
    add_run<W, V, false, true, false>(run, column, span, to);
  } else {
    add_run<W, V, true, false, false>(run, column, span, to);
  }
  if (to.largest != nullptr) {
    if (to.arg_largest != nullptr) {
      compare_run<W, V, true, true>(run, column, span, to.largest, to.arg_largest);
    } else {
      compare_run<W, V, true, false>(run, column, span, to.largest, to.arg_largest);
    }
  }
  if (to.smallest != nullptr) {
    if (to.arg_smallest != nullptr) {
      compare_run<W, V, false, true>(run, column, span, to.smallest, to.arg_smallest);
    } else {
      compare_run<W, V, false, false>(run, column, span, to.smallest, to.arg_smallest);
    }
  }
}

/// All columns of a run: tiles of kMaxUnits registers, then what is left, narrower at the end.
template <std::size_t W, std::size_t kMaxUnits, class T>
TESSERA_ALWAYS_INLINE void multi_run(const MultiRun<T>& run, const SumsWanted& sums, std::size_t column,
                                     std::size_t left, const MultiRow<T>& to) noexcept {
  constexpr std::size_t kUnits = kMaxUnits == 4 ? 4 : 2;
  for (; left >= kUnits * W; left -= kUnits * W, column += kUnits * W) {
    multi_tile<W, kUnits>(run, sums, column, kUnits * W, to);
  }
  if (left >= W) {
    with_at_least((left + W - 1) / W, typename TileSizes<kUnits>::type{},
                  [&](auto v) TESSERA_INLINE_LAMBDA { multi_tile<W, v()>(run, sums, column, left, to); });
  } else if constexpr (W > 1) {
    if (left > 0) multi_run<W / 2, 2>(run, sums, column, left, to);
  }
}

/// Entries [0, count) of a row into cleared accumulators. `cols` is F.
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void multi_part(MultiRun<T> run, const SumsWanted& sums, std::size_t cols,
                                      const MultiRow<T>& to) noexcept {
  for (T* const sum : {to.weighted, to.plain, to.square}) {
    if (sum != nullptr) std::fill_n(sum, cols, T{0});
  }
  if (run.count == 0) return;
  const T* const start = run.x + std::size_t{run.col[0]} * run.stride;
  const auto first = static_cast<std::int32_t>(run.col[0]);
  if (to.largest != nullptr) std::copy_n(start, cols, to.largest);
  if (to.smallest != nullptr) std::copy_n(start, cols, to.smallest);
  if (to.arg_largest != nullptr) std::fill_n(to.arg_largest, cols, first);
  if (to.arg_smallest != nullptr) std::fill_n(to.arg_smallest, cols, first);
  const std::size_t total = run.count;
  for (std::size_t done = 0; done < total; done += kMultiRun) {
    run.count = std::min(kMultiRun, total - done);
    multi_run<W, 4>(run, sums, 0, cols, to);
    run.col += run.count;
    if (run.weight != nullptr) run.weight += run.count;
    run.readable -= run.count;
  }
}

/// One extremum by the definition, for rows that may hold a NaN: the first NaN wins.
template <class T>
[[gnu::noinline]] void extremum_exact(const MultiRun<T>& run, std::size_t cols, bool largest, T* best,
                                      std::int32_t* arg) {
  for (std::size_t f = 0; f < cols; ++f) {
    T value = run.x[std::size_t{run.col[0]} * run.stride + f];
    std::size_t from = 0;
    for (std::size_t k = 1; k < run.count; ++k) {
      const T next = run.x[std::size_t{run.col[k]} * run.stride + f];
      if (value != value || (largest ? next <= value : next >= value)) continue;
      value = next;
      from = k;
    }
    best[f] = value;
    if (arg != nullptr) arg[f] = static_cast<std::int32_t>(run.col[from]);
  }
}

}  // namespace tessera::detail
