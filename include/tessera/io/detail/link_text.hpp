// SPDX-License-Identifier: MIT
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

// One link of a node-link file, read as plain text: what lets a range of the file be read by itself.

namespace tessera::io::detail {

inline const char* skip_blanks(const char* p, const char* end) noexcept {
  while (p < end && (*p == ' ' || *p == '\n' || *p == '\r' || *p == '\t')) ++p;
  return p;
}

/// Whether the 8 to 16 characters of a literal stand at `p`.
template <std::size_t N>
bool stands_at(const char* p, const char (&literal)[N]) noexcept {
  static_assert(N > 8 && N <= 17);
  std::uint64_t words[2];
  std::uint64_t want[2];
  std::memcpy(&words[0], p, 8);
  std::memcpy(&words[1], p + N - 9, 8);
  std::memcpy(&want[0], literal, 8);
  std::memcpy(&want[1], literal + N - 9, 8);
  return words[0] == want[0] && words[1] == want[1];
}

/// Reads a whole number below 2^32 - 1 at `p`, which has at least 16 readable bytes; returns the byte behind it,
/// null for anything else.
[[gnu::always_inline]] inline const char* read_whole(const char* p, std::uint32_t& out) noexcept {
  // Eight digits at once: positions that are no digit show as high bits, then pairs are added up.
  std::uint64_t chunk = 0;
  std::memcpy(&chunk, p, 8);
  chunk ^= 0x3030303030303030u;
  const std::uint64_t other = (chunk | (chunk + 0x7676767676767676u)) & 0x8080808080808080u;
  const int digits = other == 0 ? 8 : std::countr_zero(other) / 8;
  if (digits == 0 || (*p == '0' && digits > 1)) return nullptr;
  std::uint64_t v = chunk << (64 - 8 * digits);
  v = (v & 0x0F0F0F0F0F0F0F0Fu) * 2561 >> 8;
  v = (v & 0x00FF00FF00FF00FFu) * 6553601 >> 16;
  v = (v & 0x0000FFFF0000FFFFu) * 42949672960001u >> 32;
  p += digits;
  if (digits == 8) {
    for (int k = 0; k < 3 && *p >= '0' && *p <= '9'; ++k) v = v * 10 + static_cast<std::uint64_t>(*p++ - '0');
  }
  if (v >= 0xFFFFFFFFu || (*p >= '0' && *p <= '9')) return nullptr;
  out = static_cast<std::uint32_t>(v);
  return p;
}

/// The general form: keys in any order and with any blanks; other keys have a number, true, false or null as
/// their value and no escapes in their name. Null for everything else.
inline const char* read_link_slowly(const char* p, const char* end, std::uint32_t& source,
                                    std::uint32_t& target, bool& attributes) noexcept {
  bool have_source = false;
  bool have_target = false;
  for (++p;; ++p) {
    p = skip_blanks(p, end);
    if (end - p < 32 || *p != '"') return nullptr;
    const char* const name = ++p;
    while (p < end && *p != '"' && *p != '\\') ++p;
    if (p == end || *p != '"') return nullptr;
    const std::string_view key(name, static_cast<std::size_t>(p - name));
    p = skip_blanks(p + 1, end);
    if (p == end || *p != ':') return nullptr;
    p = skip_blanks(p + 1, end);
    if (end - p < 32) return nullptr;
    const bool is_source = key == "source";
    if (is_source || key == "target") {
      bool& have = is_source ? have_source : have_target;
      if (have) return nullptr;
      have = true;
      p = read_whole(p, is_source ? source : target);
      if (p == nullptr) return nullptr;
    } else {
      if (key != "train_removed" && key != "test_removed" && key != "key") attributes = true;
      const char* const word = p;
      while (p < end &&
             ((*p >= '0' && *p <= '9') || (*p >= 'a' && *p <= 'z') || *p == '-' || *p == '+' || *p == '.'))
        ++p;
      const std::string_view value(word, static_cast<std::size_t>(p - word));
      const bool number = !value.empty() && (value[0] == '-' || (value[0] >= '0' && value[0] <= '9'));
      if (!number && value != "true" && value != "false" && value != "null") return nullptr;
    }
    p = skip_blanks(p, end);
    if (p == end) return nullptr;
    if (*p == '}') return have_source && have_target ? p + 1 : nullptr;
    if (*p != ',') return nullptr;
  }
}

/// Reads the link object at `p` ('{'); returns the byte behind it, null for one that only a full parser should
/// judge.
inline const char* read_link(const char* p, const char* end, std::uint32_t& source, std::uint32_t& target,
                             bool& attributes) noexcept {
  constexpr char kSource[] = R"({"source": )";
  constexpr char kTarget[] = R"(, "target": )";
  if (end - p < 64) return nullptr;
  if (stands_at(p, kSource)) {
    const char* q = read_whole(p + sizeof kSource - 1, source);
    if (q != nullptr && stands_at(q, kTarget)) {
      q = read_whole(q + sizeof kTarget - 1, target);
      if (q != nullptr && *q == '}') return q + 1;
    }
  }
  return read_link_slowly(p, end, source, target, attributes);
}

}  // namespace tessera::io::detail
