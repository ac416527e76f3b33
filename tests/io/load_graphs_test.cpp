// SPDX-License-Identifier: MIT
#include "tessera/io/load_graphs.hpp"

#include <cmath>
#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;
using io::load_graphs;
using test::refuses;
using test::ScratchFolder;

namespace {

/// What the readme of the data folder says about one data set of graphs.
struct Expected {
  std::string_view path;
  std::string_view layout;
  std::size_t graphs, nodes, entries, features, edge_features, width;
  GraphTask task;
  std::size_t train, val, test;
};

constexpr Expected kReadme[] = {
    {"tu/MUTAG", "tu", 188, 3371, 7442, 7, 4, 2, GraphTask::classes, 0, 0, 0},
    {"tu/PROTEINS", "tu", 1113, 43471, 162088, 4, 0, 2, GraphTask::classes, 0, 0, 0},
    {"tu/ENZYMES", "tu", 600, 19580, 74564, 21, 0, 6, GraphTask::classes, 0, 0, 0},
    {"tu/NCI1", "tu", 4110, 122747, 265506, 37, 0, 2, GraphTask::classes, 0, 0, 0},
    {"tu/IMDB-BINARY", "tu", 1000, 19773, 193062, 0, 0, 2, GraphTask::classes, 0, 0, 0},
    {"ogb/ogbg_molbace", "ogb-graphs", 1513, 51577, 111536, 9, 3, 1, GraphTask::indicators, 1210, 151, 152},
    {"ogb/ogbg_molbbbp", "ogb-graphs", 2039, 49068, 105842, 9, 3, 1, GraphTask::indicators, 1631, 204, 204},
    {"ogb/ogbg_molesol", "ogb-graphs", 1128, 14991, 30856, 9, 3, 1, GraphTask::regression, 902, 113, 113},
    {"ogb/ogbg_molfreesolv", "ogb-graphs", 642, 5600, 10770, 9, 3, 1, GraphTask::regression, 513, 64, 65},
};

}  // namespace

TEST_CASE("Every data set of graphs of the data folder loads with the counts of its readme", "[io]") {
  for (const Expected& want : kReadme) {
    const auto folder = test::real_data(want.path);
    if (!folder) continue;
    INFO(want.path);
    const GraphDataset data = load_graphs(*folder);
    validate(data);
    CHECK(data.provenance.layout == want.layout);
    CHECK(data.num_graphs() == want.graphs);
    CHECK(data.num_nodes() == want.nodes);
    CHECK(data.graph.num_edges() == want.entries);
    CHECK(data.graph.symmetric);
    CHECK(data.num_features() == want.features);
    CHECK(data.edge_features.cols() == want.edge_features);
    CHECK(data.targets.width() == want.width);
    CHECK(data.targets.task == want.task);
    CHECK(data.graphs(Role::train).size() == want.train);
    CHECK(data.graphs(Role::val).size() == want.val);
    CHECK(data.graphs(Role::test).size() == want.test);
  }
}

TEST_CASE("Molecules carry codes and the sizes of their code books", "[io]") {
  const auto folder = test::real_data("ogb/ogbg_molbace");
  if (!folder) return;
  const GraphDataset data = load_graphs(*folder);
  CHECK(data.name == "ogbg_molbace (ogb-graphs, G=1513, N=51577)");
  REQUIRE(data.categories.size() == 9);
  CHECK(data.categories[0] == 119);
  REQUIRE(data.edge_categories.size() == 3);
  CHECK(data.edge_categories[1] == 6);
  CHECK(data.features(0, 0) == 7.0f);  // first line of node-feat.csv
  CHECK(data.features(0, 8) == 1.0f);
  CHECK(data.targets.values(0, 0) == 1.0f);
  CHECK(one_hot(data.features.view(), data.categories).cols() == 119 + 5 + 12 + 12 + 10 + 6 + 6 + 2 + 2);
}

namespace {

/// A triangle with labels 5, 5, 7 and a loop, and a pair of nodes; edge 1-2 is listed twice.
void write_tu(const ScratchFolder& folder) {
  folder.write("toy_A.txt", "1, 2\n2, 1\n1,3\n3, 1\n2, 3\n3 , 2\n1, 2\n2, 2\n4, 5\r\n5, 4\n");
  folder.write("toy_graph_indicator.txt", "1\n1\n1\n2\n2\n");
  folder.write("toy_graph_labels.txt", "1\n-1\n");
  folder.write("toy_node_labels.txt", "5\n5\n7\n6\n5\n");
  folder.write("toy_node_attributes.txt", " 0.5, 1\n 1.5,-1\n2e0,0\n3,0\n4,.25\n");
  folder.write("toy_edge_labels.txt", "0\n0\n1\n1\n0\n0\n1\n0\n1\n1\n");
}

}  // namespace

TEST_CASE("TU text becomes one block-diagonal graph with its features", "[io]") {
  const ScratchFolder folder;
  write_tu(folder);
  const GraphDataset data = load_graphs(folder.path());
  validate(data);
  CHECK(data.num_graphs() == 2);
  CHECK(data.node_ptr[1] == 3);
  CHECK(data.graph.num_edges() == 8);
  CHECK(data.targets.num_classes == 2);
  CHECK(data.targets.classes[0] == 1);
  CHECK(data.targets.classes[1] == 0);
  REQUIRE(data.num_features() == 5);  // two attributes, labels 5, 6, 7
  CHECK(data.features(0, 0) == 0.5f);
  CHECK(data.features(4, 1) == 0.25f);
  CHECK(data.features(2, 4) == 1.0f);
  CHECK(data.features(3, 3) == 1.0f);
  CHECK(data.features(3, 2) == 0.0f);
  REQUIRE(data.edge_features.cols() == 2);
  const auto row = data.graph.view().neighbors(1);  // of node 2: 1 and 3
  REQUIRE(row.size() == 2);
  const auto first = static_cast<std::size_t>(data.graph.row_ptr[1]);
  CHECK(data.edge_features(first, 0) == 1.0f);  // the first of the two links 1, 2 counts
  CHECK(data.provenance.edge_policy.find("dropped 1 self loops, merged 1 duplicates") != std::string::npos);
  CHECK(load_graphs(folder.path(), {.duplicates = Duplicates::keep, .self_loops = SelfLoops::keep})
            .graph.num_edges() == 10);
}

TEST_CASE("Damaged TU files are refused with their line", "[io]") {
  const ScratchFolder folder;
  write_tu(folder);
  const auto refused = [&](std::string_view name, std::string_view content, std::string_view code,
                           std::string_view text) {
    folder.write(name, content);
    refuses(code, {text}, [&] { load_graphs(folder.path()); });
  };
  SECTION("an edge between graphs") {
    refused("toy_A.txt", "1, 2\n2, 4\n", "TUD-02", "line 2: joins node 2 of graph 1 to node 4 of graph 2");
  }
  SECTION("a node beyond the last") {
    refused("toy_A.txt", "1, 6\n", "EDG-01", "line 1: edge 0: target 6 but N = 5 (valid 1..5)");
  }
  SECTION("node 0") { refused("toy_A.txt", "0, 1\n", "EDG-01", "source 0"); }
  SECTION("half an edge") {
    refused("toy_A.txt", "1, 2\n3\n", "CSV-01", "line 2: \"3\" has 1 number, want 2");
  }
  SECTION("graphs out of order") {
    refused("toy_graph_indicator.txt", "1\n2\n1\n2\n2\n", "TUD-01", "line 3: graph 1 follows graph 2");
  }
  SECTION("too few labels of graphs") {
    refused("toy_graph_labels.txt", "1\n", "CSV-02", "counts 2 graphs, the file has 1 lines");
  }
  SECTION("too few labels of nodes") {
    refused("toy_node_labels.txt", "1\n1\n", "CSV-02",
            "graph_indicator.txt says 5, the file has 2 lines: truncated");
  }
  SECTION("too many labels of edges") {
    refused("toy_edge_labels.txt", std::string(22, '0') + "\n", "CSV-02", "A.txt says 10");
    refused("toy_edge_labels.txt", "0\n0\n0\n0\n0\n0\n0\n0\n0\n0\n0\n", "CSV-02", "the file has more lines");
  }
  SECTION("a label that is none") {
    refused("toy_node_labels.txt", "1\n1.5\n1\n1\n1\n", "LBL-03", "label 1.5");
  }
  SECTION("a missing file") {
    std::filesystem::remove(folder / "toy_A.txt");
    refuses("GEN-01", {"toy_A.txt"}, [&] { load_graphs(folder.path()); });
  }
}

namespace {

void write_ogb_graphs(const ScratchFolder& folder) {
  std::filesystem::create_directories(folder / "raw");
  std::filesystem::create_directories(folder / "split" / "scaffold");
  folder.write("raw/num-node-list.csv", "3\n0\n2\n");
  folder.write("raw/num-edge-list.csv", "2\n0\n1\n");
  folder.write("raw/edge.csv", "0,1\n1,2\n1,0\n");
  folder.write("raw/node-feat.csv", "7,0\n6,1\n6,0\n5,0\n5,2\n");
  folder.write("raw/edge-feat.csv", "0\n3\n1\n");
  folder.write("raw/graph-label.csv", "1,\n0,1\n,0\n");
  folder.write("split/scaffold/train.csv", "0\n");
  folder.write("split/scaffold/valid.csv", "");
  folder.write("split/scaffold/test.csv", "2\n");
}

}  // namespace

TEST_CASE("OGB graph files restart their node numbers in every graph", "[io]") {
  const ScratchFolder folder;
  write_ogb_graphs(folder);
  const GraphDataset data = load_graphs(folder.path());
  validate(data);
  CHECK(data.num_graphs() == 3);
  CHECK(data.num_nodes(1) == 0);
  CHECK(data.graph.num_edges() == 6);
  CHECK(data.graph.view().neighbors(3)[0] == 4);
  CHECK(data.categories.size() == 2);
  CHECK(data.categories[0] == 8);
  REQUIRE(data.edge_features.rows() == 6);
  CHECK(data.edge_features(0, 0) == 0.0f);
  CHECK(data.edge_features(3, 0) == 3.0f);  // 2 <- 1
  CHECK(data.edge_features(5, 0) == 1.0f);
  CHECK(data.targets.task == GraphTask::indicators);
  REQUIRE(data.targets.width() == 2);
  CHECK(std::isnan(data.targets.values(0, 1)));
  CHECK(std::isnan(data.targets.values(2, 0)));
  CHECK(data.roles[0] == Role::train);
  CHECK(data.roles[1] == Role::none);
  CHECK(data.roles[2] == Role::test);

  SECTION("a node of another graph") {
    folder.write("raw/edge.csv", "0,1\n1,2\n1,2\n");
    refuses("EDG-01", {"line 3: node 2 of graph 2, which has 2 nodes"}, [&] { load_graphs(folder.path()); });
  }
  SECTION("an edge is missing") {
    folder.write("raw/edge.csv", "0,1\n1,2\n");
    refuses("CSV-02", {"num-edge-list says 3, the file has 2 lines"}, [&] { load_graphs(folder.path()); });
  }
  SECTION("a graph of no data set") {
    folder.write("split/scaffold/test.csv", "3\n");
    refuses("SPL-01", {"graph 3 does not exist"}, [&] { load_graphs(folder.path()); });
  }
  SECTION("a negative count") {
    folder.write("raw/num-node-list.csv", "3\n-1\n2\n");
    refuses("CSV-01", {"line 2: the count is -1"}, [&] { load_graphs(folder.path()); });
  }
  SECTION("counts of a larger machine") {
    folder.write("raw/num-node-list.csv", "3\n9223372036854775807\n2\n");
    refuses("EDG-03", {"add up to more"}, [&] { load_graphs(folder.path()); });
  }
  SECTION("another split") {
    refuses("SPL-03", {"no split \"random\"; the folder has scaffold"},
            [&] { load_graphs(folder.path(), {.split = "random"}); });
  }
}

TEST_CASE("A folder with one graph is no data set of graphs", "[io]") {
  const ScratchFolder folder;
  refuses("GEN-02", {"no data set of many graphs"}, [&] { load_graphs(folder.path()); });
  refuses("GEN-01", {"not found"}, [&] { load_graphs(folder / "nothing"); });
  CHECK_THROWS_AS(load_graphs(folder.path(), {.format = "dgl"}), ConfigError);
}
