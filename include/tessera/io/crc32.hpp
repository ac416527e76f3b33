// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

namespace tessera::io {

namespace detail {

inline constexpr std::size_t kCrcSlices = 16;

/// table[s][b]: the CRC of byte b followed by s zero bytes.
constexpr std::array<std::array<std::uint32_t, 256>, kCrcSlices> make_crc_tables() noexcept {
  std::array<std::array<std::uint32_t, 256>, kCrcSlices> table{};
  for (std::uint32_t b = 0; b < 256; ++b) {
    std::uint32_t crc = b;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1u) != 0 ? 0xedb88320u : 0u);
    table[0][b] = crc;
  }
  for (std::size_t s = 1; s < kCrcSlices; ++s) {
    for (std::size_t b = 0; b < 256; ++b)
      table[s][b] = table[s - 1][b] >> 8 ^ table[0][table[s - 1][b] & 0xff];
  }
  return table;
}

inline constexpr auto kCrcTables = make_crc_tables();

/// What eight bytes contribute that have `after` bytes of the same step behind them.
inline std::uint32_t crc_of_word(std::uint64_t word, std::size_t after) noexcept {
  const auto* const table = kCrcTables.data() + after;
  return table[7][word & 0xff] ^ table[6][word >> 8 & 0xff] ^ table[5][word >> 16 & 0xff] ^
         table[4][word >> 24 & 0xff] ^ table[3][word >> 32 & 0xff] ^ table[2][word >> 40 & 0xff] ^
         table[1][word >> 48 & 0xff] ^ table[0][word >> 56];
}

}  // namespace detail

/// The CRC-32 of zip and gzip (polynomial 0x04C11DB7, reflected), continued from `crc`; 0 starts.
///
/// Cost     O(bytes), sixteen bytes per step
/// Source   Kounavis and Berry, A Systematic Approach to Building High Performance Software-Based CRC
///          Generators, 2005 (slicing); sixteen slices instead of eight
inline std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t crc = 0) noexcept {
  const auto& table = detail::kCrcTables;
  crc = ~crc;
  for (; bytes.size() >= detail::kCrcSlices; bytes = bytes.subspan(detail::kCrcSlices)) {
    std::uint64_t low = 0;
    std::uint64_t high = 0;
    std::memcpy(&low, bytes.data(), 8);
    std::memcpy(&high, bytes.data() + 8, 8);
    low ^= crc;
    crc = detail::crc_of_word(low, 8) ^ detail::crc_of_word(high, 0);
  }
  for (const std::byte byte : bytes)
    crc = crc >> 8 ^ table[0][(crc ^ std::to_integer<std::uint32_t>(byte)) & 0xff];
  return ~crc;
}

}  // namespace tessera::io
