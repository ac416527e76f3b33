// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/io/archives.hpp"
#include "tessera/io/csv_folder.hpp"
#include "tessera/io/detail/bare_graph.hpp"
#include "tessera/io/detail/ogb_files.hpp"
#include "tessera/io/detect.hpp"
#include "tessera/io/dimacs.hpp"
#include "tessera/io/edge_list.hpp"
#include "tessera/io/graphsage.hpp"
#include "tessera/io/graphsaint.hpp"
#include "tessera/io/heterophilous.hpp"
#include "tessera/io/load.hpp"
#include "tessera/io/mapped_dataset.hpp"
#include "tessera/io/matrix_market.hpp"
#include "tessera/io/metis.hpp"
#include "tessera/io/ogb.hpp"
#include "tessera/io/planetoid.hpp"
#include "tessera/io/shchur.hpp"
#include "tessera/io/splits.hpp"
#include "tessera/io/standardize.hpp"

namespace tessera::io {
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
  const bool among_several = found.layout == Layout::shchur || found.layout == Layout::heterophilous ||
                             found.layout == Layout::ogb || found.layout == Layout::csv;
  if (!among_several || !options.split.empty()) return options.split;
  if (found.layout == Layout::ogb) return ogb_split(ogb_root(found.path), "").filename().string();
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

/// A METIS file as a data set: its vertex weights and sizes are left out.
inline Dataset read_metis_dataset(const std::filesystem::path& path, const ReadOptions& options) {
  MetisGraph metis = read_metis(path, options);
  Dataset out = bare_dataset(graph_file_name(path), "metis", metis.graph.num_nodes());
  out.provenance.edge_policy = message("as stored, E = ", metis.graph.num_edges());
  out.provenance.warnings = std::move(metis.warnings);
  if (metis.num_weights > 0) {
    out.provenance.warnings.push_back(Place(path).warning("MET-03", "vertex weights are left out"));
  }
  out.graph = std::move(metis.graph);
  return out;
}

/// A container in memory, its edges as the options want them.
inline Dataset read_container_dataset(const std::filesystem::path& path, const ReadOptions& options) {
  Dataset out = read_container(path, {.split = container_split(options.split)});
  if (!must_rebuild(out.graph, options.symmetrise, path)) return out;
  out.graph = symmetrized(out.graph, Place(path), out.provenance);
  if (out.train_graph.num_nodes() != 0) {
    Provenance ignored;
    out.train_graph = symmetrized(out.train_graph, Place(path), ignored);
  }
  return out;
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
    case Layout::dgl_reddit:
      return read_dgl_reddit(found.path, options);
    case Layout::dgl_ppi:
      return read_dgl_ppi(found.path, options);
    case Layout::fastgcn:
      return read_fastgcn(found.path, options);
    case Layout::amazon2m_npz:
      return read_amazon2m(found.path, options);
    case Layout::gbp:
      return read_gbp(found.path, options);
    case Layout::graphsaint_bin:
      return read_saint_binary(found.path, options);
    case Layout::ogb:
      return read_ogb(found.path, options);
    case Layout::csv:
      return read_csv_folder(found.path, options);
    case Layout::metis:
      return read_metis_dataset(found.path, options);
    case Layout::matrix_market:
      return read_matrix_market(found.path, options);
    case Layout::dimacs:
      return read_dimacs(found.path, options);
    case Layout::edge_list:
      return read_edge_list(found.path, options).data;
    case Layout::container:
      return read_container_dataset(found.path, options);
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
  // A container keeps the name it was converted under, which says the variant already.
  if (found.layout != Layout::container)
    data.name = detail::variant_name(data, detail::split_read(found, options));
  return data;
}

}  // namespace tessera::io
