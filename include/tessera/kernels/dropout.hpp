// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "tessera/core/config.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/kernels/epilogue.hpp"

// The draw behind dropout. Element (i, j) owns 16 random bits h, its number is (h + 1/2) / 65536, and it is
// kept iff that number is at least p; so p acts rounded to a multiple of 2^-16. With
//
//     r = j mod 128,  group = 16 (j / 128) + r mod 16,  piece = r / 16
//     words = philox4x32({low half of i, call, group, high half of i}, key)
//
// h is the low (piece even) or high (piece odd) half of words[piece / 2]. Neighbouring columns sit in
// neighbouring groups, so sixteen SIMD lanes draw sixteen groups and every word is a run of columns as it
// stands: nothing is shuffled.

namespace tessera {

/// Rejects a probability outside [0, 1].
///
/// Errors   ConfigError naming `operation`
inline void check_dropout(const DropoutMask& mask, std::string_view operation) {
  if (!(mask.probability >= 0.0f && mask.probability <= 1.0f)) {
    throw ConfigError(
        message(operation, ": dropout probability is ", mask.probability, ", want a number in [0, 1]"));
  }
}

/// What kept elements are multiplied by: 1 / (1 - p), 0 for p = 1.
template <Real T>
constexpr T dropout_scale(const DropoutMask& mask) noexcept {
  return mask.probability < 1.0f ? T{1} / (T{1} - static_cast<T>(mask.probability)) : T{0};
}

namespace detail {

inline constexpr std::size_t kDropoutLanes = 16;
inline constexpr std::size_t kDropoutBlock = 8 * kDropoutLanes;  // columns that one group per lane serves

/// Elements are kept iff their 16 bits are at least this: ceil(65536 p - 1/2), in [0, 65536].
constexpr std::uint32_t dropout_threshold(const DropoutMask& mask) noexcept {
  const double bound = 65536.0 * static_cast<double>(mask.probability) - 0.5;
  if (!(bound > 0)) return 0;
  const auto whole = static_cast<std::uint32_t>(bound);
  return static_cast<double>(whole) < bound ? whole + 1 : whole;
}

struct DropoutWords {
  alignas(64) std::uint32_t word[4][kDropoutLanes];
};

/// The halves of the 64-bit products of sixteen lanes with one factor, lane pairs in 64-bit vectors.
TESSERA_ALWAYS_INLINE void multiply_high_low(const Simd<std::uint32_t, kDropoutLanes>& a,
                                             std::uint64_t factor, Simd<std::uint32_t, kDropoutLanes>& high,
                                             Simd<std::uint32_t, kDropoutLanes>& low) noexcept {
  using Pairs = Simd<std::uint64_t, kDropoutLanes / 2>;
  using Lanes = Simd<std::uint32_t, kDropoutLanes>;
  const Pairs both = reinterpret_cast<Pairs>(a);
  const Pairs even = (both & 0xffffffffu) * factor;
  const Pairs odd = (both >> 32) * factor;
  high = reinterpret_cast<Lanes>((even >> 32) | (odd & 0xffffffff00000000u));
  low = reinterpret_cast<Lanes>((even & 0xffffffffu) | (odd << 32));
}

/// philox4x32 for the sixteen counters {c0, c1, c2, c3}; words 0 to 3 of lane l go to out.word[0..3][l]. Spelt in
/// vectors: what optimisers make of the loops over lanes differs between levels by a factor of five.
TESSERA_ALWAYS_INLINE void philox_lanes(RngKey key, Simd<std::uint32_t, kDropoutLanes>& c0,
                                        Simd<std::uint32_t, kDropoutLanes>& c1,
                                        Simd<std::uint32_t, kDropoutLanes>& c2,
                                        Simd<std::uint32_t, kDropoutLanes>& c3, DropoutWords& out) noexcept {
  for (int round = 0; round < 10; ++round) {
    Simd<std::uint32_t, kDropoutLanes> high0, low0, high1, low1;
    multiply_high_low(c0, 0xD2511F53u, high0, low0);
    multiply_high_low(c2, 0xCD9E8D57u, high1, low1);
    c0 = high1 ^ c1 ^ key.lo;
    c1 = low1;
    c2 = high0 ^ c3 ^ key.hi;
    c3 = low0;
    key.lo += 0x9E3779B9u;
    key.hi += 0xBB67AE85u;
  }
  simd_store<kDropoutLanes, std::uint32_t>(out.word[0], c0);
  simd_store<kDropoutLanes, std::uint32_t>(out.word[1], c1);
  simd_store<kDropoutLanes, std::uint32_t>(out.word[2], c2);
  simd_store<kDropoutLanes, std::uint32_t>(out.word[3], c3);
}

/// The words of the sixteen groups of one block of 128 columns.
TESSERA_ALWAYS_INLINE void dropout_words(const DropoutMask& mask, std::size_t i, std::size_t block,
                                         DropoutWords& out) noexcept {
  Simd<std::uint32_t, kDropoutLanes> c0, c1, c2, c3;
  simd_fill<kDropoutLanes>(c0, static_cast<std::uint32_t>(i));
  simd_fill<kDropoutLanes>(c1, mask.call);
  simd_fill<kDropoutLanes>(c3, static_cast<std::uint32_t>(std::uint64_t{i} >> 32));
  for (std::size_t lane = 0; lane < kDropoutLanes; ++lane) {
    c2[lane] = static_cast<std::uint32_t>(block * kDropoutLanes + lane);
  }
  philox_lanes(mask.key, c0, c1, c2, c3, out);
}

/// y = kept ? y * scale : 0 for sixteen columns whose bits stand in `word` from `shift` on.
template <class T>
TESSERA_ALWAYS_INLINE void dropout_piece(T* y, const std::uint32_t* word, unsigned shift,
                                         std::uint32_t threshold, T scale) noexcept {
  Simd<std::uint32_t, kDropoutLanes> bits;
  Simd<T, kDropoutLanes> value;
  simd_load<kDropoutLanes, std::uint32_t>(bits, word);
  simd_load<kDropoutLanes, T>(value, y);
  value *= scale;
  bits = (bits >> shift) & 0xffffu;
  using Mask = Simd<SameWidthInt<T>, kDropoutLanes>;
  const Mask kept = __builtin_convertvector(bits >= threshold, Mask);
  value = reinterpret_cast<Simd<T, kDropoutLanes>>(reinterpret_cast<Mask>(value) & kept);
  simd_store<kDropoutLanes, T>(y, value);
}

/// row[j] = kept ? row[j] * scale : 0. Meant to be inlined into functions compiled for wider vectors.
template <class T>
[[gnu::always_inline]] inline void dropout_row(T* row, std::size_t cols, std::size_t i,
                                               const DropoutMask& mask) noexcept {
  const std::uint32_t threshold = dropout_threshold(mask);
  if (threshold == 0) return;
  const T scale = dropout_scale<T>(mask);
  DropoutWords words;
  for (std::size_t begin = 0; begin < cols; begin += kDropoutBlock) {
    dropout_words(mask, i, begin / kDropoutBlock, words);
    const std::size_t count = std::min(kDropoutBlock, cols - begin);
    T* const x = row + begin;
    for (std::size_t piece = 0; piece * kDropoutLanes < count; ++piece) {
      const std::uint32_t* const word = words.word[piece / 2];
      const unsigned shift = piece % 2 == 0 ? 0 : 16;
      T* const y = x + piece * kDropoutLanes;
      if (count - piece * kDropoutLanes >= kDropoutLanes) {
        dropout_piece(y, word, shift, threshold, scale);
      } else {
        for (std::size_t lane = 0; lane < count - piece * kDropoutLanes; ++lane) {
          const std::uint32_t bits = (word[lane] >> shift) & 0xffffu;
          y[lane] = bits >= threshold ? y[lane] * scale : T{0};
        }
      }
    }
  }
}

}  // namespace detail

/// Whether dropout keeps element (i, j): the definition at the top of this file, one element at a time.
///
/// Cost     one Philox block; kernels draw 128 columns from sixteen blocks instead
constexpr bool dropout_keeps(const DropoutMask& mask, std::size_t i, std::size_t j) noexcept {
  const std::size_t r = j % detail::kDropoutBlock;
  const std::size_t group = detail::kDropoutLanes * (j / detail::kDropoutBlock) + r % detail::kDropoutLanes;
  const std::size_t piece = r / detail::kDropoutLanes;
  const auto words = philox4x32({static_cast<std::uint32_t>(i), mask.call, static_cast<std::uint32_t>(group),
                                 static_cast<std::uint32_t>(std::uint64_t{i} >> 32)},
                                mask.key);
  const std::uint32_t bits = (words[piece / 2] >> (piece % 2 == 0 ? 0 : 16)) & 0xffffu;
  return bits >= detail::dropout_threshold(mask);
}

/// y_ij = x_ij / (1 - p) where dropout keeps (i, j), else 0.
///
/// Shapes   x, y [N, F]; y may be x
/// Cost     work O(N F), nothing allocated, no mask stored
/// Errors   ShapeError if the extents differ, ConfigError if the probability is outside [0, 1]
/// Threads  safe to call concurrently on distinct y; result independent of T
template <Real T>
void dropout(std::type_identity_t<MatrixView<const T>> x, MatrixView<T> y, const DropoutMask& mask) {
  check_dropout(mask, "dropout");
  detail::check_shape("dropout", "x", x, y.rows(), y.cols());
  detail::for_rows(y, [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const T* const from = x.data() + i * x.stride();
    if (from != to) std::copy_n(from, y.cols(), to);
    detail::dropout_row(to, y.cols(), i, mask);
  });
}

/// The gradient of dropout: the same mask, drawn again. Contract as dropout.
template <Real T>
void dropout_backward(std::type_identity_t<MatrixView<const T>> grad_y, MatrixView<T> grad_x,
                      const DropoutMask& mask) {
  check_dropout(mask, "dropout_backward");
  detail::check_shape("dropout_backward", "grad_y", grad_y, grad_x.rows(), grad_x.cols());
  dropout<T>(grad_y, grad_x, mask);
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void dropout<float>(MatrixView<const float>, MatrixView<float>, const DropoutMask&);
TESSERA_INSTANTIATE void dropout_backward<float>(MatrixView<const float>, MatrixView<float>,
                                                 const DropoutMask&);
TESSERA_INSTANTIATE void dropout<double>(MatrixView<const double>, MatrixView<double>, const DropoutMask&);
TESSERA_INSTANTIATE void dropout_backward<double>(MatrixView<const double>, MatrixView<double>,
                                                  const DropoutMask&);
#endif

}  // namespace tessera
