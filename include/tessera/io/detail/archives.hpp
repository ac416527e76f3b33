// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tessera/io/archives.hpp"
#include "tessera/io/dataset_name.hpp"
#include "tessera/io/edge_policy.hpp"
#include "tessera/io/finite.hpp"
#include "tessera/io/heterophilous.hpp"
#include "tessera/io/label_array.hpp"
#include "tessera/io/node_link.hpp"
#include "tessera/io/npz_stream.hpp"
#include "tessera/io/scipy_sparse.hpp"
#include "tessera/io/splits.hpp"
#include "tessera/io/text_table.hpp"
#include "tessera/io/train_graph.hpp"

namespace tessera::io {
namespace detail {

inline Limits limits_of(const ReadOptions& options) { return {.max_bytes = byte_limit(options)}; }

/// The one file of a folder whose name ends so and has a companion; empty if there is none.
inline std::filesystem::path find_pair(const std::filesystem::path& folder, std::string_view suffix,
                                       std::string_view companion_suffix) {
  std::vector<std::filesystem::path> found;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored)) {
    const std::string name = entry.path().filename().string();
    if (!name.ends_with(suffix)) continue;
    const std::string stem = name.substr(0, name.size() - suffix.size());
    if (std::filesystem::exists(folder / message(stem, companion_suffix), ignored))
      found.push_back(entry.path());
  }
  std::sort(found.begin(), found.end());
  return found.empty() ? std::filesystem::path() : found.front();
}

/// Gives the nodes of an index array their role.
inline void assign_role(Array<Role>& roles, const NpyArray& nodes, Role role) {
  constexpr std::string_view kNames[] = {"none", "train", "val", "test"};
  const auto highest = static_cast<std::int64_t>(roles.size()) - 1;
  const Array<std::int64_t> list =
      to_integers<std::int64_t>(nodes, 0, highest, [&](std::size_t, const std::string& value) {
        nodes.place().fail("SPL-01", "node ", value, " does not exist; there are ", grouped(roles.size()),
                           " nodes");
      });
  for (const std::int64_t i : list) {
    Role& now = roles[static_cast<std::size_t>(i)];
    if (now != Role::none && now != role) {
      nodes.place().fail("SPL-01", "node ", i, " is in both ", kNames[static_cast<std::size_t>(now)], " and ",
                         kNames[static_cast<std::size_t>(role)]);
    }
    now = role;
  }
}

inline void require_rows(std::size_t rows, std::size_t nodes, const Place& place) {
  if (rows != nodes) {
    place.fail("FEA-03", "the features have ", grouped(rows), " rows, the graph has ", grouped(nodes),
               " nodes");
  }
}

/// Indicators of a part's labels go to their rows.
inline void copy_rows(MatrixView<const float> from, MatrixView<float> to, std::size_t first) {
  for (std::size_t i = 0; i < from.rows(); ++i) {
    std::copy(from.row(i).begin(), from.row(i).end(), to.row(first + i).begin());
  }
}

}  // namespace detail

TESSERA_DEFINE Dataset read_dgl_reddit(const std::filesystem::path& path, const ReadOptions& options) {
  using namespace detail;
  std::error_code ignored;
  const std::filesystem::path loops = path / "reddit_self_loop_graph.npz";
  const bool plain = std::filesystem::exists(path / "reddit_graph.npz", ignored);
  const NpzFile graph(plain || !std::filesystem::exists(loops, ignored) ? path / "reddit_graph.npz" : loops,
                      limits_of(options));
  const NpzFile data(path / "reddit_data.npz", limits_of(options));
  Dataset out;
  out.name = "reddit";
  out.provenance.layout = "dgl-reddit";
  std::vector<std::string>& warnings = out.provenance.warnings;
  data.require({"feature", "label", "node_types"});
  out.features = stream_matrix(data, "feature", options.nan, &warnings);
  const std::size_t nodes = out.features.rows();
  {
    SparseMatrix matrix = read_scipy_sparse(graph, "", true, warnings);
    require_rows(nodes, matrix.rows, data.place());
    to_pattern(matrix, graph.place(), warnings);
    out.graph = build_graph(nodes, {matrix.row, matrix.col, {}}, Stored::both, options, graph.place(),
                            out.provenance);
  }
  out.provenance.feature_state = "standardised(in the file)";
  out.labels = read_label_array(data.read("label"), nodes, options, warnings);
  const NpyArray types = data.read("node_types");
  if (types.size() != nodes) {
    types.place().fail("SPL-01", "holds ", grouped(types.size()), " entries, the graph has ", grouped(nodes),
                       " nodes");
  }
  const Array<std::int32_t> codes =
      to_integers<std::int32_t>(types, 1, 3, [&](std::size_t i, const std::string& value) {
        types.place().fail("SPL-01", "node ", grouped(i), " has the type ", value,
                           ", want 1 (train), 2 (val) or 3 (test)");
      });
  out.roles.resize(nodes);
  for (std::size_t i = 0; i < nodes; ++i) out.roles[i] = static_cast<Role>(codes[i]);
  check_split(out, data.place(), warnings);
  return out;
}

namespace detail {

inline constexpr std::string_view kPpiParts[] = {"train", "valid", "test"};

/// Rows of the links of one part, counted from `first`.
inline void append_ppi_links(const NodeLinkGraph& file, const Place& place, std::size_t rows,
                             std::size_t first, LinkEndpoints wanted, Array<NodeId>& source,
                             Array<NodeId>& target) {
  const LinkEndpoints meaning = endpoint_meaning(file, wanted, place);
  const auto id_of = [&](std::uint32_t position, std::size_t link) -> std::uint64_t {
    if (position >= file.num_nodes())
      place.fail("EDG-01", "link ", grouped(link), ": there is no node ", position);
    const std::string id = std::string(file.node_id(position)) + '\n';
    std::uint64_t value = 0;
    if (scan_unsigned(id.c_str(), value) == nullptr) place.fail("IDM-02", "node ids are not numbers");
    return value;
  };
  for (std::size_t e = 0; e < file.num_links(); ++e) {
    if (file.endpoints_are_names) place.fail("IDM-02", "node ids are not numbers");
    for (const auto& [end, ends] : {std::pair{file.source[e], &source}, std::pair{file.target[e], &target}}) {
      const std::uint64_t row = meaning == LinkEndpoints::position ? id_of(end, e) : end;
      if (row >= rows)
        place.fail("EDG-01", "link ", grouped(e), ": node ", row, " but there are ", grouped(rows),
                   " rows of features");
      ends->push_back(static_cast<NodeId>(first + row));
    }
  }
}

}  // namespace detail

TESSERA_DEFINE Array<std::int32_t> read_dgl_ppi_graph_ids(const std::filesystem::path& path) {
  Array<std::int32_t> out;
  for (const std::string_view part : detail::kPpiParts) {
    for (const std::int32_t id : to_integers<std::int32_t>(read_npy(path / message(part, "_graph_id.npy")))) {
      out.push_back(id);
    }
  }
  return out;
}

TESSERA_DEFINE Dataset read_dgl_ppi(const std::filesystem::path& path, const ReadOptions& options) {
  using namespace detail;
  const Limits limits = limits_of(options);
  Dataset out;
  out.name = "ppi";
  out.provenance.layout = "dgl-ppi";
  std::vector<std::string>& warnings = out.provenance.warnings;
  Tensor<float> features[3];
  Tensor<float> labels[3];
  Array<NodeId> source;
  Array<NodeId> target;
  std::size_t nodes = 0;
  for (std::size_t s = 0; s < 3; ++s) {
    const std::string part(kPpiParts[s]);
    const std::filesystem::path feats = path / (part + "_feats.npy");
    const NpyArray x = read_npy(feats, limits, &warnings);
    const NpyArray y = read_npy(path / (part + "_labels.npy"), limits, &warnings);
    features[s] = to_matrix(x, options.nan, &warnings, limits);
    labels[s] = to_matrix(y, NanPolicy::error, nullptr, limits);
    const std::size_t rows = features[s].rows();
    if (labels[s].rows() != rows) {
      y.place().fail("LBL-01", "labels have ", grouped(labels[s].rows()), " rows, features have ",
                     grouped(rows));
    }
    if (features[s].cols() != features[0].cols())
      x.place().fail("NPY-07", "has ", features[s].cols(), " columns, other parts have ", features[0].cols());
    if (labels[s].cols() != labels[0].cols())
      y.place().fail("LBL-02", "has ", labels[s].cols(), " columns, other parts have ", labels[0].cols());
    const std::filesystem::path file = path / (part + "_graph.json");
    append_ppi_links(read_node_link(file), Place(file), rows, nodes, options.link_endpoints, source, target);
    nodes += rows;
    out.roles.resize(nodes);
    std::fill(out.roles.begin() + (nodes - rows), out.roles.end(), static_cast<Role>(s + 1));
  }
  const Place place(path);
  if (nodes >= kNoNode) place.fail("EDG-03", grouped(nodes), " nodes do not fit 32-bit node numbers");
  out.features.resize(nodes, features[0].cols());
  Tensor<float> indicators(nodes, labels[0].cols());
  for (std::size_t s = 0, first = 0; s < 3; first += features[s].rows(), ++s) {
    copy_rows(features[s].view(), out.features.view(), first);
    copy_rows(labels[s].view(), indicators.view(), first);
  }
  out.labels = indicator_labels(std::move(indicators), place, options);
  const Array<std::int32_t> graph_id = read_dgl_ppi_graph_ids(path);
  if (graph_id.size() != nodes) {
    place.fail("LBL-01", "the graph_id files have ", grouped(graph_id.size()), " entries, there are ",
               grouped(nodes), " nodes");
  }
  for (std::size_t e = 0; e < source.size(); ++e) {
    if (graph_id[source[e]] != graph_id[target[e]]) {
      place.fail("EDG-06", "an edge joins node ", source[e], " of graph ", graph_id[source[e]], " to node ",
                 target[e], " of graph ", graph_id[target[e]]);
    }
  }
  out.graph = build_graph(nodes, {source, target, {}}, Stored::both, options, place, out.provenance);
  out.train_graph = edges_among_training_nodes(out.graph, out.roles);
  check_split(out, place, warnings);
  return out;
}

TESSERA_DEFINE Dataset read_fastgcn(const std::filesystem::path& path, const ReadOptions& options) {
  using namespace detail;
  const std::filesystem::path adjacency = find_pair(path, "_adj.npz", ".npz");
  if (adjacency.empty()) Place(path).fail("GEN-01", "the folder has no pair <name>.npz and <name>_adj.npz");
  std::string name = adjacency.filename().string();
  name.resize(name.size() - std::string_view("_adj.npz").size());
  const NpzFile graph(adjacency, limits_of(options));
  const NpzFile data(path / (name + ".npz"), limits_of(options));
  data.require({"feats", "train_index", "val_index", "test_index", "y_train", "y_val", "y_test"});
  Dataset out;
  out.name = name;
  out.provenance.layout = "fastgcn";
  std::vector<std::string>& warnings = out.provenance.warnings;
  out.features = stream_matrix(data, "feats", options.nan, &warnings);
  const std::size_t nodes = out.features.rows();
  {
    SparseMatrix matrix = read_scipy_sparse(graph, "", true, warnings);
    require_rows(nodes, matrix.rows, data.place());
    to_pattern(matrix, graph.place(), warnings);
    out.graph = build_graph(nodes, {matrix.row, matrix.col, {}}, Stored::once, options, graph.place(),
                            out.provenance);
  }
  warnings.push_back(
      data.place().warning("FEA-04", "columns 0 and 1 hold logarithms of the published features"));
  out.roles.assign(nodes, Role::none);
  out.labels.classes.assign(nodes, kUnlabelled);
  constexpr std::string_view kIndex[] = {"", "train_index", "val_index", "test_index"};
  constexpr std::string_view kClasses[] = {"", "y_train", "y_val", "y_test"};
  for (std::size_t r = 1; r < 4; ++r) {
    const NpyArray index = data.read(kIndex[r]);
    assign_role(out.roles, index, static_cast<Role>(r));
    const NpyArray y = data.read(kClasses[r]);
    if (y.size() != index.size()) {
      y.place().fail("LBL-01", "has ", grouped(y.size()), " classes, ", kIndex[r], " has ",
                     grouped(index.size()), " nodes");
    }
    const Array<std::int32_t> classes = read_classes(y);
    const Array<std::int64_t> rows = to_integers<std::int64_t>(index);
    for (std::size_t k = 0; k < rows.size(); ++k)
      out.labels.classes[static_cast<std::size_t>(rows[k])] = classes[k];
  }
  out.labels.num_classes = count_classes(out.labels.classes, data.place(), warnings);
  if (options.multilabel == MultiLabel::on) to_indicators(out.labels);
  check_split(out, data.place(), warnings);
  return out;
}

TESSERA_DEFINE Dataset read_amazon2m(const std::filesystem::path& path, const ReadOptions& options) {
  using namespace detail;
  const NpzFile npz(path / "graph.npz", limits_of(options));
  npz.require({"y", "train_map", "edge"});
  Dataset out;
  out.name = dataset_name(path);
  out.provenance.layout = "amazon2m-npz";
  std::vector<std::string>& warnings = out.provenance.warnings;
  const NpyArray y = npz.read("y");
  y.require_rank(1, "(N,)");
  const std::size_t nodes = y.size();
  if (nodes >= kNoNode) npz.place().fail("EDG-03", grouped(nodes), " nodes do not fit 32-bit node numbers");
  out.labels = read_label_array(y, nodes, options, warnings);
  const NpyArray map = npz.read("train_map");
  if (map.size() != nodes)
    map.place().fail("SPL-01", "holds ", grouped(map.size()), " entries, there are ", grouped(nodes),
                     " nodes");
  const Array<std::uint8_t> train =
      to_integers<std::uint8_t>(map, 0, 1, [&](std::size_t i, const std::string& value) {
        map.place().fail("SPL-01", "node ", grouped(i), " has the value ", value, ", want 0 or 1");
      });
  out.roles.resize(nodes);
  for (std::size_t i = 0; i < nodes; ++i) out.roles[i] = train[i] != 0 ? Role::train : Role::test;
  {
    const auto [source, target] = read_edge_pairs(npz.read("edge"), nodes);
    out.graph = build_graph(nodes, {source, target, {}}, Stored::once, options, npz.place(), out.provenance);
  }
  std::error_code ignored;
  const std::filesystem::path feats = path / "feats.npy";
  if (std::filesystem::exists(feats, ignored)) {
    const NpyArray x = read_npy(feats, limits_of(options), &warnings);
    out.features = to_matrix(x, options.nan, &warnings, limits_of(options));
    require_rows(out.features.rows(), nodes, x.place());
  } else {
    out.features = Tensor<float>(nodes, 0);
    warnings.push_back(npz.place().warning("FEA-03", "there is no feats.npy beside it, so no features"));
  }
  check_split(out, npz.place(), warnings);
  return out;
}

TESSERA_DEFINE Dataset read_gbp(const std::filesystem::path& path, const ReadOptions& options) {
  using namespace detail;
  const std::filesystem::path label_file = find_pair(path, "_labels.npz", "_feat.npy");
  if (label_file.empty())
    Place(path).fail("GEN-01", "the folder has no pair <name>_feat.npy and <name>_labels.npz");
  std::string name = label_file.filename().string();
  name.resize(name.size() - std::string_view("_labels.npz").size());
  Dataset out;
  out.name = name;
  out.provenance.layout = "gbp";
  std::vector<std::string>& warnings = out.provenance.warnings;
  const NpyArray x = read_npy(path / (name + "_feat.npy"), limits_of(options), &warnings);
  out.features = to_matrix(x, options.nan, &warnings, limits_of(options));
  const std::size_t nodes = out.features.rows();
  const std::filesystem::path graph_file = require_text(path, name + ".txt");
  std::uint64_t declared = 0;
  {
    TextBlocks head{graph_file};
    const std::optional<TextBlock> block = head.next();
    const char* p = block ? scan_unsigned(skip_blanks(block->text.data()), declared) : nullptr;
    if (p == nullptr || end_line(p) == nullptr) head.at_line(1).fail("CSV-01", "want the number of nodes");
  }
  if (declared != nodes)
    Place(graph_file)
        .fail("FEA-03", "has ", grouped(declared), " nodes, the features have ", grouped(nodes), " rows");
  TextBlocks text{graph_file};
  const IdPairs pairs = read_id_pairs(
      text, nodes, 0, {}, {.separator = ' ', .skip_lines = 1, .empty_is_nan = false}, limits_of(options));
  out.graph = build_graph(nodes, {pairs.source, pairs.target, {}}, Stored::both, options, text.place(),
                          out.provenance);
  const NpzFile labels(label_file, limits_of(options));
  labels.require({"labels", "idx_train", "idx_val", "idx_test"});
  out.labels = read_label_array(labels.read("labels"), nodes, options, warnings);
  out.roles.assign(nodes, Role::none);
  constexpr std::string_view kIndex[] = {"", "idx_train", "idx_val", "idx_test"};
  for (std::size_t r = 1; r < 4; ++r) assign_role(out.roles, labels.read(kIndex[r]), static_cast<Role>(r));
  check_split(out, labels.place(), warnings);
  return out;
}

}  // namespace tessera::io
