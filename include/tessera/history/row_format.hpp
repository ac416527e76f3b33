// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>
#include <type_traits>

#include "tessera/core/bf16.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/rows.hpp"

namespace tessera {

/// How a history keeps a row of F numbers.
enum class HistoryFormat : std::uint8_t {
  exact = 0,  ///< as the model computes them
  bf16 = 1,   ///< 2 F bytes; relative error at most 2^-8
  int8 =
      2  ///< F + 8 bytes: x = lo + q s, s = (hi - lo) / 255 of the row; error at most s / 2. A row with a number
         ///< that is not finite comes back as NaN
};

constexpr std::string_view name(HistoryFormat format) noexcept {
  return format == HistoryFormat::exact ? "exact" : format == HistoryFormat::bf16 ? "bf16" : "int8";
}

/// Bytes a row of `cols` numbers takes, padding included: whole cache lines from 64 bytes on.
template <Real T>
constexpr std::size_t history_row_bytes(HistoryFormat format, std::size_t cols) noexcept {
  const std::size_t bytes = format == HistoryFormat::exact  ? cols * sizeof(T)
                            : format == HistoryFormat::bf16 ? cols * sizeof(bf16)
                                                            : cols + 2 * sizeof(float);
  const std::size_t unit = bytes < 64 ? 16 : 64;
  return (bytes + unit - 1) / unit * unit;
}

namespace detail {

/// The codes of one row; see HistoryFormat::int8.
template <class L, Real T>
TESSERA_ALWAYS_INLINE void encode_int8(L, const T* x, std::size_t cols, std::byte* out) noexcept {
  constexpr std::size_t W = 16;
  float low[W], high[W];
  bool odd = false;
  const float first = cols == 0 ? 0.0f : static_cast<float>(x[0]);
  for (std::size_t l = 0; l < W; ++l) low[l] = high[l] = first;
  for (std::size_t j = 0; j < cols; j += W) {
    const std::size_t lanes = std::min(W, cols - j);
    for (std::size_t l = 0; l < lanes; ++l) {
      const float v = static_cast<float>(x[j + l]);
      low[l] = v < low[l] ? v : low[l];
      high[l] = v > high[l] ? v : high[l];
      odd |= !(std::fabs(v) <= std::numeric_limits<float>::max());
    }
  }
  const float lo = *std::min_element(low, low + W);
  const float hi = *std::max_element(high, high + W);
  // In halves: hi - lo may exceed the largest float.
  float scale = (hi / 255.0f - lo / 255.0f);
  if (odd) scale = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(out, &lo, sizeof lo);
  std::memcpy(out + sizeof lo, &scale, sizeof scale);
  std::byte* const code = out + 2 * sizeof(float);
  const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
  for (std::size_t j = 0; j < cols; ++j) {
    const float q = (static_cast<float>(x[j]) - lo) * inverse + 0.5f;
    code[j] = static_cast<std::byte>(static_cast<std::uint8_t>(q > 255.0f ? 255.0f : q >= 0 ? q : 0.0f));
  }
}

template <class L, Real T>
TESSERA_ALWAYS_INLINE void decode_int8(L, const std::byte* from, std::size_t cols, T* x) noexcept {
  float lo, scale;
  std::memcpy(&lo, from, sizeof lo);
  std::memcpy(&scale, from + sizeof lo, sizeof scale);
  const auto* const code = reinterpret_cast<const std::uint8_t*>(from + 2 * sizeof(float));
  for (std::size_t j = 0; j < cols; ++j) x[j] = static_cast<T>(lo + static_cast<float>(code[j]) * scale);
}

/// Writes one row in its format. Inside `dispatch`.
template <class L, Real T>
TESSERA_ALWAYS_INLINE void encode_row(L level, HistoryFormat format, const T* x, std::size_t cols,
                                      std::byte* out) noexcept {
  switch (format) {
    case HistoryFormat::exact:
      std::memcpy(out, x, cols * sizeof(T));
      return;
    case HistoryFormat::bf16:
      convert_run(level, x, cols, reinterpret_cast<bf16*>(out));
      return;
    case HistoryFormat::int8:
      encode_int8(level, x, cols, out);
      return;
  }
}

template <class L, Real T>
TESSERA_ALWAYS_INLINE void decode_row(L level, HistoryFormat format, const std::byte* from, std::size_t cols,
                                      T* x) noexcept {
  switch (format) {
    case HistoryFormat::exact:
      std::memcpy(x, from, cols * sizeof(T));
      return;
    case HistoryFormat::bf16:
      convert_run(level, reinterpret_cast<const bf16*>(from), cols, x);
      return;
    case HistoryFormat::int8:
      decode_int8(level, from, cols, x);
      return;
  }
}

}  // namespace detail

}  // namespace tessera
