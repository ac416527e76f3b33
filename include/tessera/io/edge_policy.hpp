// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/read_options.hpp"

namespace tessera::io {

/// How a layout stores an undirected edge, which decides what Symmetrise::automatic means.
enum class Stored {
  once,      ///< in one direction: automatic adds the other
  both,      ///< in both: automatic adds nothing, unless some are missing, which is then a warning
  directed,  ///< the file says its edges have a direction: automatic keeps it
};

namespace detail {

inline std::string describe(const BuildCounts& counts, std::size_t stored, bool symmetrised) {
  return message("read ", counts.links, " links, dropped ", counts.dropped_loops, " self loops, merged ",
                 counts.merged_duplicates, " duplicates, E = ", stored,
                 symmetrised ? " after symmetrising" : "");
}

}  // namespace detail

/// Turns the links of a file into the graph the options ask for, and writes down what was done.
///
/// Shapes   edges [L], ids already checked to be less than num_nodes -> graph [num_nodes, num_nodes]
/// Cost     as build_csr; twice where a file that should hold both directions does not
/// Errors   as build_csr
inline CsrGraph build_graph(std::size_t num_nodes, const EdgeList& edges, Stored stored,
                            const ReadOptions& options, const Place& place, Provenance& provenance) {
  BuildOptions build{.symmetrize = options.symmetrise == Symmetrise::on ||
                                   (options.symmetrise == Symmetrise::automatic && stored == Stored::once),
                     .duplicates = options.duplicates,
                     .self_loops = options.self_loops};
  BuiltGraph built = build_csr(num_nodes, edges, build);
  if (!built.graph.symmetric && stored == Stored::both && options.symmetrise == Symmetrise::automatic) {
    const std::size_t before = built.graph.num_edges();
    build.symmetrize = true;
    built = build_csr(num_nodes, edges, build);
    provenance.warnings.push_back(place.warning("EDG-05", before, " entries are not symmetric, ",
                                                built.graph.num_edges() - before,
                                                " reverse edges were added"));
  }
  provenance.edge_policy = detail::describe(built.counts, built.graph.num_edges(), build.symmetrize);
  return std::move(built.graph);
}

}  // namespace tessera::io
