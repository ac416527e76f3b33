// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>
#include <type_traits>

#include "tessera/core/array.hpp"
#include "tessera/core/bf16.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/profile.hpp"
#include "tessera/kernels/bf16_gemm.hpp"
#include "tessera/kernels/detail/bf16_dropout_row.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/dropout.hpp"
#include "tessera/kernels/rows.hpp"

namespace tessera {

namespace detail {

/// Words of sixteen columns each that hold one row of a mask.
constexpr std::size_t dropout_mask_words(std::size_t cols) noexcept {
  return (cols + kDropoutLanes - 1) / kDropoutLanes;
}

/// Which elements of row i dropout keeps.
inline void draw_mask_row(const DropoutMask& mask, std::size_t i, std::size_t cols,
                          std::uint16_t* kept) noexcept {
  constexpr std::size_t kPieces = kDropoutBlock / kDropoutLanes;
  const std::uint32_t threshold = dropout_threshold(mask);
  DropoutWords words;
  for (std::size_t k = 0; k < dropout_mask_words(cols); ++k) {
    const std::size_t piece = k % kPieces;
    if (piece == 0) dropout_words(mask, i, k / kPieces, words);
    unsigned bits = 0;
    for (std::size_t l = 0; l < kDropoutLanes; ++l) {
      const std::uint32_t drawn = (words.word[piece / 2][l] >> (piece % 2 == 0 ? 0 : 16)) & 0xffffu;
      bits |= (drawn >= threshold ? 1u : 0u) << l;
    }
    kept[k] = static_cast<std::uint16_t>(bits);
  }
}

/// row[j] = kept ? row[j] * scale : 0.
TESSERA_ALWAYS_INLINE void mask_row(float* row, std::size_t cols, float scale,
                                    const std::uint16_t* kept) noexcept {
  for (std::size_t j = 0; j < cols; ++j) {
    const bool keep = ((kept[j / kDropoutLanes] >> (j % kDropoutLanes)) & 1u) != 0;
    row[j] = keep ? row[j] * scale : 0.0f;
  }
}

}  // namespace detail

/// The elements that one call of bf16_dropout kept, a bit each, so that its gradient draws nothing.
///
/// Shapes   of a matrix [N, F]; a row is ceil(F / 16) words, column j bit j mod 16 of word j / 16
/// Cost     N F / 8 bytes from the pool
class Bf16DropoutBits {
 public:
  /// Of no matrix: nothing is remembered.
  Bf16DropoutBits() = default;
  /// Room for a mask; unspecified until bf16_dropout fills it.
  Bf16DropoutBits(std::size_t rows, std::size_t cols)
      : rows_(rows),
        cols_(cols),
        stride_(detail::dropout_mask_words(cols)),
        words_(rows * detail::dropout_mask_words(cols)) {}

  std::size_t rows() const noexcept { return rows_; }
  std::size_t cols() const noexcept { return cols_; }
  /// Whether it holds no element.
  bool empty() const noexcept { return words_.empty(); }
  /// The words of row i.
  std::uint16_t* row(std::size_t i) noexcept { return words_.data() + i * stride_; }
  const std::uint16_t* row(std::size_t i) const noexcept { return words_.data() + i * stride_; }

 private:
  std::size_t rows_ = 0;
  std::size_t cols_ = 0;
  std::size_t stride_ = 0;
  Array<std::uint16_t> words_;
};

namespace detail {

inline void check_bits(std::string_view operation, const Bf16DropoutBits& bits, std::size_t rows,
                       std::size_t cols) {
  if (bits.rows() != rows || bits.cols() != cols) {
    throw ShapeError(message(operation, ": bits are of [", bits.rows(), ", ", bits.cols(), "], want [", rows,
                             ", ", cols, "]"));
  }
}

}  // namespace detail

/// dropout into rows kept as bf16: the mask that floats get, the product rounded once. Under the same mask also its
/// gradient.
///
/// Shapes   x [N, F] bf16 or float, y [N, F]; y may be x; `bits` null or made for [N, F]: the mask is left there
/// Cost     work O(N F), one row of floats per block from the pool
/// Errors   ShapeError if the extents differ, ConfigError if the probability is outside [0, 1]
/// Threads  safe to call concurrently on distinct y; result independent of T
template <Bf16Storage X>
void bf16_dropout(MatrixView<const X> x, MatrixView<bf16> y, const DropoutMask& mask,
                  Bf16DropoutBits* bits = nullptr) {
  check_dropout(mask, "bf16_dropout");
  detail::check_shape("bf16_dropout", "x", x, y.rows(), y.cols());
  if (bits != nullptr) detail::check_bits("bf16_dropout", *bits, y.rows(), y.cols());
  if (y.empty()) return;
  const KernelScope profile("bf16_dropout", static_cast<double>(y.size() * (2 + sizeof(X))), 0);
  const std::size_t cols = y.cols();
  const bool drops = detail::dropout_threshold(mask) > 0;
  const float scale = dropout_scale<float>(mask);
  const Isa isa = active_isa();
  parallel_for(y.rows(), detail::rows_per_block(cols), [&](std::size_t begin, std::size_t end) {
#if defined(TESSERA_TARGET_AVX512)
    if constexpr (std::is_same_v<X, bf16>) {
      if (isa == Isa::avx512 && drops) {
        for (std::size_t i = begin; i < end; ++i) {
          detail::bf16_dropout_row_avx512(x.data() + i * x.stride(), y.data() + i * y.stride(), cols, i, mask,
                                          bits == nullptr ? nullptr : bits->row(i));
        }
        return;
      }
    }
#endif
    Array<float> row(cols);
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      for (std::size_t i = begin; i < end; ++i) {
        detail::convert_run(level, x.data() + i * x.stride(), cols, row.data());
        if (bits != nullptr) {
          detail::draw_mask_row(mask, i, cols, bits->row(i));
          if (drops) detail::mask_row(row.data(), cols, scale, bits->row(i));
        } else {
          detail::dropout_row(level, row.data(), cols, i, mask);
        }
        detail::convert_run(level, row.data(), cols, y.data() + i * y.stride());
      }
    });
  });
}

/// The gradient of bf16_dropout, in place, under the mask it left.
///
/// Shapes   grad, bits [N, F]
/// Cost     work O(N F); draws nothing
/// Errors   ShapeError if the extents differ, ConfigError if the probability is outside [0, 1]
/// Threads  safe to call concurrently on distinct grad; result independent of T
inline void bf16_dropout_backward(MatrixView<bf16> grad, const Bf16DropoutBits& bits,
                                  const DropoutMask& mask) {
  check_dropout(mask, "bf16_dropout_backward");
  detail::check_bits("bf16_dropout_backward", bits, grad.rows(), grad.cols());
  if (grad.empty() || detail::dropout_threshold(mask) == 0) return;
  const KernelScope profile("bf16_dropout_backward", static_cast<double>(grad.size()) * 4.125, 0);
  const std::size_t cols = grad.cols();
  const float scale = dropout_scale<float>(mask);
  const Isa isa = active_isa();
  parallel_for(grad.rows(), detail::rows_per_block(cols), [&](std::size_t begin, std::size_t end) {
#if defined(TESSERA_TARGET_AVX512)
    if (isa == Isa::avx512) {
      for (std::size_t i = begin; i < end; ++i) {
        detail::bf16_masked_row_avx512(grad.data() + i * grad.stride(), cols, scale, bits.row(i));
      }
      return;
    }
#endif
    Array<float> row(cols);
    dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
      for (std::size_t i = begin; i < end; ++i) {
        bf16* const to = grad.data() + i * grad.stride();
        detail::convert_run(level, to, cols, row.data());
        detail::mask_row(row.data(), cols, scale, bits.row(i));
        detail::convert_run(level, row.data(), cols, to);
      }
    });
  });
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void bf16_dropout<bf16>(MatrixView<const bf16>, MatrixView<bf16>, const DropoutMask&,
                                            Bf16DropoutBits*);
TESSERA_INSTANTIATE void bf16_dropout<float>(MatrixView<const float>, MatrixView<bf16>, const DropoutMask&,
                                             Bf16DropoutBits*);
#endif

}  // namespace tessera
