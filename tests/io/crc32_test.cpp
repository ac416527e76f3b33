// SPDX-License-Identifier: MIT
#include "tessera/io/crc32.hpp"

#include <string>
#include <string_view>

#include "support/catch.hpp"

using namespace tessera;

namespace {

std::uint32_t crc_of(std::string_view text, std::uint32_t start = 0) {
  return io::crc32(std::as_bytes(std::span(text)), start);
}

// The definition, bit by bit.
std::uint32_t slow_crc(std::string_view text) {
  std::uint32_t crc = 0xffffffffu;
  for (const char c : text) {
    crc ^= static_cast<unsigned char>(c);
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ ((crc & 1u) != 0 ? 0xedb88320u : 0u);
  }
  return ~crc;
}

}  // namespace

TEST_CASE("CRC-32 has its published check value", "[io]") {
  CHECK(crc_of("") == 0);
  CHECK(crc_of("123456789") == 0xcbf43926u);
}

TEST_CASE("CRC-32 agrees with its definition at every length and split", "[io]") {
  std::string text;
  for (int i = 0; i < 280; ++i) {
    CHECK(crc_of(text) == slow_crc(text));
    for (std::size_t cut = 0; cut <= text.size(); cut += 23) {
      CHECK(crc_of(std::string_view(text).substr(cut), crc_of(std::string_view(text).substr(0, cut))) ==
            slow_crc(text));
    }
    text.push_back(static_cast<char>(i * 37 + 11));
  }
}

TEST_CASE("CRC-32 by tables and by the processor's multiplication are the same", "[io]") {
  std::string text;
  for (int i = 0; i < 5000; ++i) text.push_back(static_cast<char>(i * i >> 3));
  for (const std::size_t size : {0u, 1u, 63u, 64u, 65u, 127u, 128u, 1000u, 5000u}) {
    const auto bytes = std::as_bytes(std::span(text)).first(size);
    CHECK(io::crc32(bytes, 77) == ~io::detail::crc32_tables(~77u, bytes));
  }
}
