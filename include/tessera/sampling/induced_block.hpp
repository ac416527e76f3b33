// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <span>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/detail/row_ranges.hpp"
#include "tessera/graph/induced_subgraph.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/graph/transpose.hpp"
#include "tessera/sampling/listed_entries.hpp"
#include "tessera/sampling/mini_batch.hpp"
#include "tessera/sampling/saint/correction.hpp"

namespace tessera {

/// Scratch of `induced_block`, reusable.
struct InducedBlockWorkspace {
  ListedEntries entries;
  Array<double> factor;
  Array<float> seen;  ///< how often each node was in a subgraph, where coefficients are corrected
  TransposeWorkspace transpose;
};

namespace detail {

/// The degree a node's coefficients are taken from, without a loop that is still to be inserted: in the graph
/// where coefficients are corrected, inside the block elsewhere.
inline double block_degree(CsrView<> graph, NodeId node, std::size_t i, const ListedEntries& entries,
                           bool in_graph) {
  if (!graph.weighted()) return static_cast<double>(in_graph ? graph.degree(node) : entries.count(i));
  const std::span<const float> weight = graph.weights(node);
  double degree = 0;
  if (in_graph) {
    for (const float w : weight) degree += static_cast<double>(w);
  } else {
    entries.for_row(i, [&](std::size_t k) { degree += static_cast<double>(weight[k]); });
  }
  return degree;
}

/// Factors of the nodes, loops included, and the number of entries of each row.
inline void count_block_rows(CsrView<> graph, std::span<const NodeId> nodes, const AggregationRule& rule,
                             const SaintCorrection& correction, InducedBlockWorkspace& workspace,
                             Array<EdgeId>& row_ptr) {
  const ListedEntries& entries = workspace.entries;
  const std::size_t n = nodes.size();
  row_ptr.resize(n + 1);
  workspace.factor.resize(n);
  workspace.seen.resize(correction.active() ? n : 0);
  std::atomic<std::size_t> first_bad{n};
  parallel_for(n, 2048, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      double degree = block_degree(graph, nodes[i], i, entries, correction.active());
      bool missing_loop = rule.self_loops();
      if (missing_loop) {
        const std::span<const NodeId> row = graph.neighbors(nodes[i]);
        missing_loop = !std::binary_search(row.begin(), row.end(), nodes[i]);
      }
      if (missing_loop) degree += 1.0;
      if (!(degree >= 0.0)) detail::atomic_min(first_bad, i);
      workspace.factor[i] = rule.factor(degree);
      if (correction.active()) workspace.seen[i] = correction.node[nodes[i]];
      row_ptr[i] = entries.count(i) + (missing_loop ? 1u : 0u);
    }
  });
  const std::size_t bad = first_bad.load();
  if (bad != n && rule.spec().normalization != Normalization::none) {
    throw Error(message("induced_block: the weights kept of row ", nodes[bad],
                        " sum to a negative number or NaN; degrees must be 0 or more"));
  }
  row_ptr[n] = 0;
  parallel_exclusive_scan(row_ptr.span());
}

/// Lists row i of the block: columns, and where the entries lie in the graph; a loop that is missing there goes
/// where it belongs.
inline void list_block_row(CsrView<> graph, std::span<const NodeId> nodes, std::size_t i,
                           const ListedEntries& entries, Block& block) {
  const EdgeId first = graph.begin(nodes[i]);
  const auto self = static_cast<NodeId>(i);
  const std::span<const NodeId> places = entries.places(i);
  const NodeId* place = places.data();
  std::size_t at = block.row_ptr[i];
  bool missing_loop = block.row_ptr[i + 1] - at != entries.count(i);
  const auto put = [&](NodeId j, EdgeId parent) {
    block.col[at] = j;
    block.edge_id[at++] = parent;
  };
  entries.for_row(i, [&](std::size_t k) {
    const NodeId j = places.empty() ? entries.set().place(graph.col[first + k]) : *place++;
    if (missing_loop && j > self) {
      put(self, kNoEdge);
      missing_loop = false;
    }
    put(j, first + k);
  });
  if (missing_loop) put(self, kNoEdge);
}

/// Coefficients of rows [begin, end), whose entries are listed. What they need from the graph and from the
/// correction lies anywhere in memory, so it is asked for some entries ahead.
inline void weigh_block_rows(CsrView<> graph, std::size_t begin, std::size_t end, const AggregationRule& rule,
                             const SaintCorrection& correction, const InducedBlockWorkspace& workspace,
                             Block& block, bool mirror) {
  constexpr std::size_t kAhead = 32;
  const double* const factor = workspace.factor.data();
  const std::size_t last = block.row_ptr[end];
  const auto ask = [&](std::size_t at) {
    if (at >= last || block.edge_id[at] == kNoEdge) return;
    if (graph.weighted()) __builtin_prefetch(graph.weight.data() + block.edge_id[at]);
    if (correction.active()) __builtin_prefetch(correction.edge.data() + block.edge_id[at]);
  };
  for (std::size_t t = 0; t < kAhead; ++t) ask(block.row_ptr[begin] + t);
  for (std::size_t i = begin; i < end; ++i) {
    for (std::size_t at = block.row_ptr[i]; at < block.row_ptr[i + 1]; ++at) {
      ask(at + kAhead);
      const EdgeId parent = block.edge_id[at];
      const NodeId j = block.col[at];
      const bool in_graph = parent != kNoEdge;
      const double w = in_graph && graph.weighted() ? static_cast<double>(graph.weight[parent]) : 1.0;
      double forward = 1.0;
      double backward = 1.0;
      if (correction.active() && in_graph) {
        forward = correction(static_cast<double>(workspace.seen[i]), parent);
        // Entry j -> i and its mirror image are in a subgraph at the same times.
        if (mirror) backward = correction(static_cast<double>(workspace.seen[j]), parent);
      }
      block.weight[at] = rule(w * forward, factor[i], factor[j], i == j);
      if (!mirror) continue;
      block.transpose_col[at] = j;
      block.transpose_weight[at] = rule(w * backward, factor[j], factor[i], i == j);
    }
  }
}

}  // namespace detail

/// Makes room for every block of at most `nodes` nodes whose degrees in the graph sum to at most `entries`,
/// so that not even the largest batch of a later epoch allocates.
inline void reserve_induced_block(std::size_t nodes, std::size_t entries, bool with_transpose,
                                  InducedBlockWorkspace& workspace, Block& block) {
  workspace.entries.reserve(nodes, entries);
  workspace.factor.reserve(nodes);
  const std::size_t stored = entries + nodes;  // a loop may join every row
  block.row_ptr.reserve(nodes + 1);
  block.col.reserve(stored);
  block.weight.reserve(stored);
  block.edge_id.reserve(stored);
  if (!with_transpose) return;
  workspace.transpose.reserve(stored);
  block.transpose_row_ptr.reserve(nodes + 1);
  block.transpose_col.reserve(stored);
  block.transpose_weight.reserve(stored);
  block.transpose_edge.reserve(stored);
}

namespace detail {

/// The same for nodes that `workspace.entries.set()` already holds.
inline void induced_block_of_set(CsrView<> graph, bool symmetric, std::span<const NodeId> nodes,
                                 const AggregationSpec& spec, InducedBlockWorkspace& workspace, Block& block,
                                 const SaintCorrection& correction) {
  if (graph.num_rows != graph.num_cols) {
    throw ShapeError(message("induced_block: graph is [", graph.num_rows, ", ", graph.num_cols,
                             "], want a square matrix"));
  }
  const AggregationRule rule(spec);
  workspace.entries.find(graph, nodes);
  count_block_rows(graph, nodes, rule, correction, workspace, block.row_ptr);
  const std::size_t n = nodes.size();
  const std::size_t stored = block.row_ptr[n];
  const bool stays_symmetric = symmetric && rule.keeps_symmetry() && !correction.active();
  const bool mirror = symmetric && !stays_symmetric;
  block.num_dst = n;
  block.num_src = n;
  block.symmetric = stays_symmetric;
  block.col.clear();  // so that growing moves nothing
  block.edge_id.clear();
  block.weight.clear();
  block.col.resize(stored);
  block.edge_id.resize(stored);
  block.weight.resize(rule.changes_weights() || graph.weighted() || correction.active() ? stored : 0);
  block.transpose_row_ptr.clear();
  block.transpose_col.clear();
  block.transpose_weight.clear();
  block.transpose_edge.clear();
  if (mirror) {
    block.transpose_row_ptr.resize(n + 1);
    block.transpose_col.resize(stored);
    block.transpose_weight.resize(stored);
    std::copy(block.row_ptr.begin(), block.row_ptr.end(), block.transpose_row_ptr.begin());
  }
  parallel_rows(block.row_ptr, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) list_block_row(graph, nodes, i, workspace.entries, block);
    if (!block.weight.empty())
      weigh_block_rows(graph, begin, end, rule, correction, workspace, block, mirror);
  });
  if (symmetric) return;
  transpose_into({n, n, block.row_ptr, block.col, block.weight}, workspace.transpose, block.transpose_row_ptr,
                 block.transpose_col, block.transpose_weight, block.transpose_edge);
}

}  // namespace detail

/// Cuts the links among `nodes` out of a graph and prepares them for aggregation on the way: missing loops,
/// degrees inside the block, coefficients, transpose.
///
/// With a correction, degrees are those in the graph and coefficients are multiplied by what it says, so that
/// on average over a sampler's subgraphs a row sums to what it sums to in the graph; loops that are not in
/// the graph count 1.
/// Shapes   graph [N, N], nodes [n] strictly ascending -> block [n, n] with ascending rows. With every node,
///          the coefficients are those of prepare_adjacency bit for bit. `transpose_edge` is left empty where
///          the transpose has the same pattern
/// Cost     work O(sum of the nodes' degrees in `graph` / T), scratch 5/8 byte for each of them; allocates
///          nothing once the arrays are large enough
/// Errors   ConfigError for a wrong spec; ShapeError if the graph is not square; IndexError if nodes do not ascend strictly or lie outside the
///          graph; ShapeError if the correction is not one of this graph; Error names a row whose weights sum
///          to a negative number or NaN
/// Threads  parallel, one workspace per caller; the result does not depend on T
/// Source   Chiang et al., Cluster-GCN, KDD 2019, section 3.2 (degrees after the between-part links are
///          back); with a correction, Zeng et al., GraphSAINT, ICLR 2020, eq. (1) and (2)
inline void induced_block(CsrView<> graph, bool symmetric, std::span<const NodeId> nodes,
                          const AggregationSpec& spec, InducedBlockWorkspace& workspace, Block& block,
                          const SaintCorrection& correction = {}) {
  validate(spec);
  if (correction.active() &&
      (correction.node.size() != graph.num_rows || correction.edge.size() != graph.num_edges())) {
    throw ShapeError(message("induced_block: correction covers ", correction.node.size(), " nodes and ",
                             correction.edge.size(), " entries, want ", graph.num_rows, " and ",
                             graph.num_edges()));
  }
  workspace.entries.set().assign(graph.num_rows, nodes);
  detail::induced_block_of_set(graph, symmetric, nodes, spec, workspace, block, correction);
}

}  // namespace tessera
