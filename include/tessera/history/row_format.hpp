// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string_view>
#include <type_traits>

#include "tessera/core/bf16.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/int4_codes.hpp"
#include "tessera/kernels/rows.hpp"

namespace tessera {

/// How a history keeps a row of F numbers.
enum class HistoryFormat : std::uint8_t {
  exact = 0,  ///< as the model computes them
  bf16 = 1,   ///< 2 F bytes; relative error at most 2^-8
  int8 =
      2,  ///< F + 8 bytes: x = lo + q s, s = (hi - lo) / 255 of the row; error at most s / 2. A row with a number
          ///< that is not finite comes back as NaN
  int4 =
      3  ///< F / 2 + 8 bytes: as int8 with s = (hi - lo) / 15; two codes to a byte, the first in the low half
};

/// Every format by name, in order.
inline constexpr std::array<std::string_view, 4> kHistoryFormats{"exact", "bf16", "int8", "int4"};

constexpr std::string_view name(HistoryFormat format) noexcept {
  return kHistoryFormats[static_cast<std::size_t>(format)];
}

/// Errors   ConfigError for a name that is none of kHistoryFormats
inline HistoryFormat history_format(std::string_view name) {
  for (std::size_t k = 0; k < kHistoryFormats.size(); ++k) {
    if (kHistoryFormats[k] == name) return static_cast<HistoryFormat>(k);
  }
  throw ConfigError(message("history_format: got \"", name, "\", want exact, bf16, int8 or int4"));
}

/// Bytes a row of `cols` numbers takes, padding included: whole cache lines from 64 bytes on.
template <Real T>
constexpr std::size_t history_row_bytes(HistoryFormat format, std::size_t cols) noexcept {
  const std::size_t bytes = format == HistoryFormat::exact  ? cols * sizeof(T)
                            : format == HistoryFormat::bf16 ? cols * sizeof(bf16)
                            : format == HistoryFormat::int8 ? cols + 2 * sizeof(float)
                                                            : int4_row_bytes(cols) + 2 * sizeof(float);
  const std::size_t unit = bytes < 64 ? 16 : 64;
  return (bytes + unit - 1) / unit * unit;
}

namespace detail {

/// The codes of one row, of 8 bits or 4; see HistoryFormat.
template <int kBits, class L, Real T>
TESSERA_ALWAYS_INLINE void encode_codes(L, const T* x, std::size_t cols, std::byte* out) noexcept {
  static_assert(kBits == 8 || kBits == 4);
  constexpr float kTop = (1 << kBits) - 1;
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
  float scale = (hi / kTop - lo / kTop);
  if (odd) scale = std::numeric_limits<float>::quiet_NaN();
  std::memcpy(out, &lo, sizeof lo);
  std::memcpy(out + sizeof lo, &scale, sizeof scale);
  std::byte* const code = out + 2 * sizeof(float);
  const float inverse = scale > 0 ? 1.0f / scale : 0.0f;
  const auto code_of = [&](std::size_t j) TESSERA_INLINE_LAMBDA {
    const float q = (static_cast<float>(x[j]) - lo) * inverse + 0.5f;
    return static_cast<std::uint8_t>(q > kTop ? kTop : q >= 0 ? q : 0.0f);
  };
  if constexpr (kBits == 8) {
    for (std::size_t j = 0; j < cols; ++j) code[j] = static_cast<std::byte>(code_of(j));
  } else {
    for (std::size_t j = 0; j < cols; j += 2) {
      const unsigned second = j + 1 < cols ? code_of(j + 1) : 0u;
      code[j / 2] = static_cast<std::byte>(code_of(j) | second << 4);
    }
  }
}

template <int kBits, class L, Real T>
TESSERA_ALWAYS_INLINE void decode_codes(L, const std::byte* from, std::size_t cols, T* x) noexcept {
  float lo, scale;
  std::memcpy(&lo, from, sizeof lo);
  std::memcpy(&scale, from + sizeof lo, sizeof scale);
  const auto* const code = reinterpret_cast<const std::uint8_t*>(from + 2 * sizeof(float));
  for (std::size_t j = 0; j < cols; ++j) {
    const int q = kBits == 8 ? code[j] : (code[j / 2] >> (j % 2 == 0 ? 0 : 4)) & 15;
    x[j] = static_cast<T>(lo + static_cast<float>(q) * scale);
  }
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
      encode_codes<8>(level, x, cols, out);
      return;
    case HistoryFormat::int4:
      encode_codes<4>(level, x, cols, out);
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
      decode_codes<8>(level, from, cols, x);
      return;
    case HistoryFormat::int4:
      decode_codes<4>(level, from, cols, x);
      return;
  }
}

}  // namespace detail

}  // namespace tessera
