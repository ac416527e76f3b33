// SPDX-License-Identifier: MIT
#include "tessera/io/mapped_file.hpp"

#include <utility>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;
using test::refuses;

TEST_CASE("a file is the same mapped and read", "[io]") {
  const test::ScratchFolder folder;
  std::string content;
  for (int i = 0; i < 300'000; ++i) content.push_back(static_cast<char>(i * 7));
  const auto path = folder.write("data", content);
  const io::MappedFile mapped(path);
  const io::MappedFile read(path, {.map = false});
  CHECK(mapped.mapped());
  CHECK_FALSE(read.mapped());
  CHECK(mapped.path() == path);
  REQUIRE(mapped.size() == content.size());
  REQUIRE(read.size() == content.size());
  CHECK(std::equal(mapped.bytes().begin(), mapped.bytes().end(), read.bytes().begin()));
  CHECK(std::memcmp(mapped.bytes().data(), content.data(), content.size()) == 0);
}

TEST_CASE("a mapping can be moved", "[io]") {
  const test::ScratchFolder folder;
  io::MappedFile a(folder.write("a", "first"));
  io::MappedFile b(folder.write("b", "second"));
  const std::byte* const bytes = a.bytes().data();
  b = std::move(a);
  CHECK(b.bytes().data() == bytes);
  CHECK(b.size() == 5);
  const io::MappedFile c = std::move(b);
  CHECK(c.bytes().data() == bytes);
}

TEST_CASE("files without a size are read to their end", "[io]") {
  const test::ScratchFolder folder;
  CHECK(io::MappedFile(folder.write("empty", "")).size() == 0);
  if (std::filesystem::exists("/proc/self/status")) CHECK(io::MappedFile("/proc/self/status").size() > 0);
}

TEST_CASE("what is no file is refused", "[io]") {
  const test::ScratchFolder folder;
  folder.write("feats.npy", "x");
  refuses("GEN-01", {"Feats.npy not found", "the folder has feats.npy"},
          [&] { io::MappedFile file(folder / "Feats.npy"); });
  refuses("GEN-02", {"this is a folder"}, [&] { io::MappedFile file(folder.path()); });
  refuses("GEN-03", {"declares 1 bytes, limit is 0 bytes"},
          [&] { io::MappedFile file(folder / "feats.npy", {.map = false, .max_bytes = 0}); });
}

TEST_CASE("reading ahead changes nothing", "[io]") {
  const test::ScratchFolder folder;
  const io::MappedFile file(folder.write("a", std::string(100'000, 'x')));
  file.read_ahead();
  CHECK(file.size() == 100'000);
  CHECK(file.bytes().back() == std::byte{'x'});
  io::MappedFile().read_ahead();  // nothing is mapped
}
