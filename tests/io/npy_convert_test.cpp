// SPDX-License-Identifier: MIT
#include "tessera/io/npy_convert.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "tessera/core/ids.hpp"

using namespace tessera;
using test::npy_array;
using test::raw;
using test::refuses;

namespace {

/// An array that owns the file it was made from.
io::NpyArray array_of(std::string_view file) {
  const auto bytes = std::as_bytes(std::span(file));
  return io::NpyArray::own(Array<std::byte>::copy_of(bytes), io::Place("a.npy"), io::NpyArray::Tail::refuse);
}

std::vector<float> row(const Tensor<float>& x, std::size_t i) { return {x.row(i).begin(), x.row(i).end()}; }

template <class T>
std::vector<T> list(const Array<T>& values) {
  return {values.begin(), values.end()};
}

// Decodes a binary16 by its definition.
double slow_half(std::uint16_t h) {
  const double sign = (h & 0x8000) != 0 ? -1 : 1;
  const int exponent = h >> 10 & 31;
  const int fraction = h & 1023;
  if (exponent == 0) return sign * std::ldexp(fraction, -24);
  if (exponent == 31) {
    return fraction != 0 ? std::numeric_limits<double>::quiet_NaN()
                         : sign * std::numeric_limits<double>::infinity();
  }
  return sign * std::ldexp(1024 + fraction, exponent - 25);
}

}  // namespace

TEST_CASE("every half-precision number becomes the float of its value", "[io]") {
  for (unsigned h = 0; h < 0x10000; ++h) {
    const float got = io::half_to_float(static_cast<std::uint16_t>(h));
    const double want = slow_half(static_cast<std::uint16_t>(h));
    const bool same = std::isnan(want)
                          ? std::isnan(got)
                          : static_cast<double>(got) == want && std::signbit(got) == std::signbit(want);
    if (!same) FAIL("half " << h << " became " << got << ", want " << want);
  }
}

TEST_CASE("matrices of every type and order become floats", "[io]") {
  const std::vector<float> first = {1, 2, 3};
  const std::vector<float> second = {4, 5, 6};
  const auto check = [&](std::string_view file) {
    const Tensor<float> x = io::to_matrix(array_of(file));
    REQUIRE(x.rows() == 2);
    REQUIRE(x.cols() == 3);
    CHECK(row(x, 0) == first);
    CHECK(row(x, 1) == second);
  };
  check(npy_array("<f4", "(2, 3)", raw<float>({1, 2, 3, 4, 5, 6})));
  check(npy_array("<f8", "(2, 3)", raw<double>({1, 2, 3, 4, 5, 6})));
  check(npy_array("<f2", "(2, 3)", raw<std::uint16_t>({0x3c00, 0x4000, 0x4200, 0x4400, 0x4500, 0x4600})));
  check(npy_array("|i1", "(2, 3)", raw<std::int8_t>({1, 2, 3, 4, 5, 6})));
  check(npy_array("<u8", "(2, 3)", raw<std::uint64_t>({1, 2, 3, 4, 5, 6})));
  check(npy_array(">i2", "(2, 3)", std::string("\0\1\0\2\0\3\0\4\0\5\0\6", 12)));
  check(npy_array("<f4", "(2, 3)", raw<float>({1, 4, 2, 5, 3, 6}), true));
  check(npy_array("<i8", "(2, 3)", raw<std::int64_t>({1, 4, 2, 5, 3, 6}), true));
}

TEST_CASE("a large matrix is narrowed in blocks, the same for any number of threads", "[io]") {
  constexpr std::size_t kRows = 5000;
  constexpr std::size_t kCols = 37;
  std::string data(kRows * kCols * 8, '\0');
  for (std::size_t k = 0; k < kRows * kCols; ++k) {
    const double value = std::sin(static_cast<double>(k));
    std::memcpy(data.data() + 8 * k, &value, 8);
  }
  for (const bool fortran : {false, true}) {
    const io::NpyArray array = array_of(npy_array("<f8", "(5000, 37)", data, fortran));
    const std::size_t threads = GENERATE(1u, 2u, 7u);
    const Tensor<float> x = with_threads(threads, [&] { return io::to_matrix(array); });
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < kRows; ++i) {
      for (std::size_t j = 0; j < kCols; ++j) {
        const std::size_t k = fortran ? j * kRows + i : i * kCols + j;
        wrong += x(i, j) == static_cast<float>(std::sin(static_cast<double>(k))) ? 0u : 1u;
      }
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("NaN and infinite features are refused or replaced", "[io]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const float inf = std::numeric_limits<float>::infinity();
  const std::string file = npy_array("<f4", "(3, 2)", raw<float>({1, 2, 3, nan, -inf, nan}));
  refuses("FEA-01", {"NaN at row 1 column 1; 2 NaN and 1 infinite values in 2 columns. Use --nan=zero"},
          [&] { io::to_matrix(array_of(file)); });
  std::vector<std::string> warnings;
  const Tensor<float> x = io::to_matrix(array_of(file), io::NanPolicy::zero, &warnings);
  CHECK(row(x, 1) == std::vector<float>{3, 0});
  CHECK(row(x, 2) == std::vector<float>{0, 0});
  REQUIRE(warnings.size() == 1);
  CHECK(warnings[0].find("replaced by 0") != std::string::npos);
}

TEST_CASE("doubles that are no floats are refused even where NaN is allowed", "[io]") {
  const std::string file = npy_array("<f8", "(1, 2)", raw<double>({1, -1e300}));
  refuses("FEA-01", {"value -1e+300 at row 0 column 1 does not fit 32-bit floats"},
          [&] { io::to_matrix(array_of(file), io::NanPolicy::zero); });
  CHECK(io::to_matrix(array_of(npy_array("<f8", "(1, 1)", raw<double>({1e-300}))))(0, 0) == 0.0f);
}

TEST_CASE("matrices without elements are fine", "[io]") {
  const Tensor<float> none = io::to_matrix(array_of(npy_array("<f4", "(0, 5)", "")));
  CHECK(none.rows() == 0);
  CHECK(none.cols() == 5);
  CHECK(io::to_matrix(array_of(npy_array("<f4", "(5, 0)", ""))).rows() == 5);
}

TEST_CASE("matrices of the wrong rank, of text, or over the limit are refused", "[io]") {
  refuses("NPY-07", {"expected 2 dimensions (N, F), found (232965,)"},
          [] { io::to_matrix(array_of(npy_array("|u1", "(232965,)", std::string(232965, '\0')))); });
  refuses("NPY-04", {"(text) found, want numbers"},
          [] { io::to_matrix(array_of(npy_array("|S2", "(1, 1)", "ab"))); });
  refuses("GEN-03", {"declares 24 bytes, limit is 20 bytes"}, [] {
    io::to_matrix(array_of(npy_array("|u1", "(2, 3)", "abcdef")), io::NanPolicy::error, nullptr,
                  {.max_bytes = 20});
  });
}

TEST_CASE("integers keep their value or are refused", "[io]") {
  CHECK(list(io::to_integers<std::int32_t>(array_of(npy_array(
            "<i8", "(3,)", raw<std::int64_t>({-1, 0, 7}))))) == std::vector<std::int32_t>{-1, 0, 7});
  CHECK(list(io::to_integers<std::int64_t>(array_of(npy_array(
            "<u4", "(1,)", raw<std::uint32_t>({4000000000u}))))) == std::vector<std::int64_t>{4000000000});
  CHECK(list(io::to_integers<std::uint8_t>(
            array_of(npy_array("<i2", "(2, 2)", raw<std::int16_t>({1, 3, 2, 4}), true)))) ==
        std::vector<std::uint8_t>{1, 2, 3, 4});
  refuses("NPY-04", {"element 1 is -1, which does not fit 32 unsigned bits"}, [] {
    io::to_integers<std::uint32_t>(array_of(npy_array("|i1", "(2,)", raw<std::int8_t>({1, -1}))));
  });
  refuses("NPY-04", {"element 0 is 18446744073709551615, which does not fit 64 signed bits"},
          [] { io::to_integers<std::int64_t>(array_of(npy_array("<u8", "(1,)", std::string(8, '\xff')))); });
  refuses("NPY-04", {"descr '<f4' found, want integers"},
          [] { io::to_integers<int>(array_of(npy_array("<f4", "(1,)", raw<float>({1})))); });
}

TEST_CASE("the first value out of range is reported, whatever the threads do", "[io]") {
  std::string data(200'000, '\0');
  data[70'001] = 9;
  data[199'999] = 8;
  const io::NpyArray array = array_of(npy_array("|u1", "(200000,)", data));
  for (const std::size_t threads : {1u, 4u}) {
    std::size_t where = 0;
    std::string what;
    with_threads(threads, [&] {
      io::to_integers<std::int32_t>(array, 0, 5, [&](std::size_t k, const std::string& value) {
        if (where == 0) where = k;
        if (what.empty()) what = value;
      });
    });
    CHECK(where == 70'001);
    CHECK(what == "9");
  }
}

TEST_CASE("only the first elements are read where fewer are wanted", "[io]") {
  const io::NpyArray array = array_of(npy_array("<i4", "(3,)", raw<std::int32_t>({1, 2, -3})));
  const auto values = io::to_integers<NodeId>(
      array, 0, 10, [](std::size_t, const std::string&) { FAIL("element 2 was looked at"); }, 2);
  CHECK(list(values) == std::vector<NodeId>{1, 2});
  CHECK(list(io::to_floats(array, 1)) == std::vector<float>{1});
}

TEST_CASE("bytes of booleans other than 0 and 1 are true, with a warning", "[io]") {
  const io::NpyArray array = array_of(npy_array("|b1", "(3,)", std::string("\0\1\2", 3)));
  std::vector<std::string> warnings;
  io::check_bools(array, warnings);
  CHECK(warnings.size() == 1);
  CHECK(list(io::to_integers<std::uint8_t>(array)) == std::vector<std::uint8_t>{0, 1, 1});
}

TEST_CASE("text of bytes and of UTF-32 becomes UTF-8", "[io]") {
  const io::NpyArray bytes = array_of(npy_array("|S4", "(2,)", std::string("csr\0abcd", 8)));
  CHECK(io::to_text(bytes, 0) == "csr");
  CHECK(io::to_text(bytes, 1) == "abcd");
  const io::NpyArray unicode =
      array_of(npy_array("<U4", "()", raw<std::uint32_t>({'a', 0xe9, 0x20ac, 0x1f600})));
  CHECK(io::to_text(unicode, 0) == "a\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80");
  CHECK(io::to_text(array_of(npy_array(">U1", "(1,)", std::string("\0\0\0x", 4))), 0) == "x");
  CHECK(io::to_text(array_of(npy_array("<U1", "(1,)", std::string(4, '\xff'))), 0) == "\xEF\xBF\xBD");
  refuses("NPY-07", {}, [&] { io::to_text(bytes, 2); });
  refuses("NPY-04", {"want text"}, [] { io::to_text(array_of(npy_array("|u1", "(1,)", "x")), 0); });
}
