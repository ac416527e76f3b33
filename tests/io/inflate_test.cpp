// SPDX-License-Identifier: MIT
#include "tessera/io/inflate.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;
using io::detail::Inflater;
using io::detail::Wrapper;
using test::refuses;

// The streams are made with zlib; what reads them may be ISA-L, whose words for a damage differ.
#if defined(TESSERA_HAS_ZLIB)

namespace {

std::string unpacked(std::string_view packed, std::size_t piece = 100) {
  const std::vector<std::byte> bytes = test::exact_bytes(packed);
  Inflater stream(bytes, io::Place("x.gz"), Wrapper::gzip);
  std::string out;
  std::vector<std::byte> buffer(piece);
  for (std::size_t got = piece; got == piece;) {
    got = stream.read(buffer);
    out.append(io::detail::as_text(std::span(buffer).first(got)));
  }
  return out;
}

/// "abc", stored, with these flags and this between the header and the data.
std::string member(int flags, std::string_view between = {}) {
  std::string out("\x1F\x8B\x08\0\0\0\0\0\0\x03", 10);
  out[3] = static_cast<char>(flags);
  out += between;
  out += std::string("\x01\x03\x00\xFC\xFF", 5) + "abc";
  return out + test::raw<std::uint32_t>({0x352441C2u, 3});  // the published CRC-32 of "abc"
}

}  // namespace

TEST_CASE("a deflate stream can be read in pieces of any size", "[io]") {
  std::string content;
  for (int i = 0; i < 20'000; ++i) content += message(i % 977, ' ');
  const std::string packed = test::deflated(content);
  REQUIRE(packed.size() < content.size());
  const std::size_t piece = GENERATE(1u, 7u, 4096u, 1u << 20);
  const io::Place place("a.npz");
  Inflater inflater(std::as_bytes(std::span(packed)), place);
  std::string out;
  std::vector<std::byte> buffer(piece);
  for (std::size_t got = piece; got == piece;) {
    got = inflater.read(buffer);
    out.append(io::detail::as_text(std::span(buffer).first(got)));
  }
  CHECK(out == content);
  CHECK(inflater.read(buffer) == 0);
}

TEST_CASE("a damaged or shortened stream is refused", "[io]") {
  const std::string packed = test::deflated(std::string(10'000, 'x') + "end");
  const io::Place place("a.npz");
  std::vector<std::byte> out(20'000);
  for (std::size_t size = 0; size + 1 < packed.size(); ++size) {
    const std::vector<std::byte> shorter = test::exact_bytes(packed.substr(0, size));
    Inflater inflater(shorter, place);
    refuses("ZIP-03", {"ends early"}, [&] { inflater.read(out); });
  }
  const std::string nonsense = "\x07\x07\x07";  // block type 3 does not exist
  Inflater inflater(std::as_bytes(std::span(nonsense)), place);
  refuses("ZIP-03", {"is damaged (invalid block"}, [&] { inflater.read(out); });
}

TEST_CASE("a gzip header may have an extra field, a name, a comment and a checksum", "[io]") {
  CHECK(unpacked(member(0)) == "abc");
  CHECK(unpacked(member(4, std::string("\x02\x00xy", 4))) == "abc");
  CHECK(unpacked(member(8, std::string("a name\0", 7))) == "abc");
  CHECK(unpacked(member(4 | 8 | 16, std::string("\x01\x00xname\0comment\0", 16))) == "abc");
#if !defined(TESSERA_HAS_ISAL)  // which skips the header's own checksum and flags it does not know
  const std::string front = member(2).substr(0, 10);
  const std::uint32_t crc = io::crc32(std::as_bytes(std::span(front)));
  CHECK(unpacked(member(2, test::raw<std::uint16_t>({static_cast<std::uint16_t>(crc & 0xFFFF)}))) == "abc");
  refuses("ZIP-03", {"is damaged ("}, [&] {
    unpacked(member(2, test::raw<std::uint16_t>({static_cast<std::uint16_t>(~crc & 0xFFFF)})));
  });
  refuses("ZIP-03", {"is damaged ("}, [] { unpacked(member(32)); });
#endif
  std::string method = member(0);
  method[2] = 7;
  refuses("ZIP-03", {"unknown compression method"}, [&] { unpacked(method); });
}

TEST_CASE("a gzip file is any number of members and nothing else", "[io]") {
  const std::size_t piece = GENERATE(1u, 2u, 3u, 6u, 7u, 100u);
  CHECK(unpacked(member(0) + member(0), piece) == "abcabc");
  refuses("ZIP-03", {"4 bytes after the compressed data are no gzip member"},
          [&] { unpacked(member(0) + "tail", piece); });
  std::string crc = member(0);
  crc[crc.size() - 6] ^= 1;
  refuses("ZIP-03", {"is damaged (incorrect "}, [&] { unpacked(crc, piece); });
  std::string length = member(0);
  length[length.size() - 3] ^= 1;
  refuses("ZIP-03", {"is damaged (incorrect "}, [&] { unpacked(length, piece); });
}

TEST_CASE("a gzip file that ends early is refused wherever it ends", "[io]") {
  const std::string whole = member(4 | 8 | 16, std::string("\x01\x00xname\0comment\0", 16));
  for (std::size_t size = 2; size < whole.size(); ++size)
    refuses("ZIP-03", {"ends early"}, [&] { unpacked(whole.substr(0, size)); });
}

TEST_CASE("what zlib compresses is unpacked, and no damage to it goes unnoticed", "[io]") {
  std::string content;
  for (int i = 0; i < 20'000; ++i) content += message(i % 977, ' ');
  CHECK(unpacked(test::gzipped(content) + test::gzipped(""), 4096) == content);
  const std::string good = test::gzipped("0,1\n1,2\n");
  const std::size_t refused = test::read_damaged(good, 2000, [](std::span<const std::byte> bytes) {
    std::vector<std::byte> out(100);
    Inflater(bytes, io::Place("x.gz"), Wrapper::gzip).read(out);
  });
  CHECK(refused > 1500);
}

#endif

TEST_CASE("without a decompressor compressed data is refused with what to do", "[io]") {
  if constexpr (!io::kReadsDeflate) {
    const io::Place place("a.npz");
    refuses("ZIP-02", {"built without zlib and ISA-L"}, [&] { Inflater inflater({}, place); });
  }
}
