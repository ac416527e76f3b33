// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/graph/csr_graph.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/io/read_options.hpp"

namespace tessera::io {

/// A graph of a METIS .graph file.
///
/// Shapes   graph [N, N], weights only where the file has edge weights other than 1; vertex_weights [N, ncon]
///          row-major or empty; vertex_sizes [N] or empty
struct MetisGraph {
  CsrGraph graph;
  Array<std::int64_t> vertex_weights;
  Array<std::int64_t> vertex_sizes;
  std::size_t num_weights = 0;  ///< ncon, 0 without weights
  std::vector<std::string> warnings;
};

/// Reads a METIS .graph file (also the 10th DIMACS challenge's), plain or gzip-compressed.
///
/// Vertex i of the file is node i - 1. The header counts undirected edges, the lists hold both directions.
/// Cost     one pass; 4 bytes per entry (8 with weights) beside the text block
/// Errors   FormatError MET-01 (header), MET-02 (a vertex is missing, more lines, count of entries), MET-03 (not
///          a number, neighbour out of range, self loop, duplicate, weight), MET-04 (not symmetric)
/// Source   METIS 5.1 manual, section 4.1
MetisGraph read_metis(const std::filesystem::path& path, const ReadOptions& options = {});

/// Writes a symmetric graph as a METIS .graph file; self loops, which the format does not allow, are left out.
///
/// Edge weights are written where the graph has them, and must be whole numbers from 1 on.
/// Errors   ConfigError for other weights, an asymmetric graph or one beyond 31 bits (unless `wide`: METIS built
///          with 64-bit indices); FormatError GEN-01, GEN-04
void write_metis(const std::filesystem::path& path, CsrView<> graph, bool wide = false);

/// Reads a partition file, <graph>.part.<K>: one part number per line, from 0.
///
/// Shapes   -> [N], N = num_nodes unless that is 0
/// Errors   FormatError PRT-01 (number of lines), PRT-02 (not a part number, or K and more where the file name ends
///          in .K); PRT-03 where a sidecar names another graph than `graph_id`. Empty parts are a warning
Array<PartId> read_partition(const std::filesystem::path& path, std::size_t num_nodes,
                             std::vector<std::string>* warnings = nullptr, std::string_view graph_id = {});

/// Writes a partition file, and beside it <path>.id with the content id of its graph unless that is empty.
///
/// Errors   FormatError GEN-01, GEN-04
void write_partition(const std::filesystem::path& path, std::span<const PartId> parts,
                     std::string_view graph_id = {});

}  // namespace tessera::io

#if !defined(TESSERA_COMPILED)
#include "tessera/io/detail/metis.hpp"
#endif
