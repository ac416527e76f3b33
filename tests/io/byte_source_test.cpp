// SPDX-License-Identifier: MIT
#include "tessera/io/byte_source.hpp"

#include <array>
#include <string>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using tessera::io::ByteSource;
using tessera::test::refuses;
using tessera::test::ScratchFolder;

namespace {

std::string read_all(ByteSource source, std::size_t chunk) {
  std::string out;
  std::string buffer(chunk, '?');
  while (const std::size_t got = source.read(buffer)) out.append(buffer, 0, got);
  return out;
}

}  // namespace

TEST_CASE("A byte source gives a file and a text in memory alike", "[io]") {
  const ScratchFolder folder;
  const std::string text = "the quick brown fox\n\0jumps";
  const auto path = folder.write("a.txt", text);
  for (const std::size_t chunk : {1u, 3u, 1000u}) {
    CHECK(read_all(ByteSource::file(path), chunk) == text);
    CHECK(read_all(ByteSource::memory(text, "text"), chunk) == text);
  }
  CHECK(ByteSource::file(path).name() == path.string());
  CHECK(read_all(ByteSource::memory("", "nothing"), 4).empty());
}

TEST_CASE("A byte source says what is wrong with a path", "[io]") {
  const ScratchFolder folder;
  folder.write("Graph.json", "{}");
  refuses("GEN-01", {"graph.json not found", "the folder has Graph.json"},
          [&] { ByteSource::file(folder / "graph.json"); });
  refuses("GEN-02", {"this is a folder"}, [&] { read_all(ByteSource::file(folder.path()), 8); });
}
