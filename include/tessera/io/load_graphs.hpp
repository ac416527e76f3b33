// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

#include "tessera/core/config.hpp"
#include "tessera/graph/graph_dataset.hpp"
#include "tessera/io/read_options.hpp"

namespace tessera::io {

/// Reads a data set of many graphs, whatever its layout: TU text files or the raw files of an ogbg data set.
///
///     const GraphDataset data = io::load_graphs("tu/PROTEINS");
///
/// The name says what was read, e.g. "PROTEINS (tu, G=1113, N=43471)". options.format may be "tu" or
/// "ogb-graphs".
/// Errors   FormatError as the readers; GEN-02 for a folder that holds one graph or nothing known
GraphDataset load_graphs(const std::filesystem::path& path, const ReadOptions& options = {});

}  // namespace tessera::io

#if !defined(TESSERA_COMPILED)
#include "tessera/io/detail/load_graphs.hpp"
#endif
