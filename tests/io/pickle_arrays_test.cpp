// SPDX-License-Identifier: MIT
#include "tessera/io/pickle_arrays.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "support/io_pickle_writer.hpp"

using namespace tessera;
using io::Pickle;
using io::Place;
using test::pickle_file;
using test::pickle_int;
using test::pickle_ndarray;
using test::raw;
using test::refuses;

namespace {

std::vector<double> elements(std::string_view body) {
  const std::string file = pickle_file(body);
  const auto bytes = test::exact_bytes(file);
  const Pickle pickle(bytes, Place("p"));
  const io::PickleArray array = io::pickle_array(pickle, pickle.root());
  std::vector<double> out;
  array.with_elements([&](auto load) {
    for (std::size_t i = 0; i < array.size(); ++i) out.push_back(static_cast<double>(load(i)));
  });
  return out;
}

io::PickleCsr csr(std::string_view body) {
  const std::string file = pickle_file(body);
  const auto bytes = test::exact_bytes(file);
  const Pickle pickle(bytes, Place("p"));
  return io::pickle_csr(pickle, pickle.root());
}

/// `text` with the one place that reads `from` replaced by `to`.
std::string with(std::string text, std::string_view from, std::string_view to) {
  const auto at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

}  // namespace

TEST_CASE("Arrays of every listed type are read from a pickle", "[io]") {
  const std::vector<double> want = {1, 0, 3};
  CHECK(elements(pickle_ndarray("f4", {3}, raw<float>({1, 0, 3}))) == want);
  CHECK(elements(pickle_ndarray("f8", {3}, raw<double>({1, 0, 3}))) == want);
  CHECK(elements(pickle_ndarray("i1", {3}, raw<std::int8_t>({1, 0, 3}))) == want);
  CHECK(elements(pickle_ndarray("i2", {3}, raw<std::int16_t>({1, 0, 3}))) == want);
  CHECK(elements(pickle_ndarray("i4", {3}, raw<std::int32_t>({1, 0, 3}))) == want);
  CHECK(elements(pickle_ndarray("i8", {3}, raw<std::int64_t>({1, 0, 3}))) == want);
  CHECK(elements(pickle_ndarray("u1", {3}, raw<std::uint8_t>({1, 0, 3}))) == want);
  CHECK(elements(pickle_ndarray("b1", {3, 1}, raw<std::uint8_t>({1, 0, 1}))) == std::vector<double>{1, 0, 1});
  CHECK(elements(pickle_ndarray("f4", {0, 5}, "")).empty());
}

TEST_CASE("An array whose parts do not fit is refused", "[io]") {
  const std::string good = pickle_ndarray("f4", {2}, raw<float>({1, 2}));
  refuses("PKL-02", {"needs 12 bytes, the array has 8"}, [] {
    elements(pickle_ndarray("f4", {3}, raw<float>({1, 2})));
  });
  refuses("PKL-02", {"extent -1 is negative"}, [] { elements(pickle_ndarray("f4", {-1}, "")); });
  refuses("PKL-02", {"rank 3"}, [] { elements(pickle_ndarray("f4", {1, 1, 1}, raw<float>({1}))); });
  refuses("PKL-02", {"rank 0"}, [] { elements(pickle_ndarray("f4", {}, raw<float>({1}))); });
  refuses("PKL-02", {"needs"}, [] { elements(pickle_ndarray("f8", {2147483647, 2147483647}, "")); });
  refuses("NPY-04", {"'c8'"}, [] { elements(pickle_ndarray("c8", {1}, raw<double>({1}))); });
  refuses("NPY-04", {"'>f4'"}, [&] { elements(with(good, "U\x01<", "U\x01>")); });
  refuses("PKL-02", {"the array is an integer, want an object"}, [] { elements(pickle_int(3)); });
  refuses("PKL-02", {"another object"}, [] { elements(test::pickle_csr(1, {{}})); });
}

TEST_CASE("A sparse matrix is read from a pickle and checked", "[io]") {
  const std::string good = test::pickle_csr(3, {{{0, 1.0f}, {2, 2.0f}}, {}, {{1, 3.0f}}});
  const io::PickleCsr m = csr(good);
  CHECK(m.rows == 3);
  CHECK(m.cols == 3);
  CHECK(std::vector<std::uint64_t>(m.row_ptr.begin(), m.row_ptr.end()) ==
        std::vector<std::uint64_t>{0, 2, 2, 3});
  CHECK(std::vector<std::uint32_t>(m.col.begin(), m.col.end()) == std::vector<std::uint32_t>{0, 2, 1});
  CHECK(std::vector<float>(m.value.begin(), m.value.end()) == std::vector<float>{1, 2, 3});
  refuses("EDG-01", {"column 3 but there are 3 columns"}, [] { csr(test::pickle_csr(3, {{{3, 1.0f}}})); });
  refuses("EDG-01", {"column -1"}, [] { csr(test::pickle_csr(3, {{{-1, 1.0f}}})); });
  refuses("SPM-02", {"indptr[2] = 1, want a value from 2"}, [&] {
    csr(with(good, raw<std::int32_t>({0, 2, 2, 3}), raw<std::int32_t>({0, 2, 1, 3})));
  });
  refuses("SPM-02", {"indptr[0] = 1"}, [&] {
    csr(with(good, raw<std::int32_t>({0, 2, 2, 3}), raw<std::int32_t>({1, 2, 2, 3})));
  });
  refuses("SPM-02", {"indptr[3] = 9"}, [&] {
    csr(with(good, raw<std::int32_t>({0, 2, 2, 3}), raw<std::int32_t>({0, 2, 2, 9})));
  });
  refuses("PKL-02", {"no 'indptr'"}, [&] { csr(with(good, "indptr", "indptx")); });
  refuses("PKL-02", {"another object"}, [] { csr(pickle_ndarray("f4", {1}, raw<float>({1}))); });
}
