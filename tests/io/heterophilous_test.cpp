// SPDX-License-Identifier: MIT
#include "tessera/io/heterophilous.hpp"

#include <cmath>
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

/// Three nodes, two edges, two splits; `fortran` stores the masks by column.
std::vector<ZipPart> tiny(bool fortran = false) {
  const auto mask = [&](std::string_view first, std::string_view second) {
    std::string data;
    if (!fortran) {
      data = std::string(first) + std::string(second);
    } else {
      for (std::size_t i = 0; i < 3; ++i) data += {first[i], second[i]};
    }
    for (char& c : data) c = c == '1' ? '\1' : '\0';
    return npy_array("|b1", "(2, 3)", data, fortran);
  };
  return {{"node_features.npy", npy_array("<f4", "(3, 2)", raw<float>({1, 2, 3, 4, 5, 6}))},
          {"node_labels.npy", npy_array("<i8", "(3,)", raw<std::int64_t>({0, 1, 1}))},
          {"edges.npy", npy_array("<i8", "(2, 2)", raw<std::int64_t>({0, 1, 1, 2}))},
          {"train_masks.npy", mask("100", "001")},
          {"val_masks.npy", mask("010", "100")},
          {"test_masks.npy", mask("001", "010")}};
}

Dataset read(const std::vector<ZipPart>& parts, const io::ReadOptions& options = {},
             std::string_view name = "tiny.npz") {
  const test::ScratchFolder folder;
  return io::read_heterophilous(folder.write(name, zip_file(parts)), options);
}

void replace(std::vector<ZipPart>& parts, std::string_view name, std::string content) {
  for (ZipPart& part : parts) {
    if (part.name == name) part.content = std::move(content);
  }
}

std::vector<Role> roles(const Dataset& data) { return {data.roles.begin(), data.roles.end()}; }

}  // namespace

TEST_CASE("an archive with masks becomes a data set, in either order of the masks", "[io]") {
  const bool fortran = GENERATE(false, true);
  const Dataset first = read(tiny(fortran));
  CHECK(first.graph.num_edges() == 4);
  CHECK(first.num_features() == 2);
  CHECK(first.num_classes() == 2);
  CHECK(roles(first) == std::vector<Role>{Role::train, Role::val, Role::test});
  CHECK(roles(read(tiny(fortran), {.split = "1"})) == std::vector<Role>{Role::val, Role::test, Role::train});
  for (const std::string split : {"2", "x", "-1", "1x"}) {
    refuses("SPL-03", {"the archive has 2, numbered from 0"}, [&] { read(tiny(fortran), {.split = split}); });
  }
}

TEST_CASE("directed archives keep the direction", "[io]") {
  CHECK(read(tiny(), {}, "tiny_directed.npz").graph.num_edges() == 2);
  CHECK(read(tiny(), {}, "tiny_undirected.npz").graph.num_edges() == 4);
  CHECK(read(tiny(), {.symmetrise = io::Symmetrise::on}, "tiny_directed.npz").graph.num_edges() == 4);
}

TEST_CASE("archives whose parts do not fit are refused", "[io]") {
  auto parts = tiny();
  SECTION("edge ids") {
    replace(parts, "edges.npy", npy_array("<i8", "(2, 2)", raw<std::int64_t>({0, 1, 1, 3})));
    refuses("EDG-01", {"edge 1: target 3 but N = 3 (valid 0..2)"}, [&] { read(parts); });
    replace(parts, "edges.npy", npy_array("<i8", "(2, 2)", raw<std::int64_t>({0, 1, -1, 2})));
    refuses("EDG-02", {"edge 1: source -1"}, [&] { read(parts); });
    replace(parts, "edges.npy", npy_array("<i8", "(1, 3)", raw<std::int64_t>({0, 1, 1})));
    refuses("NPY-07", {"expected the shape (M, 2), found (1, 3)"}, [&] { read(parts); });
  }
  SECTION("masks") {
    replace(parts, "val_masks.npy", npy_array("|b1", "(2, 3)", std::string("\1\0\0\0\0\0", 6)));
    refuses("SPL-01", {"node 0 is in both train and val"}, [&] { read(parts); });
    replace(parts, "val_masks.npy", npy_array("|b1", "(2, 2)", std::string(4, '\0')));
    refuses("SPL-01", {"has the shape (2, 2), the graph has 3 nodes"}, [&] { read(parts); });
  }
  SECTION("labels") {
    replace(parts, "node_labels.npy", npy_array("<i8", "(2,)", raw<std::int64_t>({0, 1})));
    refuses("LBL-01", {"shape (2,), the graph has 3"}, [&] { read(parts); });
  }
  SECTION("a missing array") {
    parts.erase(parts.begin() + 4);
    refuses("ZIP-05", {"needs 'val_masks'"}, [&] { read(parts); });
  }
}

TEST_CASE("one mask per role, without a list of splits, is enough", "[io]") {
  auto parts = tiny();
  replace(parts, "train_masks.npy", npy_array("|b1", "(3,)", std::string("\1\0\0", 3)));
  replace(parts, "val_masks.npy", npy_array("|b1", "(3,)", std::string("\0\1\0", 3)));
  replace(parts, "test_masks.npy", npy_array("|u1", "(3,)", std::string("\0\0\1", 3)));
  CHECK(roles(read(parts)) == std::vector<Role>{Role::train, Role::val, Role::test});
  parts.erase(parts.begin() + 3, parts.end());
  CHECK(read(parts).nodes(Role::none).size() == 3);
}

TEST_CASE("published archives with masks have their golden values", "[io]") {
  struct Expected {
    const char* folder;
    std::size_t nodes, pairs, features, train, val, test, max_degree;
    double homophily;
    std::vector<std::size_t> classes;
  };
  // Maximum degrees and homophily that the list does not give are 0 and not checked.
  const Expected all[] = {{"minesweeper", 10000, 39402, 7, 5000, 2500, 2500, 8, 0.6828, {8000, 2000}},
                          {"tolokers", 11758, 519000, 10, 5879, 2939, 2940, 2138, 0.5945, {9192, 2566}},
                          {"squirrel-filtered", 2223, 46998, 2089, 1053, 718, 452, 0, 0.2072, {}},
                          {"chameleon-filtered", 890, 8854, 2325, 409, 287, 194, 0, 0, {}},
                          {"actor", 7600, 26659, 932, 3648, 2432, 1520, 0, 0, {853, 1337, 1630, 1815, 1965}}};
  for (const Expected& want : all) {
    const auto path = test::real_data(want.folder);
    if (!path) continue;
    INFO(want.folder);
    const Dataset data = io::read_heterophilous(*path);
    CHECK(data.num_nodes() == want.nodes);
    CHECK(data.graph.num_edges() == 2 * want.pairs);
    CHECK(data.num_features() == want.features);
    CHECK(data.nodes(Role::train).size() == want.train);
    CHECK(data.nodes(Role::val).size() == want.val);
    CHECK(data.nodes(Role::test).size() == want.test);
    std::size_t max_degree = 0;
    std::size_t same = 0;
    for (std::size_t i = 0; i < data.num_nodes(); ++i) {
      max_degree = std::max(max_degree, data.graph.degree(i));
      for (const NodeId j : data.graph.view().neighbors(i))
        same += data.labels.classes[i] == data.labels.classes[j] ? 1u : 0u;
    }
    if (want.max_degree != 0) CHECK(max_degree == want.max_degree);
    const double homophily = static_cast<double>(same) / static_cast<double>(data.graph.num_edges());
    if (want.homophily != 0)
      CHECK(std::abs(homophily - want.homophily) <= 0.00005);  // four decimals are given
    std::vector<std::size_t> classes(data.num_classes());
    for (const std::int32_t c : data.labels.classes) ++classes[static_cast<std::size_t>(c)];
    if (!want.classes.empty()) CHECK(classes == want.classes);
  }
}
