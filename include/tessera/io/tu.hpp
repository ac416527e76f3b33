// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

#include "tessera/core/config.hpp"
#include "tessera/graph/graph_dataset.hpp"
#include "tessera/io/read_options.hpp"

namespace tessera::io {

/// Reads a data set of the TU collection (MUTAG, PROTEINS, ENZYMES, ...): text files <name>_A.txt,
/// <name>_graph_indicator.txt and <name>_graph_labels.txt, with node and edge labels and attributes where there
/// are any.
///
/// `path` is the folder. Features are the node attributes, then one column per node label; edge features
/// likewise. Graph labels become classes 0..C-1 in ascending order of their values; without them, graph
/// attributes are regression targets. There is no stored split: the field uses 10-fold cross validation.
/// Duplicate edges are merged, self loops dropped as `options` say.
/// Errors   FormatError GEN-01 (a file is missing), CSV-01, CSV-02 (files of different length), EDG-01,
///          TUD-01 (graph indicator), TUD-02 (an edge between two graphs), LBL-03, FEA-01
/// Source   Morris et al., TUDataset, 2020; node order as PyTorch Geometric's loader
GraphDataset read_tu(const std::filesystem::path& path, const ReadOptions& options = {});

}  // namespace tessera::io

#if !defined(TESSERA_COMPILED)
#include "tessera/io/detail/tu.hpp"
#endif
