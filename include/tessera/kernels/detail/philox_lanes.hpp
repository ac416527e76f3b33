// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "tessera/core/rng.hpp"
#include "tessera/kernels/dispatch.hpp"

#if defined(TESSERA_TARGET_AVX512)
#include <immintrin.h>

// Sixteen counters of philox4x32 at once. Spelt in instructions because compilers make three of a product of 64-bit
// lanes whose upper halves are 0 (more with AVX2), and two of joining the halves of two products.

namespace tessera::detail {

inline constexpr __mmask16 kEvenLanes = 0x5555;
inline constexpr __mmask16 kOddLanes = 0xaaaa;
inline constexpr __mmask8 kEightLanes = 0xff;

/// The halves of the 64-bit products of sixteen lanes with one factor.
TESSERA_TARGET_AVX512 TESSERA_ALWAYS_INLINE void multiply_high_low(__m512i a, __m512i factor, __m512i& high,
                                                                   __m512i& low) noexcept {
  const __m512i even = _mm512_maskz_mul_epu32(kEightLanes, a, factor);
  const __m512i odd =
      _mm512_maskz_mul_epu32(kEightLanes, _mm512_maskz_srli_epi64(kEightLanes, a, 32), factor);
  high = _mm512_mask_shuffle_epi32(odd, kEvenLanes, even, _MM_PERM_CDAB);
  low = _mm512_mask_shuffle_epi32(even, kOddLanes, odd, _MM_PERM_CDAB);
}

TESSERA_TARGET_AVX512 TESSERA_ALWAYS_INLINE __m512i all_lanes(std::uint32_t x) noexcept {
  return _mm512_set1_epi32(static_cast<int>(x));
}

/// The four words of every lane, in place of its four counters.
TESSERA_TARGET_AVX512 TESSERA_ALWAYS_INLINE void philox_avx512(RngKey key, __m512i (&word)[4]) noexcept {
  const __m512i first = all_lanes(0xD2511F53u);
  const __m512i second = all_lanes(0xCD9E8D57u);
  for (int round = 0; round < 10; ++round) {
    __m512i high0, low0, high1, low1;
    multiply_high_low(word[0], first, high0, low0);
    multiply_high_low(word[2], second, high1, low1);
    word[0] = _mm512_xor_si512(_mm512_xor_si512(high1, word[1]), all_lanes(key.lo));
    word[1] = low1;
    word[2] = _mm512_xor_si512(_mm512_xor_si512(high0, word[3]), all_lanes(key.hi));
    word[3] = low0;
    key.lo += 0x9E3779B9u;
    key.hi += 0xBB67AE85u;
  }
}

/// philox_avx512 for code compiled for any level: words[k] stands where lane l's counter k did.
TESSERA_TARGET_AVX512 inline void philox_lanes_avx512(RngKey key, std::uint32_t (&words)[4][16]) noexcept {
  __m512i word[4] = {_mm512_loadu_si512(words[0]), _mm512_loadu_si512(words[1]), _mm512_loadu_si512(words[2]),
                     _mm512_loadu_si512(words[3])};
  philox_avx512(key, word);
  for (int k = 0; k < 4; ++k) _mm512_storeu_si512(words[k], word[k]);
}

/// The halves of the 64-bit products of eight lanes with one factor.
TESSERA_TARGET_AVX2 TESSERA_ALWAYS_INLINE void multiply_high_low(__m256i a, __m256i factor, __m256i& high,
                                                                 __m256i& low) noexcept {
  const __m256i even = _mm256_mul_epu32(a, factor);
  const __m256i odd = _mm256_mul_epu32(_mm256_srli_epi64(a, 32), factor);
  high = _mm256_blend_epi32(_mm256_shuffle_epi32(even, 0xb1), odd, 0xaa);
  low = _mm256_blend_epi32(even, _mm256_shuffle_epi32(odd, 0xb1), 0xaa);
}

/// philox_lanes_avx512 eight lanes at a time.
TESSERA_TARGET_AVX2 inline void philox_lanes_avx2(RngKey key, std::uint32_t (&words)[4][16]) noexcept {
  const __m256i first = _mm256_set1_epi32(static_cast<int>(0xD2511F53u));
  const __m256i second = _mm256_set1_epi32(static_cast<int>(0xCD9E8D57u));
  for (int half = 0; half < 16; half += 8) {
    const auto at = [&](int k) { return reinterpret_cast<__m256i*>(words[k] + half); };
    __m256i c0 = _mm256_loadu_si256(at(0)), c1 = _mm256_loadu_si256(at(1));
    __m256i c2 = _mm256_loadu_si256(at(2)), c3 = _mm256_loadu_si256(at(3));
    RngKey round_key = key;
    for (int round = 0; round < 10; ++round) {
      __m256i high0, low0, high1, low1;
      multiply_high_low(c0, first, high0, low0);
      multiply_high_low(c2, second, high1, low1);
      c0 = _mm256_xor_si256(_mm256_xor_si256(high1, c1), _mm256_set1_epi32(static_cast<int>(round_key.lo)));
      c1 = low1;
      c2 = _mm256_xor_si256(_mm256_xor_si256(high0, c3), _mm256_set1_epi32(static_cast<int>(round_key.hi)));
      c3 = low0;
      round_key.lo += 0x9E3779B9u;
      round_key.hi += 0xBB67AE85u;
    }
    _mm256_storeu_si256(at(0), c0);
    _mm256_storeu_si256(at(1), c1);
    _mm256_storeu_si256(at(2), c2);
    _mm256_storeu_si256(at(3), c3);
  }
}

}  // namespace tessera::detail
#endif
