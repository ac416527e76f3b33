// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstdint>

namespace tessera {

/// IEEE binary16. A storage type; arithmetic is done in float.
///
/// Converting from float rounds to nearest, ties to even, into subnormals where it must; NaN stays NaN
/// (quieted), infinities and signed zeros are kept, what is too large becomes infinity.
struct f16 {
  std::uint16_t bits = 0;

  constexpr f16() = default;
  constexpr explicit f16(float value) noexcept {
    const auto u = std::bit_cast<std::uint32_t>(value);
    const std::uint32_t sign = (u >> 16) & 0x8000u;
    const std::uint32_t magnitude = u & 0x7fffffffu;
    // Below 2^-14 adding 0.5 leaves a multiple of 2^-24, rounded by the addition itself. Above, the exponent
    // is rebased and the thirteen bits that go are rounded off.
    const std::uint32_t tiny =
        std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
    const std::uint32_t normal = (magnitude - 0x38000000u + 0xfffu + ((magnitude >> 13) & 1u)) >> 13;
    std::uint32_t half = magnitude < 0x38800000u ? tiny : normal;
    half = magnitude >= 0x477ff000u ? 0x7c00u : half;  // 65520 and more round to infinity
    half = magnitude > 0x7f800000u ? (0x7e00u | ((magnitude >> 13) & 0x3ffu)) : half;
    bits = static_cast<std::uint16_t>(sign | half);
  }
  constexpr operator float() const noexcept {
    const std::uint32_t magnitude = (bits & 0x7fffu);
    const std::uint32_t sign = static_cast<std::uint32_t>(bits & 0x8000u) << 16;
    // Multiplying by 2^112 rebases the exponent and normalises subnormals, exactly.
    const std::uint32_t finite =
        std::bit_cast<std::uint32_t>(std::bit_cast<float>(magnitude << 13) * 0x1p112f);
    const std::uint32_t wide = magnitude >= 0x7c00u ? (0x7f800000u | (magnitude << 13)) : finite;
    return std::bit_cast<float>(sign | wide);
  }
};

static_assert(sizeof(f16) == 2);

}  // namespace tessera
