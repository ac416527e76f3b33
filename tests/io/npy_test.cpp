// SPDX-License-Identifier: MIT
#include "tessera/io/npy.hpp"

#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "tessera/io/npy_convert.hpp"

using namespace tessera;
using test::npy_array;
using test::raw;
using test::refuses;

TEST_CASE("an array in a file is used where it lies", "[io]") {
  const test::ScratchFolder folder;
  const auto path = folder.write("a.npy", npy_array("<i4", "(3,)", raw<std::int32_t>({5, -6, 7})));
  io::NpyArray array = io::read_npy(path);
  CHECK(array.rank() == 1);
  CHECK(array.dim(0) == 3);
  CHECK(array.size() == 3);
  CHECK(array.bytes().size() == 12);
  const io::NpyArray moved = std::move(array);
  const Array<std::int32_t> values = io::to_integers<std::int32_t>(moved);
  CHECK(std::vector<std::int32_t>(values.begin(), values.end()) == std::vector<std::int32_t>{5, -6, 7});
}

TEST_CASE("a truncated array is refused with both sizes", "[io]") {
  const test::ScratchFolder folder;
  std::string file = npy_array("<f8", "(100, 10)", std::string(8000, '\0'));
  file.resize(4928);
  const auto path = folder.write("short.npy", file);
  refuses("NPY-05",
          {"shape (100, 10) of <f8 needs 8,000 bytes at offset 128, file has 4,928 (60 %)",
           "expected 1,000 elements, could only read 600", "complete file is 8,128 bytes"},
          [&] { io::read_npy(path); });
  file = npy_array("<f4", "(3,)", raw<float>({1, 2, 3}));
  file.pop_back();
  refuses("NPY-05", {}, [&] { io::read_npy(folder.write("one.npy", file)); });
}

TEST_CASE("bytes after the array: a warning in a file, an error in an archive", "[io]") {
  const test::ScratchFolder folder;
  const std::string file = npy_array("<f4", "(2,)", raw<float>({1, 2}) + "x");
  std::vector<std::string> warnings;
  const io::NpyArray array = io::read_npy(folder.write("long.npy", file), {}, &warnings);
  CHECK(array.size() == 2);
  CHECK(array.trailing_bytes() == 1);
  REQUIRE(warnings.size() == 1);
  CHECK(warnings[0].find("1 bytes after the array") != std::string::npos);
  refuses("ZIP-04", {"needs 136 bytes, the member holds 137"}, [&] {
    io::NpyArray::borrow(std::as_bytes(std::span(file)), io::Place("a.npz"), io::NpyArray::Tail::refuse);
  });
}

TEST_CASE("big-endian arrays are swapped once", "[io]") {
  const std::string file = npy_array(">i4", "(2,)", std::string("\0\0\1\2\xff\xff\xff\xfe", 8));
  const auto array =
      io::NpyArray::borrow(std::as_bytes(std::span(file)), io::Place("a"), io::NpyArray::Tail::refuse);
  const auto values = io::to_integers<std::int32_t>(array);
  CHECK(values[0] == 258);
  CHECK(values[1] == -2);
  refuses("GEN-03", {"declares 8 bytes, limit is 4 bytes"}, [&] {
    io::NpyArray::borrow(std::as_bytes(std::span(file)), io::Place("a"), io::NpyArray::Tail::refuse,
                         {.max_bytes = 4});
  });
}

TEST_CASE("an unexpected number of dimensions is refused", "[io]") {
  const std::string file = npy_array("<f4", "(2,)", raw<float>({1, 2}));
  const auto array =
      io::NpyArray::borrow(std::as_bytes(std::span(file)), io::Place("a"), io::NpyArray::Tail::refuse);
  CHECK_NOTHROW(array.require_rank(1, "(N,)"));
  refuses("NPY-07", {"expected 2 dimensions (N, F), found (2,)"}, [&] { array.require_rank(2, "(N, F)"); });
}

TEST_CASE("damaged .npy files never do more than throw", "[io]") {
  const std::string good[] = {
      npy_array("<f8", "(4, 3)", std::string(96, '\x3f')),
      npy_array(">i2", "(5, 2)", std::string(20, '\1'), true),
      npy_array("<U3", "(4,)", std::string(48, '\0')),
  };
  for (const std::string& file : good) {
    const std::size_t refused = test::read_damaged(file, 4000, [](std::span<const std::byte> bytes) {
      const auto array =
          io::NpyArray::borrow(bytes, io::Place("a"), io::NpyArray::Tail::allow, {.max_bytes = 1 << 20});
      if (array.type().is_text()) {
        for (std::size_t i = 0; i < std::min<std::size_t>(array.size(), 100); ++i) io::to_text(array, i);
      } else if (array.rank() == 2) {
        io::to_matrix(array, io::NanPolicy::zero, nullptr, {.max_bytes = 1 << 20});
      } else {
        io::to_floats(array);
      }
      if (array.type().is_integer()) io::to_integers<std::int8_t>(array);
    });
    CHECK(refused > 1000);  // most edits of so small a file hit the header
  }
}
