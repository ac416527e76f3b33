// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <filesystem>
#include <string>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/graph/dataset_view.hpp"
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

/// Whether a reader adds the reverse of every edge.
inline bool adds_reverse(Symmetrise wish, Stored stored) noexcept {
  return wish == Symmetrise::on || (wish == Symmetrise::automatic && stored == Stored::once);
}

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
  BuildOptions build{.symmetrize = detail::adds_reverse(options.symmetrise, stored),
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

/// Whether a graph that was stored finished must be made symmetric for `wish`.
///
/// Errors   ConfigError for Symmetrise::off where it holds both directions of every edge already
inline bool must_rebuild(const GraphRef& stored, Symmetrise wish, const std::filesystem::path& path) {
  if (wish == Symmetrise::off && stored.symmetric && stored.num_edges() != 0) {
    throw ConfigError(
        message("load: ", path.string(),
                " holds both directions of every edge, so --directed has nothing to keep; convert the "
                "original with --directed"));
  }
  return wish == Symmetrise::on && !stored.symmetric;
}

/// A stored graph with the reverse of every edge; where an edge has both directions, the weights are as `build_csr`
/// merges them.
///
/// Cost     as build_csr, and 12 bytes per edge
inline CsrGraph symmetrized(const GraphRef& stored, const Place& place, Provenance& provenance) {
  const CsrView<> a = stored.matrix;
  Array<NodeId> row(a.num_edges());
  parallel_for(a.num_rows, 2048, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      for (EdgeId e = a.row_ptr[i]; e < a.row_ptr[i + 1]; ++e) row[e] = static_cast<NodeId>(i);
    }
  });
  ReadOptions options;
  options.symmetrise = Symmetrise::on;
  options.self_loops = SelfLoops::keep;
  return build_graph(a.num_rows, {a.col, row, a.weight}, Stored::directed, options, place, provenance);
}

}  // namespace tessera::io
