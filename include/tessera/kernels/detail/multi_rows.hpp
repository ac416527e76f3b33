// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tessera/core/ids.hpp"
#include "tessera/kernels/detail/feature_tile.hpp"
#include "tessera/kernels/detail/simd.hpp"

// Several aggregates of a row from one reading of its neighbours: one pass over a run of entries updates the sums and
// the maximum of a tile of columns, all of them in registers. Rows wider than a tile take runs so short that the
// tiles after the first read the nearest cache; accumulators rest in memory between runs.

namespace tessera::detail {

inline constexpr std::size_t kMultiRunBytes = 24 * 1024;  // of neighbours; half of a nearest cache

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
  T scale{1};             ///< of the plain sums, once the row's entries are over
  bool fresh = true;      ///< the first run of its row
  std::size_t tiles = 1;  ///< of full width, for the entries asked for ahead
};

/// What is kept of the largest values.
enum class Largest { none, value, with_arg };

/// One reading of one tile. A NaN is passed over by the maximum: the sums show it.
template <std::size_t W, std::size_t V, bool kWeighted, bool kPlain, bool kShifted, Largest kLargest, class T>
TESSERA_ALWAYS_INLINE void gather_run(const MultiRun<T>& given, std::size_t column, std::size_t span,
                                      const MultiRow<T>& to) noexcept {
  using Id = SameWidthInt<T>;
  constexpr bool kMax = kLargest != Largest::none;
  constexpr bool kArg = kLargest == Largest::with_arg;
  const MultiRun<T> run = given;
  const UnitOffsets<V, W> offset(span);
  Simd<T, W> weighted[V] = {}, plain[V] = {}, square[V] = {}, largest[V] = {};
  Simd<Id, W> from[V] = {};
  const T* const start = run.x + std::size_t{run.col[0]} * run.stride + column;
  unroll<V>([&](auto v) TESSERA_INLINE_LAMBDA {
    const std::size_t at = column + offset.template at<v>();
    if (run.fresh) {
      if constexpr (kMax) simd_load<W, T>(largest[v], start + offset.template at<v>());
      if constexpr (kArg) simd_fill<W, Id>(from[v], static_cast<Id>(run.col[0]));
      return;
    }
    if constexpr (kWeighted) simd_load<W, T>(weighted[v], to.weighted + at);
    if constexpr (kPlain || kShifted) simd_load<W, T>(plain[v], to.plain + at);
    if constexpr (kShifted) simd_load<W, T>(square[v], to.square + at);
    if constexpr (kMax) simd_load<W, T>(largest[v], to.largest + at);
    if constexpr (kArg) simd_load<W, Id>(from[v], to.arg_largest + at);
  });
  const bool asks = column == 0;
  for (std::size_t k = 0; k < run.count; ++k) {
    const T* const row = run.x + std::size_t{run.col[k]} * run.stride + column;
    if (asks) {
      const T* ahead =
          run.x + std::size_t{run.col[std::min(k + kPrefetchEntries, run.readable - 1)]} * run.stride;
      for (std::size_t t = 0; t < run.tiles; ++t, ahead += span) prefetch_tile<kSecondCache>(ahead, offset);
    }
    T w{1};
    if constexpr (kWeighted) w = run.weight == nullptr ? T{1} : static_cast<T>(run.weight[k]);
    [[maybe_unused]] Simd<Id, W> j;
    if constexpr (kArg) simd_fill<W, Id>(j, static_cast<Id>(run.col[k]));
    unroll<V>([&](auto v) TESSERA_INLINE_LAMBDA {
      Simd<T, W> value;
      simd_load<W, T>(value, row + offset.template at<v>());
      if constexpr (kArg) from[v] = value > largest[v] ? j : from[v];  // the first of equals stays
      if constexpr (kMax) largest[v] = value > largest[v] ? value : largest[v];
      if constexpr (kWeighted) weighted[v] += w * value;
      if constexpr (kPlain) plain[v] += value;
      if constexpr (kShifted) {
        Simd<T, W> shift;
        simd_load<W, T>(shift, run.shift + column + offset.template at<v>());
        value -= shift;
        plain[v] += value;
        square[v] += value * value;
      }
    });
  }
  unroll<V>([&](auto v) TESSERA_INLINE_LAMBDA {
    const std::size_t at = column + offset.template at<v>();
    if constexpr (kWeighted) simd_store<W, T>(to.weighted + at, weighted[v]);
    if constexpr (kPlain) plain[v] *= run.scale;
    if constexpr (kPlain || kShifted) simd_store<W, T>(to.plain + at, plain[v]);
    if constexpr (kShifted) simd_store<W, T>(to.square + at, square[v]);
    if constexpr (kMax) simd_store<W, T>(to.largest + at, largest[v]);
    if constexpr (kArg) simd_store<W, Id>(to.arg_largest + at, from[v]);
  });
}

/// The smallest values of a run, a second reading; with the columns they came from where somebody asks.
template <std::size_t W, std::size_t V, bool kArg, class T>
TESSERA_ALWAYS_INLINE void smallest_of_run(const MultiRun<T>& given, std::size_t column, std::size_t span,
                                           T* best, std::int32_t* arg) noexcept {
  using Id = SameWidthInt<T>;
  const MultiRun<T> run = given;
  const UnitOffsets<V, W> offset(span);
  Simd<T, W> value[V] = {};
  Simd<Id, W> from[V] = {};
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
      if constexpr (kArg) from[v] = next < value[v] ? j : from[v];
      value[v] = next < value[v] ? next : value[v];
    });
  }
  unroll<V>([&](auto v) TESSERA_INLINE_LAMBDA {
    const std::size_t at = column + offset.template at<v>();
    simd_store<W, T>(best + at, value[v]);
    if constexpr (kArg) simd_store<W, Id>(arg + at, from[v]);
  });
}

/// All columns of a run: tiles of kMaxUnits registers, then of half as many, narrower at the end.
/// tile(integral_constant<lanes>, integral_constant<registers>, column, span) does one.
template <std::size_t W, std::size_t kMaxUnits, class Tile>
TESSERA_ALWAYS_INLINE void over_tiles(std::size_t column, std::size_t left, Tile&& tile) {
  using Lanes = std::integral_constant<std::size_t, W>;
  for (; left >= kMaxUnits * W; left -= kMaxUnits * W, column += kMaxUnits * W) {
    tile(Lanes{}, std::integral_constant<std::size_t, kMaxUnits>{}, column, kMaxUnits * W);
  }
  if constexpr (kMaxUnits > 4) {
    return over_tiles<W, 4>(column, left, tile);
  } else if (left >= W) {
    with_at_least((left + W - 1) / W, typename TileSizes<kMaxUnits>::type{},
                  [&](auto v) TESSERA_INLINE_LAMBDA { tile(Lanes{}, v, column, left); });
  } else if constexpr (W > 1) {
    if (left > 0) over_tiles<W / 2, 2>(column, left, tile);
  }
}

/// The sums and the maximum of a run, in tiles whose accumulators fill three quarters of the registers.
template <std::size_t W, bool kWeighted, bool kPlain, bool kShifted, Largest kLargest, class T>
TESSERA_ALWAYS_INLINE void gather_columns(MultiRun<T>& run, std::size_t cols,
                                          const MultiRow<T>& to) noexcept {
  constexpr std::size_t kHeld = (kWeighted ? 1 : 0) + (kPlain ? 1 : 0) + (kShifted ? 2 : 0) +
                                (kLargest == Largest::none    ? 0
                                 : kLargest == Largest::value ? 1
                                                              : 2);
  constexpr std::size_t kRegisters = W * sizeof(T) == 64 ? 32 : 16;
  constexpr std::size_t kUnits = kHeld * 8 <= kRegisters - 8 ? 8 : kHeld * 4 <= kRegisters - 4 ? 4 : 2;
  run.tiles = std::max<std::size_t>(1, cols / (kUnits * W));
  over_tiles<W, kUnits>(0, cols,
                        [&](auto w, auto v, std::size_t column, std::size_t span) TESSERA_INLINE_LAMBDA {
                          gather_run<w(), v(), kWeighted, kPlain, kShifted, kLargest>(run, column, span, to);
                        });
}

/// Picks the loop for what the row's accumulators ask for.
template <std::size_t W, Largest kLargest, class T>
TESSERA_ALWAYS_INLINE void gather_sums(MultiRun<T>& run, const SumsWanted& sums, std::size_t cols,
                                       const MultiRow<T>& to) noexcept {
  if (sums.shifted && sums.weighted) {
    gather_columns<W, true, false, true, kLargest>(run, cols, to);
  } else if (sums.shifted) {
    gather_columns<W, false, false, true, kLargest>(run, cols, to);
  } else if (sums.plain && sums.weighted) {
    gather_columns<W, true, true, false, kLargest>(run, cols, to);
  } else if (sums.plain) {
    gather_columns<W, false, true, false, kLargest>(run, cols, to);
  } else if constexpr (kLargest == Largest::none) {
    gather_columns<W, true, false, false, kLargest>(run, cols, to);
  }
}

/// Entries [0, count) of a row into its accumulators. `cols` is F.
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void multi_part(MultiRun<T> run, const SumsWanted& sums, std::size_t cols,
                                      const MultiRow<T>& to) noexcept {
  if (run.count == 0) return;
  if (to.smallest != nullptr) {
    std::copy_n(run.x + std::size_t{run.col[0]} * run.stride, cols, to.smallest);
    if (to.arg_smallest != nullptr) std::fill_n(to.arg_smallest, cols, static_cast<std::int32_t>(run.col[0]));
  }
  const std::size_t total = run.count;
  const T scale = run.scale;
  const std::size_t length = std::max<std::size_t>(kPrefetchEntries, kMultiRunBytes / (cols * sizeof(T)));
  for (std::size_t done = 0; done < total; done += length) {
    run.count = std::min(length, total - done);
    run.scale = done + run.count == total ? scale : T{1};
    if (to.largest == nullptr) {
      gather_sums<W, Largest::none>(run, sums, cols, to);
    } else if (to.arg_largest == nullptr) {
      gather_sums<W, Largest::value>(run, sums, cols, to);
    } else {
      gather_sums<W, Largest::with_arg>(run, sums, cols, to);
    }
    if (to.smallest != nullptr) {
      over_tiles<W, 4>(0, cols,
                       [&](auto w, auto v, std::size_t column, std::size_t span) TESSERA_INLINE_LAMBDA {
                         if (to.arg_smallest != nullptr) {
                           smallest_of_run<w(), v(), true>(run, column, span, to.smallest, to.arg_smallest);
                         } else {
                           smallest_of_run<w(), v(), false>(run, column, span, to.smallest, to.arg_smallest);
                         }
                       });
    }
    run.fresh = false;
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
