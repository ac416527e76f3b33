// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/io/detail/huffman.hpp"
#include "tessera/io/file_error.hpp"

namespace tessera::io::detail {

/// The bits of a deflate stream, the next one lowest. Behind the input come zeros, counted so that their use is noticed.
struct BitReader {
  const std::byte* in = nullptr;
  const std::byte* end = nullptr;
  std::uint64_t bits = 0;
  unsigned have = 0;
  unsigned phantom = 0;  ///< bytes of `have` that are not of the input

  /// At least 56 bits, of which those beyond `have` are right but will be read again.
  void refill() noexcept {
    if (end - in >= 8) [[likely]] {
      std::uint64_t word = 0;
      std::memcpy(&word, in, 8);
      bits |= word << have;
      in += (63 - have) >> 3;
      have |= 56;
      return;
    }
    for (; have < 56; have += 8) {
      if (in != end) {
        bits |= std::to_integer<std::uint64_t>(*in++) << have;
      } else {
        ++phantom;
      }
    }
  }
  void drop(unsigned count) noexcept {
    bits >>= count;
    have -= count;
  }
  std::uint32_t take(unsigned count) noexcept {
    const auto out = static_cast<std::uint32_t>(bits & ((std::uint64_t{1} << count) - 1));
    drop(count);
    return out;
  }
  /// Whether more was used than there is.
  bool overrun() const noexcept { return have < 8 * phantom; }
  /// Gives whole bytes back that were looked at too early, and forgets the rest of the byte before them.
  void align() noexcept {
    in -= have / 8 - phantom;
    bits = 0;
    have = 0;
    phantom = 0;
  }
};

/// Decompresses a raw deflate stream (RFC 1951) piece by piece.
///
/// Cost     300 to 600 MB/s of text on one core; a window of 0.3 MB, whatever the stream says
/// Errors   FormatError ZIP-03 if the stream is damaged or ends early
class Inflater {
 public:
  static constexpr std::size_t kChunk = std::size_t{1} << 18;

  /// `chunk`: how many bytes are decoded at once.
  Inflater(std::span<const std::byte> compressed, const Place& place, std::size_t chunk = kChunk)
      : place_(place), full_(kHistory + chunk), window_(full_ + kSlack) {
    restart(compressed);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;

  /// Begins with another stream.
  void restart(std::span<const std::byte> compressed) noexcept {
    in_ = {.in = compressed.data(), .end = compressed.data() + compressed.size()};
    state_ = State::header;
    final_ = false;
    served_ = out_ = 0;
  }

  /// Fills `out` from the front; returns how much there was, less than out.size() only at the end of the
  /// stream.
  std::size_t read(std::span<std::byte> out) {
    std::size_t filled = 0;
    while (filled < out.size()) {
      if (served_ == out_) {
        if (state_ == State::ended) break;
        inflate_chunk();
        continue;
      }
      const std::size_t now = std::min(out.size() - filled, out_ - served_);
      std::memcpy(out.data() + filled, window_.data() + served_, now);
      served_ += now;
      filled += now;
    }
    return filled;
  }

  /// The input behind the stream, once `read` has met its end.
  std::span<const std::byte> rest() const noexcept {
    return {in_.in, static_cast<std::size_t>(in_.end - in_.in)};
  }

 private:
  enum class State { header, stored, codes, ended };

  static constexpr std::size_t kHistory = 32768;
  static constexpr std::size_t kSlack = 320;  // the longest match, and what wide copies write beyond it

  /// Decodes into the window until a chunk is full or the stream ends. At most kHistory bytes stay of what was served.
  void inflate_chunk() {
    const std::size_t keep = std::min(out_, kHistory);
    std::memmove(window_.data(), window_.data() + (out_ - keep), keep);
    served_ = out_ = keep;
    while (out_ < full_ && state_ != State::ended) {
      if (state_ == State::header) read_header();
      if (state_ == State::stored) copy_stored();
      if (state_ == State::codes) decode();
    }
  }

  void require_input() const {
    if (in_.overrun()) place_.fail("ZIP-03", "the compressed data ends early; download again");
  }

  [[noreturn]] void damaged(const char* what) const {
    require_input();
    place_.fail("ZIP-03", "the compressed data is damaged (", what, "); download again");
  }

  void read_header() {
    in_.refill();
    final_ = in_.take(1) != 0;
    switch (in_.take(2)) {
      case 0:
        return open_stored();
      case 1:
        use_fixed_codes();
        break;
      case 2:
        read_codes();
        break;
      default:
        damaged("invalid block type");
    }
    state_ = State::codes;
  }

  void open_stored() {
    in_.drop(in_.have % 8);
    in_.refill();
    const std::uint32_t length = in_.take(16);
    if ((length ^ 0xFFFFu) != in_.take(16)) damaged("invalid stored block lengths");
    require_input();
    in_.align();
    stored_ = length;
    state_ = State::stored;
  }

  void copy_stored() {
    const std::size_t now = std::min<std::size_t>(stored_, full_ - out_);
    if (now > rest().size()) place_.fail("ZIP-03", "the compressed data ends early; download again");
    if (now != 0) std::memcpy(window_.data() + out_, in_.in, now);
    in_.in += now;
    out_ += now;
    stored_ -= now;
    if (stored_ == 0) end_block();
  }

  void end_block() {
    require_input();
    state_ = final_ ? State::ended : State::header;
    if (final_) in_.align();
  }

  void use_fixed_codes() {
    std::array<std::uint8_t, 288> literal{};
    for (std::size_t s = 0; s < literal.size(); ++s) literal[s] = s < 144 ? 8 : s < 256 ? 9 : s < 280 ? 7 : 8;
    std::array<std::uint8_t, 32> distance{};
    distance.fill(5);
    literals_.build(literal);
    distances_.build(distance);
  }

  void read_codes() {
    constexpr std::array<std::uint8_t, 19> kOrder = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                                     11, 4,  12, 3, 13, 2, 14, 1, 15};
    const std::size_t literals = in_.take(5) + 257;
    const std::size_t distances = in_.take(5) + 1;
    const std::size_t lengths = in_.take(4) + 4;
    if (literals > 286 || distances > 30) damaged("too many length or distance symbols");
    std::array<std::uint8_t, 19> code_length{};
    for (std::size_t k = 0; k < lengths; ++k) {
      in_.refill();
      code_length[kOrder[k]] = static_cast<std::uint8_t>(in_.take(3));
    }
    CodeLengthTable table;
    if (!table.build(code_length)) damaged("invalid code lengths set");
    std::array<std::uint8_t, 286 + 30> all{};
    for (std::size_t k = 0; k < literals + distances;) {
      in_.refill();
      const CodeLengthTable::Entry e = table.look_up(in_.bits);
      in_.drop(e.bits);
      if (e.symbol < 16) {
        all[k++] = e.symbol;
        continue;
      }
      if (e.symbol == 16 && k == 0) damaged("invalid bit length repeat");
      const std::uint8_t value = e.symbol == 16 ? all[k - 1] : std::uint8_t{0};
      const std::size_t times = e.symbol == 16   ? 3 + in_.take(2)
                                : e.symbol == 17 ? 3 + in_.take(3)
                                                 : 11 + in_.take(7);
      if (k + times > literals + distances) damaged("invalid bit length repeat");
      std::fill_n(all.begin() + static_cast<std::ptrdiff_t>(k), times, value);
      k += times;
    }
    const std::span<const std::uint8_t> lengths_of(all);
    if (lengths_of[256] == 0) damaged("invalid code -- missing end-of-block");
    if (!literals_.build(lengths_of.first(literals))) damaged("invalid literal/lengths set");
    if (!distances_.build(lengths_of.subspan(literals, distances))) damaged("invalid distances set");
  }

  /// The symbols of a block until the chunk is full.
  void decode() {
    std::byte* const window = window_.data();
    std::byte* const full = window + full_;
    std::byte* out = window + out_;
    BitReader in = in_;  // kept in registers: bytes written to the window might be anything's
    bool ended = false;
    const char* wrong = nullptr;
    while (out < full) {
      in.refill();
      CodeEntry e = literals_.look_up(in.bits);
      if (e.is_literal()) {  // three look-ups of 11 bits fit the 56 there are
        out = e.write(out);
        in.drop(e.bits());
        e = literals_.look_up(in.bits);
        if (e.is_literal()) {
          out = e.write(out);
          in.drop(e.bits());
          e = literals_.look_up(in.bits);
          if (e.is_literal()) {
            out = e.write(out);
            in.drop(e.bits());
            continue;
          }
        }
        in.refill();
      }
      if (e.is_link()) {
        e = literals_.follow(in.bits, e);
        if (e.is_literal()) {
          out = e.write(out);
          in.drop(e.bits());
          continue;
        }
      }
      if (e.is_other()) {
        in.drop(e.bits());
        ended = e.is_end();
        if (!ended) wrong = "invalid literal/length code";
        break;
      }
      const std::size_t length = e.decode(in.bits);
      in.drop(e.bits());
      CodeEntry d = distances_.look_up(in.bits);
      if (d.is_link()) d = distances_.follow(in.bits, d);
      const std::size_t distance = d.decode(in.bits) + 1;
      in.drop(d.bits());
      if (d.is_other() || distance > static_cast<std::size_t>(out - window)) {
        wrong = d.is_other() ? "invalid distance code" : "invalid distance too far back";
        break;
      }
      copy_match(out, distance, length);
      out += length;
    }
    in_ = in;
    out_ = static_cast<std::size_t>(out - window);
    if (wrong != nullptr) damaged(wrong);
    require_input();
    if (ended) end_block();
  }

  /// May write up to 15 bytes beyond the match.
  static void copy_match(std::byte* out, std::size_t distance, std::size_t length) noexcept {
    const std::byte* from = out - distance;
    std::byte* const end = out + length;
    if (distance >= 16) {
      do {
        std::memcpy(out, from, 16);
        out += 16;
        from += 16;
      } while (out < end);
    } else if (distance >= 8) {
      do {
        std::memcpy(out, from, 8);
        out += 8;
        from += 8;
      } while (out < end);
    } else if (distance == 1) {
      std::memset(out, std::to_integer<int>(*from), length);
    } else {
      while (out < end) *out++ = *from++;
    }
  }

  const Place& place_;
  std::size_t full_;  // where a chunk ends
  BitReader in_;
  State state_ = State::header;
  bool final_ = false;
  std::size_t stored_ = 0;
  LiteralTable literals_;
  DistanceTable distances_;
  Array<std::byte> window_;
  std::size_t served_ = 0;
  std::size_t out_ = 0;
};

}  // namespace tessera::io::detail
