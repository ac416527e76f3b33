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

}  // namespace detail

/// The CRC-32 of zip and gzip (polynomial 0x04C11DB7, reflected), continued from `crc`; 0 starts.
///
/// Cost     O(bytes), sixteen bytes per step
/// Source   Kounavis and Berry, A Systematic Approach to Building High Performance Software-Based CRC
/// Generators,
///          2005 (slicing); sixteen slices instead of eight
inline std::uint32_t crc32(std::span<const std::byte> bytes, std::uint32_t crc = 0) noexcept {
  const auto& table = detail::kCrcTables;
  crc = ~crc;
  for (; bytes.size() >= detail::kCrcSlices; bytes = bytes.subspan(detail::kCrcSlices)) {
    std::uint32_t word[4];
    std::memcpy(word, bytes.data(), sizeof word);
    word[0] ^= crc;
    crc = 0;
    for (std::size_t w = 0; w < 4; ++w) {
      for (std::size_t b = 0; b < 4; ++b) crc ^= table[15 - 4 * w - b][word[w] >> (8 * b) & 0xff];
    }
  }
  for (const std::byte byte : bytes)
    crc = crc >> 8 ^ table[0][(crc ^ std::to_integer<std::uint32_t>(byte)) & 0xff];
  return ~crc;
}

}  // namespace tessera::io
