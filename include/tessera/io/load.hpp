// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

#include "tessera/core/config.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/io/read_options.hpp"

namespace tessera::io {

/// Reads the data set in a folder or file, whatever its layout, and prepares its features as the options say.
///
///     const Dataset data = io::load("cora/planetoid", {.row_normalize = true});
///
/// The name says which variant it is, e.g. "reddit (graphsaint, paper graph, N=232965, M=11606919,
/// train=153932)". Data sets of many graphs are for load_graphs.
/// Cost     memory the data set, and while the graph is built 24 bytes per link
/// Errors   FormatError as the readers; ConfigError for options that exclude each other or an unknown format
Dataset load(const std::filesystem::path& path, const ReadOptions& options = {});

}  // namespace tessera::io

#if !defined(TESSERA_COMPILED)
#include "tessera/io/detail/load.hpp"
#endif
