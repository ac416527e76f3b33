// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/csr_graph.hpp"
#include "tessera/graph/detail/row_ranges.hpp"

namespace tessera {

/// A transposed matrix, and for each of its entries the position the entry has in the original.
struct TransposedGraph {
  CsrGraph graph;
  Array<EdgeId> edge;
};

/// Scratch of `transpose_into`, reusable.
struct TransposeWorkspace {
  Array<std::uint64_t> cursor;
  Array<std::uint64_t> bucket_begin;
  Array<std::uint16_t> slot;
  Array<NodeId> col;
  Array<EdgeId> edge;
  Array<float> weight;

  /// Makes room for every matrix of at most `entries` entries (and 2^27 columns).
  void reserve(std::size_t entries);
};

namespace detail {

/// How transposing cuts a matrix: ranges of rows that are read at once, buckets of columns that are put in
/// order at once. Both depend on the extents alone.
struct TransposePlan {
  static constexpr std::size_t kMostRanges = 128;
  static constexpr std::size_t kMostLanes = 64;

  explicit TransposePlan(CsrView<> a) noexcept
      : ranges(a.num_rows == 0 ? 0 : range_count(a.row_ptr, kMostRanges)),
        shift(std::min(16u, static_cast<unsigned>(std::bit_width(a.num_cols / bucket_goal(a.num_edges()))))),
        buckets((a.num_cols >> shift) + 1) {}

  static std::size_t bucket_goal(std::size_t entries) noexcept {
    return std::clamp<std::size_t>(entries >> 12, 1, 2048);
  }
  /// Columns fall into buckets of at most 2^16, so that the slot inside one fits 16 bits.
  std::size_t bucket(NodeId col) const noexcept { return col >> shift; }
  std::uint16_t slot(NodeId col) const noexcept {
    return static_cast<std::uint16_t>(col & ((std::size_t{1} << shift) - 1));
  }

  std::size_t ranges;
  unsigned shift;
  std::size_t buckets;
};

/// Puts the entries of one bucket of columns into order; they arrive sorted by original position. `lane`
/// offsets the scratch, which holds the entries while they are placed.
inline void order_bucket(std::size_t begin, std::size_t size, std::span<EdgeId> row_end, std::size_t lane,
                         TransposeWorkspace& workspace, Array<NodeId>& col, Array<EdgeId>& edge,
                         Array<float>& weight) {
  const std::uint16_t* const slot = workspace.slot.data() + begin;
  NodeId* const old_col = workspace.col.data() + lane;
  EdgeId* const old_edge = workspace.edge.data() + lane;
  float* const old_weight = weight.empty() ? nullptr : workspace.weight.data() + lane;
  std::copy_n(col.begin() + begin, size, old_col);
  std::copy_n(edge.begin() + begin, size, old_edge);
  if (old_weight != nullptr) std::copy_n(weight.begin() + begin, size, old_weight);
  // row_end becomes the begin of each row; as running places the entries leave it holding the ends.
  for (std::size_t k = 0; k < size; ++k) ++row_end[slot[k]];
  std::uint64_t sum = begin;
  for (EdgeId& row : row_end) sum += std::exchange(row, sum);
  for (std::size_t k = 0; k < size; ++k) {
    const std::size_t at = row_end[slot[k]]++;
    col[at] = old_col[k];
    edge[at] = old_edge[k];
    if (old_weight != nullptr) weight[at] = old_weight[k];
  }
}

}  // namespace detail

inline void TransposeWorkspace::reserve(std::size_t entries) {
  const std::size_t buckets = detail::TransposePlan::bucket_goal(entries) + 1;
  cursor.reserve(detail::TransposePlan::kMostRanges * buckets);
  bucket_begin.reserve(buckets + 1);
  slot.reserve(entries);
  col.reserve(entries);
  edge.reserve(entries);
  weight.reserve(entries);
}

/// Transposes into arrays the caller keeps.
///
/// Shapes   a [N, M] with E stored -> row_ptr [M + 1], col [E] ascending per row, weight [E] or empty as in
///          `a`, edge [E]: the position in `a` of each entry
/// Cost     work O(E + M), extra memory 2 bytes per entry and a few percent more unless one column has most
///          entries
/// Threads  parallel; the result does not depend on T
inline void transpose_into(CsrView<> a, TransposeWorkspace& workspace, Array<EdgeId>& row_ptr,
                           Array<NodeId>& col, Array<float>& weight, Array<EdgeId>& edge) {
  const detail::TransposePlan plan(a);
  row_ptr.assign(a.num_cols + 1, 0);
  col.resize(a.num_edges());
  edge.resize(a.num_edges());
  weight.resize(a.weighted() ? a.num_edges() : 0);
  workspace.slot.resize(a.num_edges());
  workspace.cursor.assign(plan.ranges * plan.buckets, 0);
  workspace.bucket_begin.resize(plan.buckets + 1);
  std::uint64_t* const cursor = workspace.cursor.data();

  parallel_blocks(plan.ranges, [&](std::size_t k) {
    const auto begin = a.begin(detail::range_row(a.row_ptr, k, plan.ranges));
    const auto end = a.begin(detail::range_row(a.row_ptr, k + 1, plan.ranges));
    for (auto e = begin; e < end; ++e) ++cursor[k * plan.buckets + plan.bucket(a.col[e])];
  });
  std::uint64_t sum = 0;
  std::size_t largest = 1;
  for (std::size_t b = 0; b < plan.buckets; ++b) {
    workspace.bucket_begin[b] = sum;
    for (std::size_t k = 0; k < plan.ranges; ++k) sum += std::exchange(cursor[k * plan.buckets + b], sum);
    largest = std::max<std::size_t>(largest, sum - workspace.bucket_begin[b]);
  }
  workspace.bucket_begin[plan.buckets] = sum;

  parallel_blocks(plan.ranges, [&](std::size_t k) {
    const std::size_t end = detail::range_row(a.row_ptr, k + 1, plan.ranges);
    for (std::size_t row = detail::range_row(a.row_ptr, k, plan.ranges); row < end; ++row) {
      for (auto e = a.begin(row); e < a.end(row); ++e) {
        const std::uint64_t at = cursor[k * plan.buckets + plan.bucket(a.col[e])]++;
        col[at] = static_cast<NodeId>(row);
        edge[at] = e;
        if (a.weighted()) weight[at] = a.weight[e];
        workspace.slot[at] = plan.slot(a.col[e]);
      }
    }
  });
  // A lane puts every lanes-th bucket in order with scratch of its own; all lanes' scratch holds at most E.
  const std::size_t lanes =
      std::clamp<std::size_t>(a.num_edges() / largest, 1, detail::TransposePlan::kMostLanes);
  workspace.col.resize(lanes * largest);
  workspace.edge.resize(lanes * largest);
  workspace.weight.resize(a.weighted() ? lanes * largest : 0);
  parallel_blocks(lanes, [&](std::size_t lane) {
    for (std::size_t b = lane; b < plan.buckets; b += lanes) {
      const std::size_t begin = workspace.bucket_begin[b];
      const std::size_t first = std::min(b << plan.shift, a.num_cols);
      const std::size_t last = std::min((b + 1) << plan.shift, a.num_cols);
      detail::order_bucket(begin, workspace.bucket_begin[b + 1] - begin,
                           row_ptr.span().subspan(first + 1, last - first), lane * largest, workspace, col,
                           edge, weight);
    }
  });
}

/// The transpose of a matrix: row j lists the nodes that j points to. See transpose_into.
inline TransposedGraph transpose(CsrView<> a) {
  TransposedGraph out;
  TransposeWorkspace workspace;
  transpose_into(a, workspace, out.graph.row_ptr, out.graph.col, out.graph.weight, out.edge);
  out.graph.num_cols = a.num_rows;
  out.graph.symmetric = false;
  return out;
}

}  // namespace tessera
