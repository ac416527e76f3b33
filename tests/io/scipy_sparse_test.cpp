// SPDX-License-Identifier: MIT
#include "tessera/io/scipy_sparse.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;
using test::npy_array;
using test::raw;
using test::refuses;
using test::zip_file;
using test::ZipPart;

namespace {

template <class T>
std::string ints(std::string_view descr, std::initializer_list<T> values) {
  return npy_array(descr, message("(", values.size(), ",)"), raw<T>(values));
}
std::string i4(std::initializer_list<std::int32_t> values) { return ints<std::int32_t>("<i4", values); }
std::string i8(std::initializer_list<std::int64_t> values) { return ints<std::int64_t>("<i8", values); }
std::string f4(std::initializer_list<float> values) { return ints<float>("<f4", values); }
const std::string kCsr = npy_array("|S3", "()", "csr");

struct Read {
  io::SparseMatrix matrix;
  std::vector<std::string> warnings;

  std::vector<NodeId> row() const { return {matrix.row.begin(), matrix.row.end()}; }
  std::vector<NodeId> col() const { return {matrix.col.begin(), matrix.col.end()}; }
  std::vector<float> value() const { return {matrix.value.begin(), matrix.value.end()}; }
};

Read read(const std::vector<ZipPart>& parts, bool square = true, std::string_view prefix = "") {
  const std::string file = zip_file(parts);
  const io::NpzFile npz(std::as_bytes(std::span(file)), "adj.npz");
  Read out;
  out.matrix = io::read_scipy_sparse(npz, prefix, square, out.warnings);
  return out;
}

/// A csr matrix of 3 nodes with these members in place of the good ones.
std::vector<ZipPart> csr(std::string indptr = i4({0, 2, 2, 3}), std::string indices = i4({2, 1, 0}),
                         std::string data = f4({1, 1, 1}), std::string shape = i8({3, 3}),
                         std::string format = kCsr) {
  std::vector<ZipPart> out = {{"indices.npy", std::move(indices)},
                              {"indptr.npy", std::move(indptr)},
                              {"shape.npy", std::move(shape)},
                              {"data.npy", std::move(data)}};
  if (!format.empty()) out.push_back({"format.npy", std::move(format)});
  return out;
}

}  // namespace

TEST_CASE("csr, unsorted, in the integer widths that occur", "[io]") {
  const auto check = [](const Read& got) {
    CHECK(got.row() == std::vector<NodeId>{0, 0, 2});
    CHECK(got.col() == std::vector<NodeId>{2, 1, 0});
    CHECK(got.value().empty());  // all ones
    CHECK(got.warnings.empty());
  };
  check(read(csr()));
  check(read(csr(i8({0, 2, 2, 3}), i8({2, 1, 0}), ints<std::int64_t>("<i8", {1, 1, 1}), i4({3, 3}))));
  check(read(csr(i8({0, 2, 2, 3}), i4({2, 1, 0}), npy_array("|b1", "(3,)", "\1\1\1"))));
  check(read(csr(i4({0, 2, 2, 3}), i4({2, 1, 0}), f4({1, 1, 1}), i8({3, 3}),
                 npy_array("<U3", "()", raw<std::uint32_t>({'c', 's', 'r'})))));
  check(read(csr(i4({0, 2, 2, 3}), i4({2, 1, 0}), f4({1, 1, 1}), i8({3, 3}), "")));  // no format
}

TEST_CASE("csc is read by column", "[io]") {
  const Read got =
      read(csr(i4({0, 2, 2, 3}), i4({2, 1, 0}), f4({1, 2, 3}), i8({3, 3}), npy_array("|S3", "()", "csc")));
  CHECK(got.row() == std::vector<NodeId>{2, 1, 0});
  CHECK(got.col() == std::vector<NodeId>{0, 0, 2});
  CHECK(got.value() == std::vector<float>{1, 2, 3});
}

TEST_CASE("coo in both spellings", "[io]") {
  const std::string tag = npy_array("|S3", "()", "coo");
  const Read two = read({{"row.npy", i4({2, 0})},
                         {"col.npy", i4({1, 0})},
                         {"format.npy", tag},
                         {"shape.npy", i8({3, 3})},
                         {"data.npy", f4({1, 5})}});
  CHECK(two.row() == std::vector<NodeId>{2, 0});
  CHECK(two.col() == std::vector<NodeId>{1, 0});
  const std::string coords = npy_array("<i8", "(2, 2)", raw<std::int64_t>({2, 0, 1, 0}));
  const Read stacked = read(
      {{"coords.npy", coords}, {"format.npy", tag}, {"shape.npy", i8({3, 3})}, {"data.npy", f4({1, 5})}});
  CHECK(stacked.row() == two.row());
  CHECK(stacked.col() == two.col());
  CHECK(stacked.value() == std::vector<float>{1, 5});
  refuses("EDG-01", {"edge 0: neighbour 3 but N = 3"}, [&] {
    read({{"row.npy", i4({3, 0})},
          {"col.npy", i4({1, 0})},
          {"format.npy", tag},
          {"shape.npy", i8({3, 3})},
          {"data.npy", f4({1, 5})}});
  });
  refuses("SPM-02", {"holds 3 elements, the matrix has 2"}, [&] {
    read({{"row.npy", i4({2, 0, 0})},
          {"col.npy", i4({1, 0})},
          {"format.npy", tag},
          {"shape.npy", i8({3, 3})},
          {"data.npy", f4({1, 5})}});
  });
}

TEST_CASE("a prefix selects one of several matrices; others need not be square", "[io]") {
  const std::vector<ZipPart> parts = {{"attr_data.npy", f4({1, 2})},
                                      {"attr_indices.npy", i4({4, 4})},
                                      {"attr_indptr.npy", i4({0, 1, 2})},
                                      {"attr_shape.npy", i8({2, 5})}};
  const Read got = read(parts, false, "attr_");
  CHECK(got.matrix.rows == 2);
  CHECK(got.matrix.cols == 5);
  refuses("SPM-03", {"shape 2 x 5 is not an adjacency matrix; is this the feature matrix?"},
          [&] { read(parts, true, "attr_"); });
}

TEST_CASE("sparse formats without a reader are refused by name", "[io]") {
  refuses("SPM-01", {"sparse format 'bsr' is not supported; save as csr or coo"}, [] {
    read(csr(i4({0, 2, 2, 3}), i4({2, 1, 0}), f4({1, 1, 1}), i8({3, 3}), npy_array("|S3", "()", "bsr")));
  });
  refuses("SPM-01", {"'bsr'"}, [] {
    read(csr(i4({0, 2, 2, 3}), i4({2, 1, 0}), npy_array("<f4", "(3, 1, 1)", raw<float>({1, 1, 1})),
             i8({3, 3}), ""));
  });
  refuses("SPM-01", {"'dia'"}, [] {
    read({{"offsets.npy", i4({0})}, {"shape.npy", i8({3, 3})}, {"data.npy", f4({1})}});
  });
}

TEST_CASE("what is wrong with a csr matrix is said in numbers", "[io]") {
  refuses("SPM-03", {"shape is (3), want two sizes"}, [] { read(csr(i4({0}), i4({}), f4({}), i8({3}))); });
  refuses("SPM-03", {"shape is (-3, -3)"}, [] { read(csr(i4({0}), i4({}), f4({}), i8({-3, -3}))); });
  refuses("EDG-03", {"4,294,967,295 nodes do not fit"}, [] {
    read(csr(i4({0}), i4({}), f4({}), i8({4294967295, 4294967295})));
  });
  refuses("SPM-02", {"indptr has 3 entries, want 4 for 3 rows"}, [] { read(csr(i4({0, 2, 3}))); });
  refuses("SPM-02", {"indptr[0] = 1, want 0"}, [] { read(csr(i4({1, 2, 2, 3}))); });
  refuses("SPM-02", {"indptr[2] = 1 is less than indptr[1] = 2"}, [] { read(csr(i4({0, 2, 1, 3}))); });
  refuses("SPM-02", {"indptr[1] = -2 is not a position"}, [] { read(csr(i4({0, -2, 1, 3}))); });
  refuses("SPM-02", {"member 'indices': holds 3 elements, the matrix has 4"}, [] {
    read(csr(i4({0, 2, 2, 4})));
  });
  refuses("SPM-02", {"member 'data': holds 2 elements, the matrix has 3"}, [] {
    read(csr(i4({0, 2, 2, 3}), i4({2, 1, 0}), f4({1, 1})));
  });
  refuses("EDG-01", {"edge 2 (row 2): neighbour 3 but N = 3 (valid 0..2)"}, [] {
    read(csr(i4({0, 2, 2, 3}), i4({2, 0, 3})));
  });
  refuses("EDG-01", {"neighbour 3 but N = 3", "ids look 1-based"}, [] {
    read(csr(i4({0, 2, 2, 3}), i4({2, 1, 3})));
  });
  refuses("EDG-02", {"edge 1 (row 0): index -1"}, [] { read(csr(i4({0, 2, 2, 3}), i4({2, -1, 0}))); });
  refuses("EDG-01", {}, [] { read(csr(i4({0, 2, 2, 3}), i8({2, 1, 6'000'000'000}))); });
  refuses("ZIP-05", {"needs 'indptr'"}, [] { read({{"data.npy", f4({})}, {"shape.npy", i8({3, 3})}}); });
  refuses("NPY-04", {"want integers"}, [] { read(csr(f4({0, 2, 2, 3}))); });
}

TEST_CASE("arrays longer than the matrix are cut with a warning", "[io]") {
  const Read got = read(csr(i4({0, 1, 1, 2}), i4({2, 1, 99}), f4({1, 1, 7})));
  CHECK(got.col() == std::vector<NodeId>{2, 1});
  CHECK(got.value().empty());
  CHECK(got.warnings.size() == 2);
}

TEST_CASE("an empty matrix is a graph without edges", "[io]") {
  const Read got = read(csr(i4({0}), i4({}), f4({}), i8({0, 0})));
  CHECK(got.matrix.rows == 0);
  CHECK(got.matrix.nnz() == 0);
}

TEST_CASE("the pattern forgets weights and drops explicit zeros", "[io]") {
  Read got = read(csr(i4({0, 2, 2, 3}), i4({2, 1, 0}), f4({1, 0, 2.5f})));
  CHECK(io::to_pattern(got.matrix, io::Place("adj.npz"), got.warnings) == 1);
  CHECK(got.row() == std::vector<NodeId>{0, 2});
  CHECK(got.col() == std::vector<NodeId>{2, 0});
  CHECK(got.value().empty());
  REQUIRE(got.warnings.size() == 2);
  CHECK(got.warnings[0].find("dropped 1 entries with the value 0") != std::string::npos);
  CHECK(got.warnings[1].find("every edge weighs 1") != std::string::npos);
}

TEST_CASE("the dense form adds repeated entries", "[io]") {
  const Read got = read(csr(i4({0, 2, 2, 3}), i4({1, 1, 0}), f4({1, 2, 3})));
  const io::Place place("adj.npz");
  const Tensor<float> x = io::to_dense(got.matrix, place);
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      CHECK(x(i, j) == (i == 0 && j == 1 ? 3.0f : i == 2 && j == 0 ? 3.0f : 0.0f));
    }
  }
  refuses("GEN-03", {"declares 36 bytes, limit is 35 bytes"},
          [&] { io::to_dense(got.matrix, place, {.max_bytes = 35}); });
  const Read bad =
      read(csr(i4({0, 2, 2, 3}), i4({2, 1, 0}), f4({1, 2, std::numeric_limits<float>::quiet_NaN()})));
  refuses("FEA-01", {"NaN at row 2 column 0"}, [&] { io::to_dense(bad.matrix, place); });
  CHECK(io::to_dense(bad.matrix, place, {}, io::NanPolicy::zero)(2, 0) == 0.0f);
}
