// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

#include "tessera/core/config.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/io/read_options.hpp"

#if !defined(TESSERA_COMPILED) || defined(TESSERA_COMPILING)
#include <algorithm>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>

#include "tessera/core/error.hpp"
#include "tessera/io/detect.hpp"
#include "tessera/io/graphsage.hpp"
#include "tessera/io/graphsaint.hpp"
#include "tessera/io/heterophilous.hpp"
#include "tessera/io/planetoid.hpp"
#include "tessera/io/shchur.hpp"
#include "tessera/io/splits.hpp"
#include "tessera/io/standardize.hpp"
#endif

namespace tessera::io {

/// Reads the data set in a folder or file, whatever its layout, and prepares its features as the options say.
///
///     const Dataset data = io::load("cora/planetoid", {.row_normalize = true});
///
/// The name says which variant it is, e.g. "reddit (graphsaint, paper graph, N=232965, M=11606919,
/// train=153932)".
/// Cost     memory the data set, and while the graph is built 24 bytes per link
/// Errors   FormatError as the readers; ConfigError for options that exclude each other or an unknown format
Dataset load(const std::filesystem::path& path, const ReadOptions& options = {});

#if !defined(TESSERA_COMPILED) || defined(TESSERA_COMPILING)
namespace detail {

inline std::size_t count_loops(const CsrGraph& graph) {
  std::size_t loops = 0;
  for (std::size_t i = 0; i < graph.num_nodes(); ++i) {
    const auto row = graph.view().neighbors(i);
    loops += std::binary_search(row.begin(), row.end(), static_cast<NodeId>(i)) ? 1u : 0u;
  }
  return loops;
}

/// Which of the stored splits was read; empty where the layout has one only.
inline std::string split_read(const Detected& found, const ReadOptions& options) {
  if (found.layout != Layout::shchur && found.layout != Layout::heterophilous) return options.split;
  if (!options.split.empty()) return options.split;
  if (found.layout == Layout::heterophilous) return "0";
  std::error_code ignored;
  const bool folder = std::filesystem::is_directory(found.path, ignored);
  const auto files = role_files(folder ? found.path : found.path.parent_path());
  return files.empty() ? "" : split_name(files.front());
}

/// The name with what tells the data set from others of that name: layout, split, undirected edges, training
/// nodes.
inline std::string variant_name(const Dataset& data, std::string_view split) {
  const CsrGraph& graph = data.graph;
  const std::size_t loops = count_loops(graph);
  const std::size_t pairs = graph.symmetric ? (graph.num_edges() - loops) / 2 + loops : graph.num_edges();
  std::string variant;
  if (data.num_nodes() == 232'965 && pairs == 11'606'919) variant = "paper graph, ";
  if (data.num_nodes() == 232'965 && pairs == 57'307'946) variant = "full graph, ";
  if (!split.empty()) variant += message("split ", split, ", ");
  return message(data.name, " (", data.provenance.layout, ", ", variant, "N=", data.num_nodes(),
                 graph.symmetric ? ", M=" : ", directed E=", pairs,
                 ", train=", data.nodes(Role::train).size(), ")");
}

inline Dataset read_layout(const Detected& found, const ReadOptions& options) {
  switch (found.layout) {
    case Layout::graphsage:
      return read_graphsage(found.path, options);
    case Layout::graphsaint:
      return read_graphsaint(found.path, options);
    case Layout::planetoid:
      return read_planetoid(found.path, options);
    case Layout::shchur:
      return read_shchur(found.path, options);
    case Layout::heterophilous:
      return read_heterophilous(found.path, options);
  }
  throw ConfigError("load: the layout is none of its enumerators");
}

}  // namespace detail

TESSERA_DEFINE Dataset load(const std::filesystem::path& path, const ReadOptions& options) {
  if (options.row_normalize && options.standardise != Standardise::none) {
    throw ConfigError(
        "load: row_normalize and standardise are both set; features are transformed once, choose one");
  }
  const Detected found = options.format.empty() ? detect(path) : Detected{layout_named(options.format), path};
  ReadOptions listed = options;
  listed.node_set =
      NodeSet::listed;  // the scaler is fitted on listed nodes only, also for Cluster-GCN's node set
  Dataset data = detail::read_layout(found, listed);
  if (options.row_normalize) normalize_rows(data);
  if (options.standardise == Standardise::train) standardize(data);
  if (options.node_set == NodeSet::cluster_gcn && found.layout == Layout::graphsage) {
    for (Role& role : data.roles) role = role == Role::none ? Role::train : role;  // these have no edges
  }
  data.name = detail::variant_name(data, detail::split_read(found, options));
  return data;
}
#endif

}  // namespace tessera::io
