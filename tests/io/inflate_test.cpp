// SPDX-License-Identifier: MIT
#include "tessera/io/inflate.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;

#if defined(TESSERA_HAS_ZLIB)

TEST_CASE("a deflate stream can be read in pieces of any size", "[io]") {
  std::string content;
  for (int i = 0; i < 20'000; ++i) content += message(i % 977, ' ');
  const std::string packed = test::deflated(content);
  REQUIRE(packed.size() < content.size());
  const std::size_t piece = GENERATE(1u, 7u, 4096u, 1u << 20);
  const io::Place place("a.npz");
  io::detail::Inflater inflater(std::as_bytes(std::span(packed)), place);
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
    io::detail::Inflater inflater(shorter, place);
    test::refuses("ZIP-03", {"ends early"}, [&] { inflater.read(out); });
  }
  const std::string nonsense = "\x07\x07\x07";  // block type 3 does not exist
  io::detail::Inflater inflater(std::as_bytes(std::span(nonsense)), place);
  test::refuses("ZIP-03", {"is damaged (invalid block type)"}, [&] { inflater.read(out); });
}

#else

TEST_CASE("without zlib compressed data is refused with what to do", "[io]") {
  const io::Place place("a.npz");
  test::refuses("ZIP-02", {"built without zlib"}, [&] { io::detail::Inflater inflater({}, place); });
}

#endif
