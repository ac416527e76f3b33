// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

#include "tessera/core/ids.hpp"
#include "tessera/kernels/detail/feature_tile.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/dispatch.hpp"

// Sums of rows of bytes without widening them one by one. Read as 16-bit words, two neighbouring columns l, h are
// l + 256 h. Adding words (mod 2^16) and adding words >> 8 costs three operations per register; at the end the second
// sum is sum h, and the first minus 256 sum h is sum l, both exact below 2^16: up to 257 rows. Weighted sums are the same
// one size up: products of 16 bits, added as 32-bit words.

namespace tessera::detail {

/// Rows whose bytes 16 bits can hold the sum of.
inline constexpr std::size_t kInt8Chunk = 256;

/// out = a0 b0 a1 b1 ...; twice as many numbers as a register holds.
template <class T, std::size_t N>
TESSERA_ALWAYS_INLINE void store_interleaved(const Simd<T, N>& a, const Simd<T, N>& b, T* out) noexcept {
  [&]<std::size_t... K>(std::index_sequence<K...>) TESSERA_INLINE_LAMBDA {
    const Simd<T, N> low = __builtin_shufflevector(a, b, (K / 2 + (K % 2) * N)...);
    const Simd<T, N> high = __builtin_shufflevector(a, b, (N / 2 + K / 2 + (K % 2) * N)...);
    __builtin_memcpy(out, &low, sizeof low);
    __builtin_memcpy(out + N, &high, sizeof high);
  }
  (std::make_index_sequence<N>{});
}

/// W columns of bytes summed in 16 bits.
template <std::size_t W>
struct ByteUnit {
  using Words = Simd<std::uint16_t, W / 2>;
  using Out = std::uint16_t;
  static constexpr std::size_t kWidth = W;
  struct Registers {
    Words all, high;
  };

  static TESSERA_ALWAYS_INLINE void clear(Registers& r) noexcept { r.all = r.high = Words{}; }
  static TESSERA_ALWAYS_INLINE void add(Registers& r, const std::uint8_t* x, std::uint32_t) noexcept {
    Words word;
    __builtin_memcpy(&word, x, sizeof word);
    r.high += word >> 8;
    r.all += word;
  }
  static TESSERA_ALWAYS_INLINE void store(const Registers& r, Out* out) noexcept {
    const Words low = r.all - (r.high << 8);
    store_interleaved<std::uint16_t, W / 2>(low, r.high, out);
  }
};

/// W columns of bytes times a byte, summed in 32 bits.
template <std::size_t W>
struct WeightedByteUnit {
  using Words = Simd<std::uint16_t, W / 2>;
  using Longs = Simd<std::uint32_t, W / 4>;
  using Out = std::int32_t;
  static constexpr std::size_t kWidth = W;
  struct Registers {
    Longs even, even_high, odd, odd_high;
  };

  static TESSERA_ALWAYS_INLINE void clear(Registers& r) noexcept {
    r.even = r.even_high = r.odd = r.odd_high = Longs{};
  }
  static TESSERA_ALWAYS_INLINE void add(Registers& r, const std::uint8_t* x, std::uint32_t weight) noexcept {
    Words word;
    __builtin_memcpy(&word, x, sizeof word);
    const auto factor = static_cast<std::uint16_t>(weight);
    const Words low = (word & std::uint16_t{255}) * factor;
    const Words high = (word >> 8) * factor;
    const Longs e = reinterpret_cast<Longs>(low);
    const Longs o = reinterpret_cast<Longs>(high);
    r.even += e;
    r.even_high += e >> 16;
    r.odd += o;
    r.odd_high += o >> 16;
  }
  static TESSERA_ALWAYS_INLINE void store(const Registers& r, Out* out) noexcept {
    // Columns 4 w + 0, 1, 2, 3 are even low, odd low, even high, odd high.
    constexpr std::size_t N = W / 4;
    const Longs even = r.even - (r.even_high << 16);
    const Longs odd = r.odd - (r.odd_high << 16);
    std::uint32_t evens[W / 2], odds[W / 2];
    store_interleaved<std::uint32_t, N>(even, r.even_high, evens);
    store_interleaved<std::uint32_t, N>(odd, r.odd_high, odds);
    unroll<2>([&](auto k) TESSERA_INLINE_LAMBDA {
      Longs e, o;
      __builtin_memcpy(&e, evens + k * N, sizeof e);
      __builtin_memcpy(&o, odds + k * N, sizeof o);
      store_interleaved<std::uint32_t, N>(e, o, reinterpret_cast<std::uint32_t*>(out) + 2 * k * N);
    });
  }
};

/// What a sum of rows of bytes reads.
struct ByteRows {
  const NodeId* col = nullptr;
  const std::uint8_t* weight = nullptr;
  const std::uint8_t* x = nullptr;
  std::size_t stride = 0;
  std::size_t cols = 0;
  std::size_t readable = 0;  ///< the last entry it makes sense to look ahead to
};

template <class Unit, std::size_t V, bool kWeighted>
TESSERA_ALWAYS_INLINE void sum_bytes_tiled(const ByteRows& input, std::size_t first, std::size_t last,
                                           const TilePlan& plan, typename Unit::Out* out) {
  const ByteRows in = input;
  for (std::size_t t = 0; t < plan.tiles; ++t) {
    const UnitOffsets<V, Unit::kWidth> offset(plan.span(t));
    const std::size_t tile = plan.start(t);
    const std::uint8_t* const x = in.x + tile;
    typename Unit::Registers sum[V];
    unroll<V>([&](auto k) TESSERA_INLINE_LAMBDA { Unit::clear(sum[k]); });
    for (std::size_t e = first; e < last; ++e) {
      const std::uint8_t* const ahead =
          x + std::size_t{in.col[std::min(e + kPrefetchEntries, in.readable)]} * in.stride;
      prefetch_tile<kSecondCache>(ahead, offset);
      const std::uint8_t* const row = x + std::size_t{in.col[e]} * in.stride;
      std::uint32_t weight = 1;
      if constexpr (kWeighted) weight = in.weight[e];
      unroll<V>([&](auto k)
                    TESSERA_INLINE_LAMBDA { Unit::add(sum[k], row + offset.template at<k>(), weight); });
    }
    unroll<V>([&](auto k)
                  TESSERA_INLINE_LAMBDA { Unit::store(sum[k], out + tile + offset.template at<k>()); });
  }
}

template <class Unit, std::size_t kMaxUnits, bool kWeighted>
TESSERA_ALWAYS_INLINE void sum_bytes_by(const ByteRows& in, std::size_t first, std::size_t last,
                                        typename Unit::Out* out) {
  const TilePlan plan(in.cols, Unit::kWidth, kMaxUnits);
  with_at_least(plan.units, typename TileSizes<kMaxUnits>::type{}, [&](auto v) TESSERA_INLINE_LAMBDA {
    sum_bytes_tiled<Unit, v(), kWeighted>(in, first, last, plan, out);
  });
}

/// out[f] = the sum of column f over entries [first, last), without weights: at most kInt8Chunk of them.
template <class L>
TESSERA_ALWAYS_INLINE void sum_bytes(L, const ByteRows& in, std::size_t first, std::size_t last,
                                     std::uint16_t* out) {
  constexpr std::size_t W = L::kVectorBytes;
  constexpr std::size_t kUnits = L::kRegisters == 32 ? 12 : 6;
  if constexpr (std::endian::native == std::endian::little) {
    if (in.cols >= W) return sum_bytes_by<ByteUnit<W>, kUnits, false>(in, first, last, out);
    if constexpr (W > 32) {
      if (in.cols >= 32) return sum_bytes_by<ByteUnit<32>, 2, false>(in, first, last, out);
    }
    if constexpr (W > 16) {
      if (in.cols >= 16) return sum_bytes_by<ByteUnit<16>, 2, false>(in, first, last, out);
    }
  }
  std::fill_n(out, in.cols, std::uint16_t{0});
  for (std::size_t e = first; e < last; ++e) {
    const std::uint8_t* const row = in.x + std::size_t{in.col[e]} * in.stride;
    for (std::size_t f = 0; f < in.cols; ++f) out[f] = static_cast<std::uint16_t>(out[f] + row[f]);
  }
}

/// out[f] = the weighted sum of column f over entries [first, last), at most 2^15 of them.
template <class L>
TESSERA_ALWAYS_INLINE void sum_weighted_bytes(L, const ByteRows& in, std::size_t first, std::size_t last,
                                              std::int32_t* out) {
  constexpr std::size_t W = L::kVectorBytes;
  constexpr std::size_t kUnits = L::kRegisters == 32 ? 6 : 2;
  if constexpr (std::endian::native == std::endian::little) {
    if (in.cols >= W) return sum_bytes_by<WeightedByteUnit<W>, kUnits, true>(in, first, last, out);
    if constexpr (W > 32) {
      if (in.cols >= 32) return sum_bytes_by<WeightedByteUnit<32>, 2, true>(in, first, last, out);
    }
    if constexpr (W > 16) {
      if (in.cols >= 16) return sum_bytes_by<WeightedByteUnit<16>, 2, true>(in, first, last, out);
    }
  }
  std::fill_n(out, in.cols, 0);
  for (std::size_t e = first; e < last; ++e) {
    const std::uint8_t* const row = in.x + std::size_t{in.col[e]} * in.stride;
    for (std::size_t f = 0; f < in.cols; ++f) out[f] += in.weight[e] * row[f];
  }
}

/// to[f] = or += from[f].
template <class L>
TESSERA_ALWAYS_INLINE void widen_sums(L, const std::uint16_t* from, std::size_t count, bool add,
                                      std::int32_t* to) noexcept {
  constexpr std::size_t W = L::template lanes<std::int32_t>();
  std::size_t f = 0;
  for (; f + W <= count; f += W) {
    Simd<std::int32_t, W> value, old;
    simd_load<W, std::int32_t>(value, from + f);
    if (add) {
      simd_load<W, std::int32_t>(old, to + f);
      value += old;
    }
    simd_store<W, std::int32_t>(to + f, value);
  }
  for (; f < count; ++f) to[f] = (add ? to[f] : 0) + from[f];
}

}  // namespace tessera::detail
