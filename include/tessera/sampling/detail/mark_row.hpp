// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/config.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/isa.hpp"

#if !defined(TESSERA_COMPILED) || defined(TESSERA_COMPILING)
#include <algorithm>
#include <bit>

#include "tessera/kernels/dispatch.hpp"
#if defined(TESSERA_TARGET_AVX512)
#include <immintrin.h>  // a gather of bits has no spelling in the compiler's own vectors
#endif
#endif

namespace tessera::detail {

/// Looks up one bit for every entry of a row: bit k % 64 of marks[k / 64] becomes bit row[k] of `bits`.
/// Returns how many are set.
///
/// Shapes   bits: 64 per word, beyond every id of the row; marks [ceil(deg / 64)], spare bits become 0
/// Threads  exact, so the same at every instruction-set level
std::uint32_t mark_row(Isa isa, std::span<const std::uint64_t> bits, std::span<const NodeId> row,
                       std::uint64_t* marks) noexcept;

#if !defined(TESSERA_COMPILED) || defined(TESSERA_COMPILING)
/// The entries from `first`, a multiple of 64, on: one after the other, without a branch to guess wrong.
inline std::uint32_t mark_row_from(std::size_t first, std::span<const std::uint64_t> bits,
                                   std::span<const NodeId> row, std::uint64_t* marks) noexcept {
  const std::uint64_t* const word = bits.data();
  std::uint32_t count = 0;
  for (std::size_t begin = first; begin < row.size(); begin += 64) {
    const NodeId* const at = row.data() + begin;
    const std::size_t entries = std::min<std::size_t>(64, row.size() - begin);
    std::uint64_t mark = 0;
    for (std::size_t k = 0; k < entries; ++k) mark |= (word[at[k] >> 6] >> (at[k] & 63) & 1) << k;
    marks[begin / 64] = mark;
    count += static_cast<std::uint32_t>(std::popcount(mark));
  }
  return count;
}

#if defined(TESSERA_TARGET_AVX512)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"  // GCC's own gather is a macro without optimisation
TESSERA_TARGET_AVX512 inline std::uint32_t mark_row_avx512(std::span<const std::uint64_t> bits,
                                                           std::span<const NodeId> row,
                                                           std::uint64_t* marks) noexcept {
  const __m512i one = _mm512_set1_epi32(1);
  const __m512i low = _mm512_set1_epi32(31);
  std::uint32_t count = 0;
  std::size_t begin = 0;
  for (; begin + 64 <= row.size(); begin += 64) {
    std::uint64_t mark = 0;
    for (unsigned lane = 0; lane < 64; lane += 16) {
      const __m512i id = _mm512_loadu_si512(row.data() + begin + lane);
      const __m512i word = _mm512_i32gather_epi32(_mm512_srli_epi32(id, 5), bits.data(), 4);
      const __mmask16 set = _mm512_test_epi32_mask(word, _mm512_sllv_epi32(one, _mm512_and_si512(id, low)));
      mark |= static_cast<std::uint64_t>(set) << lane;
    }
    marks[begin / 64] = mark;
    count += static_cast<std::uint32_t>(std::popcount(mark));
  }
  return count + mark_row_from(begin, bits, row, marks);
}
#pragma GCC diagnostic pop
#endif

TESSERA_DEFINE std::uint32_t mark_row(Isa isa, std::span<const std::uint64_t> bits,
                                      std::span<const NodeId> row, std::uint64_t* marks) noexcept {
#if defined(TESSERA_TARGET_AVX512)
  if (isa == Isa::avx512 && row.size() >= 64) return mark_row_avx512(bits, row, marks);
#else
  static_cast<void>(isa);
#endif
  return mark_row_from(0, bits, row, marks);
}
#endif

}  // namespace tessera::detail
