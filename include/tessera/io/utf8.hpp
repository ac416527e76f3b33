// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace tessera::io {

/// Whether `text` is UTF-8: no stray or missing continuation bytes, no overlong forms, no surrogates,
/// nothing past U+10FFFF.
inline bool is_utf8(std::string_view text) noexcept {
  const auto byte = [&](std::size_t i) {
    return static_cast<std::uint32_t>(static_cast<unsigned char>(text[i]));
  };
  for (std::size_t i = 0; i < text.size();) {
    const std::uint32_t lead = byte(i++);
    if (lead < 0x80) continue;
    const std::size_t tail = lead >= 0xf0 ? 3 : lead >= 0xe0 ? 2 : 1;
    if (lead < 0xc2 || lead > 0xf4 || text.size() - i < tail) return false;
    std::uint32_t code = lead & (0x3fu >> tail);
    for (std::size_t k = 0; k < tail; ++k) {
      const std::uint32_t next = byte(i++);
      if ((next & 0xc0) != 0x80) return false;
      code = code << 6 | (next & 0x3f);
    }
    const bool overlong = (tail == 2 && code < 0x800) || (tail == 3 && code < 0x10000);
    if (overlong || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return false;
  }
  return true;
}

}  // namespace tessera::io
