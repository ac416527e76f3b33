// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "tessera/core/bf16.hpp"
#include "tessera/kernels/detail/philox_lanes.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/dropout.hpp"

#if defined(TESSERA_TARGET_AVX512)
#include <immintrin.h>

// Dropout of a row kept as bf16, with the numbers of dropout_row, in instructions: compilers do not see that converting,
// choosing and rounding sixteen numbers is one chain of registers.

namespace tessera::detail {

inline constexpr __mmask16 kSixteenLanes = 0xffff;

/// What dropout_words makes, in registers.
TESSERA_TARGET_AVX512 TESSERA_ALWAYS_INLINE void dropout_words_avx512(const DropoutMask& mask, std::size_t i,
                                                                      std::size_t block,
                                                                      __m512i (&word)[4]) noexcept {
  const __m512i lane = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  word[0] = all_lanes(static_cast<std::uint32_t>(i));
  word[1] = all_lanes(mask.call);
  word[2] = _mm512_add_epi32(lane, all_lanes(static_cast<std::uint32_t>(block * kDropoutLanes)));
  word[3] = all_lanes(static_cast<std::uint32_t>(std::uint64_t{i} >> 32));
  philox_avx512(mask.key, word);
}

/// to[j] = kept ? from[j] * scale : 0 for sixteen columns, rounded to nearest, ties to even. A bf16 that is not a number
/// has no bits below the sixteenth, so that rounding cannot make a number of it.
TESSERA_TARGET_AVX512 TESSERA_ALWAYS_INLINE void dropout_piece_avx512(const bf16* from, __mmask16 kept,
                                                                      __m512 scale, bf16* to) noexcept {
  const __m256i half = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
  const __m512i wide =
      _mm512_maskz_slli_epi32(kSixteenLanes, _mm512_maskz_cvtepu16_epi32(kSixteenLanes, half), 16);
  const __m512i x = _mm512_castps_si512(_mm512_mul_ps(_mm512_castsi512_ps(wide), scale));
  const __m512i tie = _mm512_and_si512(_mm512_maskz_srli_epi32(kSixteenLanes, x, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(x, _mm512_set1_epi32(0x7fff)), tie);
  const __m512i upper = _mm512_maskz_srli_epi32(kSixteenLanes, rounded, 16);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_maskz_cvtepi32_epi16(kept, upper));
}

/// The same for up to sixteen columns.
TESSERA_TARGET_AVX512 TESSERA_ALWAYS_INLINE void dropout_piece_avx512(const bf16* from, std::size_t count,
                                                                      __mmask16 kept, __m512 scale,
                                                                      bf16* to) noexcept {
  if (count == kDropoutLanes) return dropout_piece_avx512(from, kept, scale, to);
  bf16 last[kDropoutLanes] = {};
  std::copy_n(from, count, last);
  dropout_piece_avx512(last, kept, scale, last);
  std::copy_n(last, count, to);
}

/// A whole row; `to` may be `from`. Its mask goes to `kept`, sixteen columns a word, unless that is null.
TESSERA_TARGET_AVX512 inline void bf16_dropout_row_avx512(const bf16* from, bf16* to, std::size_t cols,
                                                          std::size_t i, const DropoutMask& mask,
                                                          std::uint16_t* kept) noexcept {
  const __m512i threshold = _mm512_set1_epi32(static_cast<int>(dropout_threshold(mask)));
  const __m512 scale = _mm512_set1_ps(dropout_scale<float>(mask));
  const __m512i lower = _mm512_set1_epi32(0xffff);
  __m512i word[4];
  for (std::size_t begin = 0; begin < cols; begin += kDropoutBlock) {
    dropout_words_avx512(mask, i, begin / kDropoutBlock, word);
    const std::size_t count = std::min(kDropoutBlock, cols - begin);
    for (std::size_t piece = 0; piece * kDropoutLanes < count; ++piece) {
      const __m512i pair = word[piece / 2];
      const __m512i bits =
          piece % 2 == 0 ? _mm512_and_si512(pair, lower) : _mm512_maskz_srli_epi32(kSixteenLanes, pair, 16);
      const std::size_t at = begin + piece * kDropoutLanes;
      const __mmask16 keep = _mm512_cmpge_epu32_mask(bits, threshold);
      if (kept != nullptr) kept[at / kDropoutLanes] = keep;
      dropout_piece_avx512(from + at, std::min(kDropoutLanes, cols - at), keep, scale, to + at);
    }
  }
}

/// A whole row in place under a mask drawn before.
TESSERA_TARGET_AVX512 inline void bf16_masked_row_avx512(bf16* row, std::size_t cols, float scale,
                                                         const std::uint16_t* kept) noexcept {
  const __m512 by = _mm512_set1_ps(scale);
  for (std::size_t at = 0; at < cols; at += kDropoutLanes) {
    bf16* const piece = row + at;
    dropout_piece_avx512(piece, std::min(kDropoutLanes, cols - at), kept[at / kDropoutLanes], by, piece);
  }
}

}  // namespace tessera::detail
#endif
