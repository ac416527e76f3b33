// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "tessera/graph/builders.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/io/edge_policy.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/label_array.hpp"
#include "tessera/io/npy_convert.hpp"
#include "tessera/io/npz.hpp"
#include "tessera/io/npz_dataset.hpp"
#include "tessera/io/read_options.hpp"
#include "tessera/io/scipy_sparse.hpp"
#include "tessera/io/splits.hpp"

namespace tessera::io {

namespace detail {

/// Attributes: `attr_matrix` [N, F], or a sparse matrix in `attr_*`, or none.
inline Tensor<float> read_shchur_features(const NpzFile& npz, std::size_t num_nodes,
                                          const ReadOptions& options, std::vector<std::string>& warnings) {
  const Limits limits{.max_bytes = byte_limit(options)};
  Tensor<float> out;
  if (npz.has("attr_matrix")) {
    out = to_matrix(npz.read("attr_matrix"), options.nan, &warnings, limits);
  } else if (npz.has("attr_data")) {
    const Place place = npz.place().at("member 'attr_data'");
    out = to_dense(read_scipy_sparse(npz, "attr_", false, warnings), place, limits, options.nan, &warnings);
  } else {
    warnings.push_back(npz.place().warning("FEA-03", "the archive has no node attributes"));
    return Tensor<float>(num_nodes, 0);
  }
  if (out.rows() != num_nodes) {
    npz.place().fail("FEA-03", "the attributes have ", grouped(out.rows()), " rows, the graph has ",
                     grouped(num_nodes), " nodes");
  }
  return out;
}

/// Targets: `labels` [N] or [N, C], or a sparse indicator matrix in `labels_*`, or none.
inline Labels read_shchur_labels(const NpzFile& npz, std::size_t num_nodes, const ReadOptions& options,
                                 std::vector<std::string>& warnings) {
  if (npz.has("labels")) return read_label_array(npz.read("labels"), num_nodes, options, warnings);
  if (!npz.has("labels_data")) {
    warnings.push_back(npz.place().warning("LBL-01", "the archive has no labels"));
    Labels out;
    out.classes.assign(num_nodes, kUnlabelled);
    return out;
  }
  const SparseMatrix matrix = read_scipy_sparse(npz, "labels_", false, warnings);
  if (matrix.rows != num_nodes) {
    npz.place().fail("LBL-01", "labels have ", grouped(matrix.rows), " rows, the graph has ",
                     grouped(num_nodes), " nodes");
  }
  const Place place = npz.place().at("member 'labels_data'");
  return indicator_labels(to_dense(matrix, place, {.max_bytes = byte_limit(options)}), place, options);
}

}  // namespace detail

/// Reads an archive in the layout of the gnn-benchmark (Shchur et al.): a sparse matrix in `adj_*`,
/// attributes in `attr_*` or `attr_matrix`, classes in `labels`.
///
/// `path` is the .npz file, or a folder with one. The split comes from a role file beside it,
/// role-<name>.json: the one options.split names, or the first; without any, no node has a role.
/// Shapes   graph [N, N], features [N, F] written out from the sparse matrix
/// Errors   FormatError GEN, ZIP, NPY (NPY-06: pickled matrices are never loaded), SPM, EDG, LBL, FEA,
///          SPL
/// Source   Shchur et al., Pitfalls of Graph Neural Network Evaluation, 2018
inline Dataset read_shchur(const std::filesystem::path& path, const ReadOptions& options = {}) {
  const std::filesystem::path file = find_npz(path, "adj_data");
  const NpzFile npz(file, {.max_bytes = byte_limit(options)});
  Dataset out;
  out.name = file.stem().string();
  out.provenance.layout = "shchur";
  std::vector<std::string>& warnings = out.provenance.warnings;

  if (!npz.has("adj_data") && npz.has("adj_matrix"))
    npz.read("adj_matrix");  // says what is wrong if it is a pickle
  npz.require({"adj_data", "adj_shape"});
  SparseMatrix matrix = read_scipy_sparse(npz, "adj_", true, warnings);
  to_pattern(matrix, npz.place(), warnings);
  const std::size_t num_nodes = matrix.rows;
  out.features = detail::read_shchur_features(npz, num_nodes, options, warnings);
  out.labels = detail::read_shchur_labels(npz, num_nodes, options, warnings);
  const EdgeList edges{matrix.row, matrix.col, {}};
  // Some archives hold both directions, some one; either is right, and only the count of duplicates differs.
  const bool both = build_csr(num_nodes, edges, {.self_loops = SelfLoops::keep}).graph.symmetric;
  out.graph =
      build_graph(num_nodes, edges, both ? Stored::both : Stored::once, options, npz.place(), out.provenance);
  read_role_split(out, file, options);
  return out;
}

}  // namespace tessera::io
