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
#include "tessera/core/isa.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/detail/philox_lanes.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/dispatch.hpp"
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

/// Four words of each of sixteen lanes: counters before they are drawn from, numbers after.
struct DropoutWords {
  alignas(64) std::uint32_t word[4][kDropoutLanes];
};

/// philox4x32 for sixteen counters: word[k][l] is lane l's counter k and becomes its word k. The level is looked up, not
/// passed: one look serves sixteen blocks, and not every caller knows its own.
TESSERA_ALWAYS_INLINE void philox_lanes(RngKey key, DropoutWords& words) noexcept {
#if defined(TESSERA_TARGET_AVX512)
  const Isa isa = tessera::active_isa();
  if (isa == Isa::avx512) return philox_lanes_avx512(key, words.word);
  if (isa == Isa::avx2) return philox_lanes_avx2(key, words.word);
#endif
  for (std::size_t l = 0; l < kDropoutLanes; ++l) {
    const auto drawn =
        philox4x32({words.word[0][l], words.word[1][l], words.word[2][l], words.word[3][l]}, key);
    for (std::size_t k = 0; k < 4; ++k) words.word[k][l] = drawn[k];
  }
}

/// Every lane of one counter becomes `value`.
TESSERA_ALWAYS_INLINE void fill_lanes(std::uint32_t (&word)[kDropoutLanes], std::uint32_t value) noexcept {
  Simd<std::uint32_t, kDropoutLanes> all;
  simd_fill<kDropoutLanes>(all, value);
  simd_store<kDropoutLanes, std::uint32_t>(word, all);
}

/// The words of the sixteen groups of one block of 128 columns.
TESSERA_ALWAYS_INLINE void dropout_words(const DropoutMask& mask, std::size_t i, std::size_t block,
                                         DropoutWords& out) noexcept {
  constexpr Simd<std::uint32_t, kDropoutLanes> kLane = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
  fill_lanes(out.word[0], static_cast<std::uint32_t>(i));
  fill_lanes(out.word[1], mask.call);
  fill_lanes(out.word[3], static_cast<std::uint32_t>(std::uint64_t{i} >> 32));
  const Simd<std::uint32_t, kDropoutLanes> group = kLane + static_cast<std::uint32_t>(block * kDropoutLanes);
  simd_store<kDropoutLanes, std::uint32_t>(out.word[2], group);
  philox_lanes(mask.key, out);
}

/// y = kept ? y * scale : 0 for sixteen columns whose bits stand in `word` from `shift` on.
template <class T, class L>
TESSERA_ALWAYS_INLINE void dropout_piece(L, T* y, const std::uint32_t* word, unsigned shift,
                                         std::uint32_t threshold, T scale) noexcept {
  constexpr std::size_t W = L::template lanes<std::uint32_t>();
  unroll<kDropoutLanes / W>([=](auto part) TESSERA_INLINE_LAMBDA {
    Simd<std::uint32_t, W> bits;
    Simd<T, W> value;
    simd_load<W, std::uint32_t>(bits, word + part * W);
    simd_load<W, T>(value, y + part * W);
    value *= scale;
    bits = (bits >> shift) & 0xffffu;
    using Mask = Simd<SameWidthInt<T>, W>;
    const Mask kept = __builtin_convertvector(bits >= threshold, Mask);
    value = reinterpret_cast<Simd<T, W>>(reinterpret_cast<Mask>(value) & kept);
    simd_store<W, T>(y + part * W, value);
  });
}

/// row[j] = kept ? row[j] * scale : 0. Meant to be inlined into functions compiled for `level`.
template <class T, class L>
[[gnu::always_inline]] inline void dropout_row(L level, T* row, std::size_t cols, std::size_t i,
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
        dropout_piece(level, y, word, shift, threshold, scale);
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
  const KernelScope profile = detail::pass_scope("dropout", y, 2);
  detail::for_rows(y, [&](auto level, T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const T* const from = x.data() + i * x.stride();
    if (from != to) std::copy_n(from, y.cols(), to);
    detail::dropout_row(level, to, y.cols(), i, mask);
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
