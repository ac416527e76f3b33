// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <filesystem>

#include "tessera/core/array.hpp"
#include "tessera/core/config.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/io/id_map.hpp"
#include "tessera/io/read_options.hpp"

namespace tessera::io {

/// A graph from an edge list and the ids its nodes had there.
///
/// Shapes   data: N nodes without features, labels and roles; numbers [N] (EdgeListIds::compact), or names
///          (EdgeListIds::text); both empty for EdgeListIds::as_is
struct EdgeListGraph {
  Dataset data;
  Array<std::uint64_t> numbers;
  TextIndex names;
};

/// Reads an edge list as SNAP, KONECT and everybody else writes them: two ids per line, then perhaps a weight, then
/// anything; plain or gzip-compressed.
///
/// Lines that start with '#', '%' or "//" are comments; "# Nodes: N Edges: M" in one is checked. Cells are separated
/// by blanks, tabs, commas or semicolons, as in the first line of data. A line of words before the data is a heading.
/// Whether edges have a direction cannot be seen, so options.symmetrise must be `on` (undirected) or `off` (directed).
/// Cost     one pass; 16 bytes per edge (20 with weights) beside the graph
/// Errors   FormatError EDG-07 (symmetrise is automatic), CSV-01 (a line), CSV-02 (fewer edges than the comment
///          says), EDG-02, EDG-03 (ids beyond 32 bits with EdgeListIds::as_is), FEA-01 (a weight is not finite)
EdgeListGraph read_edge_list(const std::filesystem::path& path, const ReadOptions& options = {});

/// Writes the id every node had in its edge list: `node,id` lines under a heading.
///
/// Errors   FormatError GEN-01, GEN-04
void write_id_table(const std::filesystem::path& path, const EdgeListGraph& graph);

}  // namespace tessera::io

#if !defined(TESSERA_COMPILED)
#include "tessera/io/detail/edge_list.hpp"
#endif
