// SPDX-License-Identifier: MIT
#include "tessera/io/gzip_write.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "tessera/io/text_blocks.hpp"

using namespace tessera;

namespace {

std::string text_of(const std::filesystem::path& path) {
  io::TextBlocks blocks(path, io::BlankTail::keep);
  std::string out;
  while (const auto block = blocks.next()) out += block->text;
  return out;
}

}  // namespace

TEST_CASE("rows written in pieces read back as one text, the same bytes at any number of threads", "[io]") {
  const test::ScratchFolder folder;
  const auto line = [](std::size_t i, std::string& text) { text += message(i * i % 1009, "\n"); };
  const auto write = [&](const char* name, std::size_t rows, std::size_t per_piece) {
    io::TextFile file(folder / name);
    file.rows(rows, per_piece, line);
    file.rows(2, 1, [](std::size_t i, std::string& text) { text += i == 0 ? "" : "end\n"; });
    file.commit();
    return folder / message(name, io::kWritesGzip ? ".gz" : "");
  };
  for (const std::size_t rows : {0u, 1u, 1000u}) {
    std::string want;
    for (std::size_t i = 0; i < rows; ++i) line(i, want);
    want += "end\n";
    for (const std::size_t per_piece : {1u, 7u, 10'000u}) {
      CHECK(text_of(write("x.csv", rows, per_piece)) == want);
    }
  }
  const std::string one = with_threads(1, [&] { return test::read_back(write("x.csv", 1000, 7)); });
  CHECK(with_threads(4, [&] { return test::read_back(write("x.csv", 1000, 7)); }) == one);
#if defined(TESSERA_HAS_ZLIB)
  // zlib's own reader agrees.
  z_stream stream{};
  REQUIRE(::inflateInit2(&stream, MAX_WBITS + 16) == Z_OK);
  std::string packed = one;
  std::string out(10'000, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  CHECK(::inflate(&stream, Z_FINISH) == Z_STREAM_END);
  CHECK(stream.avail_in == 0);
  out.resize(out.size() - stream.avail_out);
  ::inflateEnd(&stream);
  CHECK(out == text_of(folder / "x.csv.gz"));
#endif
}
