// SPDX-License-Identifier: MIT
#include "tessera/io/label_array.hpp"

#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;
using test::npy_array;
using test::raw;
using test::refuses;

namespace {

Labels read(std::string_view file, std::size_t num_nodes, const io::ReadOptions& options = {}) {
  const auto array = io::NpyArray::own(Array<std::byte>::copy_of(std::as_bytes(std::span(file))),
                                       io::Place("y.npy"), io::NpyArray::Tail::refuse);
  std::vector<std::string> warnings;
  return io::read_label_array(array, num_nodes, options, warnings);
}

std::vector<std::int32_t> classes(const Labels& labels) {
  return {labels.classes.begin(), labels.classes.end()};
}

}  // namespace

TEST_CASE("classes of any integer type, and of whole floats with NaN for none", "[io]") {
  const std::vector<std::int32_t> want = {2, -1, 0};
  CHECK(classes(read(npy_array("|i1", "(3,)", raw<std::int8_t>({2, -1, 0})), 3)) == want);
  CHECK(classes(read(npy_array("<i8", "(3, 1)", raw<std::int64_t>({2, -1, 0})), 3)) == want);
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Labels labels = read(npy_array("<f4", "(3, 1)", raw<float>({2, nan, 0})), 3);
  CHECK(classes(labels) == want);
  CHECK(labels.num_classes == 3);
  CHECK_FALSE(labels.multilabel());
}

TEST_CASE("two-dimensional labels are indicators", "[io]") {
  const std::string file = npy_array("|b1", "(2, 3)", std::string("\1\0\1\0\0\0", 6));
  const Labels labels = read(file, 2);
  CHECK(labels.multilabel());
  CHECK(labels.num_classes == 3);
  CHECK(labels.indicators(0, 2) == 1.0f);
  CHECK(labels.indicators(1, 0) == 0.0f);
  refuses("LBL-02", {"labels are lists of 3"}, [&] { read(file, 2, {.multilabel = io::MultiLabel::off}); });
  refuses("LBL-03", {"multi-label entry 1 of node 0 is 3, want 0 or 1"},
          [] { read(npy_array("|u1", "(1, 2)", "\1\3"), 1); });
}

TEST_CASE("single classes become indicators where asked for", "[io]") {
  const Labels labels =
      read(npy_array("|i1", "(2,)", raw<std::int8_t>({1, -1})), 2, {.multilabel = io::MultiLabel::on});
  REQUIRE(labels.multilabel());
  CHECK(labels.indicators(0, 1) == 1.0f);
  CHECK(labels.indicators(1, 0) == 0.0f);
}

TEST_CASE("labels that cannot be right are refused", "[io]") {
  refuses("LBL-01", {"shape (3,), the graph has 4 nodes"}, [] { read(npy_array("|i1", "(3,)", "abc"), 4); });
  refuses("LBL-03", {"label -3 of node 1"}, [] {
    read(npy_array("|i1", "(2,)", raw<std::int8_t>({1, -3})), 2);
  });
  refuses("LBL-03", {"label 4.5 of node 0 is not a class"},
          [] { read(npy_array("<f8", "(1,)", raw<double>({4.5})), 1); });
  refuses("LBL-03", {"label 99999999999 of node 0"},
          [] { read(npy_array("<i8", "(1,)", raw<std::int64_t>({99999999999})), 1); });
  refuses("NPY-04", {"want numbers"}, [] {
    const std::string file = npy_array("|S1", "(1, 2)", "ab");
    read(file, 1);
  });
}
