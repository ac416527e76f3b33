// SPDX-License-Identifier: MIT
#include "tessera/io/shchur.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "tessera/graph/degree.hpp"
#include "tessera/graph/statistics.hpp"

using namespace tessera;
using test::npy_array;
using test::raw;
using test::refuses;
using test::zip_file;
using test::ZipPart;

namespace {

/// Three nodes, edges 0 -> 1 and 2 -> 1, two attributes.
std::vector<ZipPart> tiny() {
  return {{"adj_data.npy", npy_array("<f4", "(2,)", raw<float>({1, 1}))},
          {"adj_indices.npy", npy_array("<i4", "(2,)", raw<std::int32_t>({1, 1}))},
          {"adj_indptr.npy", npy_array("<i4", "(4,)", raw<std::int32_t>({0, 1, 1, 2}))},
          {"adj_shape.npy", npy_array("<i8", "(2,)", raw<std::int64_t>({3, 3}))},
          {"attr_data.npy", npy_array("<f4", "(2,)", raw<float>({0.5f, 2}))},
          {"attr_indices.npy", npy_array("<i4", "(2,)", raw<std::int32_t>({1, 0}))},
          {"attr_indptr.npy", npy_array("<i4", "(4,)", raw<std::int32_t>({0, 1, 1, 2}))},
          {"attr_shape.npy", npy_array("<i8", "(2,)", raw<std::int64_t>({3, 2}))},
          {"labels.npy", npy_array("|i1", "(3,)", raw<std::int8_t>({1, 0, 1}))},
          {"idx_to_class.npy", npy_array("|O", "()", "pickle")}};
}

void remove(std::vector<ZipPart>& parts, std::string_view prefix) {
  parts.erase(std::remove_if(parts.begin(), parts.end(),
                             [&](const ZipPart& p) { return p.name.starts_with(prefix); }),
              parts.end());
}

Dataset read(const std::vector<ZipPart>& parts, const io::ReadOptions& options = {}) {
  const test::ScratchFolder folder;
  return io::read_shchur(folder.write("tiny.npz", zip_file(parts)), options);
}

}  // namespace

TEST_CASE("a gnn-benchmark archive becomes a data set", "[io]") {
  const Dataset data = read(tiny());
  CHECK(data.name == "tiny");
  CHECK(data.num_nodes() == 3);
  CHECK(data.graph.num_edges() == 4);  // symmetrised
  CHECK(data.num_classes() == 2);
  CHECK(data.features(0, 1) == 0.5f);
  CHECK(data.features(2, 0) == 2.0f);
  CHECK(data.features(1, 0) == 0.0f);
  CHECK(data.provenance.layout == "shchur");
  CHECK(data.nodes(Role::none).size() == 3);
  const Dataset directed = read(tiny(), {.symmetrise = io::Symmetrise::off});
  CHECK(directed.graph.num_edges() == 2);
  CHECK(directed.graph.degree(1) == 2);
}

TEST_CASE("attributes may be dense or missing, labels sparse or missing", "[io]") {
  auto parts = tiny();
  remove(parts, "attr_");
  CHECK(read(parts).num_features() == 0);
  parts.push_back({"attr_matrix.npy", npy_array("<f8", "(3, 1)", raw<double>({1, 2, 3}))});
  CHECK(read(parts).features(2, 0) == 3.0f);
  parts.back().content = npy_array("<f8", "(2, 1)", raw<double>({1, 2}));
  refuses("FEA-03", {"the attributes have 2 rows, the graph has 3"}, [&] { read(parts); });

  parts = tiny();
  remove(parts, "labels");
  CHECK(read(parts).labels.classes[0] == kUnlabelled);
  parts.push_back({"labels_data.npy", npy_array("|i1", "(2,)", "\1\1")});
  parts.push_back({"labels_indices.npy", npy_array("<i4", "(2,)", raw<std::int32_t>({0, 3}))});
  parts.push_back({"labels_indptr.npy", npy_array("<i4", "(4,)", raw<std::int32_t>({0, 0, 1, 2}))});
  parts.push_back({"labels_shape.npy", npy_array("<i8", "(2,)", raw<std::int64_t>({3, 4}))});
  const Dataset data = read(parts);
  CHECK(data.multilabel());
  CHECK(data.num_classes() == 4);
  CHECK(data.labels.indicators(2, 3) == 1.0f);
}

TEST_CASE("archives with a part missing or pickled are refused", "[io]") {
  auto parts = tiny();
  remove(parts, "adj_indptr");
  refuses("ZIP-05", {"needs 'adj_indptr'"}, [&] { read(parts); });
  remove(parts, "adj_");
  refuses("ZIP-05", {"needs 'adj_data'; archive has: attr_data"}, [&] { read(parts); });
  parts.push_back({"adj_matrix.npy", npy_array("|O", "()", "pickle")});
  refuses("NPY-06", {"tiny.npz: member 'adj_matrix': pickled Python object array"}, [&] { read(parts); });
  parts = tiny();
  remove(parts, "labels");
  parts.push_back({"labels.npy", npy_array("|i1", "(2,)", "\1\1")});
  refuses("LBL-01", {"labels have the shape (2,), the graph has 3 nodes"}, [&] { read(parts); });
}

TEST_CASE("damaged archives never do more than throw", "[io]") {
  const test::ScratchFolder folder;
  std::vector<ZipPart> parts = tiny();
  for (ZipPart& part : parts) {
    const std::size_t refused =
        test::read_damaged(part.content, 300, [&, good = part.content](std::span<const std::byte> bytes) {
          part.content = std::string(io::detail::as_text(bytes));  // the archive itself is right
          const auto path = folder.write("x.npz", zip_file(parts));
          part.content = good;
          io::ReadOptions options;
          options.max_bytes = 1 << 20;
          io::read_shchur(path, options);
        });
    if (part.name != "idx_to_class.npy") CHECK(refused > 0);
  }
}

TEST_CASE("Shchur's Cora and CiteSeer have their golden values", "[io]") {
  if (const auto path = test::real_data("cora/npz")) {
    const Dataset data = io::read_shchur(*path);
    CHECK(data.num_nodes() == 2708);
    CHECK(data.graph.num_edges() == 10556);
    CHECK(data.provenance.edge_policy.find("read 5429 links") == 0);
    CHECK(std::abs(edge_homophily(data.graph, data.labels.classes) - 0.8100) <=
          0.00005);  // four decimals are given
    CHECK(component_sizes(data.graph).size() == 78);
    std::vector<std::size_t> counts(7);
    for (const std::int32_t c : data.labels.classes) ++counts[static_cast<std::size_t>(c)];
    std::sort(counts.begin(), counts.end());
    CHECK(counts == std::vector<std::size_t>{180, 217, 298, 351, 418, 426, 818});
    CHECK(data.nodes(Role::train).size() == 140);
    CHECK(io::read_shchur(*path, {.split = "60-20-20-s0"}).nodes(Role::train).size() > 1000);
    refuses("SPL-03", {"20-30-rest-s0, 20-30-rest-s1, 20-30-rest-s2, 60-20-20-s0"},
            [&] { io::read_shchur(*path, {.split = "public"}); });
  }
  if (const auto path = test::real_data("citeseer/npz")) {
    const Dataset data = io::read_shchur(*path);
    CHECK(data.num_nodes() == 3312);
    CHECK(data.graph.num_edges() == 9072);
    CHECK(data.provenance.edge_policy.find("read 4715 links, dropped 124 self loops") == 0);
    CHECK(std::abs(edge_homophily(data.graph, data.labels.classes) - 0.7377) <=
          0.00005);  // four decimals are given
    CHECK(component_sizes(data.graph).size() == 438);
  }
}

TEST_CASE("larger archives of the family have their sizes", "[io][slow]") {
  struct Expected {
    const char* folder;
    std::size_t nodes, edges, features, classes;
  };
  const Expected all[] = {{"amazon-computers", 13752, 491722, 767, 10},
                          {"coauthor-cs", 18333, 163788, 6805, 15},
                          {"coauthor-physics", 34493, 495924, 8415, 5},
                          {"cora-ml", 2995, 16316, 2879, 7},
                          {"dblp", 17716, 105734, 1639, 4},
                          {"blogcatalog", 5196, 343486, 8189, 7},
                          {"musae-facebook", 22470, 341646, 4714, 4},
                          {"musae-github", 37700, 578006, 4005, 2},
                          {"nell", 65755, 251550, 5414, 186}};
  for (const Expected& want : all) {
    const auto path = test::real_data(std::string(want.folder) + "/npz");
    if (!path) continue;
    INFO(want.folder);
    const Dataset data = io::read_shchur(*path);
    CHECK(data.num_nodes() == want.nodes);
    CHECK(data.graph.num_edges() == want.edges);
    CHECK(data.num_features() == want.features);
    CHECK(data.num_classes() == want.classes);
  }
}

TEST_CASE("an archive of pickled matrices is refused by name", "[io]") {
  const auto path = test::real_data("pickled-npz");
  if (!path) return;
  refuses("NPY-06", {"acm.npz: member 'adj_matrix'", "never loaded"}, [&] { io::read_shchur(*path); });
}
