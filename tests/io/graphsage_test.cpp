// SPDX-License-Identifier: MIT
#include "tessera/io/graphsage.hpp"

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;
using io::LinkEndpoints;
using io::NodeSet;
using io::read_graphsage;
using io::ReadOptions;
using test::refuses;
using test::ScratchFolder;

namespace {

// Ids are names; "d" (row 0) is in the map only; the graph file lists c, a, x, b and x is not in the map.
constexpr std::string_view kIds = R"({"a": 1, "b": 2, "c": 3, "d": 0})";
constexpr std::string_view kClasses = R"({"d": 0, "a": 1, "b": 0, "c": 1})";
constexpr std::string_view kGraph = R"({"directed": false, "multigraph": false, "graph": {}, "nodes": [
  {"id": "c", "val": false, "test": false}, {"id": "a", "val": false, "test": false},
  {"id": "x", "val": false, "test": false}, {"id": "b", "val": true, "test": false}],
  "links": [{"source": 0, "target": 1}, {"source": 1, "target": 3}, {"source": 2, "target": 3},
            {"source": 1, "target": 1}, {"source": 1, "target": 0}]})";

/// A folder with the files of a small data set called "toy".
struct Toy {
  ScratchFolder folder;

  Toy() {
    write("-G.json", kGraph);
    write("-id_map.json", kIds);
    write("-class_map.json", kClasses);
    write("-feats.npy", test::npy_array("<f8", "(4, 2)", test::raw<double>({0, 1, 10, 11, 20, 21, 30, 31})));
  }
  void write(std::string_view suffix, std::string_view content) const {
    folder.write(message("toy", suffix), content);
  }
  Dataset read(const ReadOptions& options = {}) const { return read_graphsage(folder.path(), options); }
};

std::vector<NodeId> row(const CsrGraph& g, std::size_t i) {
  const auto r = g.view().neighbors(i);
  return {r.begin(), r.end()};
}

bool warned(const Dataset& data, std::string_view text) {
  return std::any_of(data.provenance.warnings.begin(), data.provenance.warnings.end(),
                     [&](const std::string& w) { return w.find(text) != std::string::npos; });
}

}  // namespace

TEST_CASE("A GraphSAGE folder becomes a data set in the order of the id map", "[io]") {
  const Toy toy;
  const Dataset data = toy.read();
  CHECK(data.name == "toy");
  CHECK(data.num_nodes() == 4);
  CHECK(row(data.graph, 0).empty());
  CHECK(row(data.graph, 1) == std::vector<NodeId>{2, 3});
  CHECK(row(data.graph, 2) == std::vector<NodeId>{1});
  CHECK(row(data.graph, 3) == std::vector<NodeId>{1});
  CHECK(data.features(3, 1) == 31.0f);
  CHECK(data.labels.classes[1] == 1);
  CHECK(data.roles[0] == Role::none);  // not in the graph file
  CHECK(data.roles[2] == Role::val);
  CHECK(data.roles[3] == Role::train);
  CHECK(row(data.train_graph, 1) == std::vector<NodeId>{3});
  CHECK(row(data.train_graph, 2).empty());
  CHECK(data.provenance.edge_policy.find("read 4 links, dropped 1 self loops, merged 2 duplicates, E = 4") ==
        0);
  CHECK(data.provenance.edge_policy.find("endpoints are positions") != std::string::npos);
  CHECK(data.provenance.edge_policy.find("1 links of dropped nodes left out") != std::string::npos);
  CHECK(warned(data, "1 nodes are not in the id map"));
  CHECK(warned(data, "warning[IDM-04]"));
  CHECK(warned(data, "test set is empty"));
  const Dataset cluster = toy.read({.node_set = NodeSet::cluster_gcn});
  CHECK(cluster.roles[0] == Role::train);
  CHECK(cluster.roles[2] == Role::val);
}

TEST_CASE("A GraphSAGE data set is found by folder, file and prefix", "[io]") {
  const Toy toy;
  CHECK(read_graphsage(toy.folder / "toy-G.json").num_nodes() == 4);
  CHECK(read_graphsage(toy.folder / "toy").num_nodes() == 4);
  CHECK(read_graphsage(toy.folder / "TOY").num_nodes() == 4);  // Amazon2M and amazon2M both circulate
  toy.write("-G_full.json", kGraph);
  CHECK(io::find_graphsage(toy.folder.path()).graph.filename() == "toy-G.json");
  CHECK(io::find_graphsage(toy.folder / "toy-G_full.json").id_map.filename() == "toy-id_map.json");
  toy.folder.write("other-G.json", kGraph);
  refuses("GEN-02", {"several data sets", "other-G.json", "toy-G.json"}, [&] { toy.read(); });
  refuses("GEN-01", {"no <prefix>-G.json"}, [] {
    const ScratchFolder empty;
    read_graphsage(empty.path());
  });
  for (const char* suffix : {"-feats.npy", "-id_map.json", "-class_map.json"}) {
    const Toy part;
    std::filesystem::remove(part.folder / message("toy", suffix));
    refuses("GEN-01", {message("toy", suffix), "not found"}, [&] { part.read(); });
  }
}

TEST_CASE("Links may name ids, nodes may lack flags", "[io]") {
  const Toy toy;
  toy.write("-G.json",
            R"({"links": [{"source": "a", "target": "b"}, {"source": "c", "target": "a"}], "nodes": [
    {"id": "a", "val": false, "test": false}, {"id": "b", "val": false, "test": true}, {"id": "c", "val": true}]})");
  const Dataset data = toy.read();
  CHECK(row(data.graph, 1) == std::vector<NodeId>{2});
  CHECK(data.roles[3] == Role::none);  // c has no "test" and is dropped with its link
  CHECK(warned(data, "1 nodes lack \"val\" or \"test\""));
  CHECK(data.provenance.edge_policy.find("endpoints are node ids") != std::string::npos);
}

TEST_CASE("Integer ids are looked up where the endpoints are ids", "[io]") {
  const Toy toy;
  toy.write("-id_map.json", R"({"10": 0, "20": 1, "30": 2, "40": 3})");
  toy.write("-class_map.json", R"({"10": 0, "20": 1, "30": 0, "40": 1})");
  const auto graph = [](std::string_view links) {
    return message(R"({"directed": true, "nodes": [{"id": 10, "val": false, "test": false},
      {"id": "20", "val": false, "test": false}, {"id": 30, "val": false, "test": false},
      {"id": 40, "val": false, "test": true}], "links": [)",
                   links, "]}");
  };
  toy.write("-G.json", graph(R"({"source": 40, "target": 10}, {"source": 10, "target": 20})"));
  const Dataset data = toy.read();
  CHECK_FALSE(data.graph.symmetric);
  CHECK(row(data.graph, 0) == std::vector<NodeId>{3});
  CHECK(row(data.graph, 1) == std::vector<NodeId>{0});
  CHECK(data.provenance.edge_policy.find("the file says directed") != std::string::npos);
  toy.write("-G.json", graph(R"({"source": 40, "target": 10}, {"source": 10, "target": 77})"));
  refuses("IDM-01", {"link 1: target \"77\"", "(4 ids)"}, [&] { toy.read(); });
  refuses("EDG-01", {"link 0: source 40 is read as a position"},
          [&] { toy.read({.link_endpoints = LinkEndpoints::position}); });
}

TEST_CASE("A GraphSAGE folder with a defect is refused", "[io]") {
  const Toy toy;
  const auto with_graph = [&](std::string_view nodes, std::string_view links) {
    toy.write("-G.json", message("{\"nodes\": [", nodes, "], \"links\": [", links, "]}"));
  };
  constexpr std::string_view kA = R"({"id": "a", "val": false, "test": false})";
  with_graph(kA, R"({"source": "a", "target": "zz"})");
  refuses("IDM-01", {"link 0: target \"zz\" is neither in \"nodes\" nor in the id map"}, [&] { toy.read(); });
  with_graph(kA, R"({"source": "b", "target": "a"})");
  refuses("IDM-01", {"source \"b\" is not in \"nodes\""}, [&] { toy.read(); });
  with_graph(kA, R"({"source": 0, "target": 9})");
  refuses("EDG-01", {"target 9 is read as a position, but there are 1 nodes"}, [&] { toy.read(); });
  with_graph(message(kA, ",", kA), "");
  refuses("IDM-02", {"nodes 0 and 1 share the id \"a\""}, [&] { toy.read(); });
  with_graph(R"({"id": 12, "val": false, "test": false}, {"id": "12", "val": false, "test": false})", "");
  refuses("IDM-03", {"\"12\" occurs as both"}, [&] { toy.read(); });
  with_graph(R"({"id": "q", "val": false, "test": false})", "");
  refuses("IDM-01", {"none of the 1 nodes"}, [&] { toy.read(); });
  with_graph(R"({"id": "a"}, {"id": "b"})", "");
  refuses("JSN-02", {"no node has the keys"}, [&] { toy.read(); });
  toy.write("-G.json", kGraph);
  toy.write("-feats.npy", test::npy_array("<f4", "(3, 1)", test::raw<float>({1, 2, 3})));
  refuses("FEA-03", {"feats has 3 rows but ids run to 3"}, [&] { toy.read(); });
  toy.write("-feats.npy", test::npy_array("<f4", "(4,)", test::raw<float>({1, 2, 3, 4})));
  refuses("NPY-07", {"(N, F)"}, [&] { toy.read(); });
  toy.write("-id_map.json", "{}");
  refuses("IDM-02", {"empty"}, [&] { toy.read(); });
}

TEST_CASE("Toy PPI in GraphSAGE layout has the counts of its readme", "[io]") {
  const auto folder = test::real_data("toy-ppi/graphsage");
  if (!folder) return;
  const Dataset data = read_graphsage(*folder);
  CHECK(data.num_nodes() == 14'755);
  CHECK(data.graph.num_edges() == 2 * 222'109);
  CHECK(data.graph.symmetric);
  CHECK(data.num_features() == 50);
  CHECK(data.num_classes() == 121);
  CHECK(data.multilabel());
  CHECK(data.nodes(Role::train).size() == 9'716);
  CHECK(data.nodes(Role::val).size() == 1'825);
  CHECK(data.nodes(Role::test).size() == 3'214);
  CHECK(data.provenance.edge_policy.find("read 228431 links, dropped 6322 self loops, merged 0 duplicates") ==
        0);
  CHECK(data.train_graph.num_edges() > 0);
}
