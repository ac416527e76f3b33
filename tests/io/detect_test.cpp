// SPDX-License-Identifier: MIT
#include "tessera/io/detect.hpp"

#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>

#include "support/catch.hpp"
#include "support/io_archives.hpp"

using namespace tessera;
using io::detect;
using io::Detected;
using io::Layout;
using test::refuses;
using test::ScratchFolder;
using test::zip_file;

namespace {

std::string archive(std::initializer_list<std::string_view> keys) {
  std::vector<test::ZipPart> parts;
  for (const std::string_view key : keys) {
    test::ZipPart part;
    part.name = message(key, ".npy");
    part.content = test::npy_array("<f4", "(1,)", test::raw<float>({1}));
    parts.push_back(part);
  }
  return zip_file(parts);
}

/// A folder with empty files of these names; a name with '/' goes to a sub-folder.
void fill(const ScratchFolder& folder, std::initializer_list<std::string_view> names) {
  for (const std::string_view name : names) {
    std::filesystem::create_directories((folder / name).parent_path());
    folder.write(name, "");
  }
}

}  // namespace

TEST_CASE("A layout is recognised by the names in its folder", "[io]") {
  const ScratchFolder folder;
  SECTION("GraphSAGE") {
    fill(folder, {"toy-G.json", "toy-feats.npy", "toy-id_map.json"});
    CHECK(detect(folder.path()).layout == Layout::graphsage);
    CHECK(detect(folder / "toy-G.json").layout == Layout::graphsage);
    CHECK(detect(folder / "toy").layout == Layout::graphsage);
    refuses("GEN-02", {"one file of a graphsage data set; name its folder"},
            [&] { detect(folder / "toy-feats.npy"); });
  }
  SECTION("GraphSAINT") {
    fill(folder, {"adj_full.npz", "feats.npy", "role.json", "class_map.json"});
    CHECK(detect(folder.path()).layout == Layout::graphsaint);
    std::filesystem::remove(folder / "adj_full.npz");  // the reader will name it
    CHECK(detect(folder.path()).layout == Layout::graphsaint);
    folder.write("adj_full.npz", archive({"indices", "indptr", "format", "shape", "data"}));
    const Detected file = detect(folder / "adj_full.npz");
    CHECK(file.layout == Layout::graphsaint);
    CHECK(file.path == folder.path());
  }
  SECTION("Planetoid") {
    fill(folder, {"ind.cora.graph", "ind.cora.test.index"});
    CHECK(detect(folder.path()).layout == Layout::planetoid);
    CHECK(detect(folder / "ind.cora.test.index").layout == Layout::planetoid);
  }
  SECTION("one archive among others") {
    folder.write("a.npz", archive({"adj_data", "adj_indices", "adj_indptr", "adj_shape"}));
    CHECK(detect(folder.path()).layout == Layout::shchur);
    folder.write("b.npz", archive({"x"}));
    CHECK(detect(folder.path()).path == folder / "a.npz");
    folder.write("c.npz", archive({"edges", "node_features"}));
    CHECK(detect(folder / "c.npz").layout == Layout::heterophilous);
    refuses("GEN-02", {"several data sets, a.npz and c.npz"}, [&] { detect(folder.path()); });
    refuses("GEN-02", {"in no known layout, it has: x;"}, [&] { detect(folder / "b.npz"); });
  }
}

TEST_CASE("Every layout shows in the names of its files", "[io]") {
  const auto shows = [](std::initializer_list<std::string_view> names, Layout layout,
                        std::string_view path = "") {
    const ScratchFolder folder;
    fill(folder, names);
    const Detected found = detect(folder.path());
    INFO(*names.begin());
    CHECK(found.layout == layout);
    CHECK(found.path == (path.empty() ? folder.path() : folder / path));
  };
  shows({"reddit_data.npz", "reddit_graph.npz"}, Layout::dgl_reddit);
  shows({"train_graph.json", "train_feats.npy"}, Layout::dgl_ppi);
  shows({"reddit.npz", "reddit_adj.npz"}, Layout::fastgcn);
  shows({"dims.bin", "adj_full_indptr.bin"}, Layout::graphsaint_bin);
  shows({"pubmed_feat.npy", "pubmed_labels.npz", "pubmed.txt"}, Layout::gbp);
  shows({"raw/edge.csv.gz", "raw/num-node-list.csv.gz"}, Layout::ogb);
  shows({"edge.csv.gz", "num-node-list.csv.gz"}, Layout::ogb);
  shows({"raw/data.npz", "raw/node-label.npz"}, Layout::ogb);
  shows({"raw/num-node-dict.csv.gz"}, Layout::ogb);
  shows({"facebook_edges.csv", "facebook_target.csv"}, Layout::csv);
  shows({"web.mtx"}, Layout::matrix_market, "web.mtx");
  shows({"web.graph", "web.graph.part.8"}, Layout::metis, "web.graph");
  shows({"web.graph.gz"}, Layout::metis, "web.graph.gz");
  shows({"road.gr"}, Layout::dimacs, "road.gr");
  shows({"queen5_5.col"}, Layout::dimacs, "queen5_5.col");
  shows({"my_edges.csv"}, Layout::edge_list, "my_edges.csv");
  shows({"web.edges.gz", "notes.md"}, Layout::edge_list, "web.edges.gz");
}

TEST_CASE("What load does not read is named", "[io]") {
  const auto named = [](std::initializer_list<std::string_view> names, std::string_view kind) {
    const ScratchFolder folder;
    fill(folder, names);
    refuses("GEN-02", {kind}, [&] { detect(folder.path()); });
  };
  named({"MUTAG_A.txt", "MUTAG_graph_indicator.txt"}, "many graphs; read it with load_graphs");
  named({"raw/edge.csv.gz", "raw/num-node-list.csv.gz", "raw/graph-label.csv.gz"}, "many graphs");
  named({"web.graph.part.8"}, "a partition without its graph");
  named({"data.pt"}, "a cache of a Python framework");
  named({"a.graph", "b.mtx"}, "several graphs, a.graph and b.mtx");
  const ScratchFolder folder;
  fill(folder, {"raw/edge.csv.gz", "raw/num-node-list.csv.gz", "web.graph.part.8"});
  refuses("GEN-02", {"one file of a"}, [&] { detect(folder / "raw/edge.csv.gz"); });
  refuses("GEN-02", {"this is a partition"}, [&] { detect(folder / "web.graph.part.8"); });
  folder.write("x.npz", archive({"full_adj_data", "train_adj_data"}));
  refuses("GEN-02", {"a cache of VR-GCN's code"}, [&] { detect(folder / "x.npz"); });
}

TEST_CASE("A folder without a data set says where to look", "[io]") {
  const ScratchFolder folder;
  refuses("GEN-01", {"the folder is empty"}, [&] { detect(folder.path()); });
  refuses("GEN-01", {"not found"}, [&] { detect(folder / "nothing"); });
  fill(folder, {"notes.txt"});
  refuses("GEN-02", {"no known layout; this version reads"}, [&] { detect(folder.path()); });
  fill(folder, {"reddit.zip"});
  refuses("GEN-02", {"download archive (.zip); extract it first"}, [&] { detect(folder.path()); });
  fill(folder, {"cora/ind.cora.graph", "saint/adj_full.npz", "npz/cora.npz", "other/x"});
  refuses("GEN-02", {"these sub-folders do: cora (planetoid), npz (npz), saint (graphsaint)"},
          [&] { detect(folder.path()); });
  const ScratchFolder outer;
  fill(outer, {"a/x.txt"});
  refuses("GEN-02", {"sub-folders only"}, [&] { detect(outer.path()); });
}

TEST_CASE("A file of another kind is named by its first bytes", "[io]") {
  const ScratchFolder folder;
  const auto refused = [&](std::string_view content, std::string_view text) {
    const auto path = folder.write("file", content);
    refuses("GEN-02", {text}, [&] { detect(path); });
  };
  refused("version https://git-lfs.github.com/spec/v1\nsize 1\n", "Git LFS pointer");
  refused("<!DOCTYPE html>", "HTML page");
  refused("\x89HDF\r\n", "HDF5");
  refused("\x1F\x8B\x08", "gzip");
  refused("\x93NUMPY", ".npy array");
  refused("hello", "no known layout: starts with 68 65 6C 6C");
  refused("", "file is empty");
  test::ZipPart part;
  part.name = "reddit/reddit-G.json";
  part.content = "{}";
  const auto zip = folder.write("reddit.zip", zip_file({part}));
  refuses("GEN-02", {"extract it first"}, [&] { detect(zip); });
}

TEST_CASE("Layouts have names, and unknown names are refused", "[io]") {
  for (std::size_t i = 0; i < io::kLayoutNames.size(); ++i) {
    const auto layout = static_cast<Layout>(i);
    CHECK(io::layout_named(io::name_of(layout)) == layout);
  }
  CHECK(io::name_of(Layout::graphsaint_bin) == "graphsaint-bin");
  CHECK(io::name_of(Layout::edge_list) == "edge-list");
  CHECK_THROWS_AS(io::layout_named("dgl"), ConfigError);
}
