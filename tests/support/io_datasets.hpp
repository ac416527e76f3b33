// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/io_archives.hpp"
#include "support/io_pickle_writer.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/io/detect.hpp"

// Comparisons of data sets, and a small one in every layout that is read.

namespace tessera::test {

/// Whether a warning of the data has this text in it.
inline bool warns(const Dataset& data, std::string_view text) {
  const auto& all = data.provenance.warnings;
  return std::any_of(all.begin(), all.end(), [&](const auto& w) { return w.find(text) != w.npos; });
}

inline void check_same_graph(const GraphRef& a, const GraphRef& b) {
  const auto same = [](auto x, auto y) { return std::equal(x.begin(), x.end(), y.begin(), y.end()); };
  CHECK(a.symmetric == b.symmetric);
  CHECK(same(a.matrix.row_ptr, b.matrix.row_ptr));
  CHECK(same(a.matrix.col, b.matrix.col));
  CHECK(same(a.matrix.weight, b.matrix.weight));
}

inline void check_same_matrix(MatrixView<const float> a, MatrixView<const float> b) {
  REQUIRE(a.rows() == b.rows());
  REQUIRE(a.cols() == b.cols());
  std::size_t different = 0;
  for (std::size_t i = 0; i < a.rows(); ++i) {
    for (std::size_t j = 0; j < a.cols(); ++j) different += a(i, j) != b(i, j) ? 1u : 0u;
  }
  CHECK(different == 0);
}

inline void check_same_labels(const LabelsRef& a, const LabelsRef& b) {
  CHECK(a.num_classes == b.num_classes);
  CHECK(std::equal(a.classes.begin(), a.classes.end(), b.classes.begin(), b.classes.end()));
  check_same_matrix(a.indicators, b.indicators);
}

inline void check_same_roles(std::span<const Role> a, std::span<const Role> b) {
  CHECK(std::equal(a.begin(), a.end(), b.begin(), b.end()));
}

/// Graph, features, labels and roles.
inline void check_same(const DatasetView& a, const DatasetView& b) {
  check_same_graph(a.graph, b.graph);
  check_same_matrix(a.features, b.features);
  check_same_labels(a.labels, b.labels);
  check_same_roles(a.roles, b.roles);
}

namespace detail {

inline std::string i4(std::initializer_list<std::int32_t> values) {
  return npy_array("<i4", message("(", values.size(), ",)"), raw(values));
}
inline std::string i8(std::initializer_list<std::int64_t> values, std::string_view shape = {}) {
  return npy_array("<i8", shape.empty() ? message("(", values.size(), ",)") : std::string(shape),
                   raw(values));
}
inline std::string mask(std::string_view ones) {
  std::string data(ones);
  for (char& c : data) c = c == '1' ? '\1' : '\0';
  return npy_array("|b1", message("(1, ", ones.size(), ")"), data);
}
inline std::string npz(std::initializer_list<std::pair<std::string, std::string>> arrays) {
  std::vector<ZipPart> parts;
  for (const auto& [key, content] : arrays) parts.push_back({.name = key + ".npy", .content = content});
  return zip_file(parts);
}

}  // namespace detail

/// Writes the path 0 - 1 - 2 - 3 with two features per node, classes 0 1 0 1, two training nodes, one for validation
/// and one for testing, as far as the layout has room for them; returns what `load` takes.
inline std::filesystem::path write_small(const ScratchFolder& scratch, io::Layout layout) {
  using namespace detail;
  using io::Layout;
  const std::string name(io::name_of(layout));
  const auto write = [&](std::initializer_list<std::pair<std::string_view, std::string>> files) {
    for (const auto& [file, content] : files) {
      const std::filesystem::path path = scratch / message(name, "/", file);
      std::filesystem::create_directories(path.parent_path());
      scratch.write(message(name, "/", file), content);
    }
    return scratch / name;
  };
  const std::string x = npy_array("<f4", "(4, 2)", raw<float>({1, 2, 3, 4, 5, 6, 7, 8}));
  const std::string ends = i4({1, 0, 2, 1, 3, 2});
  const std::string begins = i4({0, 1, 3, 5, 6});
  const std::string shape = i8({4, 4});
  const std::string ones = npy_array("<f4", "(6,)", raw<float>({1, 1, 1, 1, 1, 1}));
  const std::string coo = npz({{"row", i4({0, 1, 1, 2, 2, 3})},
                               {"col", ends},
                               {"format", npy_array("|S3", "()", "coo")},
                               {"shape", shape},
                               {"data", ones}});
  const std::string adjacency = npz({{"indices", ends},
                                     {"indptr", begins},
                                     {"format", npy_array("|S3", "()", "csr")},
                                     {"shape", shape},
                                     {"data", ones}});
  const std::string classes = R"({"0": 0, "1": 1, "2": 0, "3": 1})";
  const std::string roles = R"({"tr": [0, 1], "va": [2], "te": [3]})";
  const std::string labels = i8({0, 1, 0, 1});
  switch (layout) {
    case Layout::graphsage:
      return write(
          {{"t-G.json",
            R"({"directed": false, "graph": {}, "multigraph": false, "nodes": [)"
            R"({"id": 0, "val": false, "test": false}, {"id": 1, "val": false, "test": false}, )"
            R"({"id": 2, "val": true, "test": false}, {"id": 3, "val": false, "test": true}], "links": [)"
            R"({"source": 0, "target": 1}, {"source": 1, "target": 2}, {"source": 2, "target": 3}]})"},
           {"t-id_map.json", R"({"0": 0, "1": 1, "2": 2, "3": 3})"},
           {"t-class_map.json", classes},
           {"t-feats.npy", x}});
    case Layout::graphsaint:
      return write(
          {{"adj_full.npz", adjacency}, {"feats.npy", x}, {"class_map.json", classes}, {"role.json", roles}});
    case Layout::planetoid: {
      for (const auto& [part, content] : toy_planetoid()) write({{message("ind.toy.", part), content}});
      return scratch / name;
    }
    case Layout::shchur:
      return write({{"a.npz", npz({{"adj_data", ones},
                                   {"adj_indices", ends},
                                   {"adj_indptr", begins},
                                   {"adj_shape", shape},
                                   {"attr_matrix", x},
                                   {"labels", labels}})},
                    {"role.json", roles}});
    case Layout::heterophilous:
      return write({{"h.npz", npz({{"edges", i8({0, 1, 1, 2, 2, 3}, "(3, 2)")},
                                   {"node_features", x},
                                   {"node_labels", labels},
                                   {"train_masks", mask("1100")},
                                   {"val_masks", mask("0010")},
                                   {"test_masks", mask("0001")}})}});
    case Layout::dgl_reddit:
      return write(
          {{"reddit_graph.npz", coo},
           {"reddit_data.npz", npz({{"feature", x}, {"label", labels}, {"node_types", i8({1, 1, 2, 3})}})}});
    case Layout::dgl_ppi:
      for (const std::string_view part : {"train", "valid", "test"}) {
        const std::int64_t graph = part == "train" ? 1 : part == "valid" ? 2 : 3;
        write(
            {{message(part, "_graph.json"),
              R"({"directed": true, "nodes": [{"id": 0}, {"id": 1}], "links": [{"source": 0, "target": 1}, )"
              R"({"source": 1, "target": 0}]})"},
             {message(part, "_feats.npy"), npy_array("<f4", "(2, 2)", raw<float>({1, 2, 3, 4}))},
             {message(part, "_labels.npy"), npy_array("<f4", "(2, 2)", raw<float>({0, 1, 1, 0}))},
             {message(part, "_graph_id.npy"), i8({graph, graph})}});
      }
      return scratch / name;
    case Layout::fastgcn:
      return write({{"r_adj.npz", coo},
                    {"r.npz", npz({{"feats", x},
                                   {"train_index", i8({0, 1})},
                                   {"val_index", i8({2})},
                                   {"test_index", i8({3})},
                                   {"y_train", i8({0, 1})},
                                   {"y_val", i8({0})},
                                   {"y_test", i8({1})}})}});
    case Layout::amazon2m_npz:
      return write({{"graph.npz", npz({{"y", i4({0, 1, 0, 1})},
                                       {"train_map", i4({1, 1, 0, 0})},
                                       {"edge", i8({0, 1, 1, 2, 2, 3}, "(3, 2)")}})},
                    {"feats.npy", x}});
    case Layout::gbp:
      return write({{"g.txt", "4\n0 1\n1 0\n1 2\n2 1\n2 3\n3 2\n"},
                    {"g_feat.npy", x},
                    {"g_labels.npz", npz({{"labels", labels},
                                          {"idx_train", i8({0, 1})},
                                          {"idx_val", i8({2})},
                                          {"idx_test", i8({3})}})}});
    case Layout::graphsaint_bin:
      return write({{"dims.bin", raw<std::int32_t>({2, 5, 6, 5, 2, 1, 1, 4, 2, 4, 2})},
                    {"adj_train_indptr.bin", raw<std::int32_t>({0, 1, 2, 2, 2})},
                    {"adj_train_indices.bin", raw<std::int32_t>({1, 0})},
                    {"adj_full_indptr.bin", raw<std::int32_t>({0, 1, 3, 5, 6})},
                    {"adj_full_indices.bin", raw<std::int32_t>({1, 0, 2, 1, 3, 2})},
                    {"node_train.bin", raw<std::int32_t>({0, 1})},
                    {"node_val.bin", raw<std::int32_t>({2})},
                    {"node_test.bin", raw<std::int32_t>({3})},
                    {"feats_norm_col.bin", raw<double>({1, 3, 5, 7, 2, 4, 6, 8})},
                    {"labels_col.bin", raw<double>({1, 0, 1, 0, 0, 1, 0, 1})}});
    case Layout::ogb:
      return write({{"raw/edge.csv", "0,1\n1,2\n2,3\n"},
                    {"raw/num-node-list.csv", "4\n"},
                    {"raw/num-edge-list.csv", "3\n"},
                    {"raw/node-feat.csv", "1,2\n3,4\n5,6\n7,8\n"},
                    {"raw/node-label.csv", "0\n1\n0\n1\n"},
                    {"split/s/train.csv", "0\n1\n"},
                    {"split/s/valid.csv", "2\n"},
                    {"split/s/test.csv", "3\n"}});
    case Layout::csv:
      return write({{"x_edges.csv", "id_1,id_2\n0,1\n1,2\n2,3\n"},
                    {"x_target.csv", "id,name,kind\n0,a,u\n1,b,v\n2,c,u\n3,d,v\n"},
                    {"x_features.json", R"({"0": [0], "1": [1], "2": [0, 1], "3": []})"}});
    case Layout::metis:
      return write({{"w.graph", "4 3\n2\n1 3\n2 4\n3\n"}}) / "w.graph";
    case Layout::matrix_market:
      return write(
                 {{"w.mtx", "%%MatrixMarket matrix coordinate pattern symmetric\n4 4 3\n2 1\n3 2\n4 3\n"}}) /
             "w.mtx";
    case Layout::dimacs:
      return write({{"w.col", "p edge 4 3\ne 1 2\ne 2 3\ne 3 4\n"}}) / "w.col";
    case Layout::edge_list:
      return write({{"w.edges", "0 1\n1 2\n2 3\n"}}) / "w.edges";
    case Layout::container:
      break;
  }
  throw ConfigError("write_small: a container is written by write_container");
}

}  // namespace tessera::test
