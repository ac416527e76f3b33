// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/cpu_features.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/kernels/binary_bits.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/int8_finish.hpp"
#include "tessera/kernels/detail/int8_rows.hpp"
#include "tessera/kernels/int8_isa.hpp"
#include "tessera/kernels/int8_weights.hpp"

namespace tessera {

/// Weights of binary products, packed by outputs: panels of eight, [panel][word][8] words.
///
/// Shapes   w [F, M], signs are taken; F words and M outputs
class BinaryWeights {
 public:
  static constexpr std::size_t kPanel = 8;

  BinaryWeights() = default;
  explicit BinaryWeights(MatrixView<const float> w) : depth_(w.rows()), cols_(w.cols()) {
    words_ = (depth_ + 63) / 64;
    packed_.assign((cols_ + 2 * kPanel - 1) / (2 * kPanel) * 2 * kPanel * words_, 0);
    for (std::size_t k = 0; k < depth_; ++k) {
      for (std::size_t j = 0; j < cols_; ++j) {
        if (w(k, j) >= 0.0f) packed_[position(k / 64, j)] |= std::uint64_t{1} << (k % 64);
      }
    }
  }

  std::size_t depth() const noexcept { return depth_; }
  std::size_t cols() const noexcept { return cols_; }
  std::size_t words() const noexcept { return words_; }
  std::size_t panels() const noexcept { return words_ == 0 ? 0 : packed_.size() / (kPanel * words_); }
  const std::uint64_t* panel(std::size_t p) const noexcept { return packed_.data() + p * kPanel * words_; }
  int sign(std::size_t k, std::size_t j) const noexcept {
    return (packed_[position(k / 64, j)] >> (k % 64) & 1u) != 0 ? 1 : -1;
  }
  /// Bytes of the bits themselves, a word per 64 rows and column.
  std::size_t bytes() const noexcept { return words_ * cols_ * sizeof(std::uint64_t); }

 private:
  std::size_t position(std::size_t word, std::size_t j) const noexcept {
    return (j / kPanel * words_ + word) * kPanel + j % kPanel;
  }

  std::size_t depth_ = 0;
  std::size_t cols_ = 0;
  std::size_t words_ = 0;
  Array<std::uint64_t> packed_;
};

namespace detail {

inline constexpr std::size_t kBinaryRows = 4;

/// Dots of four rows and two panels: row r at dots + r * stride.
struct BinaryDots {
  std::int32_t* dots;
  std::size_t stride;
  std::int32_t depth;

  std::int32_t of(std::uint64_t differ) const noexcept {
    return depth - 2 * static_cast<std::int32_t>(differ);
  }
};

inline void count_bits_baseline(const std::uint64_t* const (&x)[kBinaryRows], std::size_t words,
                                const std::uint64_t* panels, const BinaryDots& out) noexcept {
  constexpr std::size_t P = BinaryWeights::kPanel;
  for (std::size_t r = 0; r < kBinaryRows; ++r) {
    for (std::size_t j = 0; j < 2 * P; ++j) {
      const std::uint64_t* const w = panels + j / P * P * words + j % P;
      std::uint64_t sum = 0;
      for (std::size_t k = 0; k < words; ++k) sum += static_cast<unsigned>(std::popcount(x[r][k] ^ w[k * P]));
      out.dots[r * out.stride + j] = out.of(sum);
    }
  }
}

#if defined(TESSERA_HAS_CPUID) && defined(TESSERA_TARGET_AVX2)
#define TESSERA_TARGET_POPCNT \
  __attribute__((target("avx2,fma,avx512f,avx512bw,avx512dq,avx512vl,avx512vpopcntdq")))

inline bool has_vector_popcount() noexcept {
  static const bool has = detected_isa() == Isa::avx512 && cpuid_bit(7, 0, 'c', 14);
  return has;
}

TESSERA_TARGET_POPCNT inline void count_bits_avx512(const std::uint64_t* const (&x)[kBinaryRows],
                                                    std::size_t words, const std::uint64_t* panels,
                                                    const BinaryDots& out) noexcept {
  constexpr std::size_t P = BinaryWeights::kPanel;
  const std::uint64_t* const other = panels + P * words;
  __m512i sum[kBinaryRows][2];
  for (auto& row : sum) row[0] = row[1] = _mm512_setzero_si512();
  for (std::size_t k = 0; k < words; ++k) {
    const __m512i a = _mm512_loadu_si512(panels + k * P);
    const __m512i b = _mm512_loadu_si512(other + k * P);
#pragma GCC unroll 4
    for (std::size_t r = 0; r < kBinaryRows; ++r) {
      const __m512i v = _mm512_set1_epi64(static_cast<long long>(x[r][k]));
      sum[r][0] = _mm512_add_epi64(sum[r][0], _mm512_popcnt_epi64(_mm512_xor_si512(v, a)));
      sum[r][1] = _mm512_add_epi64(sum[r][1], _mm512_popcnt_epi64(_mm512_xor_si512(v, b)));
    }
  }
  const __m256i depth = _mm256_set1_epi32(out.depth);
  for (std::size_t r = 0; r < kBinaryRows; ++r) {
    for (std::size_t p = 0; p < 2; ++p) {
      const __m256i differ = _mm512_maskz_cvtepi64_epi32(0xff, sum[r][p]);
      auto* const to = reinterpret_cast<__m256i*>(out.dots + r * out.stride + p * P);
      _mm256_storeu_si256(to, _mm256_sub_epi32(depth, _mm256_add_epi32(differ, differ)));
    }
  }
}

/// Bits per byte from a table of nibbles, bytes added eight by eight.
TESSERA_TARGET_AVX2 inline void count_bits_avx2(const std::uint64_t* const (&x)[kBinaryRows],
                                                std::size_t words, const std::uint64_t* panels,
                                                const BinaryDots& out) noexcept {
  constexpr std::size_t P = BinaryWeights::kPanel;
  const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4, 0, 1, 1, 2, 1, 2, 2,
                                         3, 1, 2, 2, 3, 2, 3, 3, 4);
  const __m256i nibble = _mm256_set1_epi8(15);
  const __m256i zero = _mm256_setzero_si256();
  for (std::size_t quarter = 0; quarter < 4; ++quarter) {
    const std::uint64_t* const w = panels + quarter / 2 * P * words + quarter % 2 * 4;
    __m256i sum[kBinaryRows] = {zero, zero, zero, zero};
    for (std::size_t first = 0; first < words; first += 31) {  // 31 * 8 bits fit a byte
      __m256i bytes[kBinaryRows] = {zero, zero, zero, zero};
      for (std::size_t k = first, end = std::min(words, first + 31); k < end; ++k) {
        const __m256i a = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w + k * P));
#pragma GCC unroll 4
        for (std::size_t r = 0; r < kBinaryRows; ++r) {
          const __m256i v = _mm256_xor_si256(_mm256_set1_epi64x(static_cast<long long>(x[r][k])), a);
          const __m256i low = _mm256_shuffle_epi8(table, _mm256_and_si256(v, nibble));
          const __m256i high = _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(v, 4), nibble));
          bytes[r] = _mm256_add_epi8(bytes[r], _mm256_add_epi8(low, high));
        }
      }
      for (std::size_t r = 0; r < kBinaryRows; ++r) {
        sum[r] = _mm256_add_epi64(sum[r], _mm256_sad_epu8(bytes[r], zero));
      }
    }
    for (std::size_t r = 0; r < kBinaryRows; ++r) {
      std::uint64_t differ[4];
      _mm256_storeu_si256(reinterpret_cast<__m256i*>(differ), sum[r]);
      for (std::size_t c = 0; c < 4; ++c) out.dots[r * out.stride + quarter * 4 + c] = out.of(differ[c]);
    }
  }
}
#endif

inline void count_bits(Isa isa, const std::uint64_t* const (&x)[kBinaryRows], std::size_t words,
                       const std::uint64_t* panels, const BinaryDots& out) noexcept {
#if defined(TESSERA_HAS_CPUID) && defined(TESSERA_TARGET_AVX2)
  if (isa == Isa::avx512 && has_vector_popcount()) return count_bits_avx512(x, words, panels, out);
  if (isa != Isa::baseline) return count_bits_avx2(x, words, panels, out);
#else
  static_cast<void>(isa);
#endif
  count_bits_baseline(x, words, panels, out);
}

/// Rows from which opening the weights is worth its time: a pass over K M bytes, against N K M products.
inline constexpr std::size_t kTileRows = 4096;

/// Whether bits become bytes and meet in tile registers, which multiply three times as many bytes per clock as vectors
/// count bits.
inline bool opens_bits(std::size_t rows, std::size_t depth) noexcept {
  return rows >= kTileRows && depth <= Int8Weights::max_depth(0) && active_int8_isa() == Int8Isa::amx;
}

#if defined(TESSERA_HAS_CPUID) && defined(TESSERA_TARGET_AVX2)
/// Bytes of 0 and 2.
TESSERA_TARGET_AVX512 inline void open_row(const std::uint64_t* bits, std::size_t words,
                                           std::uint8_t* out) noexcept {
  for (std::size_t k = 0; k < words; ++k)
    _mm512_storeu_si512(out + 64 * k, _mm512_maskz_set1_epi8(bits[k], 2));
}
#else
inline void open_row(const std::uint64_t* bits, std::size_t words, std::uint8_t* out) noexcept {
  for (std::size_t k = 0; k < 64 * words; ++k) out[k] = (bits[k / 64] >> (k % 64) & 1u) != 0 ? 2 : 0;
}
#endif

/// Calls finish(i, dots) for every row, where dots lack offset_j: sum_k (s_ik + 1) w_kj, the dot and the sum of a column.
template <class Finish>
void open_products(const BitMatrix& x, const Int8Weights& w, const Finish& finish) {
  constexpr std::size_t R = int8_block_rows(Int8Isa::amx);
  parallel_for(x.rows(), 16 * R, [&](std::size_t begin, std::size_t end) {
    const std::size_t width = x.words() * 64;
    Array<std::uint8_t> bytes(R * width);
    Array<std::uint8_t> scratch(int8_scratch_bytes(Int8Isa::amx, w));
    Array<std::int32_t> sums(kInt8Rows * w.padded_cols());
    for (std::size_t i = begin; i < end; i += R) {
      const std::size_t rows = std::min(R, end - i);
      for (std::size_t r = 0; r < rows; ++r) open_row(x.row(i + r), x.words(), bytes.data() + r * width);
      int8_rows(Int8Isa::amx, {bytes.data(), width, rows, x.words(), nullptr}, w, scratch.data(),
                sums.data());
      for (std::size_t r = 0; r < rows; ++r) finish(i + r, sums.data() + r * w.padded_cols());
    }
  });
}

}  // namespace detail

/// What happens to the dots of signs: y_ij = dot_ij beta_i alpha_j + bias_j.
///
/// Shapes   alpha [M], beta [N], bias [M]; empty: 1, 1 and 0
struct BinaryScales {
  std::span<const float> alpha{};
  std::span<const float> beta{};
  std::span<const float> bias{};
};

/// Products of signs: dot_ij = sum_k sgn(x_ik) sgn(w_kj) = F - 2 popcount(x_i xor w_j), scaled.
///
/// Shapes   x [N, F] bits, w [F, M] -> y [N, M]
/// Cost     N M F / 64 words. With tile registers and 4096 rows or more, bits are opened into bytes block by block and
///          multiplied; that takes F M bytes for the weights and 32 F per thread
/// Errors   ShapeError if extents do not fit
/// Threads  safe to call concurrently on distinct y; result independent of T and of the instruction set
/// Source   Rastegari et al., XNOR-Net, ECCV 2016
inline void binary_gemm(const BitMatrix& x, const BinaryWeights& w, const BinaryScales& scales,
                        MatrixView<float> y) {
  detail::check_size("binary_gemm", "x.cols()", x.cols(), w.depth());
  detail::check_shape("binary_gemm", "y", y, x.rows(), w.cols());
  detail::check_size_or_empty("binary_gemm", "alpha", scales.alpha.size(), w.cols());
  detail::check_size_or_empty("binary_gemm", "beta", scales.beta.size(), x.rows());
  detail::check_size_or_empty("binary_gemm", "bias", scales.bias.size(), w.cols());
  if (y.empty()) return;
  if (x.cols() == 0) throw ShapeError("binary_gemm: x has no columns, want at least one");
  const Isa isa = active_isa();
  const Array<float> zeros(w.cols(), 0.0f), ones(w.cols(), 1.0f);
  Array<std::int32_t> offset(w.cols(), 0);
  const auto finish = [&](std::size_t i, const std::int32_t* dots) {
    const detail::ProductTerm<std::int32_t> term{dots,
                                                 offset.data(),
                                                 scales.alpha.empty() ? ones.data() : scales.alpha.data(),
                                                 scales.bias.empty() ? zeros.data() : scales.bias.data(),
                                                 nullptr,
                                                 0,
                                                 scales.beta.empty() ? 1.0f : scales.beta[i]};
    detail::finish_reals(isa, term, w.cols(), y.data() + i * y.stride());
  };
  if (detail::opens_bits(x.rows(), w.depth())) {
    const auto sign = [&](std::size_t k, std::size_t j) { return w.sign(k, j); };
    const Int8Weights opened(w.depth(), w.cols(), sign);
    for (std::size_t j = 0; j < w.cols(); ++j) offset[j] = -opened.column_sums()[j];
    return detail::open_products(x, opened, finish);
  }
  constexpr std::size_t R = detail::kBinaryRows;
  constexpr std::size_t P = 2 * BinaryWeights::kPanel;
  const std::size_t padded = w.panels() * BinaryWeights::kPanel;
  parallel_for(x.rows(), 16 * R, [&](std::size_t begin, std::size_t end) {
    Array<std::int32_t> dots(R * padded);
    for (std::size_t i = begin; i < end; i += R) {
      const std::size_t rows = std::min(R, end - i);
      const std::uint64_t* from[R];
      for (std::size_t r = 0; r < R; ++r) from[r] = x.row(i + std::min(r, rows - 1));
      for (std::size_t j = 0; j < padded; j += P) {
        detail::count_bits(isa, from, w.words(), w.panel(j / BinaryWeights::kPanel),
                           {dots.data() + j, padded, static_cast<std::int32_t>(x.cols())});
      }
      for (std::size_t r = 0; r < rows; ++r) finish(i + r, dots.data() + r * padded);
    }
  });
}

}  // namespace tessera
