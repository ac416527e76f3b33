// SPDX-License-Identifier: MIT
#include "tessera/io/ogb.hpp"

#include <cmath>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "support/io_datasets.hpp"
#include "tessera/io/npz_write.hpp"

using namespace tessera;
using test::refuses;
using test::ScratchFolder;
using test::warns;

namespace {

/// Four nodes in a path 0-1-2-3, each edge once; node 2 has no label.
class TinyOgb {
 public:
  explicit TinyOgb(std::string_view name = "ogbn_products") : root(folder / name) {
    std::filesystem::create_directories(root / "raw");
    std::filesystem::create_directories(root / "split" / "sales_ranking");
    write("raw/num-node-list.csv", "4\n");
    write("raw/num-edge-list.csv", "3\n");
    write("raw/edge.csv", "0,1\r\n1,2\r\n2,3");
    write("raw/node-feat.csv", "1,2\n3.5,-4e-1\n5,6\n7,8\n");
    write("raw/node-label.csv", "0\n1.0\nnan\n2\n");
    write("split/sales_ranking/train.csv", "0\n");
    write("split/sales_ranking/valid.csv", "1\n");
    write("split/sales_ranking/test.csv", "3\n");
  }
  void write(std::string_view file, std::string_view content) const {
    std::ofstream(root / file, std::ios::binary) << content;
  }
  Dataset read(const io::ReadOptions& options = {}) const { return io::read_ogb(root, options); }
  void refused(std::string_view code, std::string_view text) const {
    refuses(code, {text}, [&] { read(); });
  }

  ScratchFolder folder;
  std::filesystem::path root;
};

}  // namespace

TEST_CASE("The CSV files of OGB become a data set", "[io]") {
  const TinyOgb ogb;
  const Dataset data = ogb.read();
  CHECK(data.name == "ogbn_products");
  CHECK(data.provenance.layout == "ogb");
  CHECK(data.graph.num_edges() == 6);
  CHECK(data.graph.symmetric);
  CHECK(data.features(1, 0) == 3.5f);
  CHECK(data.features(1, 1) == -0.4f);
  CHECK(data.labels.classes[1] == 1);
  CHECK(data.labels.classes[2] == kUnlabelled);
  CHECK(data.num_classes() == 3);
  CHECK(data.roles[3] == Role::test);
  CHECK(data.roles[2] == Role::none);
  CHECK(io::read_ogb(ogb.root / "raw").num_nodes() == 4);
  CHECK(ogb.read({.symmetrise = io::Symmetrise::off}).graph.num_edges() == 3);
}

TEST_CASE("An empty line is a node without a label, also the last", "[io]") {
  const TinyOgb ogb;
  ogb.write("raw/node-label.csv", "0\n1\n2\n\n");
  ogb.write("split/sales_ranking/test.csv", "2\n");
  CHECK(ogb.read().labels.classes[3] == kUnlabelled);
  ogb.write("split/sales_ranking/test.csv", "3\n");
  ogb.refused("LBL-04", "1 test nodes have no label");
}

TEST_CASE("Citation graphs keep their direction and say so", "[io]") {
  for (const std::string_view name : {"ogbn_arxiv", "arxiv", "ogbn_papers100M"}) {
    const TinyOgb ogb(name);
    const Dataset data = ogb.read();
    CHECK_FALSE(data.graph.symmetric);
    CHECK(data.graph.view().neighbors(1)[0] == 0);
    CHECK(warns(data, "the edges have a direction and keep it; published results mostly symmetrise"));
    CHECK(ogb.read({.symmetrise = io::Symmetrise::on}).graph.num_edges() == 6);
  }
}

TEST_CASE("Without node features the edges give them", "[io]") {
  const TinyOgb ogb("ogbn_proteins");
  std::filesystem::remove(ogb.root / "raw/node-feat.csv");
  ogb.write("raw/edge-feat.csv", "1,0\n3,1\n5,0\n");
  ogb.write("raw/node-label.csv", "0,1\n1,1\n0,0\n1,0\n");
  const Dataset data = ogb.read();
  CHECK(data.multilabel());
  REQUIRE(data.num_features() == 2);
  CHECK(data.features(0, 0) == 1.0f);
  CHECK(data.features(1, 0) == 2.0f);
  CHECK(data.features(2, 1) == 0.5f);
  CHECK(warns(data, "each node got the mean features of its edges"));
}

TEST_CASE("The papers of ogbn-mag are read as a graph", "[io]") {
  const TinyOgb ogb("ogbn_mag");
  for (const std::string_view sub : {"raw/relations/paper___cites___paper", "raw/node-feat/paper",
                                     "raw/node-label/paper", "split/time/paper"}) {
    std::filesystem::create_directories(ogb.root / sub);
  }
  std::filesystem::remove_all(ogb.root / "split/sales_ranking");
  for (const std::string_view file : {"edge.csv", "num-edge-list.csv"}) {
    std::filesystem::rename(ogb.root / "raw" / file, ogb.root / "raw/relations/paper___cites___paper" / file);
  }
  std::filesystem::rename(ogb.root / "raw/node-feat.csv", ogb.root / "raw/node-feat/paper/node-feat.csv");
  std::filesystem::rename(ogb.root / "raw/node-label.csv", ogb.root / "raw/node-label/paper/node-label.csv");
  ogb.write("raw/num-node-dict.csv", "author,paper\n9,4\n");
  ogb.write("split/time/paper/train.csv", "0\n");
  ogb.write("split/time/paper/valid.csv", "1\n");
  ogb.write("split/time/paper/test.csv", "3\n");
  const Dataset data = ogb.read();
  CHECK(data.num_nodes() == 4);
  CHECK(data.graph.num_edges() == 3);
  CHECK(data.roles[3] == Role::test);
  CHECK(warns(data, "other nodes and relations are left out"));
  ogb.write("raw/num-node-dict.csv", "author\n9\n");
  ogb.refused("CSV-01", "no count of papers");
}

TEST_CASE("Damaged OGB files are refused with their reason", "[io]") {
  const TinyOgb ogb;
  SECTION("an edge is missing") {
    ogb.write("raw/edge.csv", "0,1\n1,2\n");
    ogb.refused("CSV-02", "num-edge-list says 3, the file has 2 lines: truncated");
  }
  SECTION("half an edge") {
    ogb.write("raw/edge.csv", "0,1\n12,\n1,2\n");
    ogb.refused("CSV-01", "line 2: \"12,\" has 1 number, want 2");
  }
  SECTION("an edge to nowhere") {
    ogb.write("raw/edge.csv", "0,1\n1,2\n2,4\n");
    ogb.refused("EDG-01", "line 3: edge 2: target 4 but N = 4");
  }
  SECTION("a row of features is missing") {
    ogb.write("raw/node-feat.csv", "1,2\n3,4\n5,6\n");
    ogb.refused("CSV-02", "num-node-list says 4, the file has 3 lines: truncated");
  }
  SECTION("NaN features") {
    ogb.write("raw/node-feat.csv", "1,2\n3,nan\n5,6\n7,8\n");
    ogb.refused("FEA-01", "NaN at row 1 column 1");
    CHECK(ogb.read({.nan = io::NanPolicy::zero}).features(1, 1) == 0.0f);
  }
  SECTION("a class that is none") {
    ogb.write("raw/node-label.csv", "0\n4.5\n1\n2\n");
    ogb.refused("LBL-03", "label 4.5 of node 1 is not an integer");
    ogb.write("raw/node-label.csv", "0\n-3\n1\n2\n");
    ogb.refused("LBL-03", "label -3 of node 1");
  }
  SECTION("several graphs") {
    ogb.write("raw/num-node-list.csv", "2\n2\n");
    ogb.refused("GEN-02", "lists 2 graphs, so this is a graph property data set; read it with load_graphs");
  }
  SECTION("more nodes than the labels can name") {
    ogb.write("raw/num-node-list.csv", "400000000\n");
    ogb.refused("CSV-02", "num-node-list says 400,000,000");
  }
  SECTION("a node in two sets") {
    ogb.write("split/sales_ranking/test.csv", "3\n0\n");
    ogb.refused("SPL-01", "node 0 is in both train and test");
  }
  SECTION("a node that is none") {
    ogb.write("split/sales_ranking/test.csv", "4\n");
    ogb.refused("SPL-01", "node 4 does not exist; there are 4 nodes");
  }
  SECTION("a missing file") {
    std::filesystem::remove(ogb.root / "raw/edge.csv");
    ogb.refused("GEN-01", "neither edge.csv.gz nor edge.csv is there");
  }
  SECTION("a split of another name") {
    refuses("SPL-03", {"no split \"time\"; the folder has sales_ranking"},
            [&] { ogb.read({.split = "time"}); });
  }
  SECTION("no split at all") {
    std::filesystem::remove_all(ogb.root / "split");
    const Dataset data = ogb.read();
    CHECK(data.nodes(Role::none).size() == 4);
    CHECK(warns(data, "no node has a role"));
  }
}

namespace {

/// The same graph in binary files.
void write_binary(const TinyOgb& ogb, std::vector<std::int64_t> edges = {0, 1, 2, 1, 2, 3}) {
  for (const char* file :
       {"edge.csv", "node-feat.csv", "node-label.csv", "num-node-list.csv", "num-edge-list.csv"}) {
    std::filesystem::remove(ogb.root / "raw" / file);
  }
  const std::uint64_t shape[] = {2, edges.size() / 2};
  const std::int64_t nodes[] = {4};
  io::NpzWriter data(ogb.root / "raw/data.npz");
  data.add<std::int64_t>("num_nodes_list", nodes);
  data.add<std::int64_t>("edge_index", edges, shape);
  Tensor<float> x(4, 2);
  for (std::size_t i = 0; i < 8; ++i) x(i / 2, i % 2) = static_cast<float>(i);
  data.add("node_feat", MatrixView<const float>(x));
  data.commit();
  io::NpzWriter label(ogb.root / "raw/node-label.npz");
  Tensor<float> y(4, 1);
  for (std::size_t i = 0; i < 4; ++i) y(i, 0) = static_cast<float>(i);
  y(2, 0) = std::numeric_limits<float>::quiet_NaN();
  label.add("node_label", MatrixView<const float>(y));
  label.commit();
}

}  // namespace

TEST_CASE("The binary files of OGB become a data set", "[io]") {
  const TinyOgb ogb("ogbn_papers100M");
  write_binary(ogb);
  const Dataset data = ogb.read();
  CHECK(data.provenance.layout == "ogb-binary");
  CHECK_FALSE(data.graph.symmetric);
  CHECK(data.graph.num_edges() == 3);
  CHECK(data.graph.view().neighbors(3)[0] == 2);
  CHECK(data.features(3, 1) == 7.0f);
  CHECK(data.labels.classes[2] == kUnlabelled);
  CHECK(data.labels.classes[3] == 3);
  SECTION("an edge to nowhere") {
    write_binary(ogb, {0, 1, 2, 1, 2, 4});
    ogb.refused("EDG-01", "edge 2: target 4 but N = 4");
  }
  SECTION("an edge from nowhere") {
    write_binary(ogb, {0, -1, 2, 1, 2, 3});
    ogb.refused("EDG-02", "edge 1: source -1");
  }
  SECTION("an unlabelled node in the split") {
    ogb.write("split/sales_ranking/train.csv", "0\n2\n");
    ogb.refused("LBL-04", "1 training nodes have no label");
  }
}
