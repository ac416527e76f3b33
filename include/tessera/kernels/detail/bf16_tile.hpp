// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "tessera/core/bf16.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/kernels/bf16_isa.hpp"
#include "tessera/kernels/dispatch.hpp"

#if defined(TESSERA_TARGET_AVX512)
#include <immintrin.h>
#define TESSERA_TARGET_BF16 \
  __attribute__((target("avx2,fma,f16c,avx512f,avx512bw,avx512dq,avx512vl,avx512bf16")))
#define TESSERA_TARGET_AMX_BF16 __attribute__((target("avx512f,avx512bw,amx-tile,amx-bf16")))

// Products of bf16 numbers in blocks of 32 x 32 sums and steps of 32 summed elements. The left operand is read as rows;
// of the right one, a panel of 32 columns is packed step by step as two tiles [16 pairs of rows][16 columns][2]:
// neighbours in a column lie side by side, which is what the instructions want.

namespace tessera::detail {

inline constexpr std::size_t kBf16Block = 32;              ///< rows, columns and depth of a block
inline constexpr std::size_t kBf16Tile = 16 * kBf16Block;  ///< elements of a packed tile
inline constexpr std::size_t kBf16Panel = 2 * kBf16Tile;   ///< elements of one step of a panel

constexpr std::size_t bf16_blocks(std::size_t count) noexcept {
  return (count + kBf16Block - 1) / kBf16Block;
}

// Intrinsics without a mask start from registers left as they are, which GCC 12 warns about.
inline constexpr __mmask16 kAllLanes = 0xffff;
inline constexpr __mmask8 kAllPairs = 0xff;

/// One block: c [32, 32] = or += a [32, 32 (steps + tail)] times a panel.
struct Bf16Block {
  const bf16* a = nullptr;
  std::size_t lda = 0;
  std::size_t stride = kBf16Block;  ///< elements from one step of a to the next
  std::size_t steps = 0;
  const bf16* tail = nullptr;     ///< [32, 32] of one more step, or null
  std::size_t last = kBf16Block;  ///< summed elements of the last step; the rest are zeros
  std::size_t cols = kBf16Block;  ///< columns of the panel that are wanted; what the rest become is left open
  const bf16* panel = nullptr;
  float* c = nullptr;
  std::size_t ldc = 0;
  bool add = false;
};

/// Eight tiles of 16 rows of 64 bytes, as `ldtilecfg` reads it.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1;
  std::uint8_t start_row = 0;
  std::uint8_t reserved[14] = {};
  std::uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};
inline constexpr TileConfig kFullTiles{};  // in memory: compilers think that only its first bytes are read

/// The tile registers of the calling thread while it lives; a thread must not start other work meanwhile.
class AmxBf16Tiles {
 public:
  TESSERA_TARGET_AMX_BF16 AmxBf16Tiles() noexcept { _tile_loadconfig(&kFullTiles); }
  TESSERA_TARGET_AMX_BF16 ~AmxBf16Tiles() { _tile_release(); }
  AmxBf16Tiles(const AmxBf16Tiles&) = delete;
  AmxBf16Tiles& operator=(const AmxBf16Tiles&) = delete;
};

TESSERA_TARGET_AMX_BF16 inline void bf16_block_amx(const Bf16Block& given) noexcept {
  const Bf16Block b = given;
  // Compilers do not know that tile instructions read and write memory.
  __asm__ volatile("" ::: "memory");
  const auto ldc = static_cast<long>(b.ldc * sizeof(float));
  if (b.add) {
    _tile_loadd(0, b.c, ldc);
    _tile_loadd(1, b.c + 16, ldc);
    _tile_loadd(2, b.c + 16 * b.ldc, ldc);
    _tile_loadd(3, b.c + 16 * b.ldc + 16, ldc);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  const bf16* panel = b.panel;
  const std::size_t total = b.steps + (b.tail != nullptr ? 1 : 0);
  for (std::size_t s = 0; s < total; ++s, panel += kBf16Panel) {
    const bool last = s == b.steps;
    const bf16* const a = last ? b.tail : b.a + s * b.stride;
    const std::size_t stride = last ? kBf16Block : b.lda;
    const auto lda = static_cast<long>(stride * sizeof(bf16));
    _tile_loadd(4, a, lda);
    _tile_loadd(6, panel, 64);
    _tile_loadd(7, panel + kBf16Tile, 64);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_loadd(5, a + 16 * stride, lda);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
  _tile_stored(0, b.c, ldc);
  _tile_stored(1, b.c + 16, ldc);
  _tile_stored(2, b.c + 16 * b.ldc, ldc);
  _tile_stored(3, b.c + 16 * b.ldc + 16, ldc);
  __asm__ volatile("" ::: "memory");
}

// Arrays of registers stay registers only where loops over them are unrolled.
#if defined(__clang__)
#define TESSERA_UNROLL _Pragma("unroll")
#else
#define TESSERA_UNROLL _Pragma("GCC unroll 16")
#endif

/// bf16_block_pairs on the first `kHalves` halves of the panel.
template <std::size_t kHalves>
TESSERA_TARGET_BF16 void bf16_halves_pairs(const Bf16Block& given) noexcept {
  constexpr std::size_t kRows = 8;
  const Bf16Block b = given;
  const std::size_t total = b.steps + (b.tail != nullptr ? 1 : 0);
  for (std::size_t i = 0; i < kBf16Block; i += kRows) {
    __m512 sum[kRows][kHalves];
    float* const c = b.c + i * b.ldc;
    TESSERA_UNROLL
    for (std::size_t r = 0; r < kRows; ++r) {
      TESSERA_UNROLL
      for (std::size_t h = 0; h < kHalves; ++h) {
        sum[r][h] = b.add ? _mm512_loadu_ps(c + r * b.ldc + 16 * h) : _mm512_setzero_ps();
      }
    }
    const bf16* panel = b.panel;
    for (std::size_t s = 0; s < total; ++s, panel += kBf16Panel) {
      const bool tail = s == b.steps;
      const std::size_t stride = tail ? kBf16Block : b.lda;
      const bf16* const a = (tail ? b.tail : b.a + s * b.stride) + i * stride;
      const std::size_t pairs = s + 1 < total ? kBf16Block / 2 : (b.last + 1) / 2;
      for (std::size_t k = 0; k < pairs; ++k) {
        __m512bh y[kHalves];
        TESSERA_UNROLL
        for (std::size_t h = 0; h < kHalves; ++h) {
          y[h] = reinterpret_cast<__m512bh>(_mm512_loadu_si512(panel + h * kBf16Tile + k * kBf16Block));
        }
        TESSERA_UNROLL
        for (std::size_t r = 0; r < kRows; ++r) {
          std::int32_t pair;
          __builtin_memcpy(&pair, a + r * stride + 2 * k, sizeof pair);
          const auto x = reinterpret_cast<__m512bh>(_mm512_set1_epi32(pair));
          TESSERA_UNROLL
          for (std::size_t h = 0; h < kHalves; ++h) sum[r][h] = _mm512_dpbf16_ps(sum[r][h], x, y[h]);
        }
      }
    }
    TESSERA_UNROLL
    for (std::size_t r = 0; r < kRows; ++r) {
      TESSERA_UNROLL
      for (std::size_t h = 0; h < kHalves; ++h) _mm512_storeu_ps(c + r * b.ldc + 16 * h, sum[r][h]);
    }
  }
}

TESSERA_TARGET_BF16 inline void bf16_block_pairs(const Bf16Block& block) noexcept {
  if (block.cols <= kBf16Block / 2) {
    bf16_halves_pairs<1>(block);
  } else {
    bf16_halves_pairs<2>(block);
  }
}

/// Up to 32 numbers from p on as bf16 side by side.
TESSERA_TARGET_BF16 inline __m512i bf16_run(const float* p, __mmask32 mask) noexcept {
  const __m512 low = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask), p);
  const __m512 high = _mm512_maskz_loadu_ps(static_cast<__mmask16>(mask >> 16), p + 16);
  return reinterpret_cast<__m512i>(_mm512_cvtne2ps_pbh(high, low));
}
TESSERA_TARGET_BF16 inline __m512i bf16_run(const bf16* p, __mmask32 mask) noexcept {
  return _mm512_maskz_loadu_epi16(mask, p);
}

inline __mmask32 bf16_mask(std::size_t count) noexcept {
  return count >= 32 ? ~__mmask32{0} : static_cast<__mmask32>((1u << count) - 1);
}

/// Which 16-bit lanes of two registers to take so that those from `first` on alternate.
TESSERA_TARGET_BF16 inline __m512i interleaved_lanes(std::uint16_t first) noexcept {
  alignas(64) std::uint16_t lane[32];
  for (std::uint16_t i = 0; i < 16; ++i) {
    lane[2 * i] = static_cast<std::uint16_t>(first + i);
    lane[2 * i + 1] = static_cast<std::uint16_t>(32 + first + i);
  }
  return _mm512_load_si512(lane);
}

/// The 16 x 16 matrix of 32-bit lanes, transposed.
TESSERA_TARGET_BF16 TESSERA_ALWAYS_INLINE void transpose_lanes(__m512i (&x)[16]) noexcept {
  __m512i y[16];
  TESSERA_UNROLL
  for (int i = 0; i < 16; i += 2) {
    y[i] = _mm512_maskz_unpacklo_epi32(kAllLanes, x[i], x[i + 1]);
    y[i + 1] = _mm512_maskz_unpackhi_epi32(kAllLanes, x[i], x[i + 1]);
  }
  TESSERA_UNROLL
  for (int i = 0; i < 16; i += 4) {
    x[i] = _mm512_maskz_unpacklo_epi64(kAllPairs, y[i], y[i + 2]);
    x[i + 1] = _mm512_maskz_unpackhi_epi64(kAllPairs, y[i], y[i + 2]);
    x[i + 2] = _mm512_maskz_unpacklo_epi64(kAllPairs, y[i + 1], y[i + 3]);
    x[i + 3] = _mm512_maskz_unpackhi_epi64(kAllPairs, y[i + 1], y[i + 3]);
  }
  TESSERA_UNROLL
  for (int i = 0; i < 4; ++i) {
    y[i] = _mm512_maskz_shuffle_i32x4(kAllLanes, x[i], x[i + 4], 0x88);
    y[i + 4] = _mm512_maskz_shuffle_i32x4(kAllLanes, x[i], x[i + 4], 0xdd);
    y[i + 8] = _mm512_maskz_shuffle_i32x4(kAllLanes, x[i + 8], x[i + 12], 0x88);
    y[i + 12] = _mm512_maskz_shuffle_i32x4(kAllLanes, x[i + 8], x[i + 12], 0xdd);
  }
  TESSERA_UNROLL
  for (int i = 0; i < 8; ++i) {
    x[i] = _mm512_maskz_shuffle_i32x4(kAllLanes, y[i], y[i + 8], 0x88);
    x[i + 8] = _mm512_maskz_shuffle_i32x4(kAllLanes, y[i], y[i + 8], 0xdd);
  }
}

/// One step of one panel of b [K, F]: rows [32 step, ...), columns [32 panel, ...); zeros outside b.
template <class S>
TESSERA_TARGET_BF16 void pack_bf16_step(MatrixView<const S> b, std::size_t step, std::size_t panel,
                                        bf16* out) noexcept {
  const std::size_t k = step * kBf16Block;
  const std::size_t j = panel * kBf16Block;
  const std::size_t rows = k < b.rows() ? b.rows() - k : 0;
  const __mmask32 mask = bf16_mask(j < b.cols() ? b.cols() - j : 0);
  const S* from = b.data() + k * b.stride() + j;
  const __m512i first = interleaved_lanes(0);
  const __m512i second = interleaved_lanes(kBf16Block / 2);
  for (std::size_t r = 0; r < kBf16Block; r += 2, from += 2 * b.stride(), out += kBf16Block) {
    const __m512i even = r < rows ? bf16_run(from, mask) : _mm512_setzero_si512();
    const __m512i odd = r + 1 < rows ? bf16_run(from + b.stride(), mask) : _mm512_setzero_si512();
    _mm512_storeu_si512(out, _mm512_permutex2var_epi16(even, first, odd));
    _mm512_storeu_si512(out + kBf16Tile, _mm512_permutex2var_epi16(even, second, odd));
  }
}

/// The same of B^T, given b [F, K].
template <class S>
TESSERA_TARGET_BF16 void pack_bf16_step_transposed(MatrixView<const S> b, std::size_t step, std::size_t panel,
                                                   bf16* out) noexcept {
  const std::size_t k = step * kBf16Block;
  const __mmask32 mask = bf16_mask(b.cols() - k);
  for (std::size_t half = 0; half < 2; ++half, out += kBf16Tile) {
    __m512i row[16];
    TESSERA_UNROLL
    for (std::size_t r = 0; r < 16; ++r) {
      const std::size_t j = panel * kBf16Block + 16 * half + r;
      row[r] = j < b.rows() ? bf16_run(b.data() + j * b.stride() + k, mask) : _mm512_setzero_si512();
    }
    transpose_lanes(row);
    TESSERA_UNROLL
    for (std::size_t r = 0; r < 16; ++r) _mm512_storeu_si512(out + r * kBf16Block, row[r]);
  }
}

/// Rows [32 step, ...) of columns [32 block, ...) of x [K, M] as 32 rows of 32: a left operand X^T.
template <class S>
TESSERA_TARGET_BF16 void pack_bf16_columns(MatrixView<const S> x, std::size_t step, std::size_t block,
                                           bf16* out) noexcept {
  pack_bf16_step(x, step, block, out);
  for (std::size_t half = 0; half < 2; ++half, out += kBf16Tile) {
    __m512i pair[16];
    TESSERA_UNROLL
    for (std::size_t r = 0; r < 16; ++r) pair[r] = _mm512_loadu_si512(out + r * kBf16Block);
    transpose_lanes(pair);
    TESSERA_UNROLL
    for (std::size_t r = 0; r < 16; ++r) _mm512_storeu_si512(out + r * kBf16Block, pair[r]);
  }
}

#undef TESSERA_UNROLL

/// Columns [j, cols) of `rows` rows as 32 rows of bf16, zeros elsewhere; `out` has a stride of whole blocks.
template <class S>
TESSERA_TARGET_BF16 void pad_bf16_rows(const S* from, std::size_t from_stride, std::size_t rows,
                                       std::size_t cols, bf16* out, std::size_t stride) noexcept {
  for (std::size_t i = 0; i < kBf16Block; ++i) {
    for (std::size_t j = 0; j < cols; j += kBf16Block) {
      const __m512i run =
          i < rows ? bf16_run(from + i * from_stride + j, bf16_mask(cols - j)) : _mm512_setzero_si512();
      _mm512_storeu_si512(out + i * stride + j, run);
    }
  }
}

/// One row of floats, rounded.
TESSERA_TARGET_BF16 inline void narrow_bf16_row(const float* from, std::size_t cols, bf16* to) noexcept {
  for (std::size_t j = 0; j < cols; j += kBf16Block) {
    const __mmask32 mask = bf16_mask(cols - j);
    _mm512_mask_storeu_epi16(to + j, mask, bf16_run(from + j, mask));
  }
}

}  // namespace tessera::detail
#endif
