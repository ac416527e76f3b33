// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

#include "tessera/core/config.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/io/read_options.hpp"

namespace tessera::io {

/// Reads a DIMACS graph: colouring and clique files (`p edge N M`, `e u v`; .col, .clq) are undirected, shortest-path
/// files (`p sp N M`, `a u v w`; .gr) directed and weighted. Plain or gzip-compressed.
///
/// The M of colouring files is often wrong, so another number of edges is a warning there and an error in
/// shortest-path files.
/// Errors   FormatError DIM-01 (problem line), DIM-02 (number of arcs), DIM-03 (a line)
Dataset read_dimacs(const std::filesystem::path& path, const ReadOptions& options = {});

}  // namespace tessera::io

#if !defined(TESSERA_COMPILED)
#include "tessera/io/detail/dimacs.hpp"
#endif
