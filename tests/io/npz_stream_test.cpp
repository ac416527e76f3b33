// SPDX-License-Identifier: MIT
#include "tessera/io/npz_stream.hpp"

#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "tessera/core/ids.hpp"

using namespace tessera;
using test::refuses;
using test::ZipPart;

namespace {

/// An archive with one array of a million and a bit int32 values, over several pieces.
std::string large_archive(bool deflate, std::size_t count = 600'000) {
  std::string data(count * 4, '\0');
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = static_cast<std::int32_t>(i * 7 % 1000);
    std::memcpy(data.data() + 4 * i, &value, 4);
  }
  ZipPart part;
  part.name = "x.npy";
  part.content = test::npy_array("<i4", message("(", count, ",)"), data);
  part.deflate = deflate;
  return test::zip_file({part});
}

std::string matrix_archive(std::string_view descr, std::string_view shape, std::string_view data,
                           bool fortran = false) {
  ZipPart part;
  part.name = "x.npy";
  part.content = test::npy_array(descr, shape, data, fortran);
  part.deflate = true;
  return test::zip_file({part});
}

Tensor<float> matrix(const std::string& archive, io::NanPolicy nan = io::NanPolicy::error) {
  const io::NpzFile npz(std::as_bytes(std::span(archive)), "x.npz");
  return io::stream_matrix(npz, "x", nan);
}

}  // namespace

#if defined(TESSERA_HAS_ZLIB)
TEST_CASE("An array comes in pieces as it would whole", "[io]") {
  for (const bool deflate : {false, true}) {
    const std::string archive = large_archive(deflate);
    const io::NpzFile npz(std::as_bytes(std::span(archive)), "x.npz");
    io::NpyStream stream(npz, "x");
    CHECK(stream.header().count == 600'000);
    std::vector<NodeId> first(100'000);
    std::vector<NodeId> rest(500'000);
    const auto never = [](std::size_t, const std::string&) { FAIL("no value is bad"); };
    stream.integers<NodeId>(first, 0, 999, never);
    stream.integers<NodeId>(rest, 0, 999, never);
    stream.finish();
    bool same = true;
    for (std::size_t i = 0; i < 600'000; ++i)
      same = same && (i < 100'000 ? first[i] : rest[i - 100'000]) == i * 7 % 1000;
    CHECK(same);
    io::NpyStream again(npz, "x");
    std::size_t bad = 0;
    CHECK_THROWS_AS(again.integers<NodeId>(first, 0, 500,
                                           [&](std::size_t at, const std::string& value) {
                                             bad = at;
                                             throw IndexError(value);
                                           }),
                    IndexError);
    CHECK(bad == 72);  // 72 * 7 = 504
    refuses("ZIP-04", {"has 600,000 elements left, want 600,001"}, [&] {
      io::NpyStream more(npz, "x");
      more.floats(600'001, [](std::span<const float>) {});
    });
  }
}

TEST_CASE("A matrix is narrowed without a second copy, or as a whole where that must be", "[io]") {
  const std::string doubles = matrix_archive("<f8", "(2, 3)", test::raw<double>({1, 2, 3, 4, 5, 6}));
  CHECK(matrix(doubles)(1, 2) == 6.0f);
  CHECK(matrix(matrix_archive(">f4", "(1, 1)", std::string("\x3f\x80\x00\x00", 4)))(0, 0) == 1.0f);
  CHECK(matrix(matrix_archive("<f8", "(2, 3)", test::raw<double>({1, 2, 3, 4, 5, 6}), true))(0, 1) == 3.0f);
  CHECK(matrix(matrix_archive("|i1", "(2, 0)", "")).rows() == 2);
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const std::string holes = matrix_archive("<f8", "(1, 2)", test::raw<double>({1, nan}));
  refuses("FEA-01", {"NaN at row 0 column 1"}, [&] { matrix(holes); });
  CHECK(matrix(holes, io::NanPolicy::zero)(0, 1) == 0.0f);
  refuses("FEA-01", {"does not fit 32-bit floats"},
          [&] { matrix(matrix_archive("<f8", "(1, 1)", test::raw<double>({1e300}))); });
  refuses("NPY-07", {"expected 2 dimensions"},
          [&] { matrix(matrix_archive("<f4", "(1,)", test::raw<float>({1}))); });
}

TEST_CASE("A damaged member is noticed at its end at the latest", "[io]") {
  ZipPart part;
  part.name = "x.npy";
  part.content = test::npy_array("<f4", "(2, 2)", test::raw<float>({1, 2, 3, 4}));
  part.deflate = true;
  const auto read = [&] { matrix(test::zip_file({part})); };
  SECTION("another checksum") {
    part.crc = 7;
    refuses("ZIP-03", {"is damaged: CRC-32 is", "directory says 00000007"}, read);
  }
  SECTION("a size the header does not give") {
    part.declared_size = part.content.size() + 4;
    refuses("ZIP-04", {"the directory declares"}, read);
  }
  SECTION("fewer bytes than the header says") {
    part.content.resize(part.content.size() - 4);
    part.declared_size = part.content.size() + 4;
    refuses("ZIP-04", {"inflates to less"}, read);
  }
  SECTION("more bytes than the header says") {
    part.content += "more";
    part.declared_size = part.content.size() - 4;
    refuses("ZIP-04", {"inflates beyond its declared"}, read);
  }
  const std::string good = test::zip_file({part});
  CHECK(test::read_damaged(good, 3000, [](std::span<const std::byte> bytes) {
          const io::NpzFile npz(bytes, "x.npz", {.max_bytes = 1 << 20});
          io::stream_matrix(npz, "x", io::NanPolicy::zero);
        }) > 1000);
}
#endif
