// SPDX-License-Identifier: MIT
#pragma once

#include <filesystem>

#include "tessera/core/config.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/io/read_options.hpp"

namespace tessera::io {

/// Reads the graph of a Matrix Market file (.mtx, plain or gzip-compressed): a square coordinate matrix whose entry
/// (i, j) is an edge from j to i, as SciPy's adjacency matrices mean it transposed for undirected graphs.
///
/// `symmetric` files are expanded, the diagonal once. Values become weights unless all are 1; `pattern` files have
/// none; zeros are no edges. The data set has a graph only: no features, labels or roles.
/// Errors   FormatError MTX-01 (banner, size line), MTX-02 (number of entries), MTX-03 (an entry)
/// Source   Boisvert, Pozo, Remington, The Matrix Market Exchange Formats, NISTIR 5935, 1996
Dataset read_matrix_market(const std::filesystem::path& path, const ReadOptions& options = {});

}  // namespace tessera::io

#if !defined(TESSERA_COMPILED)
#include "tessera/io/detail/matrix_market.hpp"
#endif
