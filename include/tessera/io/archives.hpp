// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>

#include "tessera/core/array.hpp"
#include "tessera/core/config.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/io/read_options.hpp"

// Data sets in the files one library or one paper's code uses for them. `path` is always the folder.

namespace tessera::io {

/// Reads Reddit as DGL and PyTorch Geometric distribute it: reddit_data.npz and reddit_graph.npz (or
/// reddit_self_loop_graph.npz).
///
/// The features are standardised in the file already, so standardising again is refused with FEA-04.
/// Errors   FormatError GEN-01, ZIP, NPY, SPM, EDG, LBL; SPL-01 for a node type other than 1, 2, 3
/// Source   the archives reddit.zip and reddit_self_loop.zip of DGL
Dataset read_dgl_reddit(const std::filesystem::path& path, const ReadOptions& options = {});

/// Reads PPI as DGL and PyTorch Geometric distribute it: {train,valid,test}_{graph.json, feats.npy, labels.npy,
/// graph_id.npy}, joined to one graph of 24 parts.
///
/// Nodes are those of train, then valid, then test; `train_graph` holds the edges of the training part.
/// Errors   FormatError GEN-01, JSN, NPY, EDG, LBL, FEA; EDG-06 for an edge between two of the graphs
Dataset read_dgl_ppi(const std::filesystem::path& path, const ReadOptions& options = {});

/// The number of the graph, 1 to 24, of every node read_dgl_ppi returns.
///
/// Shapes   -> [N]
/// Errors   FormatError GEN-01, NPY
Array<std::int32_t> read_dgl_ppi_graph_ids(const std::filesystem::path& path);

/// Reads Reddit as FastGCN's code has it (SGC and LADIES too): <name>.npz with features, indices and classes of three
/// sets, and <name>_adj.npz with each edge once.
///
/// Columns 0 and 1 of the features hold logarithms; a warning says so.
/// Errors   FormatError GEN-01, ZIP, NPY, SPM, EDG, LBL, SPL-01
Dataset read_fastgcn(const std::filesystem::path& path, const ReadOptions& options = {});

/// Reads Amazon2M as its generation script writes it: graph.npz with y [N], train_map [N] and edge [M, 2]; features
/// from feats.npy beside it, if there.
///
/// Nodes with train_map 0 are test nodes.
/// Errors   FormatError GEN-01, ZIP, NPY, EDG, LBL, FEA
Dataset read_amazon2m(const std::filesystem::path& path, const ReadOptions& options = {});

/// Reads the text format of GBP: <name>.txt (N, then "u v" per directed edge), <name>_feat.npy, <name>_labels.npz.
///
/// Errors   FormatError GEN-01, CSV, EDG, NPY, ZIP, LBL, SPL-01, FEA
Dataset read_gbp(const std::filesystem::path& path, const ReadOptions& options = {});

/// Reads the raw binary files of GraphSAINT's C++ release: dims.bin and its companions.
///
/// The features are standardised in the file.
/// Errors   FormatError GEN-01, BIN-01 (a file of another length than dims.bin says), SPM-02, EDG, LBL, SPL-01
/// Source   Zeng et al., Accurate, efficient and scalable graph embedding, IPDPS 2019: its code
Dataset read_saint_binary(const std::filesystem::path& path, const ReadOptions& options = {});

}  // namespace tessera::io

#if !defined(TESSERA_COMPILED)
#include "tessera/io/detail/archives.hpp"
#include "tessera/io/detail/saint_binary.hpp"
#endif
