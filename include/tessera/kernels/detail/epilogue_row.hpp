// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <string_view>

#include "tessera/core/error.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/detail/simd_math.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/dropout.hpp"
#include "tessera/kernels/epilogue.hpp"

namespace tessera::detail {

/// y = e^y - 1 where y <= 0. A function of its own, because every kernel inlines what calls it.
template <Real T>
[[gnu::noinline]] void elu_row(Isa isa, T* y, std::size_t cols) noexcept {
  dispatch(isa, [=](auto level) TESSERA_INLINE_LAMBDA {
    constexpr std::size_t W = decltype(level)::template lanes<T>();
    const auto lanes = [](T* at) TESSERA_INLINE_LAMBDA {
      Simd<T, W> z, negative;
      simd_load<W, T>(z, at);
      negative = z > T{0} ? Simd<T, W>{} : z;
      simd_expm1_nonpositive<W, T>(negative);
      z = z > T{0} ? z : negative;
      simd_store<W, T>(at, z);
    };
    std::size_t j = 0;
    for (; j + W <= cols; j += W) lanes(y + j);
    if (j == cols) return;
    T rest[W] = {};
    std::copy_n(y + j, cols - j, rest);
    lanes(rest);
    std::copy_n(rest, cols - j, y + j);
  });
}

/// Finishes row `row_index` of a result in place: bias, activation, dropout, in that order.
///
/// Always inlined, so that a kernel compiled for wider vectors gets wider code, of `level`'s width: compilers take
/// comparisons of wider vectors than the target's apart, lane by lane. The caller has checked that the bias is empty or
/// as long as the row and that the probability lies in [0, 1]; `row` must be the whole row.
template <Real T, class L>
[[gnu::always_inline]] inline void apply_epilogue_row(L level, std::span<T> row, std::size_t row_index,
                                                      const Epilogue<T>& epilogue) noexcept {
  T* const y = row.data();
  const std::size_t cols = row.size();
  const T* const bias = epilogue.bias.data();
  const bool relu = epilogue.activation == Activation::relu;
  const bool biased = !epilogue.bias.empty();
  if (biased || relu) {
    for_vectors<T, L::kVectorBytes>(cols, [=]<std::size_t W>(std::size_t j) TESSERA_INLINE_LAMBDA {
      Simd<T, W> z, b;
      simd_load<W, T>(z, y + j);
      if (biased) {
        simd_load<W, T>(b, bias + j);
        z += b;
      }
      if (relu) z = z < T{0} ? Simd<T, W>{} : z;  // keeps NaN
      simd_store<W, T>(y + j, z);
    });
  }
  if (epilogue.activation == Activation::elu) elu_row(L::isa, y, cols);
  dropout_row(level, y, cols, row_index, epilogue.dropout);
}

/// Whether there is anything to do at all.
template <Real T>
bool is_identity(const Epilogue<T>& epilogue) noexcept {
  return epilogue.bias.empty() && epilogue.activation == Activation::none &&
         dropout_threshold(epilogue.dropout) == 0;
}

/// Errors   ShapeError if the bias has another length, ConfigError if the probability is outside [0, 1]
template <Real T>
void check_epilogue_fits(std::string_view name, const Epilogue<T>& epilogue, std::size_t cols) {
  if (!epilogue.bias.empty() && epilogue.bias.size() != cols) {
    throw ShapeError(message(name, ": bias has ", epilogue.bias.size(), " elements, want ", cols));
  }
  check_dropout(epilogue.dropout, name);
}

}  // namespace tessera::detail
