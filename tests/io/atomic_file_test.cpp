// SPDX-License-Identifier: MIT
#include "tessera/io/atomic_file.hpp"

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;

namespace {

std::size_t files_in(const std::filesystem::path& folder) {
  return static_cast<std::size_t>(std::distance(std::filesystem::directory_iterator(folder), {}));
}

}  // namespace

TEST_CASE("a committed file has all that was written, and nothing else is left", "[io]") {
  const test::ScratchFolder folder;
  std::string expected;
  {
    io::AtomicFile file(folder / "out");
    for (int i = 0; i < 5000; ++i) {
      const std::string piece = message("line ", i, "\n");
      file.write(piece);
      expected += piece;
    }
    const std::string large(200'000, 'x');
    file.write(large);
    expected += large;
    CHECK(file.size() == expected.size());
    CHECK_FALSE(std::filesystem::exists(folder / "out"));
    file.commit();
  }
  CHECK(test::read_back(folder / "out") == expected);
  CHECK(files_in(folder.path()) == 1);
}

TEST_CASE("without commit the old file stays as it was", "[io]") {
  const test::ScratchFolder folder;
  folder.write("out", "old");
  {
    io::AtomicFile file(folder / "out");
    file.write("new, but never finished");
  }
  CHECK(test::read_back(folder / "out") == "old");
  CHECK(files_in(folder.path()) == 1);
  io::write_file(folder / "out", "new");
  CHECK(test::read_back(folder / "out") == "new");
}

TEST_CASE("a reader of the old file keeps it", "[io]") {
  const test::ScratchFolder folder;
  const io::MappedFile old(folder.write("out", "old"));
  io::write_file(folder / "out", "new content");
  CHECK(io::detail::as_text(old.bytes()) == "old");
}

TEST_CASE("writing where nothing can be written is an error", "[io]") {
  const test::ScratchFolder folder;
  test::refuses("GEN-01", {"does not exist"}, [&] { io::AtomicFile file(folder / "missing/out"); });
  std::filesystem::create_directory(folder / "taken");
  test::refuses("GEN-04", {"cannot replace"}, [&] { io::write_file(folder / "taken", "x"); });
  CHECK(files_in(folder.path()) == 1);
}
