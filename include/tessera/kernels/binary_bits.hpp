// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/dispatch.hpp"

#if defined(TESSERA_TARGET_AVX2)
#include <immintrin.h>
#endif

namespace tessera {

/// A matrix of signs: bit k of word w of a row is 1 where column 64 w + k is not negative. Bits beyond the columns are 0.
///
/// Shapes   [rows, cols], ceil(cols / 64) words to a row
class BitMatrix {
 public:
  BitMatrix() = default;
  BitMatrix(std::size_t rows, std::size_t cols) { resize(rows, cols); }

  /// Changes the extents and forgets the content.
  void resize(std::size_t rows, std::size_t cols) {
    rows_ = rows;
    cols_ = cols;
    words_ = (cols + 63) / 64;
    data_.clear();
    data_.resize(rows * words_);
  }

  std::size_t rows() const noexcept { return rows_; }
  std::size_t cols() const noexcept { return cols_; }
  std::size_t words() const noexcept { return words_; }
  std::size_t bytes() const noexcept { return data_.size() * sizeof(std::uint64_t); }
  std::uint64_t* row(std::size_t i) noexcept { return data_.data() + i * words_; }
  const std::uint64_t* row(std::size_t i) const noexcept { return data_.data() + i * words_; }
  /// +1 or -1.
  int sign(std::size_t i, std::size_t j) const noexcept {
    return (row(i)[j / 64] >> (j % 64) & 1u) != 0 ? 1 : -1;
  }

 private:
  Array<std::uint64_t> data_;
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::size_t words_ = 0;
};

namespace detail {

inline void pack_row_baseline(const float* x, std::size_t cols, std::uint64_t* out) noexcept {
  for (std::size_t first = 0; first < cols; first += 64) {
    std::uint64_t word = 0;
    for (std::size_t k = 0, n = std::min<std::size_t>(64, cols - first); k < n; ++k) {
      word |= std::uint64_t{x[first + k] >= 0.0f} << k;
    }
    *out++ = word;
  }
}

#if defined(TESSERA_TARGET_AVX2)
TESSERA_TARGET_AVX2 inline void pack_row_avx2(const float* x, std::size_t cols, std::uint64_t* out) noexcept {
  std::size_t first = 0;
  for (; first + 64 <= cols; first += 64) {
    std::uint64_t word = 0;
    for (std::size_t k = 0; k < 64; k += 8) {
      const __m256 sign = _mm256_cmp_ps(_mm256_loadu_ps(x + first + k), _mm256_setzero_ps(), _CMP_GE_OQ);
      word |= static_cast<std::uint64_t>(static_cast<unsigned>(_mm256_movemask_ps(sign))) << k;
    }
    *out++ = word;
  }
  if (first < cols) pack_row_baseline(x + first, cols - first, out);
}
#endif

}  // namespace detail

/// The signs of a matrix, +1 for x >= 0. NaN counts as negative.
///
/// Shapes   x [N, F] -> out [N, F], resized
/// Threads  result independent of T and of the instruction set
inline void pack_signs(MatrixView<const float> x, BitMatrix& out) {
  out.resize(x.rows(), x.cols());
  const Isa isa = active_isa();
  parallel_for(x.rows(), detail::rows_per_block(x.cols()), [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
#if defined(TESSERA_TARGET_AVX2)
      if (isa != Isa::baseline) {
        detail::pack_row_avx2(x.row(i).data(), x.cols(), out.row(i));
        continue;
      }
#endif
      static_cast<void>(isa);
      detail::pack_row_baseline(x.row(i).data(), x.cols(), out.row(i));
    }
  });
}

}  // namespace tessera
