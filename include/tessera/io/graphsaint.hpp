// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "tessera/graph/dataset.hpp"
#include "tessera/io/class_map.hpp"
#include "tessera/io/dataset_name.hpp"
#include "tessera/io/edge_policy.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/id_map.hpp"
#include "tessera/io/npy_convert.hpp"
#include "tessera/io/npz.hpp"
#include "tessera/io/read_options.hpp"
#include "tessera/io/scipy_sparse.hpp"
#include "tessera/io/splits.hpp"
#include "tessera/io/train_graph.hpp"

namespace tessera::io {

namespace detail {

/// Reads adj_full.npz or adj_train.npz, both directions of every edge, as a graph without weights.
inline CsrGraph read_saint_adjacency(const std::filesystem::path& path, std::size_t num_nodes,
                                     const ReadOptions& options, Provenance& provenance) {
  const NpzFile npz(path, {.max_bytes = byte_limit(options)});
  SparseMatrix matrix = read_scipy_sparse(npz, "", true, provenance.warnings);
  if (matrix.rows != num_nodes) {
    npz.place().fail("FEA-03", "the matrix has ", grouped(matrix.rows), " rows, feats.npy has ",
                     grouped(num_nodes));
  }
  to_pattern(matrix, npz.place(), provenance.warnings);
  return build_graph(num_nodes, {matrix.row, matrix.col, {}}, Stored::both, options, npz.place(), provenance);
}

/// Compares the stored training graph with the edges of the whole graph that join two training nodes.
inline void compare_train_graph(const Dataset& data, const Place& place, std::vector<std::string>& warnings) {
  const CsrGraph expected = edges_among_training_nodes(data.graph, data.roles);
  const CsrGraph& stored = data.train_graph;
  const bool same =
      std::equal(expected.row_ptr.begin(), expected.row_ptr.end(), stored.row_ptr.begin(),
                 stored.row_ptr.end()) &&
      std::equal(expected.col.begin(), expected.col.end(), stored.col.begin(), stored.col.end());
  if (!same) {
    warnings.push_back(place.warning("EDG-05", "holds ", grouped(stored.num_edges()),
                                     " edges, other than the ", grouped(expected.num_edges()),
                                     " edges of adj_full.npz between training nodes; used as stored"));
  }
}

}  // namespace detail

/// Reads a data set in GraphSAINT layout: adj_full.npz, adj_train.npz, feats.npy, class_map.json,
/// role.json.
///
/// Node i is row i of feats.npy. `train_graph` is adj_train.npz, or is rebuilt from adj_full.npz where
/// that file is missing.
/// Shapes   graph [N, N], features [N, F]; class_map.json: an int or a list of C zeros and ones per node
/// Errors   FormatError GEN-01 (a file is missing), NPY, ZIP, SPM, EDG, JSN, LBL, SPL, FEA
inline Dataset read_graphsaint(const std::filesystem::path& dir, const ReadOptions& options = {}) {
  const Limits limits{.max_bytes = byte_limit(options)};
  Dataset out;
  out.name = dataset_name(dir);
  out.provenance.layout = "graphsaint";
  std::vector<std::string>& warnings = out.provenance.warnings;

  const NpyArray features = read_npy(dir / "feats.npy", limits, &warnings);
  features.require_rank(2, "(N, F)");
  const std::size_t num_nodes = features.dim(0);
  out.graph = detail::read_saint_adjacency(dir / "adj_full.npz", num_nodes, options, out.provenance);
  out.labels = read_class_map(dir / "class_map.json", IdMap::rows(num_nodes), options, warnings);
  const std::filesystem::path role_file =
      options.split.empty() ? dir / "role.json" : find_role_file(dir, options.split);
  out.roles = read_roles(role_file, num_nodes, warnings);
  out.features = to_matrix(features, options.nan, &warnings, limits);
  check_split(out, Place(role_file), warnings);

  const std::filesystem::path train_file = dir / "adj_train.npz";
  std::error_code ignored;
  if (std::filesystem::exists(train_file, ignored)) {
    Provenance train;  // the policy in the record is that of the whole graph
    out.train_graph = detail::read_saint_adjacency(train_file, num_nodes, options, train);
    warnings.insert(warnings.end(), train.warnings.begin(), train.warnings.end());
    detail::compare_train_graph(out, Place(train_file), warnings);
  } else {
    out.train_graph = edges_among_training_nodes(out.graph, out.roles);
    out.provenance.edge_policy += ", training graph rebuilt (no adj_train.npz)";
  }
  return out;
}

}  // namespace tessera::io
