// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstdint>

namespace tessera {

/// bfloat16: the upper half of an IEEE binary32. A storage type; arithmetic is done in float.
///
/// Converting from float rounds to nearest, ties to even; NaN stays NaN (quieted), infinities and signed
/// zeros are kept.
struct bf16 {
  std::uint16_t bits = 0;

  constexpr bf16() = default;
  constexpr explicit bf16(float value) noexcept {
    const auto u = std::bit_cast<std::uint32_t>(value);
    const bool is_nan = (u & 0x7fffffffu) > 0x7f800000u;
    const std::uint32_t rounded = u + 0x7fffu + ((u >> 16) & 1u);
    bits = static_cast<std::uint16_t>(is_nan ? ((u >> 16) | 0x40u) : (rounded >> 16));
  }
  constexpr operator float() const noexcept {
    return std::bit_cast<float>(static_cast<std::uint32_t>(bits) << 16);
  }
  constexpr bool same_bits(bf16 other) const noexcept { return bits == other.bits; }
};

static_assert(sizeof(bf16) == 2);

}  // namespace tessera
