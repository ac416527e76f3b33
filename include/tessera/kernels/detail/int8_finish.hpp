// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tessera/core/isa.hpp"
#include "tessera/kernels/dispatch.hpp"

#if defined(TESSERA_TARGET_AVX2)
#include <immintrin.h>
#define TESSERA_LANES_AVX2 TESSERA_TARGET_AVX2 inline __attribute__((always_inline))
#define TESSERA_LANES_AVX512 TESSERA_TARGET_AVX512 inline __attribute__((always_inline))
#endif

// How rows of 32-bit sums leave an integer kernel. A term says what real number column j has, in units of the output's
// step, in operations that are each rounded once whatever the instruction set: fused multiply-adds are written as such,
// and no sum follows a product that is not. Rounding adds 1.5 * 2^23: after clamping, numbers lie within +-2^20.

namespace tessera::detail {

inline constexpr float kRoundBias = 12582912.0f;

/// Codes a row may have: round(v) + zero in [zero + low, zero + high].
struct CodeBounds {
  float low = 0;
  float high = 0;
  std::int32_t zero = 0;
};

inline std::uint8_t code_of(float v, const CodeBounds& to) noexcept {
  v = v > to.low ? v : to.low;
  v = v < to.high ? v : to.high;
  const float biased = v + kRoundBias;
  std::int32_t bits;
  std::memcpy(&bits, &biased, sizeof bits);
  return static_cast<std::uint8_t>(bits - 0x4b400000 + to.zero);
}

/// (sum + offset_j + row_offset) row multiplier_j + bias_j + addend_j, sums of 32 bits, or of 64 one number at a time.
/// `addend` may be null, `bias` not.
template <class Sum>
struct ProductTerm {
  static constexpr bool kLanes = sizeof(Sum) == 4;
  const Sum* sum;
  const Sum* offset;
  const float* multiplier;
  const float* bias;
  const float* addend;
  Sum row_offset;
  float row;

  float at(std::size_t j) const noexcept {
    const float x = static_cast<float>(sum[j] + (offset[j] + row_offset)) * row;
    const float v = __builtin_fmaf(x, multiplier[j], bias[j]);
    return addend == nullptr ? v : v + addend[j];
  }
#if defined(TESSERA_TARGET_AVX2)
  TESSERA_LANES_AVX2 void lanes(std::size_t j, __m256& v) const noexcept {
    const __m256i o = _mm256_add_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(offset + j)),
                                       _mm256_set1_epi32(row_offset));
    const __m256i a = _mm256_add_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(sum + j)), o);
    const __m256 x = _mm256_mul_ps(_mm256_cvtepi32_ps(a), _mm256_set1_ps(row));
    v = _mm256_fmadd_ps(x, _mm256_loadu_ps(multiplier + j), _mm256_loadu_ps(bias + j));
    if (addend != nullptr) v = _mm256_add_ps(v, _mm256_loadu_ps(addend + j));
  }
  TESSERA_LANES_AVX512 void lanes(std::size_t j, __mmask16 m, __m512& v) const noexcept {
    const __m512i o =
        _mm512_add_epi32(_mm512_maskz_loadu_epi32(m, offset + j), _mm512_set1_epi32(row_offset));
    const __m512i a = _mm512_add_epi32(_mm512_maskz_loadu_epi32(m, sum + j), o);
    const __m512 x = _mm512_mul_ps(_mm512_maskz_cvtepi32_ps(m, a), _mm512_set1_ps(row));
    v = _mm512_fmadd_ps(x, _mm512_maskz_loadu_ps(m, multiplier + j), _mm512_maskz_loadu_ps(m, bias + j));
    if (addend != nullptr) v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(m, addend + j));
  }
#endif
};

/// The sum of two products, the second fused.
template <class Sum>
struct PairTerm {
  static constexpr bool kLanes = ProductTerm<Sum>::kLanes;
  ProductTerm<Sum> first;
  ProductTerm<Sum> second;

  float at(std::size_t j) const noexcept {
    const float x = static_cast<float>(second.sum[j] + (second.offset[j] + second.row_offset));
    return __builtin_fmaf(x, second.multiplier[j], first.at(j));
  }
#if defined(TESSERA_TARGET_AVX2)
  TESSERA_LANES_AVX2 void lanes(std::size_t j, __m256& v) const noexcept {
    __m256 one;
    first.lanes(j, one);
    const __m256i o =
        _mm256_add_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(second.offset + j)),
                         _mm256_set1_epi32(second.row_offset));
    const __m256i a =
        _mm256_add_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(second.sum + j)), o);
    v = _mm256_fmadd_ps(_mm256_cvtepi32_ps(a), _mm256_loadu_ps(second.multiplier + j), one);
  }
  TESSERA_LANES_AVX512 void lanes(std::size_t j, __mmask16 m, __m512& v) const noexcept {
    __m512 one;
    first.lanes(j, m, one);
    const __m512i o = _mm512_add_epi32(_mm512_maskz_loadu_epi32(m, second.offset + j),
                                       _mm512_set1_epi32(second.row_offset));
    const __m512i a = _mm512_add_epi32(_mm512_maskz_loadu_epi32(m, second.sum + j), o);
    v = _mm512_fmadd_ps(_mm512_maskz_cvtepi32_ps(m, a), _mm512_maskz_loadu_ps(m, second.multiplier + j), one);
  }
#endif
};

/// (sum - offset) row + bias_j + (own_j - own_zero) own_factor, sums of 16 or 32 bits. `own` may be null, `bias` not.
template <class Sum>
struct NeighborTerm {
  static constexpr bool kLanes = true;
  const Sum* sum;
  const float* bias;
  const std::uint8_t* own;
  std::int32_t offset;
  float row;
  std::int32_t own_zero;
  float own_factor;

  float at(std::size_t j) const noexcept {
    const float x = static_cast<float>(static_cast<std::int32_t>(sum[j]) - offset);
    return with_own(__builtin_fmaf(x, row, bias[j]), j);
  }
  float with_own(float v, std::size_t j) const noexcept {
    return own == nullptr ? v : __builtin_fmaf(static_cast<float>(own[j] - own_zero), own_factor, v);
  }
#if defined(TESSERA_TARGET_AVX2)
  TESSERA_LANES_AVX2 void lanes(std::size_t j, __m256& v) const noexcept {
    __m256i a;
    if constexpr (sizeof(Sum) == 2) {
      a = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(sum + j)));
    } else {
      a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(sum + j));
    }
    a = _mm256_sub_epi32(a, _mm256_set1_epi32(offset));
    v = _mm256_fmadd_ps(_mm256_cvtepi32_ps(a), _mm256_set1_ps(row), _mm256_loadu_ps(bias + j));
    if (own == nullptr) return;
    const __m256i o =
        _mm256_sub_epi32(_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(own + j))),
                         _mm256_set1_epi32(own_zero));
    v = _mm256_fmadd_ps(_mm256_cvtepi32_ps(o), _mm256_set1_ps(own_factor), v);
  }
  TESSERA_LANES_AVX512 void lanes(std::size_t j, __mmask16 m, __m512& v) const noexcept {
    __m512i a;
    if constexpr (sizeof(Sum) == 2) {
      a = _mm512_maskz_cvtepu16_epi32(m, _mm256_maskz_loadu_epi16(m, sum + j));
    } else {
      a = _mm512_maskz_loadu_epi32(m, sum + j);
    }
    a = _mm512_sub_epi32(a, _mm512_set1_epi32(offset));
    v = _mm512_fmadd_ps(_mm512_maskz_cvtepi32_ps(m, a), _mm512_set1_ps(row),
                        _mm512_maskz_loadu_ps(m, bias + j));
    if (own == nullptr) return;
    const __m512i o = _mm512_sub_epi32(_mm512_maskz_cvtepu8_epi32(m, _mm_maskz_loadu_epi8(m, own + j)),
                                       _mm512_set1_epi32(own_zero));
    v = _mm512_fmadd_ps(_mm512_maskz_cvtepi32_ps(m, o), _mm512_set1_ps(own_factor), v);
  }
#endif
};

/// The same for sums of 64 bits, offset included; one number at a time.
struct HugeTerm {
  static constexpr bool kLanes = false;
  const std::int64_t* sum;
  NeighborTerm<std::int32_t> rest;

  float at(std::size_t j) const noexcept {
    return rest.with_own(__builtin_fmaf(static_cast<float>(sum[j]), rest.row, rest.bias[j]), j);
  }
};

/// x_j factor: how real numbers become codes.
struct RealTerm {
  static constexpr bool kLanes = true;
  const float* x;
  float factor;

  float at(std::size_t j) const noexcept { return x[j] * factor; }
#if defined(TESSERA_TARGET_AVX2)
  TESSERA_LANES_AVX2 void lanes(std::size_t j, __m256& v) const noexcept {
    v = _mm256_mul_ps(_mm256_loadu_ps(x + j), _mm256_set1_ps(factor));
  }
  TESSERA_LANES_AVX512 void lanes(std::size_t j, __mmask16 m, __m512& v) const noexcept {
    v = _mm512_mul_ps(_mm512_maskz_loadu_ps(m, x + j), _mm512_set1_ps(factor));
  }
#endif
};

#if defined(TESSERA_TARGET_AVX2)
template <class Term>
TESSERA_TARGET_AVX512 void codes_avx512(Term term, std::size_t cols, CodeBounds to,
                                        std::uint8_t* out) noexcept {
  const __m512 low = _mm512_set1_ps(to.low), high = _mm512_set1_ps(to.high);
  const __m512i zero = _mm512_set1_epi32(to.zero);
  for (std::size_t j = 0; j < cols; j += 16) {
    const auto m = static_cast<__mmask16>(cols - j >= 16 ? 0xffffu : (1u << (cols - j)) - 1u);
    __m512 v;
    term.lanes(j, m, v);
    v = _mm512_maskz_min_ps(m, _mm512_maskz_max_ps(m, v, low), high);
    _mm512_mask_cvtepi32_storeu_epi8(out + j, m, _mm512_add_epi32(_mm512_maskz_cvtps_epi32(m, v), zero));
  }
}

template <class Term>
TESSERA_TARGET_AVX512 void reals_avx512(Term term, std::size_t cols, float* out) noexcept {
  for (std::size_t j = 0; j < cols; j += 16) {
    const auto m = static_cast<__mmask16>(cols - j >= 16 ? 0xffffu : (1u << (cols - j)) - 1u);
    __m512 v;
    term.lanes(j, m, v);
    _mm512_mask_storeu_ps(out + j, m, v);
  }
}

template <class Term>
TESSERA_TARGET_AVX2 void codes_avx2(Term term, std::size_t cols, CodeBounds to, std::uint8_t* out) noexcept {
  const __m256 low = _mm256_set1_ps(to.low), high = _mm256_set1_ps(to.high);
  const __m256i zero = _mm256_set1_epi32(to.zero);
  std::size_t j = 0;
  for (; j + 16 <= cols; j += 16) {
    __m256 v, w;
    term.lanes(j, v);
    term.lanes(j + 8, w);
    v = _mm256_min_ps(_mm256_max_ps(v, low), high);
    w = _mm256_min_ps(_mm256_max_ps(w, low), high);
    const __m256i words = _mm256_packs_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(v), zero),
                                             _mm256_add_epi32(_mm256_cvtps_epi32(w), zero));
    const __m256i ordered = _mm256_permute4x64_epi64(words, 0xd8);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(out + j),
                     _mm_packus_epi16(_mm256_castsi256_si128(ordered), _mm256_extracti128_si256(ordered, 1)));
  }
  for (; j < cols; ++j) out[j] = code_of(term.at(j), to);
}

template <class Term>
TESSERA_TARGET_AVX2 void reals_avx2(Term term, std::size_t cols, float* out) noexcept {
  std::size_t j = 0;
  for (; j + 8 <= cols; j += 8) {
    __m256 v;
    term.lanes(j, v);
    _mm256_storeu_ps(out + j, v);
  }
  for (; j < cols; ++j) out[j] = term.at(j);
}
#endif

/// out_j = the code of term.at(j), for a whole row.
template <class Term>
void finish_codes(Isa isa, const Term& term, std::size_t cols, const CodeBounds& to,
                  std::uint8_t* out) noexcept {
#if defined(TESSERA_TARGET_AVX2)
  if constexpr (Term::kLanes) {
    if (isa == Isa::avx512) return codes_avx512(term, cols, to, out);
    if (isa == Isa::avx2) return codes_avx2(term, cols, to, out);
  }
#endif
  static_cast<void>(isa);
  for (std::size_t j = 0; j < cols; ++j) out[j] = code_of(term.at(j), to);
}

/// out_j = term.at(j), for a whole row.
template <class Term>
void finish_reals(Isa isa, const Term& term, std::size_t cols, float* out) noexcept {
#if defined(TESSERA_TARGET_AVX2)
  if constexpr (Term::kLanes) {
    if (isa == Isa::avx512) return reals_avx512(term, cols, out);
    if (isa == Isa::avx2) return reals_avx2(term, cols, out);
  }
#endif
  static_cast<void>(isa);
  for (std::size_t j = 0; j < cols; ++j) out[j] = term.at(j);
}

}  // namespace tessera::detail
