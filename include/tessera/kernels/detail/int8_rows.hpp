// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>

#include "tessera/core/cpu_features.hpp"
#include "tessera/kernels/detail/int8_finish.hpp"
#include "tessera/kernels/int8_isa.hpp"
#include "tessera/kernels/int8_weights.hpp"

// The inner loops of integer products: a block of up to kInt8Rows rows of codes times packed weights, into a block of
// 32-bit sums. The last columns of a row, short of a step of 64, come from a copy padded with zeros; rows beyond the
// block repeat the last one, and what they give is not read.

namespace tessera::detail {

/// Rows of a block at most.
inline constexpr std::size_t kInt8Rows = 48;

/// Rows of a block: a multiple of those a level works on at a time, with sums that stay near the core.
constexpr std::size_t int8_block_rows(Int8Isa isa) noexcept {
  return isa == Int8Isa::amx || isa == Int8Isa::avx512_vnni ? 32 : 48;
}

/// Where a block's codes lie: whole steps of 64 columns in place, the rest in the copy.
struct Int8Block {
  const std::uint8_t* x = nullptr;
  std::size_t stride = 0;
  std::size_t rows = 0;
  std::size_t whole_steps = 0;
  const std::uint8_t* rest = nullptr;  ///< [kInt8Rows, 64]

  const std::uint8_t* row(std::size_t i) const noexcept { return x + std::min(i, rows - 1) * stride; }
  const std::uint8_t* step(std::size_t i, std::size_t s) const noexcept {
    return s < whole_steps ? row(i) + s * 64 : rest + std::min(i, rows - 1) * 64;
  }
};

/// sums [kInt8Rows, w.padded_cols()], rows [0, block.rows) of it.
inline void int8_rows_baseline(const Int8Block& block, const Int8Weights& w, std::int32_t* sums) noexcept {
  constexpr std::size_t P = Int8Weights::kPanel;
  for (std::size_t i = 0; i < block.rows; ++i) {
    for (std::size_t p = 0; p < w.panels(); ++p) {
      const std::int8_t* packed = w.data() + p * w.steps() * 64 * P;
      std::int32_t sum[P] = {};
      for (std::size_t s = 0; s < w.steps(); ++s) {
        const std::uint8_t* const x = block.step(i, s);
        for (std::size_t k = 0; k < 64; k += 4, packed += 4 * P) {
          for (std::size_t j = 0; j < P; ++j) {
            const std::int8_t* const b = packed + 4 * j;
            sum[j] += x[k] * b[0] + x[k + 1] * b[1] + x[k + 2] * b[2] + x[k + 3] * b[3];
          }
        }
      }
      std::memcpy(sums + i * w.padded_cols() + p * P, sum, sizeof sum);
    }
  }
}

#if defined(TESSERA_HAS_CPUID) && defined(TESSERA_TARGET_AVX2)
#define TESSERA_TARGET_AVX_VNNI __attribute__((target("avx2,fma,avxvnni")))
#define TESSERA_TARGET_VNNI __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")))
#define TESSERA_TARGET_AMX __attribute__((target("avx512f,avx512bw,amx-tile,amx-int8")))

/// Six rows by eight columns: `wide` holds the rows' codes as 16-bit numbers, w.steps() * 64 to a row.
TESSERA_TARGET_AVX2 inline void int8_tile_avx2(const std::int16_t* wide, std::size_t depth,
                                               const std::int8_t* packed, std::int32_t* sums,
                                               std::size_t stride) noexcept {
  constexpr std::size_t R = 6;
  __m256i sum[R][2];
  for (auto& row : sum) row[0] = row[1] = _mm256_setzero_si256();
  for (std::size_t k = 0; k < depth; k += 4, packed += 64) {
    const auto* const from = reinterpret_cast<const __m128i*>(packed);
    const __m256i b0 = _mm256_cvtepi8_epi16(_mm_loadu_si128(from));
    const __m256i b1 = _mm256_cvtepi8_epi16(_mm_loadu_si128(from + 1));
#pragma GCC unroll 6
    for (std::size_t r = 0; r < R; ++r) {
      long long four;
      std::memcpy(&four, wide + r * depth + k, sizeof four);
      const __m256i a = _mm256_set1_epi64x(four);
      sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(a, b0));
      sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(a, b1));
    }
  }
  // Neighbouring lanes hold two halves of one column.
#pragma GCC unroll 6
  for (std::size_t r = 0; r < R; ++r) {
    const __m256i pairs = _mm256_hadd_epi32(sum[r][0], sum[r][1]);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(sums + r * stride), _mm256_permute4x64_epi64(pairs, 0xd8));
  }
}

/// `wide` has room for kInt8Rows rows of w.steps() * 64 numbers.
TESSERA_TARGET_AVX2 inline void int8_rows_avx2(const Int8Block& block, const Int8Weights& w,
                                               std::int16_t* wide, std::int32_t* sums) noexcept {
  const std::size_t depth = w.steps() * 64;
  const std::size_t rows = (block.rows + 5) / 6 * 6;
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t s = 0; s < w.steps(); ++s) {
      const auto* const from = reinterpret_cast<const __m128i*>(block.step(i, s));
      auto* const to = reinterpret_cast<__m256i*>(wide + i * depth + s * 64);
      for (std::size_t q = 0; q < 4; ++q) {
        _mm256_storeu_si256(to + q, _mm256_cvtepu8_epi16(_mm_loadu_si128(from + q)));
      }
    }
  }
  for (std::size_t p = 0; p < w.panels(); ++p) {
    const std::int8_t* const packed = w.data() + p * depth * Int8Weights::kPanel;
    for (std::size_t i = 0; i < rows; i += 6) {
      std::int32_t* const to = sums + i * w.padded_cols() + p * Int8Weights::kPanel;
      int8_tile_avx2(wide + i * depth, depth, packed, to, w.padded_cols());
      int8_tile_avx2(wide + i * depth, depth, packed + 32, to + 8, w.padded_cols());
    }
  }
}

/// Six rows by sixteen columns of one panel.
TESSERA_TARGET_AVX_VNNI inline void int8_rows_avx_vnni(const Int8Block& block, const Int8Weights& w,
                                                       std::int32_t* sums) noexcept {
  constexpr std::size_t R = 6;
  for (std::size_t p = 0; p < w.panels(); ++p) {
    for (std::size_t i = 0; i < block.rows; i += R) {
      const std::int8_t* packed = w.data() + p * w.steps() * 64 * Int8Weights::kPanel;
      __m256i sum[R][2];
      for (auto& row : sum) row[0] = row[1] = _mm256_setzero_si256();
      for (std::size_t s = 0; s < w.steps(); ++s) {
        const std::uint8_t* x[R];
        for (std::size_t r = 0; r < R; ++r) x[r] = block.step(i + r, s);
        for (std::size_t k = 0; k < 64; k += 4, packed += 64) {
          const auto* const from = reinterpret_cast<const __m256i*>(packed);
          const __m256i b0 = _mm256_loadu_si256(from);
          const __m256i b1 = _mm256_loadu_si256(from + 1);
#pragma GCC unroll 6
          for (std::size_t r = 0; r < R; ++r) {
            std::int32_t four;
            std::memcpy(&four, x[r] + k, sizeof four);
            const __m256i a = _mm256_set1_epi32(four);
            sum[r][0] = _mm256_dpbusd_avx_epi32(sum[r][0], a, b0);
            sum[r][1] = _mm256_dpbusd_avx_epi32(sum[r][1], a, b1);
          }
        }
      }
      for (std::size_t r = 0; r < R; ++r) {
        auto* const to = reinterpret_cast<__m256i*>(sums + (i + r) * w.padded_cols() + p * 16);
        _mm256_storeu_si256(to, sum[r][0]);
        _mm256_storeu_si256(to + 1, sum[r][1]);
      }
    }
  }
}

/// Eight rows by two panels.
TESSERA_TARGET_VNNI inline void int8_rows_vnni(const Int8Block& block, const Int8Weights& w,
                                               std::int32_t* sums) noexcept {
  constexpr std::size_t R = 8;
  const std::size_t panel = w.steps() * 64 * Int8Weights::kPanel;
  for (std::size_t p = 0; p < w.panels(); p += 2) {
    for (std::size_t i = 0; i < block.rows; i += R) {
      const std::int8_t* packed = w.data() + p * panel;
      __m512i sum[R][2];
      for (auto& row : sum) row[0] = row[1] = _mm512_setzero_si512();
      for (std::size_t s = 0; s < w.steps(); ++s) {
        const std::uint8_t* x[R];
        for (std::size_t r = 0; r < R; ++r) x[r] = block.step(i + r, s);
        for (std::size_t k = 0; k < 64; k += 4, packed += 64) {
          const __m512i b0 = _mm512_loadu_si512(packed);
          const __m512i b1 = _mm512_loadu_si512(packed + panel);
#pragma GCC unroll 8
          for (std::size_t r = 0; r < R; ++r) {
            std::int32_t four;
            std::memcpy(&four, x[r] + k, sizeof four);
            const __m512i a = _mm512_set1_epi32(four);
            sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], a, b0);
            sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], a, b1);
          }
        }
      }
      for (std::size_t r = 0; r < R; ++r) {
        std::int32_t* const to = sums + (i + r) * w.padded_cols() + p * 16;
        _mm512_storeu_si512(to, sum[r][0]);
        _mm512_storeu_si512(to + 16, sum[r][1]);
      }
    }
  }
}

/// Tile shapes as the processor reads them.
struct alignas(64) Int8TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t column_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

/// 32 rows by two panels in four tiles. `pad` [32, w.steps() * 64] holds the rows of a last, shorter strip.
TESSERA_TARGET_AMX inline void int8_rows_amx(const Int8Block& block, const Int8Weights& w, std::uint8_t* pad,
                                             std::int32_t* sums) noexcept {
  const Int8TileConfig config;
  _tile_loadconfig(&config);
  const std::size_t panel = w.steps() * 64 * Int8Weights::kPanel;
  const std::size_t stride_sums = w.padded_cols() * sizeof(std::int32_t);
  for (std::size_t i = 0; i < block.rows; i += 32) {
    const bool whole = i + 32 <= block.rows;
    if (!whole) {
      for (std::size_t r = 0; r < 32; ++r) {
        for (std::size_t s = 0; s < w.steps(); ++s) {
          std::memcpy(pad + (r * w.steps() + s) * 64, block.step(i + r, s), 64);
        }
      }
    }
    for (std::size_t p = 0; p < w.panels(); p += 2) {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
      const std::int8_t* packed = w.data() + p * panel;
      for (std::size_t s = 0; s < w.steps(); ++s, packed += 1024) {
        const std::uint8_t* x = pad + s * 64;
        std::size_t stride = w.steps() * 64;
        if (whole) {
          x = block.step(i, s);
          stride = s < block.whole_steps ? block.stride : 64;
        }
        _tile_loadd(4, x, static_cast<long>(stride));
        _tile_loadd(6, packed, 64);
        _tile_loadd(7, packed + panel, 64);
        _tile_dpbusd(0, 4, 6);
        _tile_dpbusd(1, 4, 7);
        _tile_loadd(5, x + 16 * stride, static_cast<long>(stride));
        _tile_dpbusd(2, 5, 6);
        _tile_dpbusd(3, 5, 7);
      }
      std::int32_t* const to = sums + i * w.padded_cols() + p * 16;
      _tile_stored(0, to, static_cast<long>(stride_sums));
      _tile_stored(1, to + 16, static_cast<long>(stride_sums));
      _tile_stored(2, to + 16 * w.padded_cols(), static_cast<long>(stride_sums));
      _tile_stored(3, to + 16 * w.padded_cols() + 16, static_cast<long>(stride_sums));
    }
  }
  _tile_release();
}
#endif

/// Bytes of scratch a block needs besides its sums.
inline std::size_t int8_scratch_bytes(Int8Isa isa, const Int8Weights& w) noexcept {
  const std::size_t depth = w.steps() * 64;
  if (isa == Int8Isa::avx2) return kInt8Rows * depth * sizeof(std::int16_t);
  return isa == Int8Isa::amx ? 32 * depth : 0;
}

/// sums [kInt8Rows, w.padded_cols()] of one block.
inline void int8_rows(Int8Isa isa, const Int8Block& block, const Int8Weights& w, std::uint8_t* scratch,
                      std::int32_t* sums) noexcept {
#if defined(TESSERA_HAS_CPUID) && defined(TESSERA_TARGET_AVX2)
  switch (isa) {
    case Int8Isa::amx:
      return int8_rows_amx(block, w, scratch, sums);
    case Int8Isa::avx512_vnni:
      return int8_rows_vnni(block, w, sums);
    case Int8Isa::avx_vnni:
      return int8_rows_avx_vnni(block, w, sums);
    case Int8Isa::avx2:
      return int8_rows_avx2(block, w, reinterpret_cast<std::int16_t*>(scratch), sums);
    case Int8Isa::baseline:
      break;
  }
#else
  static_cast<void>(isa);
  static_cast<void>(scratch);
#endif
  int8_rows_baseline(block, w, sums);
}

}  // namespace tessera::detail
