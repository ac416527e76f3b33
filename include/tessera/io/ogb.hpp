// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

#include "tessera/core/config.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/io/read_options.hpp"

namespace tessera::io {

/// Reads a node data set of the Open Graph Benchmark from its raw files, CSV or binary: ogbn-products,
/// ogbn-arxiv, ogbn-proteins, ogbn-papers100M, the citation graph of ogbn-mag, and anything laid out like them.
///
/// `path` is the folder that holds raw/ and split/. CSV: raw/edge.csv.gz, num-node-list, num-edge-list,
/// node-feat, node-label; binary: raw/data.npz, raw/node-label.npz; each CSV may also lie there unpacked. The
/// split is split/<options.split>/, by default the first by name.
/// Data sets store each undirected edge once and get the reverse added; arxiv, mag and papers100M are directed
/// and stay so unless options.symmetrise is on, with a warning, because published results symmetrise them.
/// Without node features (proteins) a node's features are the mean of its edges' features, as OGB's examples do.
/// Cost     text is inflated and parsed block by block, features go straight to their place; 24 bytes per edge
///          while the graph is built
/// Errors   FormatError GEN-01 (a file is missing), CSV, ZIP, NPY, EDG, LBL, SPL, FEA
/// Source   Hu et al., Open Graph Benchmark, 2020; the layout of its package, version 1
Dataset read_ogb(const std::filesystem::path& path, const ReadOptions& options = {});

}  // namespace tessera::io

#if !defined(TESSERA_COMPILED)
#include "tessera/io/detail/ogb.hpp"
#endif
