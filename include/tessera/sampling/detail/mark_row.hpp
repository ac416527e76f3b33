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

/// The same, and where there is room, the number of bits before each one that was found: the entry's place in
/// the list of all set bits. Finding it here spares the second reading of a row whose entries are mostly left out.
///
/// Shapes   before [words of bits]: set bits in earlier words, where the word has any; found [deg + 16] is
///          scratch; place [room] is written if the result is at most `room`
std::uint32_t mark_and_place_row(Isa isa, std::span<const std::uint64_t> bits, std::span<const NodeId> before,
                                 std::span<const NodeId> row, std::uint64_t* marks, NodeId* found,
                                 NodeId* place, std::size_t room) noexcept;

#if !defined(TESSERA_COMPILED) || defined(TESSERA_COMPILING)
/// The entries from `first`, a multiple of 64, on: one after the other, without a branch to guess wrong. With
/// kFind, found[n...] are the ids of those that are set.
template <bool kFind>
[[gnu::always_inline]] inline std::uint32_t mark_row_from(std::size_t first,
                                                          std::span<const std::uint64_t> bits,
                                                          std::span<const NodeId> row, std::uint64_t* marks,
                                                          NodeId* found, std::uint32_t count) noexcept {
  const std::uint64_t* const word = bits.data();
  for (std::size_t begin = first; begin < row.size(); begin += 64) {
    const NodeId* const at = row.data() + begin;
    const std::size_t entries = std::min<std::size_t>(64, row.size() - begin);
    std::uint64_t mark = 0;
    for (std::size_t k = 0; k < entries; ++k) {
      const std::uint64_t set = word[at[k] >> 6] >> (at[k] & 63) & 1;
      mark |= set << k;
      if constexpr (kFind) {
        found[count] = at[k];
        count += static_cast<std::uint32_t>(set);
      }
    }
    marks[begin / 64] = mark;
    if constexpr (!kFind) count += static_cast<std::uint32_t>(std::popcount(mark));
  }
  return count;
}

[[gnu::always_inline]] inline void place_found(std::span<const std::uint64_t> bits,
                                               std::span<const NodeId> before, const NodeId* found,
                                               std::size_t count, NodeId* place) noexcept {
  for (std::size_t t = 0; t < count; ++t) {
    const std::size_t word = found[t] >> 6;
    const std::uint64_t lower = (std::uint64_t{1} << (found[t] & 63)) - 1;
    place[t] = before[word] + static_cast<NodeId>(std::popcount(bits[word] & lower));
  }
}

#if defined(TESSERA_TARGET_AVX512)
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wsign-conversion"  // GCC's own gather is a macro without optimisation
/// 16 entries at a time, the last ones under a mask.
template <bool kFind>
TESSERA_TARGET_AVX512 inline std::uint32_t mark_row_avx512(std::span<const std::uint64_t> bits,
                                                           std::span<const NodeId> row, std::uint64_t* marks,
                                                           NodeId* found) noexcept {
  const __m512i one = _mm512_set1_epi32(1);
  const __m512i low = _mm512_set1_epi32(31);
  std::uint32_t count = 0;
  std::uint64_t mark = 0;
  for (std::size_t begin = 0; begin < row.size(); begin += 16) {
    const std::size_t left = row.size() - begin;
    const auto there = static_cast<__mmask16>(left >= 16 ? 0xffffu : (1u << left) - 1u);
    const __m512i id = _mm512_maskz_loadu_epi32(there, row.data() + begin);
    const __m512i word = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), there,
                                                     _mm512_maskz_srli_epi32(there, id, 5), bits.data(), 4);
    const __mmask16 set =
        _mm512_test_epi32_mask(word, _mm512_maskz_sllv_epi32(there, one, _mm512_and_si512(id, low)));
    mark |= static_cast<std::uint64_t>(set) << (begin & 63);
    if constexpr (kFind) _mm512_storeu_si512(found + count, _mm512_maskz_compress_epi32(set, id));
    count += static_cast<std::uint32_t>(std::popcount(static_cast<std::uint32_t>(set)));
    if ((begin & 63) == 48 || left <= 16) {
      marks[begin / 64] = mark;
      mark = 0;
    }
  }
  return count;
}

TESSERA_TARGET_AVX512 inline std::uint32_t mark_and_place_avx512(std::span<const std::uint64_t> bits,
                                                                 std::span<const NodeId> before,
                                                                 std::span<const NodeId> row,
                                                                 std::uint64_t* marks, NodeId* found,
                                                                 NodeId* place, std::size_t room) noexcept {
  const std::uint32_t count = mark_row_avx512<true>(bits, row, marks, found);
  if (count <= room) place_found(bits, before, found, count, place);
  return count;
}
#pragma GCC diagnostic pop

/// The portable loops, with the instruction that counts bits.
TESSERA_TARGET_AVX2 inline std::uint32_t mark_and_place_avx2(std::span<const std::uint64_t> bits,
                                                             std::span<const NodeId> before,
                                                             std::span<const NodeId> row,
                                                             std::uint64_t* marks, NodeId* found,
                                                             NodeId* place, std::size_t room) noexcept {
  const std::uint32_t count = mark_row_from<true>(0, bits, row, marks, found, 0);
  if (count <= room) place_found(bits, before, found, count, place);
  return count;
}
#endif

TESSERA_DEFINE std::uint32_t mark_row(Isa isa, std::span<const std::uint64_t> bits,
                                      std::span<const NodeId> row, std::uint64_t* marks) noexcept {
#if defined(TESSERA_TARGET_AVX512)
  if (isa == Isa::avx512) return mark_row_avx512<false>(bits, row, marks, nullptr);
#else
  static_cast<void>(isa);
#endif
  return mark_row_from<false>(0, bits, row, marks, nullptr, 0);
}

TESSERA_DEFINE std::uint32_t mark_and_place_row(Isa isa, std::span<const std::uint64_t> bits,
                                                std::span<const NodeId> before, std::span<const NodeId> row,
                                                std::uint64_t* marks, NodeId* found, NodeId* place,
                                                std::size_t room) noexcept {
#if defined(TESSERA_TARGET_AVX512)
  if (isa == Isa::avx512) return mark_and_place_avx512(bits, before, row, marks, found, place, room);
  if (isa == Isa::avx2) return mark_and_place_avx2(bits, before, row, marks, found, place, room);
#else
  static_cast<void>(isa);
#endif
  const std::uint32_t count = mark_row_from<true>(0, bits, row, marks, found, 0);
  if (count <= room) place_found(bits, before, found, count, place);
  return count;
}
#endif

}  // namespace tessera::detail
