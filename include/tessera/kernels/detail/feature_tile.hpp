// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <type_traits>
#include <utility>

#include "tessera/core/bf16.hpp"
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

/// Where the units of the tiles of one row begin.
///
/// One tile: unit k at min(k * width, F - width). Several: every tile has `units` full units, the last tile
/// moved left.
struct TilePlan {
  std::size_t cols = 0;
  std::size_t tiles = 1;
  std::size_t units = 1;  ///< per tile

  TilePlan(std::size_t num_cols, std::size_t width, std::size_t max_units) noexcept : cols(num_cols) {
    const std::size_t needed = (cols + width - 1) / width;
    tiles = (needed + max_units - 1) / max_units;
    units = (needed + tiles - 1) / tiles;
  }
};

/// Calls body(integral_constant<V>) with the smallest V of the list that is at least `wanted`.
template <std::size_t... Vs, class Body>
TESSERA_ALWAYS_INLINE void with_at_least(std::size_t wanted, std::index_sequence<Vs...>, Body&& body) {
  bool done = false;
  ((!done && wanted <= Vs ? (done = true, body(std::integral_constant<std::size_t, Vs>{})) : void()), ...);
}

/// Numbers of units that tiles are compiled for: each at most 4 above the one before, `Max` the largest.
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
  using type = std::index_sequence<1, 2, 3, 4, 6, 8, 12>;
};
template <>
struct TileSizes<16> {
  using type = std::index_sequence<1, 2, 3, 4, 6, 8, 12, 16>;
};

/// The number of units before V in every TileSizes list: unit k < kAlwaysFull<V> is never moved left.
template <std::size_t V>
inline constexpr std::size_t kAlwaysFull = V <= 4    ? V - 1
                                           : V <= 6  ? 4
                                           : V <= 8  ? 6
                                           : V <= 12 ? 8
                                                     : 12;

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

}  // namespace tessera::detail
