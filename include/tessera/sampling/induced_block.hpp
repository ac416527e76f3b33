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
#include "tessera/sampling/mini_batch.hpp"

namespace tessera {

/// Scratch of `induced_block`, reusable.
struct InducedBlockWorkspace {
  InducedEntries entries;
  Array<double> factor;
  TransposeWorkspace transpose;
};

namespace detail {

/// Degrees inside the block, loops included, and the number of entries of each row.
inline void count_block_rows(CsrView<> graph, std::span<const NodeId> nodes, const AggregationRule& rule,
                             InducedBlockWorkspace& workspace, Array<EdgeId>& row_ptr) {
  const InducedEntries& entries = workspace.entries;
  const std::size_t n = nodes.size();
  row_ptr.resize(n + 1);
  workspace.factor.resize(n);
  std::atomic<std::size_t> first_bad{n};
  parallel_for(n, 2048, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const NodeId* const place = entries.place.data() + entries.offset[i];
      const std::uint32_t* const step = entries.step.data() + entries.offset[i];
      const NodeId kept = entries.count[i];
      double degree = graph.weighted() ? 0.0 : static_cast<double>(kept);
      if (graph.weighted()) {
        const float* const weight = graph.weight.data() + graph.begin(nodes[i]);
        for (NodeId k = 0; k < kept; ++k) degree += static_cast<double>(weight[step[k]]);
      }
      const bool missing_loop =
          rule.self_loops() && !std::binary_search(place, place + kept, static_cast<NodeId>(i));
      if (missing_loop) degree += 1.0;
      if (!(degree >= 0.0)) detail::atomic_min(first_bad, i);
      workspace.factor[i] = rule.factor(degree);
      row_ptr[i] = kept + (missing_loop ? 1u : 0u);
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

/// Writes one row of the block: the kept entries, and the loop where it belongs if it is missing.
inline void fill_block_row(CsrView<> graph, std::size_t i, NodeId node, const AggregationRule& rule,
                           const InducedBlockWorkspace& workspace, Block& block, bool mirror) {
  const InducedEntries& entries = workspace.entries;
  const NodeId* const place = entries.place.data() + entries.offset[i];
  const std::uint32_t* const step = entries.step.data() + entries.offset[i];
  const std::size_t kept = entries.count[i];
  const EdgeId first = graph.begin(node);
  const double own = workspace.factor[i];
  const bool weigh = !block.weight.empty();
  std::size_t at = block.row_ptr[i];
  const auto put = [&](NodeId j, EdgeId parent, double w) {
    block.col[at] = j;
    block.edge_id[at] = parent;
    if (weigh) block.weight[at] = rule(w, own, workspace.factor[j], i == j);
    if (mirror) block.transpose_weight[at] = rule(w, workspace.factor[j], own, i == j);
    ++at;
  };
  const auto put_range = [&](std::size_t begin, std::size_t end) {
    for (std::size_t k = begin; k < end; ++k) {
      const EdgeId parent = first + step[k];
      put(place[k], parent, graph.weighted() ? static_cast<double>(graph.weight[parent]) : 1.0);
    }
  };
  if (block.row_ptr[i + 1] - at == kept) {
    put_range(0, kept);
    return;
  }
  const auto before =
      static_cast<std::size_t>(std::lower_bound(place, place + kept, static_cast<NodeId>(i)) - place);
  put_range(0, before);
  put(static_cast<NodeId>(i), kNoEdge, 1.0);
  put_range(before, kept);
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

/// Cuts the links among `nodes` out of a graph and prepares them for aggregation on the way: missing loops,
/// degrees inside the block, coefficients, transpose.
///
/// Shapes   graph [N, N], nodes [n] strictly ascending -> block [n, n] with ascending rows. With every node,
///          the coefficients are those of prepare_adjacency bit for bit. `transpose_edge` is left empty where
///          the transpose has the same pattern
/// Cost     work O(sum of the nodes' degrees in `graph` / T); allocates nothing once the arrays are large
///          enough
/// Errors   ConfigError for a wrong spec; IndexError if nodes do not ascend strictly or lie outside the
///          graph; Error names a row whose weights sum to a negative number or NaN
/// Threads  parallel, one workspace per caller; the result does not depend on T
/// Source   Chiang et al., Cluster-GCN, KDD 2019, section 3.2 (degrees after the between-part links are back)
inline void induced_block(CsrView<> graph, bool symmetric, std::span<const NodeId> nodes,
                          const AggregationSpec& spec, InducedBlockWorkspace& workspace, Block& block) {
  validate(spec);
  const AggregationRule rule(spec);
  workspace.entries.find(graph, nodes);
  detail::count_block_rows(graph, nodes, rule, workspace, block.row_ptr);
  const std::size_t n = nodes.size();
  const std::size_t stored = block.row_ptr[n];
  const bool mirror = symmetric && !rule.keeps_symmetry();
  block.num_dst = n;
  block.num_src = n;
  block.symmetric = symmetric && rule.keeps_symmetry();
  block.col.resize(stored);
  block.edge_id.resize(stored);
  block.weight.resize(rule.changes_weights() || graph.weighted() ? stored : 0);
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
  detail::parallel_rows(block.row_ptr, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i)
      detail::fill_block_row(graph, i, nodes[i], rule, workspace, block, mirror);
    if (!mirror) return;
    std::copy(block.col.begin() + block.row_ptr[begin], block.col.begin() + block.row_ptr[end],
              block.transpose_col.begin() + block.row_ptr[begin]);
  });
  if (symmetric) return;
  transpose_into({n, n, block.row_ptr, block.col, block.weight}, workspace.transpose, block.transpose_row_ptr,
                 block.transpose_col, block.transpose_weight, block.transpose_edge);
}

}  // namespace tessera
