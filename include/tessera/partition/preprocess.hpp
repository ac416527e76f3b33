// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/detail/loops.hpp"
#include "tessera/partition/partition.hpp"

namespace tessera {

namespace detail::multilevel {

/// What one walk over the edges tells about a graph.
struct EdgeSurvey {
  std::uint64_t fingerprint = 0;  ///< 0 if symmetric; else 0 with probability 2^-64
  std::size_t self_loops = 0;
  std::size_t isolated = 0;     ///< nodes with no edge but self loops
  std::size_t bad_columns = 0;  ///< neighbours that do not exist
  std::size_t bad_weights = 0;  ///< edges of weight 0 or less
  Weight total_weight = 0;
  EdgeSurvey operator+(const EdgeSurvey& o) const noexcept {
    return {fingerprint + o.fingerprint, self_loops + o.self_loops,   isolated + o.isolated,
            bad_columns + o.bad_columns, bad_weights + o.bad_weights, total_weight + o.total_weight};
  }
};

inline EdgeSurvey survey(CsrView<> graph, std::span<const std::int32_t> edge_weight) {
  return parallel_sum<EdgeSurvey>(graph.num_rows, 1024, [&](std::size_t begin, std::size_t end) {
    EdgeSurvey sum;
    for (std::size_t v = begin; v < end; ++v) {
      std::size_t others = 0;
      for (auto e = static_cast<std::size_t>(graph.begin(v)); e < graph.end(v); ++e) {
        const std::size_t u = graph.col[e];
        const std::int32_t w = edge_weight.empty() ? 1 : edge_weight[e];
        sum.bad_columns += u >= graph.num_rows ? 1 : 0;
        sum.bad_weights += w <= 0 ? 1 : 0;
        sum.total_weight += w;
        if (u == v) {
          ++sum.self_loops;
          continue;
        }
        ++others;
        const std::uint64_t pair = (std::uint64_t{std::min(u, v)} << 32) | std::max(u, v);
        const std::uint64_t mixed = split_mix64(pair) * static_cast<std::uint64_t>(std::int64_t{w});
        sum.fingerprint += u < v ? mixed : std::uint64_t{0} - mixed;
      }
      sum.isolated += others == 0 ? 1 : 0;
    }
    return sum;
  });
}

}  // namespace detail::multilevel

/// Throws unless every edge is stored in both directions, with equal weights if weights are given.
///
/// Cost     O(E) times a search in a row, O(E log degree) where rows ascend
/// Errors   ConfigError that names the first edge in row order without its reverse
inline void validate_symmetric(CsrView<> graph, std::span<const std::int32_t> edge_weight = {}) {
  constexpr std::size_t kNone = ~std::size_t{0};
  const auto weight = [&](std::size_t e) { return edge_weight.empty() ? 1 : edge_weight[e]; };
  const auto has_reverse = [&](std::size_t v, std::size_t e) {
    const std::size_t u = graph.col[e];
    if (u >= graph.num_rows) return false;
    const auto row = graph.neighbors(u);
    const auto first = static_cast<std::size_t>(graph.begin(u));
    for (std::size_t i = 0; i < row.size(); ++i) {
      if (row[i] == v && weight(first + i) == weight(e)) return true;
    }
    return false;
  };
  const std::size_t bad = parallel_reduce<std::size_t>(
      graph.num_rows, 1024, kNone,
      [&](std::size_t begin, std::size_t end) {
        for (std::size_t v = begin; v < end; ++v) {
          for (auto e = static_cast<std::size_t>(graph.begin(v)); e < graph.end(v); ++e) {
            if (!has_reverse(v, e)) return e;
          }
        }
        return kNone;
      },
      [](std::size_t a, std::size_t b) { return std::min(a, b); });
  if (bad == kNone) return;
  const auto row =
      std::upper_bound(graph.row_ptr.begin(), graph.row_ptr.end(), bad) - graph.row_ptr.begin() - 1;
  throw ConfigError(message("partition: graph is not symmetric: edge ", graph.col[bad], " -> ", row,
                            " is stored, its reverse", edge_weight.empty() ? "" : " of the same weight",
                            " is not; want both directions, or set symmetrize"));
}

namespace detail::multilevel {

/// The graph to partition, and how its nodes are called outside.
struct Prepared {
  LevelGraph graph;        ///< without self loops and isolated nodes
  Array<NodeId> node;      ///< [n] original ids ascending; empty if nothing was left out
  Array<NodeId> isolated;  ///< nodes without neighbours, ascending

  std::size_t original(std::size_t v) const noexcept { return node.empty() ? v : node[v]; }
};

/// The union of a graph with its transpose, weights summed, in a graph of its own; keeps self loops out.
///
/// Cost     O(E log degree), memory O(E)
inline LevelGraph symmetrized(CsrView<> graph, std::span<const std::int32_t> edge_weight) {
  const std::size_t n = graph.num_rows;
  struct Entry {
    NodeId col;
    std::int32_t weight;
  };
  Array<EdgeId> start(n + 1, EdgeId{0});
  parallel_for(n, 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t v = begin; v < end; ++v) {
      for (const NodeId u : graph.neighbors(v)) {
        if (u == v) continue;
        atomic_add(start[v], EdgeId{1});
        atomic_add(start[u], EdgeId{1});
      }
    }
  });
  const auto entries = static_cast<std::size_t>(parallel_exclusive_scan<EdgeId>(start));
  Array<EdgeId> cursor = Array<EdgeId>::copy_of(start);
  Array<Entry> both(entries);
  parallel_for(n, 1024, [&](std::size_t begin, std::size_t end) {
    const auto put = [&](std::size_t row, NodeId col, std::int32_t w) {
      const EdgeId at = std::atomic_ref<EdgeId>(cursor[row]).fetch_add(1, std::memory_order_relaxed);
      both[static_cast<std::size_t>(at)] = {col, w};
    };
    for (std::size_t v = begin; v < end; ++v) {
      for (auto e = static_cast<std::size_t>(graph.begin(v)); e < graph.end(v); ++e) {
        const NodeId u = graph.col[e];
        const std::int32_t w = edge_weight.empty() ? 1 : edge_weight[e];
        if (u == v) continue;
        put(v, u, w);
        put(u, static_cast<NodeId>(v), w);
      }
    }
  });
  // Sort rows; without weights an edge stored twice counts once, with weights both count.
  LevelGraph out;
  out.num_nodes = n;
  out.own_row_ptr.assign(n + 1, 0);
  parallel_for(n, 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t v = begin; v < end; ++v) {
      Entry* first = both.data() + start[v];
      Entry* last = both.data() + start[v + 1];
      std::sort(first, last, [](const Entry& a, const Entry& b) {
        return a.col != b.col ? a.col < b.col : a.weight < b.weight;
      });
      EdgeId distinct = 0;
      for (const Entry* i = first; i != last; ++i) distinct += i == first || i[-1].col != i->col ? 1 : 0;
      out.own_row_ptr[v] = distinct;
    }
  });
  const auto edges = static_cast<std::size_t>(parallel_exclusive_scan<EdgeId>(out.own_row_ptr));
  out.own_col.resize(edges);
  if (!edge_weight.empty()) {
    Weight total = 0;
    for (const std::int32_t w : edge_weight) total += 2 * Weight{w};
    out.own_edge_weights(edges, total);
  }
  parallel_for(n, 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t v = begin; v < end; ++v) {
      auto at = static_cast<std::size_t>(out.own_row_ptr[v]);
      Weight sum = 0;
      for (auto i = static_cast<std::size_t>(start[v]); i < start[v + 1]; ++i) {
        const bool merges = i > start[v] && both[i - 1].col == both[i].col;
        if (!merges) out.own_col[at++] = both[i].col;
        sum = both[i].weight + (merges ? sum : 0);
        if (!edge_weight.empty()) out.set_edge_weight(at - 1, sum);
      }
    }
  });
  if (edge_weight.empty()) out.total_edge_weight = static_cast<Weight>(edges);
  out.view_owned();
  return out;
}

/// Fills in the node weights' total and maximum.
inline void weigh_nodes(LevelGraph& graph) {
  struct Sum {
    Weight total = 0, heaviest = 0;
  };
  const Sum sum = parallel_reduce<Sum>(
      graph.num_nodes, kNodeGrain, Sum{},
      [&](std::size_t begin, std::size_t end) {
        Sum part;
        for (std::size_t v = begin; v < end; ++v) {
          part.total += graph.weight_of(v);
          part.heaviest = std::max(part.heaviest, graph.weight_of(v));
        }
        return part;
      },
      [](Sum a, Sum b) {
        return Sum{a.total + b.total, std::max(a.heaviest, b.heaviest)};
      });
  graph.total_weight = sum.total;
  graph.max_node_weight = sum.heaviest;
}

/// Copies the part of `source` that has edges, renumbered, without self loops.
inline void compact(const LevelGraph& source, Prepared& out) {
  const std::size_t n = source.num_nodes;
  const auto others = [&](std::size_t v) {
    std::size_t count = 0;
    source.for_neighbors(v, [&](NodeId u, Weight) { count += u != v ? 1 : 0; });
    return count;
  };
  parallel_collect(
      n, [&](std::size_t v) { return others(v) > 0; }, out.node);
  parallel_collect(
      n, [&](std::size_t v) { return others(v) == 0; }, out.isolated);
  Array<NodeId> local(n);
  parallel_for(out.node.size(), kNodeGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) local[out.node[i]] = static_cast<NodeId>(i);
  });
  LevelGraph graph;
  graph.num_nodes = out.node.size();
  graph.own_row_ptr.assign(graph.num_nodes + 1, 0);
  parallel_for(graph.num_nodes, 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) graph.own_row_ptr[i] = others(out.node[i]);
  });
  const auto edges = static_cast<std::size_t>(parallel_exclusive_scan<EdgeId>(graph.own_row_ptr));
  graph.own_col.resize(edges);
  const bool weighted = source.weighted();
  if (weighted) graph.own_edge_weights(edges, source.total_edge_weight);
  if (!source.node_weight.empty()) graph.own_node_weight.resize(graph.num_nodes);
  parallel_for(graph.num_nodes, 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::size_t v = out.node[i];
      auto at = static_cast<std::size_t>(graph.own_row_ptr[i]);
      if (!source.node_weight.empty()) graph.own_node_weight[i] = source.node_weight[v];
      source.for_neighbors(v, [&](NodeId u, Weight w) {
        if (u == v) return;
        graph.own_col[at] = local[u];
        if (weighted) graph.set_edge_weight(at, w);
        ++at;
      });
    }
  });
  if (!weighted) graph.total_edge_weight = static_cast<Weight>(edges);
  graph.view_owned();
  out.graph = std::move(graph);
}

/// The graph as it was given, checked and made symmetric if asked for; borrows where it can.
///
/// Errors   IndexError, ConfigError; see MultilevelPartitioner
inline LevelGraph whole_graph(CsrView<> graph, const PartitionOptions& options,
                              EdgeSurvey* survey_out = nullptr) {
  const EdgeSurvey found = survey(graph, options.edge_weight);
  if (found.bad_columns > 0) {
    throw IndexError(message("partition: graph has ", found.bad_columns, " edges from nodes beyond its ",
                             graph.num_rows, " rows"));
  }
  if (found.bad_weights > 0) {
    throw ConfigError(
        message("partition: edge_weight has ", found.bad_weights, " values of 0 or less, want > 0"));
  }
  if (survey_out != nullptr) *survey_out = found;
  LevelGraph whole;
  if (found.fingerprint != 0) {
    if (!options.symmetrize) validate_symmetric(graph, options.edge_weight);
    whole = symmetrized(graph, options.edge_weight);
    if (survey_out != nullptr) {
      survey_out->self_loops = 0;
      survey_out->isolated =
          parallel_sum<std::size_t>(whole.num_nodes, kNodeGrain, [&](std::size_t begin, std::size_t end) {
            std::size_t count = 0;
            for (std::size_t v = begin; v < end; ++v) count += whole.degree(v) == 0 ? 1u : 0u;
            return count;
          });
    }
  } else {
    whole.num_nodes = graph.num_rows;
    whole.row_ptr = graph.row_ptr;
    whole.col = graph.col;
    whole.edge_weight = options.edge_weight;
    whole.total_edge_weight = found.total_weight;
  }
  whole.node_weight = options.node_weight;
  return whole;
}

/// Checks the input and brings it into the form the partitioner works on: borrowed if it has that form
/// already, else copied.
///
/// Errors   as whole_graph
inline Prepared prepare(CsrView<> graph, const PartitionOptions& options) {
  EdgeSurvey found;
  LevelGraph whole = whole_graph(graph, options, &found);
  Prepared out;
  if (found.self_loops == 0 && found.isolated == 0) {
    out.graph = std::move(whole);
  } else {
    compact(whole, out);
  }
  weigh_nodes(out.graph);
  return out;
}

}  // namespace detail::multilevel

}  // namespace tessera
