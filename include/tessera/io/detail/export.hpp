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
#include "tessera/graph/transpose.hpp"
#include "tessera/io/atomic_file.hpp"
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

/// Calls body(source, target) for every edge, each undirected edge of a symmetric graph once (the smaller end first).
template <class F>
void for_each_link(const CsrGraph& graph, F&& body) {
  const CsrView<> view = graph.view();
  for (std::size_t i = 0; i < view.num_rows; ++i) {
    for (const NodeId j : view.neighbors(i)) {
      if (!graph.symmetric) {
        body(j, static_cast<NodeId>(i));
      } else if (j >= i) {
        body(static_cast<NodeId>(i), j);
      }
    }
  }
}

/// The object from row number to class, or to a list of zeros and ones.
inline void write_class_map(const std::filesystem::path& path, const Dataset& data) {
  AtomicFile file(path);
  std::string text = "{";
  for (std::size_t i = 0; i < data.num_nodes(); ++i) {
    text += message(i == 0 ? "" : ", ", "\"", i, "\": ");
    if (data.multilabel()) {
      const auto row = data.labels.indicators.row(i);
      for (std::size_t c = 0; c < row.size(); ++c)
        text += message(c == 0 ? "[" : ", ", row[c] != 0.0f ? "1" : "0");
      text += "]";
    } else {
      text += message(data.labels.classes[i]);
    }
    if (text.size() > (1 << 16)) {
      file.write(text);
      text.clear();
    }
  }
  file.write(text + "}");
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

}  // namespace detail

TESSERA_DEFINE void write_graphsaint(const std::filesystem::path& folder, const Dataset& data) {
  detail::require_unweighted(data.graph.view(), "write_graphsaint");
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
  const std::size_t without = data.nodes(Role::none).size();
  if (without != 0 && unassigned == Role::none) {
    throw ConfigError(
        message("write_graphsage: ", without,
                " nodes have no role, which GraphSAGE files cannot say; name the role they shall get"));
  }
  detail::make_folder(folder);
  const auto path = [&](std::string_view suffix) { return folder / message(prefix, suffix); };
  AtomicFile graph(path("-G.json"));
  AtomicFile ids(path("-id_map.json"));
  graph.write(message("{\"directed\": ", !data.graph.symmetric,
                      ", \"multigraph\": false, \"graph\": {}, \"nodes\": ["));
  ids.write("{");
  for (std::size_t i = 0; i < data.num_nodes(); ++i) {
    const Role role = data.roles[i] == Role::none ? unassigned : data.roles[i];
    const std::string_view comma = i == 0 ? "" : ", ";
    graph.write(message(comma, "{\"id\": ", i, ", \"val\": ", role == Role::val,
                        ", \"test\": ", role == Role::test, "}"));
    ids.write(message(comma, "\"", i, "\": ", i));
  }
  ids.write("}");
  ids.commit();
  graph.write("], \"links\": [");
  std::string text;
  bool first = true;
  detail::for_each_link(data.graph, [&](NodeId source, NodeId target) {
    text += first ? "{\"source\": " : ", {\"source\": ";
    tessera::detail::append(text, source);
    text += ", \"target\": ";
    tessera::detail::append(text, target);
    text += "}";
    first = false;
    if (text.size() > (1 << 16)) {
      graph.write(text);
      text.clear();
    }
  });
  graph.write(text + "]}");
  graph.commit();
  detail::write_class_map(path("-class_map.json"), data);
  write_npy<float>(path("-feats.npy"), data.features.view());
}

TESSERA_DEFINE void write_ogb(const std::filesystem::path& folder, const Dataset& data,
                              std::string_view scheme) {
  detail::require_unweighted(data.graph.view(), "write_ogb");
  const std::filesystem::path raw = folder / "raw";
  const std::filesystem::path split = folder / "split" / std::string(scheme);
  detail::make_folder(raw);
  detail::make_folder(split);
  const auto write_number = [](const std::filesystem::path& path, std::size_t number) {
    TextFile file(path);
    file.text() += message(number, "\n");
    file.commit();
  };
  std::size_t links = 0;
  {
    TextFile file(raw / "edge.csv");
    detail::for_each_link(data.graph, [&](NodeId source, NodeId target) {
      tessera::detail::append(file.text(), source);
      file.text().push_back(',');
      tessera::detail::append(file.text(), target);
      file.text().push_back('\n');
      file.pass();
      ++links;
    });
    file.commit();
  }
  write_number(raw / "num-node-list.csv", data.num_nodes());
  write_number(raw / "num-edge-list.csv", links);
  const auto write_table = [](const std::filesystem::path& path, MatrixView<const float> values) {
    TextFile file(path);
    for (std::size_t i = 0; i < values.rows(); ++i) {
      for (std::size_t j = 0; j < values.cols(); ++j) {
        if (j != 0) file.text().push_back(',');
        tessera::detail::append(file.text(), values(i, j));
      }
      file.text().push_back('\n');
      file.pass();
    }
    file.commit();
  };
  if (data.num_features() != 0) write_table(raw / "node-feat.csv", data.features.view());
  if (data.multilabel()) {
    write_table(raw / "node-label.csv", data.labels.indicators.view());
  } else {
    TextFile file(raw / "node-label.csv");
    for (const std::int32_t label : data.labels.classes) {
      file.text() += label == kUnlabelled ? std::string("nan\n") : message(label, "\n");
      file.pass();
    }
    file.commit();
  }
  constexpr std::string_view kSets[] = {"", "train.csv", "valid.csv", "test.csv"};
  for (std::size_t r = 1; r < 4; ++r) {
    TextFile file(split / std::string(kSets[r]));
    for (const NodeId i : data.nodes(static_cast<Role>(r))) {
      file.text() += message(i, "\n");
      file.pass();
    }
    file.commit();
  }
}

}  // namespace tessera::io
