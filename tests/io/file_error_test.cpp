// SPDX-License-Identifier: MIT
#include "tessera/io/file_error.hpp"

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "tessera/io/mapped_file.hpp"

using namespace tessera;
using test::refuses;

TEST_CASE("numbers in messages are readable", "[io]") {
  CHECK(io::grouped(0) == "0");
  CHECK(io::grouped(999) == "999");
  CHECK(io::grouped(1'000) == "1,000");
  CHECK(io::grouped(1'959'223'200) == "1,959,223,200");
  CHECK(io::human_bytes(999) == "999 bytes");
  CHECK(io::human_bytes(1'500) == "1.5 kB");
  CHECK(io::human_bytes(112'400'000'000) == "112.4 GB");
  CHECK(io::human_bytes(~std::uint64_t{0}) == "18.4 EB");
  CHECK(io::saturating_product(1u << 31, 2) == std::uint64_t{1} << 32);
  CHECK(io::saturating_product(~std::uint64_t{0}, 2) == ~std::uint64_t{0});
}

TEST_CASE("a message names code, file and part", "[io]") {
  const io::Place place = io::Place("a/b.npz").at("member 'x'");
  refuses("NPY-07", {"error[NPY-07] a/b.npz: member 'x': 3 dimensions"},
          [&] { place.fail("NPY-07", 3, " dimensions"); });
  CHECK(place.warning("EDG-04", "merged ", 2) == "warning[EDG-04] a/b.npz: member 'x': merged 2");
}

TEST_CASE("a missing file is explained by what the folder has", "[io]") {
  const test::ScratchFolder folder;
  folder.write("Amazon2M-feats.npy", "x");
  refuses("GEN-01", {"amazon2M-feats.npy not found in", "the folder has Amazon2M-feats.npy"},
          [&] { io::fail_system(folder / "amazon2M-feats.npy", "open", ENOENT); });
  refuses("GEN-01", {"other.npy not found in"},
          [&] { io::fail_system(folder / "other.npy", "open", ENOENT); });
  refuses("GEN-01", {"does not exist"}, [&] { io::fail_system(folder / "no/other.npy", "open", ENOENT); });
  folder.write("a.txt", "0 1\n");
  for (const char* below : {"a.txt/x.npy", "a.txt/b/x.npy"}) {
    refuses("GEN-02", {"a.txt is a file, want a folder"},
            [&] { io::detail::open_for_reading(folder / below); });
  }
  refuses("GEN-04", {"cannot open: "}, [&] { io::fail_system(folder / "x", "open", EACCES); });
}

TEST_CASE("wrong files are recognised by their first bytes", "[io]") {
  const auto refuse = [](std::string_view text) {
    io::refuse_wrong_kind(io::Place("f"), std::as_bytes(std::span(text)), ".npy array");
  };
  refuses("GEN-02", {"Git LFS pointer for a 3,410,531-byte file"},
          [&] { refuse("version https://git-lfs.github.com/spec/v1\noid sha256:0123\nsize 3410531\n"); });
  refuses("GEN-02", {"Git LFS pointer"}, [&] { refuse("version https://git-lfs"); });
  refuses("GEN-02", {"HTML page"}, [&] { refuse("<!DOCTYPE html><html>"); });
  refuses("GEN-02", {"HTML page"}, [&] { refuse("\xEF\xBB\xBF \n<HTML>"); });
  refuses("GEN-02", {"HDF5"}, [&] { refuse("\x89HDF\r\n"); });
  refuses("GEN-02", {"gzip"}, [&] { refuse("\x1F\x8B\x08"); });
  refuses("GEN-02", {"extract it first", "want a .npy array"}, [&] { refuse("PK\x03\x04zzz"); });
  refuses("GEN-02", {"pickle"}, [&] { refuse("\x80\x02}"); });
  CHECK_NOTHROW(refuse("something else"));
  CHECK_NOTHROW(refuse(""));
}

TEST_CASE("an allocation over the limit is refused with both numbers", "[io]") {
  CHECK_NOTHROW(io::require_within(io::Place("f"), 10, 10));
  refuses("GEN-03", {"declares 112.4 GB, limit is 18.5 GB"},
          [] { io::require_within(io::Place("f"), 112'400'000'000, 18'500'000'000); });
}

TEST_CASE("first bytes are shown as hex and text", "[io]") {
  const std::string_view text = "<!DOCTYPE";
  CHECK(io::first_bytes(std::as_bytes(std::span(text))) == "3C 21 44 4F (\"<!DO\")");
  CHECK(io::first_bytes({}) == "nothing (the file is empty)");
}
