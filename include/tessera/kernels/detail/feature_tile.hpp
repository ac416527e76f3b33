// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "tessera/core/bf16.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/kernels/detail/simd.hpp"

// How a feature row is laid over registers. A row of F columns is worked on in tiles of at most V units, one
// tile's accumulators staying in registers across all entries of a row. Nothing is masked: where F is no
// multiple of the unit, the last unit moves left to end with the row and computes some columns twice, with
// the same operands in the same order and so to the same bits.

namespace tessera::detail {

/// W columns of X held in one register of W accumulators.
template <class X, class Acc, std::size_t W>
struct PlainUnit {
  using Input = X;
  using Sum = Acc;
  static constexpr std::size_t kWidth = W;
  static constexpr std::size_t kRegisters = 1;
  struct Registers {
    Simd<Acc, W> lane;
  };

  static TESSERA_ALWAYS_INLINE void clear(Registers& r) noexcept { r.lane = Simd<Acc, W>{}; }
  static TESSERA_ALWAYS_INLINE void add(Registers& r, const X* x) noexcept {
    Simd<Acc, W> value;
    simd_load<W, Acc>(value, x);
    r.lane += value;
  }
  static TESSERA_ALWAYS_INLINE void add(Registers& r, const X* x, Acc weight) noexcept {
    Simd<Acc, W> value;
    simd_load<W, Acc>(value, x);
    r.lane += weight * value;
  }
  static TESSERA_ALWAYS_INLINE void divide(Registers& r, Acc by) noexcept { r.lane /= by; }
  static TESSERA_ALWAYS_INLINE void store(const Registers& r, Acc* y) noexcept {
    simd_store<W, Acc>(y, r.lane);
  }
};

/// 2 W columns of bf16 held as W even and W odd columns. In the 32-bit word of two neighbours the odd one is
/// the upper half, already a float once the lower bits are cleared: widening needs no shuffles in the loop,
/// columns are put in order once per row.
template <std::size_t W>
struct PairUnit {
  using Input = bf16;
  using Sum = float;
  static constexpr std::size_t kWidth = 2 * W;
  static constexpr std::size_t kRegisters = 2;
  struct Registers {
    Simd<float, W> even, odd;
  };

  static TESSERA_ALWAYS_INLINE void clear(Registers& r) noexcept {
    r.even = Simd<float, W>{};
    r.odd = Simd<float, W>{};
  }
  static TESSERA_ALWAYS_INLINE void add(Registers& r, const bf16* x) noexcept {
    Simd<std::uint32_t, W> word;
    __builtin_memcpy(&word, x, sizeof word);
    r.even += reinterpret_cast<Simd<float, W>>(word << 16);
    r.odd += reinterpret_cast<Simd<float, W>>(word & 0xffff0000u);
  }
  static TESSERA_ALWAYS_INLINE void add(Registers& r, const bf16* x, float weight) noexcept {
    Simd<std::uint32_t, W> word;
    __builtin_memcpy(&word, x, sizeof word);
    r.even += weight * reinterpret_cast<Simd<float, W>>(word << 16);
    r.odd += weight * reinterpret_cast<Simd<float, W>>(word & 0xffff0000u);
  }
  static TESSERA_ALWAYS_INLINE void divide(Registers& r, float by) noexcept {
    r.even /= by;
    r.odd /= by;
  }
  static TESSERA_ALWAYS_INLINE void store(const Registers& r, float* y) noexcept {
    interleave(r, y, std::make_index_sequence<W>{});
  }

 private:
  template <std::size_t... K>
  static TESSERA_ALWAYS_INLINE void interleave(const Registers& r, float* y,
                                               std::index_sequence<K...>) noexcept {
    const Simd<float, W> low = __builtin_shufflevector(r.even, r.odd, (K / 2 + (K % 2) * W)...);
    const Simd<float, W> high = __builtin_shufflevector(r.even, r.odd, (W / 2 + K / 2 + (K % 2) * W)...);
    simd_store<W, float>(y, low);
    simd_store<W, float>(y + W, high);
  }
};

/// Where the tiles of one row begin and how many columns they cover.
///
/// All have `units` units and begin on a multiple of the width; the last is moved left to end with the row, and so is the
/// last unit in it.
struct TilePlan {
  std::size_t cols = 0;
  std::size_t tiles = 1;
  std::size_t units = 1;       ///< per tile
  std::size_t step = 0;        ///< columns from one tile to the next
  std::size_t last_start = 0;  ///< of the last tile

  TilePlan(std::size_t num_cols, std::size_t width, std::size_t max_units) noexcept : cols(num_cols) {
    const std::size_t needed = (cols + width - 1) / width;
    tiles = (needed + max_units - 1) / max_units;
    units = (needed + tiles - 1) / tiles;
    step = units * width;
    last_start = (needed - units) * width;
  }
  TESSERA_ALWAYS_INLINE std::size_t start(std::size_t tile) const noexcept {
    return std::min(tile * step, last_start);
  }
  TESSERA_ALWAYS_INLINE std::size_t span(std::size_t tile) const noexcept {
    return tile + 1 == tiles ? cols - last_start : step;
  }
};

/// Calls body(integral_constant<V>) with the smallest V of the list that is at least `wanted`.
template <std::size_t... Vs, class Body>
TESSERA_ALWAYS_INLINE void with_at_least(std::size_t wanted, std::index_sequence<Vs...>, Body&& body) {
  bool done = false;
  ((!done && wanted <= Vs ? (done = true, body(std::integral_constant<std::size_t, Vs>{})) : void()), ...);
}

/// Numbers of units that tiles are compiled for: each at most 5 above the one before, `Max` the largest. 7, 13 and 25 are
/// for rows of 400 columns, common hidden layers.
template <std::size_t Max>
struct TileSizes;
template <>
struct TileSizes<2> {
  using type = std::index_sequence<1, 2>;
};
template <>
struct TileSizes<4> {
  using type = std::index_sequence<1, 2, 3, 4>;
};
template <>
struct TileSizes<6> {
  using type = std::index_sequence<1, 2, 3, 4, 6>;
};
template <>
struct TileSizes<8> {
  using type = std::index_sequence<1, 2, 3, 4, 6, 8>;
};
template <>
struct TileSizes<12> {
  using type = std::index_sequence<1, 2, 3, 4, 6, 8, 10, 12>;
};
template <>
struct TileSizes<13> {
  using type = std::index_sequence<1, 2, 3, 4, 6, 7, 8, 10, 13>;
};
template <>
struct TileSizes<25> {
  using type = std::index_sequence<1, 2, 3, 4, 6, 8, 12, 13, 16, 20, 25>;
};

/// At most the number of units before V in every TileSizes list: unit k < kAlwaysFull<V> is never moved left.
template <std::size_t V>
inline constexpr std::size_t kAlwaysFull = V <= 4    ? V - 1
                                           : V <= 6  ? 4
                                           : V <= 8  ? 6
                                           : V <= 12 ? 8
                                           : V <= 13 ? 10
                                           : V <= 16 ? 12
                                           : V <= 20 ? 16
                                                     : 20;

/// Offsets of the units of one tile that starts at `begin` and covers columns up to `end`: units that are
/// always full at constants, the others wherever they fit.
template <std::size_t V, std::size_t Width>
struct UnitOffsets {
  static constexpr std::size_t kFree = V - kAlwaysFull<V>;
  std::size_t free[kFree];

  TESSERA_ALWAYS_INLINE explicit UnitOffsets(std::size_t span) noexcept {
    unroll<kFree>([&](auto k) TESSERA_INLINE_LAMBDA {
      free[k] = std::min((kAlwaysFull<V> + k) * Width, span - Width);
    });
  }
  template <std::size_t K>
  TESSERA_ALWAYS_INLINE std::size_t at() const noexcept {
    if constexpr (K < kAlwaysFull<V>) {
      return K * Width;
    } else {
      return free[K - kAlwaysFull<V>];
    }
  }
};

/// How many entries ahead feature rows are asked for. Of 2, 4, 8, 12, 16, 24, 32 those below 8 measured
/// slower and 12 to 24 within 10 % of each other (F = 128, fp32 and bf16, Sapphire Rapids; so too on Zen 4).
inline constexpr std::size_t kPrefetchEntries = 16;

/// Features of at most so many bytes lie in caches from which a core reads ahead well enough by itself. Of 256 KB, 512 KB,
/// ... 128 MB those up to 4 MB measured faster without asking in fp32, larger ones slower (Zen 4, L2 of 1 MB, L3 of 32 MB).
inline constexpr std::size_t kNearBytes = std::size_t{4} << 20;

/// Whether rows of x are worth asking for before they are read.
template <class X>
bool lies_far(MatrixView<const X> x) noexcept {
  return x.rows() * x.stride() * sizeof(X) > kNearBytes;
}

/// Asks for a tile of a row, every line once: by the end of each unit, because the last one, moved left, begins in the
/// line of the one before.
template <int kCache, std::size_t V, std::size_t W, class X>
TESSERA_ALWAYS_INLINE void prefetch_tile(const X* row, const UnitOffsets<V, W>& offset) noexcept {
  constexpr std::size_t kBytes = W * sizeof(X);
  static_assert(kBytes <= 64);
  unroll<V>([&](auto k) TESSERA_INLINE_LAMBDA {
    if constexpr (k % (64 / kBytes) == 0 || k + 1 == V) {
      __builtin_prefetch(row + offset.template at<k>() + W - 1, 0, kCache);
    }
  });
}

}  // namespace tessera::detail
