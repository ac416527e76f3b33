// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <system_error>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/transpose.hpp"
#include "tessera/io/atomic_file.hpp"
#include "tessera/io/detail/pieces.hpp"
#include "tessera/io/export.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/gzip_write.hpp"
#include "tessera/io/npy_write.hpp"
#include "tessera/io/npz_write.hpp"
#include "tessera/io/train_graph.hpp"

namespace tessera::io {
namespace detail {

inline void make_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) fail_system(folder, "create", error.value());
}

inline void require_unweighted(CsrView<> graph, std::string_view writer) {
  for (const float w : graph.weight) {
    if (w != 1.0f) {
      throw ConfigError(message(writer, ": an edge weighs ", w, ", and the layout has no edge weights"));
    }
  }
}

/// Layouts of node tasks have no word for a graph without any label; their readers refuse it.
inline void require_labels(const Dataset& data, std::string_view writer) {
  const auto& classes = data.labels.classes;
  const bool none = std::all_of(classes.begin(), classes.end(), [](std::int32_t y) { return y < 0; });
  if (none && !data.multilabel()) {
    throw ConfigError(
        message(writer, ": no node has a label; write a graph alone as metis or as a container"));
  }
}

/// Calls body(source, target) for the edges that are written with row i: of a symmetric graph each undirected edge
/// once, with its smaller end.
template <class F>
void for_each_link_of(const CsrGraph& graph, std::size_t i, F&& body) {
  const CsrView<> view = graph.view();
  for (const NodeId j : view.neighbors(i)) {
    if (!graph.symmetric) {
      body(j, static_cast<NodeId>(i));
    } else if (j >= i) {
      body(static_cast<NodeId>(i), j);
    }
  }
}

inline std::size_t count_links(const CsrGraph& graph) {
  return parallel_sum<std::size_t>(graph.num_nodes(), 4096, [&](std::size_t i, std::size_t end) {
    std::size_t count = 0;
    for (; i < end; ++i) for_each_link_of(graph, i, [&](NodeId, NodeId) { ++count; });
    return count;
  });
}

constexpr std::size_t kNodesPerPiece = 2048;       // rows of a graph, with their links
constexpr std::size_t kNumbersPerPiece = 1 << 16;  // numbers of a table, or lines

/// The object from row number to class, or to a list of zeros and ones.
inline void write_class_map(const std::filesystem::path& path, const Dataset& data) {
  AtomicFile file(path);
  file.write("{");
  const auto format = [&](std::size_t i, std::string& text) {
    text += message(i == 0 ? "" : ", ", "\"", i, "\": ");
    if (!data.multilabel()) {
      tessera::detail::append(text, data.labels.classes[i]);
      return;
    }
    const auto row = data.labels.indicators.row(i);
    for (std::size_t c = 0; c < row.size(); ++c) {
      text += c == 0 ? "[" : ", ";
      text.push_back(row[c] != 0.0f ? '1' : '0');
    }
    text += "]";
  };
  rows_in_order(data.num_nodes(), kNodesPerPiece, format, [&](const std::string& text) { file.write(text); });
  file.write("}");
  file.commit();
}

/// A pattern in csr as SciPy writes it, row i listing the targets of i.
inline void write_scipy_pattern(const std::filesystem::path& path, const CsrGraph& graph) {
  CsrGraph turned;
  if (!graph.symmetric) turned = transpose(graph.view()).graph;
  const CsrView<> rows = graph.symmetric ? graph.view() : turned.view();
  const std::int64_t shape[] = {static_cast<std::int64_t>(rows.num_rows),
                                static_cast<std::int64_t>(rows.num_cols)};
  NpzWriter out(path);
  constexpr std::size_t kMost32 = std::numeric_limits<std::int32_t>::max();
  const auto add_indices = [&]<class T>(T) {
    Array<T> indices(rows.num_edges());
    for (std::size_t e = 0; e < indices.size(); ++e) indices[e] = static_cast<T>(rows.col[e]);
    out.add<T>("indices", indices.span());
    Array<T> indptr(rows.num_rows + 1);
    for (std::size_t i = 0; i < indptr.size(); ++i) indptr[i] = static_cast<T>(rows.row_ptr[i]);
    out.add<T>("indptr", indptr.span());
  };
  if (std::max(rows.num_edges(), rows.num_rows) <= kMost32) {
    add_indices(std::int32_t{});
  } else {
    add_indices(std::int64_t{});
  }
  out.add_text("format", "csr");
  out.add<std::int64_t>("shape", shape);
  const Array<bool> ones(rows.num_edges(), true);
  out.add<bool>("data", ones.span());
  out.commit();
}

inline void write_roles(const std::filesystem::path& path, const Dataset& data) {
  std::string text = "{";
  constexpr std::string_view kKeys[] = {"", "tr", "va", "te"};
  for (std::size_t r = 1; r < 4; ++r) {
    text += message(r == 1 ? "" : ", ", "\"", kKeys[r], "\": [");
    bool first = true;
    for (const NodeId i : data.nodes(static_cast<Role>(r))) {
      text += message(first ? "" : ", ", i);
      first = false;
    }
    text += "]";
  }
  write_file(path, text + "}");
}

/// <p>-G.json as networkx writes it.
inline void write_node_link(const std::filesystem::path& path, const Dataset& data, Role unassigned) {
  AtomicFile file(path);
  file.write(message("{\"directed\": ", !data.graph.symmetric,
                     ", \"multigraph\": false, \"graph\": {}, \"nodes\": ["));
  const auto write_text = [&](const std::string& text) { file.write(text); };
  const auto node = [&](std::size_t i, std::string& text) {
    const Role role = data.roles[i] == Role::none ? unassigned : data.roles[i];
    text += message(i == 0 ? "" : ", ", "{\"id\": ", i, ", \"val\": ", role == Role::val,
                    ", \"test\": ", role == Role::test, "}");
  };
  rows_in_order(data.num_nodes(), kNumbersPerPiece, node, write_text);
  file.write("], \"links\": [");
  const auto links = [&](std::size_t i, std::string& text) {
    for_each_link_of(data.graph, i, [&](NodeId source, NodeId target) {
      text += ", {\"source\": ";
      tessera::detail::append(text, source);
      text += ", \"target\": ";
      tessera::detail::append(text, target);
      text += "}";
    });
  };
  bool first = true;
  rows_in_order(data.num_nodes(), kNodesPerPiece, links, [&](std::string_view text) {
    if (first && !text.empty()) {
      text.remove_prefix(2);  // the comma before the first link
      first = false;
    }
    file.write(text);
  });
  file.write("]}");
  file.commit();
}

}  // namespace detail

TESSERA_DEFINE void write_graphsaint(const std::filesystem::path& folder, const Dataset& data) {
  detail::require_unweighted(data.graph.view(), "write_graphsaint");
  detail::require_labels(data, "write_graphsaint");
  detail::make_folder(folder);
  detail::write_scipy_pattern(folder / "adj_full.npz", data.graph);
  if (data.train_graph.num_nodes() == data.num_nodes() && data.num_nodes() != 0) {
    detail::write_scipy_pattern(folder / "adj_train.npz", data.train_graph);
  } else {
    detail::write_scipy_pattern(folder / "adj_train.npz", edges_among_training_nodes(data.graph, data.roles));
  }
  write_npy<float>(folder / "feats.npy", data.features.view());
  detail::write_class_map(folder / "class_map.json", data);
  detail::write_roles(folder / "role.json", data);
}

TESSERA_DEFINE void write_graphsage(const std::filesystem::path& folder, std::string_view prefix,
                                    const Dataset& data, Role unassigned) {
  detail::require_unweighted(data.graph.view(), "write_graphsage");
  detail::require_labels(data, "write_graphsage");
  const std::size_t without = data.nodes(Role::none).size();
  if (without != 0 && unassigned == Role::none) {
    throw ConfigError(
        message("write_graphsage: ", without,
                " nodes have no role, which GraphSAGE files cannot say; name the role they shall get"));
  }
  detail::make_folder(folder);
  const auto path = [&](std::string_view suffix) { return folder / message(prefix, suffix); };
  detail::write_node_link(path("-G.json"), data, unassigned);
  AtomicFile ids(path("-id_map.json"));
  ids.write("{");
  detail::rows_in_order(
      data.num_nodes(), detail::kNumbersPerPiece,
      [](std::size_t i, std::string& text) { text += message(i == 0 ? "\"" : ", \"", i, "\": ", i); },
      [&](const std::string& text) { ids.write(text); });
  ids.write("}");
  ids.commit();
  detail::write_class_map(path("-class_map.json"), data);
  write_npy<float>(path("-feats.npy"), data.features.view());
}

TESSERA_DEFINE void write_ogb(const std::filesystem::path& folder, const Dataset& data,
                              std::string_view scheme) {
  detail::require_unweighted(data.graph.view(), "write_ogb");
  detail::require_labels(data, "write_ogb");
  const std::filesystem::path raw = folder / "raw";
  const std::filesystem::path split = folder / "split" / std::string(scheme);
  detail::make_folder(raw);
  detail::make_folder(split);
  const auto write_lines = [](const std::filesystem::path& path, std::size_t lines, auto&& value) {
    TextFile file(path);
    file.rows(lines, detail::kNumbersPerPiece, [&](std::size_t i, std::string& text) {
      tessera::detail::append(text, value(i));
      text.push_back('\n');
    });
    file.commit();
  };
  const auto write_table = [](const std::filesystem::path& path, MatrixView<const float> values) {
    TextFile file(path);
    const std::size_t lines = std::max<std::size_t>(1, detail::kNumbersPerPiece / values.cols());
    file.rows(values.rows(), lines, [&](std::size_t i, std::string& text) {
      for (const float v : values.row(i)) {
        tessera::detail::append(text, v);
        text.push_back(',');
      }
      text.back() = '\n';
    });
    file.commit();
  };
  TextFile edges(raw / "edge.csv");
  edges.rows(data.num_nodes(), detail::kNodesPerPiece, [&](std::size_t i, std::string& text) {
    detail::for_each_link_of(data.graph, i, [&](NodeId source, NodeId target) {
      tessera::detail::append(text, source);
      text.push_back(',');
      tessera::detail::append(text, target);
      text.push_back('\n');
    });
  });
  edges.commit();
  write_lines(raw / "num-node-list.csv", 1, [&](std::size_t) { return data.num_nodes(); });
  write_lines(raw / "num-edge-list.csv", 1, [&](std::size_t) { return detail::count_links(data.graph); });
  if (data.num_features() != 0) write_table(raw / "node-feat.csv", data.features.view());
  if (data.multilabel()) {
    write_table(raw / "node-label.csv", data.labels.indicators.view());
  } else {
    write_lines(raw / "node-label.csv", data.num_nodes(), [&](std::size_t i) {
      const std::int32_t label = data.labels.classes[i];
      return label == kUnlabelled ? std::string("nan") : message(label);
    });
  }
  constexpr std::string_view kSets[] = {"", "train.csv", "valid.csv", "test.csv"};
  for (std::size_t r = 1; r < 4; ++r) {
    const Array<NodeId> nodes = data.nodes(static_cast<Role>(r));
    write_lines(split / std::string(kSets[r]), nodes.size(), [&](std::size_t i) { return nodes[i]; });
  }
}

}  // namespace tessera::io
