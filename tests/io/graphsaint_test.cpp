// SPDX-License-Identifier: MIT
#include "tessera/io/graphsaint.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "support/io_datasets.hpp"
#include "tessera/io/npy_write.hpp"
#include "tessera/io/npz_write.hpp"

using namespace tessera;
using test::refuses;
using test::warns;

namespace {

/// Writes a pattern of n nodes from its csr arrays.
void write_adjacency(const std::filesystem::path& path, std::vector<std::int32_t> indptr,
                     std::vector<std::int32_t> indices, std::vector<float> data = {}) {
  const std::int64_t n = static_cast<std::int64_t>(indptr.size()) - 1;
  const std::int64_t shape[] = {n, n};
  if (data.empty()) data.assign(indices.size(), 1.0f);
  io::NpzWriter out(path);
  out.add<std::int32_t>("indices", indices);
  out.add<std::int32_t>("indptr", indptr);
  out.add<std::int64_t>("shape", shape);
  out.add<float>("data", data);
  out.commit();
}

/// Four nodes in a path 0-1-2-3 with a self loop at 3; 0 and 1 train.
class TinySaint {
 public:
  TinySaint() {
    write_adjacency(folder / "adj_full.npz", {0, 1, 3, 5, 7}, {1, 2, 0, 1, 3, 2, 3});
    write_adjacency(folder / "adj_train.npz", {0, 1, 2, 2, 2}, {1, 0});
    Tensor<double> x(4, 2);
    for (std::size_t i = 0; i < 4; ++i) {
      x(i, 0) = static_cast<double>(i) + 0.25;
      x(i, 1) = -1.0;
    }
    io::write_npy<double>(folder / "feats.npy", x.view());
    folder.write("class_map.json", R"({"0": 0, "1": 1, "2": 0, "3": 1})");
    folder.write("role.json", R"({"tr": [0, 1], "va": [2], "te": [3]})");
  }
  Dataset read(const io::ReadOptions& options = {}) const {
    return io::read_graphsaint(folder.path(), options);
  }

  test::ScratchFolder folder;
};

}  // namespace

TEST_CASE("a GraphSAINT folder becomes a data set", "[io]") {
  const TinySaint saint;
  const Dataset data = saint.read();
  CHECK(data.num_nodes() == 4);
  CHECK(data.graph.num_edges() == 6);  // without the loop
  CHECK(data.graph.symmetric);
  CHECK(data.train_graph.num_edges() == 2);
  CHECK(data.num_features() == 2);
  CHECK(data.features(3, 0) == 3.25f);
  CHECK(data.num_classes() == 2);
  CHECK(data.labels.classes[1] == 1);
  CHECK(data.nodes(Role::train).size() == 2);
  CHECK(data.provenance.layout == "graphsaint");
  CHECK(data.provenance.edge_policy.find("dropped 1 self loops") != std::string::npos);
  CHECK(data.provenance.warnings.empty());
  CHECK(saint.read({.self_loops = SelfLoops::keep}).graph.num_edges() == 7);
}

TEST_CASE("entries of value 0 are no edges, other values are forgotten", "[io]") {
  const TinySaint saint;
  write_adjacency(saint.folder / "adj_full.npz", {0, 1, 3, 5, 6}, {1, 2, 0, 1, 3, 2}, {2, 1, 2, 1, 0, 0});
  const Dataset data = saint.read();
  CHECK(data.graph.num_edges() == 4);
  CHECK(data.graph.weight.empty());
  CHECK(warns(data, "dropped 2 entries with the value 0"));
  CHECK(warns(data, "every edge weighs 1"));
}

TEST_CASE("lists of zeros and ones are multi-label targets", "[io]") {
  const TinySaint saint;
  saint.folder.write("class_map.json", R"({"0": [0, 1, 0], "1": [1, 1, 0], "2": [0, 0, 0], "3": [0, 0, 1]})");
  const Dataset data = saint.read();
  CHECK(data.multilabel());
  CHECK(data.num_classes() == 3);
  CHECK(data.labels.indicators(1, 0) == 1.0f);
}

TEST_CASE("a missing training graph is rebuilt, a foreign one is noticed", "[io]") {
  const TinySaint saint;
  std::filesystem::remove(saint.folder / "adj_train.npz");
  const Dataset rebuilt = saint.read();
  CHECK(rebuilt.train_graph.num_edges() == 2);
  CHECK(rebuilt.provenance.edge_policy.find("rebuilt") != std::string::npos);
  write_adjacency(saint.folder / "adj_train.npz", {0, 0, 1, 2, 2}, {2, 1});
  const Dataset foreign = saint.read();
  CHECK(foreign.train_graph.num_edges() == 2);
  CHECK(warns(foreign, "holds 2 edges, other than the 2 edges of adj_full.npz between training nodes"));
}

TEST_CASE("another split of the folder can be named", "[io]") {
  const TinySaint saint;
  saint.folder.write("role-b.json", R"({"tr": [3], "va": [], "te": [0]})");
  const Dataset data = saint.read({.split = "b"});
  CHECK(data.roles[3] == Role::train);
  CHECK(warns(data, "validation set is empty"));
}

TEST_CASE("a graph stored in one direction is completed with a warning", "[io]") {
  const TinySaint saint;
  write_adjacency(saint.folder / "adj_full.npz", {0, 1, 2, 3, 3}, {1, 2, 3});
  const Dataset data = saint.read();
  CHECK(data.graph.num_edges() == 6);
  CHECK(warns(data, "EDG-05"));
  const Dataset kept = saint.read({.symmetrise = io::Symmetrise::off});
  CHECK(kept.graph.num_edges() == 3);
  CHECK(kept.graph.view().neighbors(1)[0] == 0);  // row i lists the sources of edges into i
}

TEST_CASE("files that do not fit each other are refused", "[io]") {
  const TinySaint saint;
  SECTION("features of other rows") {
    io::write_npy<float>(saint.folder / "feats.npy", Tensor<float>::zeros(5, 2).view());
    refuses("FEA-03", {"adj_full.npz", "the matrix has 4 rows, feats.npy has 5"}, [&] { saint.read(); });
  }
  SECTION("features of one dimension") {
    io::write_npy<float>(saint.folder / "feats.npy", std::span<const float>());
    refuses("NPY-07", {"expected 2 dimensions (N, F), found (0,)"}, [&] { saint.read(); });
  }
  SECTION("a missing file") {
    std::filesystem::rename(saint.folder / "feats.npy", saint.folder / "Feats.npy");
    refuses("GEN-01", {"feats.npy not found", "the folder has Feats.npy"}, [&] { saint.read(); });
  }
  SECTION("classes of too few nodes") {
    saint.folder.write("class_map.json", R"({"0": 0, "1": 1, "3": 1})");
    refuses("LBL-01", {"first missing id: 2"}, [&] { saint.read(); });
  }
  SECTION("a training node without a class") {
    saint.folder.write("class_map.json", R"({"0": -1, "1": 1, "2": 0, "3": 1})");
    refuses("LBL-04", {"1 training nodes have no label"}, [&] { saint.read(); });
  }
  SECTION("roles that overlap") {
    saint.folder.write("role.json", R"({"tr": [0, 1], "va": [1], "te": [3]})");
    refuses("SPL-01", {"node 1 is in both tr and va"}, [&] { saint.read(); });
  }
  SECTION("NaN features") {
    Tensor<float> x = Tensor<float>::zeros(4, 2);
    x(2, 1) = std::numeric_limits<float>::quiet_NaN();
    io::write_npy<float>(saint.folder / "feats.npy", x.view());
    refuses("FEA-01", {"NaN at row 2 column 1"}, [&] { saint.read(); });
    CHECK(saint.read({.nan = io::NanPolicy::zero}).features(2, 1) == 0.0f);
  }
  SECTION("an HTML page instead of the archive") {
    saint.folder.write("adj_full.npz", "<!DOCTYPE html><html><body>Download anyway?</body></html>");
    refuses("GEN-02", {"adj_full.npz", "HTML page"}, [&] { saint.read(); });
  }
  SECTION("the limit") {
    refuses("GEN-03", {"feats.npy", "limit is 16 bytes"}, [&] {
      io::ReadOptions options;
      options.max_bytes = 16;
      io::to_matrix(io::read_npy(saint.folder / "feats.npy"), options.nan, nullptr,
                    {.max_bytes = options.max_bytes});
    });
  }
}

TEST_CASE("published GraphSAINT folders have their published sizes", "[io]") {
  struct Expected {
    const char* name;
    std::size_t nodes, edges, features, classes, train, val, test, train_edges;
  };
  // Sizes: shared data set description; training edges: measured with scipy on the same files.
  const Expected all[] = {{"cora", 2708, 10556, 1433, 7, 140, 500, 1000, 42},
                          {"citeseer", 3327, 9104, 3703, 6, 120, 500, 1000, 16},
                          {"amazon-computers", 13752, 491722, 767, 10, 8029, 2676, 2676, 174394},
                          {"toy-ppi", 14755, 444218, 50, 121, 9716, 1825, 3214, 297802},
                          {"pcg", 3233, 74702, 32, 15, 1939, 647, 647, 27326}};
  for (const Expected& want : all) {
    const auto path = test::real_data(std::string(want.name) + "/graphsaint");
    if (!path) continue;
    INFO(want.name);
    const Dataset data = io::read_graphsaint(*path);
    CHECK(data.name == want.name);
    CHECK(data.num_nodes() == want.nodes);
    CHECK(data.graph.num_edges() == want.edges);
    CHECK(data.graph.symmetric);
    CHECK(data.num_features() == want.features);
    CHECK(data.num_classes() == want.classes);
    CHECK(data.nodes(Role::train).size() == want.train);
    CHECK(data.nodes(Role::val).size() == want.val);
    CHECK(data.nodes(Role::test).size() == want.test);
    CHECK(data.train_graph.num_edges() == want.train_edges);
    CHECK(data.provenance.warnings.empty());
  }
}

TEST_CASE("Cora from GraphSAINT files has the golden values of Cora", "[io]") {
  const auto path = test::real_data("cora/graphsaint");
  if (!path) return;
  const Dataset data = io::read_graphsaint(*path);
  std::size_t max_degree = 0;
  std::size_t isolated = 0;
  std::size_t same = 0;
  for (std::size_t i = 0; i < data.num_nodes(); ++i) {
    max_degree = std::max(max_degree, data.graph.degree(i));
    isolated += data.graph.degree(i) == 0 ? 1u : 0u;
    for (const NodeId j : data.graph.view().neighbors(i))
      same += data.labels.classes[i] == data.labels.classes[j] ? 1u : 0u;
  }
  CHECK(max_degree == 168);
  CHECK(isolated == 0);
  CHECK(std::abs(static_cast<double>(same) / 10556 - 0.8100) <= 0.00005);  // four decimals are given
  std::size_t nonzero = 0;
  for (std::size_t i = 0; i < data.num_nodes(); ++i) {
    for (const float v : data.features.row(i)) nonzero += v != 0.0f ? 1u : 0u;
  }
  CHECK(nonzero == 49216);
  std::vector<std::size_t> counts(7);
  for (const std::int32_t c : data.labels.classes) ++counts[static_cast<std::size_t>(c)];
  CHECK(counts == std::vector<std::size_t>{351, 217, 418, 818, 426, 298, 180});
}
