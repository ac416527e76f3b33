// SPDX-License-Identifier: MIT
#pragma once

// Optional: the CMake target tessera::metis defines TESSERA_HAS_METIS and links the library; elsewhere this header
// is empty.
#if defined(TESSERA_HAS_METIS)
#include <metis.h>

#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/partition/from_parts.hpp"
#include "tessera/partition/partition.hpp"
#include "tessera/partition/preprocess.hpp"

namespace tessera {

/// METIS 5 behind our concept: k-way (or recursive bisection) with METIS' own defaults.
///
/// Self loops are taken out first, as METIS does not allow them. METIS may pass the limit a little and return
/// empty parts; the result says so.
/// Cost     sequential; one more copy of the graph for METIS, in its index type
/// Errors   as MultilevelPartitioner; ConfigError where the graph or a weight does not fit METIS' index type; Error
///          where METIS fails
/// Threads  one at a time with one seed: METIS seeds a generator of the whole process
/// Source   Karypis and Kumar, A fast and high quality multilevel scheme for partitioning irregular graphs, 1998
class MetisPartitioner {
 public:
  struct Options {
    bool recursive = false;
  };

  MetisPartitioner() = default;
  explicit MetisPartitioner(Options options) : options_(options) {}

  Partition partition(CsrView<> graph, const PartitionOptions& options) const;

 private:
  Options options_;
};

namespace detail {

inline idx_t to_metis(std::int64_t value, const char* what) {
  if (value > std::numeric_limits<idx_t>::max()) {
    throw ConfigError(message("MetisPartitioner: ", what, " ", value,
                              " exceeds METIS' index type, want at most ",
                              std::numeric_limits<idx_t>::max()));
  }
  return static_cast<idx_t>(value);
}

/// METIS' arrays.
struct MetisInput {
  Array<idx_t> start, col, node_weight, edge_weight;

  MetisInput(const multilevel::LevelGraph& graph, const PartitionOptions& options) {
    const std::size_t n = graph.num_nodes;
    to_metis(static_cast<std::int64_t>(graph.col.size()), "number of entries");
    start.resize(n + 1);
    col.resize(graph.col.size());
    if (graph.weighted()) edge_weight.resize(col.size());
    std::size_t at = 0;
    for (std::size_t v = 0; v < n; ++v) {
      start[v] = static_cast<idx_t>(at);
      graph.for_neighbors(v, [&](NodeId u, std::int64_t w) {
        if (u == v) return;
        if (graph.weighted()) edge_weight[at] = to_metis(w, "edge weight");
        col[at++] = static_cast<idx_t>(u);
      });
    }
    start[n] = static_cast<idx_t>(at);
    const bool two = !options.second_weight.empty();
    if (options.node_weight.empty() && !two) return;
    for (std::size_t v = 0; v < n; ++v) {
      node_weight.push_back(options.node_weight.empty() ? 1
                                                        : to_metis(options.node_weight[v], "node weight"));
      if (two) node_weight.push_back(to_metis(options.second_weight[v], "second weight"));
    }
  }
};

}  // namespace detail

inline Partition MetisPartitioner::partition(CsrView<> graph, const PartitionOptions& options) const {
  check_partition_options(graph, options);
  const std::size_t n = graph.num_rows;
  Array<PartId> part(n, part_id(0));
  if (n == 0 || options.parts == 1) return partition_from_parts(graph, options, std::move(part));
  const detail::multilevel::LevelGraph whole = detail::multilevel::whole_graph(graph, options);
  detail::MetisInput input(whole, options);
  idx_t nodes = detail::to_metis(static_cast<std::int64_t>(n), "number of nodes");
  idx_t constraints = options.second_weight.empty() ? 1 : 2;
  idx_t parts = detail::to_metis(static_cast<std::int64_t>(options.parts), "number of parts");
  idx_t cut = 0;
  idx_t settings[METIS_NOPTIONS];
  METIS_SetDefaultOptions(settings);
  settings[METIS_OPTION_SEED] = static_cast<idx_t>(options.seed % 0x7fffffff);
  settings[METIS_OPTION_UFACTOR] = static_cast<idx_t>(options.imbalance * 1000 + 0.5);
  if (settings[METIS_OPTION_UFACTOR] < 1) settings[METIS_OPTION_UFACTOR] = 1;
  Array<idx_t> found(n);
  const auto or_null = [](Array<idx_t>& values) { return values.empty() ? nullptr : values.data(); };
  const auto run = options_.recursive ? METIS_PartGraphRecursive : METIS_PartGraphKway;
  const int code =
      run(&nodes, &constraints, input.start.data(), input.col.data(), or_null(input.node_weight), nullptr,
          or_null(input.edge_weight), &parts, nullptr, nullptr, settings, &cut, found.data());
  if (code != METIS_OK) throw Error(message("MetisPartitioner: METIS returned code ", code));
  for (std::size_t v = 0; v < n; ++v) part[v] = part_id(static_cast<std::size_t>(found[v]));
  return partition_from_parts(graph, options, std::move(part));
}

}  // namespace tessera
#endif
