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
};

namespace detail {

/// Puts the entries of one bucket of columns into order; they arrive sorted by original position.
inline void sort_transposed_bucket(std::size_t begin, std::size_t size, std::span<EdgeId> row_end,
                                   const std::uint16_t* slot, NodeId* col, EdgeId* edge, float* weight) {
  Array<NodeId> old_col(size);
  Array<EdgeId> old_edge(size);
  Array<float> old_weight(weight != nullptr ? size : 0);
  std::copy_n(col + begin, size, old_col.begin());
  std::copy_n(edge + begin, size, old_edge.begin());
  if (weight != nullptr) std::copy_n(weight + begin, size, old_weight.begin());
  // row_end holds sizes; as running places the entries leave it holding the end of each row.
  std::uint64_t sum = begin;
  for (EdgeId& row : row_end) sum += std::exchange(row, sum);
  for (std::size_t k = 0; k < size; ++k) {
    const std::size_t at = row_end[slot[begin + k]]++;
    col[at] = old_col[k];
    edge[at] = old_edge[k];
    if (weight != nullptr) weight[at] = old_weight[k];
  }
}

}  // namespace detail

/// Transposes into arrays the caller keeps.
///
/// Shapes   a [N, M] with E stored -> row_ptr [M + 1], col [E] ascending per row, weight [E] or empty as in
///          `a`, edge [E]: the position in `a` of each entry
/// Cost     work O(E + M), extra memory 2 bytes per entry and O(T) cached buckets
/// Threads  parallel; the result does not depend on T
inline void transpose_into(CsrView<> a, TransposeWorkspace& workspace, Array<EdgeId>& row_ptr,
                           Array<NodeId>& col, Array<float>& weight, Array<EdgeId>& edge) {
  // Columns fall into buckets of at most 2^16, so that a slot inside one fits 16 bits. Both cuts depend on
  // the extents alone.
  const std::size_t want_buckets = std::clamp<std::size_t>(a.num_edges() >> 12, 1, 2048);
  const auto shift = std::min(16u, static_cast<unsigned>(std::bit_width(a.num_cols / want_buckets)));
  const std::size_t buckets = (a.num_cols >> shift) + 1;
  const std::size_t ranges = a.num_rows == 0 ? 0 : detail::range_count(a.row_ptr, 128);
  row_ptr.assign(a.num_cols + 1, 0);
  col.resize(a.num_edges());
  edge.resize(a.num_edges());
  weight.resize(a.weighted() ? a.num_edges() : 0);
  workspace.slot.resize(a.num_edges());
  workspace.cursor.assign(ranges * buckets, 0);
  workspace.bucket_begin.resize(buckets + 1);
  std::uint64_t* const cursor = workspace.cursor.data();

  parallel_blocks(ranges, [&](std::size_t k) {
    const auto begin = a.begin(detail::range_row(a.row_ptr, k, ranges));
    const auto end = a.begin(detail::range_row(a.row_ptr, k + 1, ranges));
    for (auto e = begin; e < end; ++e) ++cursor[k * buckets + (a.col[e] >> shift)];
  });
  std::uint64_t sum = 0;
  for (std::size_t b = 0; b < buckets; ++b) {
    workspace.bucket_begin[b] = sum;
    for (std::size_t k = 0; k < ranges; ++k) sum += std::exchange(cursor[k * buckets + b], sum);
  }
  workspace.bucket_begin[buckets] = sum;

  parallel_blocks(ranges, [&](std::size_t k) {
    const std::size_t end = detail::range_row(a.row_ptr, k + 1, ranges);
    for (std::size_t row = detail::range_row(a.row_ptr, k, ranges); row < end; ++row) {
      for (auto e = a.begin(row); e < a.end(row); ++e) {
        const std::uint64_t at = cursor[k * buckets + (a.col[e] >> shift)]++;
        col[at] = static_cast<NodeId>(row);
        edge[at] = e;
        if (a.weighted()) weight[at] = a.weight[e];
        workspace.slot[at] = static_cast<std::uint16_t>(a.col[e] & ((std::size_t{1} << shift) - 1));
      }
    }
  });
  parallel_blocks(buckets, [&](std::size_t b) {
    const std::size_t begin = workspace.bucket_begin[b];
    const std::size_t size = workspace.bucket_begin[b + 1] - begin;
    const std::size_t first = std::min(b << shift, a.num_cols);
    const std::size_t last = std::min((b + 1) << shift, a.num_cols);
    const std::span<EdgeId> row_end = row_ptr.span().subspan(first + 1, last - first);
    for (std::size_t k = begin; k < begin + size; ++k) ++row_end[workspace.slot[k]];
    detail::sort_transposed_bucket(begin, size, row_end, workspace.slot.data(), col.data(), edge.data(),
                                   a.weighted() ? weight.data() : nullptr);
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
