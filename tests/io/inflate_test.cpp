// SPDX-License-Identifier: MIT
#include "tessera/io/inflate.hpp"

#include <bit>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "tessera/core/rng.hpp"

using namespace tessera;

namespace {

/// The whole of a stream, asked for in pieces of one size.
std::string inflated(std::string_view packed, std::size_t piece = 4096) {
  const io::Place place("a.npz");
  const std::vector<std::byte> bytes = test::exact_bytes(packed);
  io::detail::Inflater inflater(bytes, place);
  std::string out;
  std::vector<std::byte> buffer(piece);
  for (std::size_t got = piece; got == piece;) {
    got = inflater.read(buffer);
    out.append(io::detail::as_text(std::span(buffer).first(got)));
  }
  CHECK(inflater.read(buffer) == 0);
  CHECK(inflater.rest().empty());
  return out;
}

void refused(std::string_view packed, std::string_view says) {
  test::refuses("ZIP-03", {says}, [&] { inflated(packed); });
}

/// Bits in the order a stream has them: of numbers the lowest first, of codes ("0101") as they are written.
class Bits {
 public:
  Bits& number(unsigned value, unsigned count) {
    for (unsigned k = 0; k < count; ++k) bit(k < 32 && (value >> k & 1u) != 0);
    return *this;
  }
  Bits& code(std::string_view digits) {
    for (const char c : digits) bit(c == '1');
    return *this;
  }
  std::string bytes() const { return out_; }

 private:
  void bit(bool one) {
    if (used_ % 8 == 0) out_.push_back('\0');
    if (one) out_.back() = static_cast<char>(static_cast<unsigned char>(out_.back()) | 1u << used_ % 8);
    ++used_;
  }
  std::string out_;
  unsigned used_ = 0;
};

/// A final block that declares codes: the code lengths' code has 18 and `other`, one bit each.
Bits dynamic_header(unsigned literals, unsigned distances, unsigned other_position) {
  Bits bits;
  bits.number(1, 1).number(2, 2).number(literals - 257, 5).number(distances - 1, 5).number(15, 4);
  for (unsigned k = 0; k < 19; ++k) bits.number(k == 2 || k == other_position ? 1 : 0, 3);
  return bits;
}

}  // namespace

TEST_CASE("streams written by hand are decoded", "[io]") {
  SECTION("stored, in two blocks") {
    CHECK(inflated(std::string("\x00\x02\x00\xFD\xFF"
                               "ab"
                               "\x01\x01\x00\xFE\xFF"
                               "c",
                               13)) == "abc");
    CHECK(inflated(std::string("\x01\x00\x00\xFF\xFF", 5)).empty());
  }
  SECTION("fixed codes: 'a', then seven more by a match of distance 1") {
    Bits bits;
    bits.number(1, 1).number(1, 2).code("10010001").code("0000101").code("00000").code("0000000");
    CHECK(inflated(bits.bytes()) == "aaaaaaaa");
  }
  SECTION("codes of its own with a single distance code, which is never used") {
    // 97 zeros, 'a' 1 bit, 158 zeros, end 1 bit; one distance of 1 bit
    Bits bits = dynamic_header(257, 1, 17);  // symbols 1 and 18
    const auto zeros = [&](unsigned count) { bits.code("1").number(count - 11, 7); };
    zeros(97);
    bits.code("0");
    zeros(138);
    zeros(20);
    bits.code("0").code("0");
    bits.code("0").code("0").code("1");  // "aa", end
    CHECK(inflated(bits.bytes()) == "aa");
  }
}

TEST_CASE("streams that no encoder writes are refused", "[io]") {
  refused("\x07\x07\x07", "is damaged (invalid block type)");
  refused(std::string("\x01\x01\x00\xFF\xFF"
                      "a",
                      6),
          "invalid stored block lengths");
  refused(Bits().number(1, 1).number(2, 2).number(30, 5).number(0, 5).number(0, 32).bytes(),
          "too many length or distance symbols");
  refused(
      Bits().number(1, 1).number(1, 2).code("10010001").code("0000001").code("00001").number(0, 20).bytes(),
      "invalid distance too far back");
  refused(
      Bits().number(1, 1).number(1, 2).code("10010001").code("0000001").code("11110").number(0, 20).bytes(),
      "invalid distance code");
  refused(Bits().number(1, 1).number(1, 2).code("11000110").number(0, 30).bytes(),
          "invalid literal/length code");
  SECTION("a code of code lengths that is over-full, or has room") {
    for (const unsigned length : {1u, 3u}) {
      Bits bits;
      bits.number(1, 1).number(2, 2).number(0, 5).number(0, 5).number(15, 4);
      for (unsigned k = 0; k < 19; ++k) bits.number(k < 3 ? length : 0, 3);
      refused(bits.number(0, 64).bytes(), "invalid code lengths set");
    }
  }
  SECTION("a repetition of nothing, and one beyond the end") {
    Bits bits;
    bits.number(1, 1).number(2, 2).number(0, 5).number(0, 5).number(0, 4);
    for (const unsigned length : {1u, 0u, 1u, 0u}) bits.number(length, 3);
    refused(bits.code("0").number(0, 64).bytes(), "invalid bit length repeat");
    Bits beyond = dynamic_header(257, 1, 17);
    for (int k = 0; k < 2; ++k) beyond.code("1").number(127, 7);
    refused(beyond.number(0, 64).bytes(), "invalid bit length repeat");
  }
  SECTION("no end of block") {
    Bits bits = dynamic_header(257, 1, 17);
    bits.code("1").number(127, 7).code("1").number(109, 7);
    refused(bits.number(0, 64).bytes(), "missing end-of-block");
  }
  SECTION("too many codes of one bit") {
    Bits bits = dynamic_header(257, 1, 17);
    bits.code("000").code("1").number(127, 7).code("1").number(104, 7).code("00");
    refused(bits.number(0, 64).bytes(), "invalid literal/lengths set");
  }
}

#if defined(TESSERA_HAS_ZLIB)

TEST_CASE("a deflate stream can be read in pieces of any size", "[io]") {
  std::string content;
  for (int i = 0; i < 200'000; ++i) content += message(i % 977, ' ');
  const std::string packed = test::deflated(content);
  REQUIRE(packed.size() < content.size());
  const std::size_t piece = GENERATE(7u, 4096u, 1u << 20);
  CHECK(inflated(packed, piece) == content);
}

TEST_CASE("what zlib writes is decoded, whatever the content, level and strategy", "[io]") {
  CounterRng rng(make_key(3, 0, Purpose::generic), 0, 0);
  std::string noise;
  std::string numbers;
  std::string skewed;  // long codes: byte k half as often as byte k - 1
  for (std::uint64_t i = 0; i < 150'000; ++i) {
    const std::uint64_t bits = rng.next64();
    noise.push_back(static_cast<char>(bits));
    numbers += message(bits % 2'449'029, i % 2 == 0 ? ',' : '\n');
    skewed.push_back(static_cast<char>(std::countr_zero(bits | 1u << 24)));
  }
  std::string periods;
  for (std::size_t length = 1; length < 300; ++length) {
    for (std::size_t period = 1; period < 40; ++period) {
      const std::string unit = noise.substr(period * 100, period);
      for (std::size_t k = 0; k < length + period; ++k) periods.push_back(unit[k % period]);
    }
  }
  const std::string far = noise.substr(0, 32768) + noise.substr(0, 32768);  // matches of the longest distance
  for (const std::string& content :
       {std::string(), noise, numbers, skewed, periods, far, std::string(3'000'000, 'x')}) {
    for (const int level : {0, 1, 6, 9}) {
      for (const int strategy : {Z_DEFAULT_STRATEGY, Z_HUFFMAN_ONLY, Z_RLE, Z_FIXED}) {
        INFO(content.size() << " bytes, level " << level << ", strategy " << strategy);
        CHECK(inflated(test::deflated(content, level, strategy), 1 << 20) == content);
      }
    }
  }
}

TEST_CASE("a damaged or shortened stream is refused", "[io]") {
  for (const std::string& packed : {test::deflated(std::string(10'000, 'x') + "end"),
                                    test::deflated("abc", 0), test::deflated("fixed codes", 6, Z_FIXED)}) {
    for (std::size_t size = 0; size < packed.size(); ++size) refused(packed.substr(0, size), "ends early");
  }
}

#endif
