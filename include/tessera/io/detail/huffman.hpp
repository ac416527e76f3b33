// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

// Tables that decode the codes of a deflate stream (RFC 1951, 3.2): one look-up of the next kBits bits, a second one for
// longer codes.

namespace tessera::io::detail {

inline constexpr unsigned kMaxCodeBits = 15;

/// Whether an incomplete code is one that encoders write: none at all, or a single one of one bit.
enum class Incomplete { refused, single_allowed };

/// Fills `table` (primary part of 2^primary_bits entries, then subtables) for canonical codes of these lengths.
/// entry(symbol, bits) makes an entry that consumes `bits`, link(begin, bits) one that leads to the 2^bits entries from
/// `begin` on; `invalid` stands for bits that are no code. False where the lengths are no prefix code.
template <class Entry, std::size_t Size, class MakeEntry, class MakeLink>
bool build_code_table(std::span<const std::uint8_t> lengths, unsigned primary_bits, Incomplete incomplete,
                      Entry invalid, MakeEntry&& entry, MakeLink&& link, std::array<Entry, Size>& table) {
  std::array<unsigned, kMaxCodeBits + 1> count{};
  for (const std::uint8_t length : lengths) ++count[length];
  const unsigned used = static_cast<unsigned>(lengths.size()) - count[0];
  count[0] = 0;
  int left = 1;
  for (unsigned bits = 1; bits <= kMaxCodeBits; ++bits) {
    left = 2 * left - static_cast<int>(count[bits]);
    if (left < 0) return false;
  }
  const bool single = used == 0 || (used == 1 && count[1] == 1);
  if (left > 0 && (incomplete == Incomplete::refused || !single)) return false;

  std::array<unsigned, kMaxCodeBits + 2> begin{};
  for (unsigned bits = 1; bits <= kMaxCodeBits; ++bits) begin[bits + 1] = begin[bits] + count[bits];
  std::array<std::uint16_t, 288> sorted{};
  for (std::size_t s = 0; s < lengths.size(); ++s) {
    if (lengths[s] != 0) sorted[begin[lengths[s]]++] = static_cast<std::uint16_t>(s);
  }
  const std::size_t primary = std::size_t{1} << primary_bits;
  std::fill_n(table.begin(), left > 0 ? primary : 0, invalid);
  std::size_t end = primary;             // of the table
  std::size_t prefix = ~std::size_t{0};  // whose subtable is being filled
  std::size_t sub = 0;
  unsigned sub_bits = 0;
  std::size_t code = 0;  // bits reversed: the first bit of the stream is the lowest
  std::size_t at = 0;
  for (unsigned bits = 1; bits <= kMaxCodeBits; ++bits) {
    for (unsigned k = 0; k < count[bits]; ++k, ++at) {
      const std::size_t symbol = sorted[at];
      if (bits <= primary_bits) {
        const Entry e = entry(symbol, bits);
        for (std::size_t i = code; i < primary; i += std::size_t{1} << bits) table[i] = e;
      } else {
        if ((code & (primary - 1)) != prefix) {
          prefix = code & (primary - 1);
          // As many bits as the codes of this prefix need: they follow each other.
          sub_bits = bits - primary_bits;
          for (int room = (1 << sub_bits) - static_cast<int>(count[bits] - k);
               room > 0 && sub_bits + primary_bits < kMaxCodeBits;
               room = 2 * room - static_cast<int>(count[sub_bits + primary_bits])) {
            ++sub_bits;
          }
          sub = end;
          end += std::size_t{1} << sub_bits;
          table[prefix] = link(sub, sub_bits);
        }
        const Entry e = entry(symbol, bits);
        for (std::size_t i = code >> primary_bits; i < std::size_t{1} << sub_bits;
             i += std::size_t{1} << (bits - primary_bits))
          table[sub + i] = e;
      }
      // The next code of this length, counted in reversed bits.
      std::size_t bit = std::size_t{1} << (bits - 1);
      while ((code & bit) != 0) bit >>= 1;
      code = bit == 0 ? 0 : (code & (bit - 1)) | bit;
    }
  }
  return true;
}

/// One 32-bit entry of the tables for literals, lengths and distances.
///
///     bits 0-5    bits of the stream it consumes, extra bits included
///     literal     bit 31, bit 30 if there are two; bits 8-15 and 16-23: the bytes
///     value       bits 8-11: bits of the code alone; bits 12-15: extra bits; bits 16-30: base
///     link        bit 7; bits 8-11: bits of the subtable; bits 16-30: where it begins
///     other       bit 6; bit 16: end of block, else no code
class CodeEntry {
 public:
  constexpr CodeEntry() = default;
  static constexpr CodeEntry literal(unsigned byte, unsigned bits) noexcept {
    return CodeEntry(kLiteral | byte << 8 | bits);
  }
  static constexpr CodeEntry pair(CodeEntry first, CodeEntry second) noexcept {
    return CodeEntry(kLiteral | kPair | (second.word_ >> 8 & 0xFF) << 16 | (first.word_ & 0xFF00) |
                     (first.bits() + second.bits()));
  }
  static constexpr CodeEntry value(unsigned base, unsigned extra, unsigned bits) noexcept {
    return CodeEntry(base << 16 | extra << 12 | bits << 8 | (bits + extra));
  }
  static constexpr CodeEntry link(std::size_t begin, unsigned sub_bits) noexcept {
    return CodeEntry(kLink | static_cast<std::uint32_t>(begin) << 16 | sub_bits << 8);
  }
  static constexpr CodeEntry other(bool end, unsigned bits) noexcept {
    return CodeEntry(kOther | (end ? 1u << 16 : 0u) | bits);
  }

  constexpr unsigned bits() const noexcept { return word_ & 63; }
  constexpr bool is_literal() const noexcept { return (word_ & kLiteral) != 0; }
  constexpr bool is_link() const noexcept { return (word_ & kLink) != 0; }
  constexpr bool is_other() const noexcept { return (word_ & kOther) != 0; }
  constexpr bool is_end() const noexcept { return (word_ & 1u << 16) != 0; }

  /// Writes one or two bytes, always touching two.
  std::byte* write(std::byte* out) const noexcept {
    const auto both = static_cast<std::uint16_t>(word_ >> 8);
    std::memcpy(out, &both, 2);
    return out + ((word_ & kPair) != 0 ? 2 : 1);
  }
  /// The base and what the extra bits in `stream`, which starts at the code, add.
  std::size_t decode(std::uint64_t stream) const noexcept {
    const std::uint64_t mask = (std::uint64_t{1} << (word_ >> 12 & 15)) - 1;
    return (word_ >> 16) + (stream >> (word_ >> 8 & 15) & mask);
  }
  std::size_t link_index(std::uint64_t stream, unsigned primary_bits) const noexcept {
    const std::uint64_t mask = (std::uint64_t{1} << (word_ >> 8 & 15)) - 1;
    return (word_ >> 16) + (stream >> primary_bits & mask);
  }

 private:
  static constexpr std::uint32_t kLiteral = 1u << 31;
  static constexpr std::uint32_t kPair = 1u << 30;
  static constexpr std::uint32_t kLink = 1u << 7;
  static constexpr std::uint32_t kOther = 1u << 6;
  explicit constexpr CodeEntry(std::uint32_t word) noexcept : word_(word) {}

  std::uint32_t word_ = 0;
};

/// Literals, lengths and the end of a block. Codes of two literals that fit the look-up together are one entry.
class LiteralTable {
 public:
  static constexpr unsigned kBits = 11;

  bool build(std::span<const std::uint8_t> lengths) {
    constexpr std::array<std::uint16_t, 29> kBase = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                                     15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                                     67, 83, 99, 115, 131, 163, 195, 227, 258};
    constexpr std::array<std::uint8_t, 29> kExtra = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                                     2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    const auto entry = [&](std::size_t s, unsigned bits) {
      if (s < 256) return CodeEntry::literal(static_cast<unsigned>(s), bits);
      if (s == 256 || s > 285) return CodeEntry::other(s == 256, bits);
      return CodeEntry::value(kBase[s - 257], kExtra[s - 257], bits);
    };
    if (!build_code_table(lengths, kBits, Incomplete::single_allowed, CodeEntry::other(false, kMaxCodeBits),
                          entry, CodeEntry::link, table_))
      return false;
    // From above: what an entry leaves of its index is less than the index, and still single.
    for (std::size_t i = std::size_t{1} << kBits; i-- > 0;) {
      const CodeEntry first = table_[i];
      if (!first.is_literal()) continue;
      const CodeEntry second = table_[i >> first.bits()];
      if (second.is_literal() && first.bits() + second.bits() <= kBits)
        table_[i] = CodeEntry::pair(first, second);
    }
    return true;
  }

  CodeEntry look_up(std::uint64_t stream) const noexcept {
    return table_[stream & ((std::uint64_t{1} << kBits) - 1)];
  }
  CodeEntry follow(std::uint64_t stream, CodeEntry link) const noexcept {
    return table_[link.link_index(stream, kBits)];
  }

 private:
  // At most 143 subtables: each has two of the 286 codes at least.
  std::array<CodeEntry, 2048 + 144 * 16> table_;
};

class DistanceTable {
 public:
  static constexpr unsigned kBits = 8;

  bool build(std::span<const std::uint8_t> lengths) {
    const auto entry = [](std::size_t s, unsigned bits) {
      if (s > 29) return CodeEntry::other(false, bits);
      const auto extra = static_cast<unsigned>(s < 4 ? 0 : s / 2 - 1);
      const auto base =
          static_cast<unsigned>(s < 4 ? s : (2 + s % 2) << extra);  // one less than the distance
      return CodeEntry::value(base, extra, bits);
    };
    return build_code_table(lengths, kBits, Incomplete::single_allowed, CodeEntry::other(false, kMaxCodeBits),
                            entry, CodeEntry::link, table_);
  }

  CodeEntry look_up(std::uint64_t stream) const noexcept {
    return table_[stream & ((std::uint64_t{1} << kBits) - 1)];
  }
  CodeEntry follow(std::uint64_t stream, CodeEntry link) const noexcept {
    return table_[link.link_index(stream, kBits)];
  }

 private:
  std::array<CodeEntry, 256 + 16 * 128> table_;
};

/// The code of the code lengths: at most 7 bits.
class CodeLengthTable {
 public:
  struct Entry {
    std::uint8_t symbol = 0;
    std::uint8_t bits = 0;
  };

  bool build(std::span<const std::uint8_t> lengths) {
    const auto entry = [](std::size_t s, unsigned bits) {
      return Entry{static_cast<std::uint8_t>(s), static_cast<std::uint8_t>(bits)};
    };
    const auto no_link = [](std::size_t, unsigned) { return Entry{}; };
    return build_code_table(lengths, 7, Incomplete::refused, Entry{}, entry, no_link, table_);
  }
  Entry look_up(std::uint64_t stream) const noexcept { return table_[stream & 127]; }

 private:
  std::array<Entry, 128> table_;
};

}  // namespace tessera::io::detail
