// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

#include "tessera/core/config.hpp"
#include "tessera/graph/graph_dataset.hpp"
#include "tessera/io/read_options.hpp"

namespace tessera::io {

/// Reads a graph property data set of the Open Graph Benchmark from its raw CSV files: ogbg-molhiv and the other
/// molecules, ogbg-ppa.
///
/// `path` is the folder that holds raw/ and split/. Every bond is stored once and gets its reverse with the same
/// features. Node and edge features that are whole numbers from 0 on are category codes: `categories` counts
/// them, from OGB's own lists for molecules (9 and 3 columns). Graph labels of 0, 1 and nothing are indicators,
/// other numbers regression targets.
/// Errors   FormatError GEN-01 (a file is missing), CSV, ZIP, EDG, SPL, FEA-01
/// Source   Hu et al., Open Graph Benchmark, 2020
GraphDataset read_ogb_graphs(const std::filesystem::path& path, const ReadOptions& options = {});

}  // namespace tessera::io

#if !defined(TESSERA_COMPILED)
#include "tessera/io/detail/ogb_graphs.hpp"
#endif
