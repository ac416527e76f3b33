// SPDX-License-Identifier: MIT
#include "tessera/io/archives.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "support/io_datasets.hpp"
#include "tessera/io/load.hpp"
#include "tessera/io/npy_write.hpp"
#include "tessera/io/npz_write.hpp"

using namespace tessera;
using test::refuses;
using test::ScratchFolder;
using test::warns;

namespace {

Tensor<float> counting(std::size_t rows, std::size_t cols) {
  Tensor<float> x(rows, cols);
  for (std::size_t i = 0; i < rows * cols; ++i) x(i / cols, i % cols) = static_cast<float>(i);
  return x;
}

/// A graph of four nodes in SciPy's coo.
void write_coo(const std::filesystem::path& path, std::vector<std::int32_t> row,
               std::vector<std::int32_t> col) {
  const std::int64_t shape[] = {4, 4};
  const std::vector<float> ones(row.size(), 1.0f);
  io::NpzWriter out(path);
  out.add<std::int32_t>("row", row);
  out.add<std::int32_t>("col", col);
  out.add_text("format", "coo");
  out.add<std::int64_t>("shape", shape);
  out.add<float>("data", ones);
  out.commit();
}

void write_dgl_reddit(const ScratchFolder& folder, std::vector<std::int64_t> types = {1, 1, 2, 3}) {
  write_coo(folder / "reddit_graph.npz", {0, 1, 1, 2, 2, 3}, {1, 0, 2, 1, 3, 2});
  const std::int64_t label[] = {0, 1, 2, 0};
  io::NpzWriter out(folder / "reddit_data.npz");
  const Tensor<float> x = counting(4, 2);
  out.add("feature", x.view());
  out.add<std::int64_t>("label", label);
  out.add<std::int64_t>("node_types", types);
  out.commit();
}

}  // namespace

TEST_CASE("DGL's Reddit is standardised already", "[io]") {
  const ScratchFolder folder;
  write_dgl_reddit(folder);
  const Dataset data = io::load(folder.path(), {.standardise = io::Standardise::train});
  CHECK(data.name == "reddit (dgl-reddit, N=4, M=3, train=2)");
  CHECK(data.features(3, 1) == 7.0f);
  CHECK(warns(data, "FEA-04"));
  CHECK(data.graph.symmetric);
  CHECK(data.roles[2] == Role::val);
  CHECK(data.num_classes() == 3);
  write_dgl_reddit(folder, {1, 1, 0, 3});
  refuses("SPL-01", {"node 2 has the type 0, want 1 (train), 2 (val) or 3 (test)"},
          [&] { io::load(folder.path()); });
  std::filesystem::rename(folder / "reddit_graph.npz", folder / "reddit_self_loop_graph.npz");
  write_dgl_reddit(folder);
  std::filesystem::remove(folder / "reddit_graph.npz");
  CHECK(io::read_dgl_reddit(folder.path()).graph.num_edges() == 6);
  std::filesystem::remove(folder / "reddit_self_loop_graph.npz");
  refuses("GEN-01", {"reddit_graph.npz"}, [&] { io::read_dgl_reddit(folder.path()); });
}

namespace {

void write_dgl_ppi(
    const ScratchFolder& folder,
    std::string_view train_links = R"([{"source": 0, "target": 1}, {"source": 1, "target": 0}])") {
  int graph = 1;
  for (const std::string_view part : {"train", "valid", "test"}) {
    const std::string_view links =
        part == "train" ? train_links : R"([{"source": 0, "target": 1}, {"source": 1, "target": 0}])";
    folder.write(message(part, "_graph.json"),
                 message(R"({"directed": true, "nodes": [{"id": 0}, {"id": 1}], "links": )", links, "}"));
    io::write_npy<float>(folder / message(part, "_feats.npy"), counting(2, 3).view());
    Tensor<float> y = Tensor<float>::zeros(2, 2);
    y(1, 0) = 1;
    io::write_npy<float>(folder / message(part, "_labels.npy"), y.view());
    const std::int64_t ids[] = {graph, part == "train" && train_links.empty() ? graph + 1 : graph};
    io::write_npy<std::int64_t>(folder / message(part, "_graph_id.npy"), std::span<const std::int64_t>(ids));
    ++graph;
  }
}

}  // namespace

TEST_CASE("DGL's PPI is three files in one graph", "[io]") {
  const ScratchFolder folder;
  write_dgl_ppi(folder);
  const Dataset data = io::load(folder.path());
  CHECK(data.num_nodes() == 6);
  CHECK(data.multilabel());
  CHECK(data.graph.num_edges() == 6);
  CHECK(data.graph.view().neighbors(4)[0] == 5);
  CHECK(data.train_graph.num_edges() == 2);
  CHECK(data.roles[2] == Role::val);
  CHECK(data.features(5, 2) == 5.0f);
  const Array<std::int32_t> ids = io::read_dgl_ppi_graph_ids(folder.path());
  CHECK(std::vector<std::int32_t>(ids.begin(), ids.end()) == std::vector<std::int32_t>{1, 1, 2, 2, 3, 3});
  const std::int64_t other[] = {1, 4};
  io::write_npy<std::int64_t>(folder / "train_graph_id.npy", std::span<const std::int64_t>(other));
  refuses("EDG-06", {"node 0 of graph 1 to node 1 of graph 4"}, [&] { io::load(folder.path()); });
  write_dgl_ppi(folder, R"([{"source": 0, "target": 2}])");
  refuses("EDG-01", {"link 0"}, [&] { io::load(folder.path()); });
}

TEST_CASE("FastGCN's Reddit has its edges once and classes per set", "[io]") {
  const ScratchFolder folder;
  write_coo(folder / "reddit_adj.npz", {0, 1, 2}, {1, 2, 3});
  const auto write = [&](std::vector<std::int64_t> test) {
    const std::int64_t train[] = {0, 1};
    const std::int64_t val[] = {2};
    const std::vector<std::int64_t> y_test(1, 1);
    io::NpzWriter out(folder / "reddit.npz");
    const Tensor<float> x = counting(4, 2);
    out.add("feats", x.view());
    out.add<std::int64_t>("train_index", train);
    out.add<std::int64_t>("val_index", val);
    out.add<std::int64_t>("test_index", test);
    out.add<std::int64_t>("y_train", train);
    out.add<std::int64_t>("y_val", val);
    out.add<std::int64_t>("y_test", y_test);
    out.commit();
  };
  write({3});
  const Dataset data = io::load(folder.path());
  CHECK(data.provenance.layout == "fastgcn");
  CHECK(data.graph.num_edges() == 6);
  CHECK(data.labels.classes[3] == 1);
  CHECK(data.labels.classes[2] == 2);
  CHECK(warns(data, "columns 0 and 1 hold logarithms"));
  write({0});
  refuses("SPL-01", {"node 0 is in both train and test"}, [&] { io::load(folder.path()); });
  write({4});
  refuses("SPL-01", {"node 4 does not exist"}, [&] { io::load(folder.path()); });
  write({3, 2});
  refuses("SPL-01", {"node 2"}, [&] { io::load(folder.path()); });
}

TEST_CASE("Amazon2M's script writes one archive", "[io]") {
  const ScratchFolder folder;
  const std::int32_t y[] = {0, 1, 0, 1};
  const std::int32_t map[] = {1, 1, 0, 0};
  const std::int64_t edge[] = {0, 1, 2, 3};
  const std::uint64_t shape[] = {2, 2};
  const auto write = [&](std::span<const std::int32_t> train_map) {
    io::NpzWriter out(folder / "graph.npz");
    out.add<std::int32_t>("y", y);
    out.add<std::int32_t>("train_map", train_map);
    out.add<std::int64_t>("edge", edge, shape);
    out.commit();
  };
  write(map);
  const Dataset bare = io::load(folder.path());
  CHECK(bare.provenance.layout == "amazon2m-npz");
  CHECK(bare.num_features() == 0);
  CHECK(bare.graph.num_edges() == 4);
  CHECK(bare.roles[3] == Role::test);
  CHECK(warns(bare, "validation set is empty"));
  io::write_npy<float>(folder / "feats.npy", counting(4, 3).view());
  CHECK(io::load(folder / "graph.npz").num_features() == 3);
  io::write_npy<float>(folder / "feats.npy", counting(3, 3).view());
  refuses("FEA-03", {"the features have 3 rows, the graph has 4 nodes"}, [&] { io::load(folder.path()); });
  const std::int32_t odd[] = {1, 2, 0, 0};
  write(odd);
  refuses("SPL-01", {"node 1 has the value 2, want 0 or 1"}, [&] { io::load(folder.path()); });
}

TEST_CASE("GBP's text begins with the number of nodes", "[io]") {
  const ScratchFolder folder;
  folder.write("cora.txt", "4\n0 1\n1 0\n2 3\n3 2\n");
  io::write_npy<float>(folder / "cora_feat.npy", counting(4, 2).view());
  const std::int64_t labels[] = {0, 1, 0, 1};
  const std::int64_t train[] = {0, 1};
  const std::int64_t one[] = {2};
  const std::int64_t last[] = {3};
  io::NpzWriter out(folder / "cora_labels.npz");
  out.add<std::int64_t>("labels", labels);
  out.add<std::int64_t>("idx_train", train);
  out.add<std::int64_t>("idx_val", one);
  out.add<std::int64_t>("idx_test", last);
  out.commit();
  const Dataset data = io::load(folder.path());
  CHECK(data.name.starts_with("cora (gbp,"));
  CHECK(data.graph.num_edges() == 4);
  CHECK(data.roles[3] == Role::test);
  folder.write("cora.txt", "5\n0 1\n");
  refuses("FEA-03", {"has 5 nodes, the features have 4 rows"}, [&] { io::load(folder.path()); });
  folder.write("cora.txt", "nodes\n0 1\n");
  refuses("CSV-01", {"line 1: want the number of nodes"}, [&] { io::load(folder.path()); });
}

TEST_CASE("GraphSAINT's C++ files are raw arrays that dims.bin measures", "[io]") {
  const ScratchFolder folder;
  folder.write("dims.bin", test::raw<std::int32_t>({2, 5, 6, 5, 2, 1, 1, 4, 2, 4, 2}));
  folder.write("adj_train_indptr.bin", test::raw<std::int32_t>({0, 1, 2, 2, 2}));
  folder.write("adj_train_indices.bin", test::raw<std::int32_t>({1, 0}));
  folder.write("adj_full_indptr.bin", test::raw<std::int32_t>({0, 1, 3, 5, 6}));
  folder.write("adj_full_indices.bin", test::raw<std::int32_t>({1, 0, 2, 1, 3, 2}));
  folder.write("node_train.bin", test::raw<std::int32_t>({0, 1}));
  folder.write("node_test.bin", test::raw<std::int32_t>({3}));
  folder.write("node_val.bin", test::raw<std::int32_t>({2}));
  folder.write("feats_norm_col.bin", test::raw<double>({0, 1, 2, 3, 4, 5, 6, 7}));
  folder.write("labels_col.bin", test::raw<double>({1, 0, 1, 0, 0, 1, 0, 1}));
  const Dataset data = io::load(folder.path());
  CHECK(data.provenance.layout == "graphsaint-bin");
  CHECK(data.graph.num_edges() == 6);
  CHECK(data.train_graph.num_edges() == 2);
  CHECK(data.features(1, 1) == 5.0f);  // column-major
  CHECK(data.labels.classes[3] == 1);
  CHECK(data.roles[3] == Role::test);
  CHECK(data.provenance.feature_state == "standardised(in the file)");
  CHECK(io::load(folder.path(), {.multilabel = io::MultiLabel::on}).multilabel());
  folder.write("labels_col.bin", test::raw<double>({1, 1, 1, 0, 0, 1, 0, 1}));
  CHECK(io::load(folder.path()).multilabel());
  SECTION("a file of another length") {
    folder.write("node_val.bin", "");
    refuses("BIN-01", {"has 0 bytes, dims.bin says 1 elements of 4 bytes"}, [&] { io::load(folder.path()); });
  }
  SECTION("features of another length") {
    folder.write("feats_norm_col.bin", test::raw<double>({0}));
    refuses("BIN-01", {"dims.bin says 4 x 2 doubles"}, [&] { io::load(folder.path()); });
  }
  SECTION("sizes that do not fit") {
    folder.write("dims.bin", test::raw<std::int32_t>({2, 5, 6, 4, 2, 1, 1, 4, 2, 4, 2}));
    refuses("BIN-01", {"do not fit each other"}, [&] { io::load(folder.path()); });
    folder.write("dims.bin", test::raw<std::int32_t>({-2, 5, 6, 5, 2, 1, 1, 4, 2, 4, 2}));
    refuses("BIN-01", {"holds the size -2"}, [&] { io::load(folder.path()); });
  }
  SECTION("an edge to nowhere") {
    folder.write("adj_full_indices.bin", test::raw<std::int32_t>({1, 0, 2, 1, 4, 2}));
    refuses("EDG-01", {"edge 4 (row 2): neighbour 4 but N = 4"}, [&] { io::load(folder.path()); });
  }
  SECTION("row pointers that fall") {
    folder.write("adj_full_indptr.bin", test::raw<std::int32_t>({0, 3, 1, 5, 6}));
    refuses("SPM-02", {"indptr[2] = 1 is less than indptr[1] = 3"}, [&] { io::load(folder.path()); });
  }
}
