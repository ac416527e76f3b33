// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/detail/row_ranges.hpp"
#include "tessera/graph/transpose.hpp"
#include "tessera/sampling/neighbor_blocks.hpp"

namespace tessera {

/// All links into the destinations of a layer, their sources numbered with the destinations first: what
/// samplers that weigh whole layers compute on.
///
/// Shapes   node [n_src], the first n_dst the destinations; row_ptr [n_dst + 1], col [e] in the order of the
///          graph; column_ptr [n_src + 1], row_of [e] and entry_of [e] the same by source
/// Cost     `find`: O(sum of the destinations' degrees / T)
class NeighborFrontier {
 public:
  Array<NodeId> node;
  Array<EdgeId> row_ptr;
  Array<NodeId> col;
  Array<EdgeId> column_ptr;
  Array<NodeId> row_of;
  Array<EdgeId> entry_of;

  void find(const LayerView& layer) {
    const CsrView<> graph = layer.graph;
    const std::size_t rows = layer.rows.size();
    ids_.begin(graph.num_rows);
    detail::resize_roomy(scratch_, rows);
    std::copy(layer.rows.begin(), layer.rows.end(), scratch_.begin());
    node.clear();
    ids_.append(scratch_.span(), node);
    detail::resize_roomy(row_ptr, rows + 1);
    parallel_for(rows, 4096, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) row_ptr[i] = graph.degree(layer.rows[i]);
    });
    row_ptr[rows] = 0;
    detail::resize_roomy(col, parallel_exclusive_scan(row_ptr.span()));
    detail::parallel_rows(row_ptr, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        const auto row = graph.neighbors(layer.rows[i]);
        std::copy(row.begin(), row.end(), col.begin() + row_ptr[i]);
      }
    });
    if (node.capacity() < node.size() + col.size()) node.reserve(node.size() + col.size() + col.size() / 3);
    ids_.append(col.span(), node);
    transpose_.reserve(col.capacity());
    column_ptr.reserve(node.capacity() + 1);
    row_of.reserve(col.capacity());
    entry_of.reserve(col.capacity());
    transpose_into({rows, node.size(), row_ptr, col, {}}, transpose_, column_ptr, row_of, weight_, entry_of);
  }

  std::size_t num_sources() const noexcept { return node.size(); }

 private:
  FirstAppearanceIds ids_;
  TransposeWorkspace transpose_;
  Array<NodeId> scratch_;
  Array<float> weight_;
};

}  // namespace tessera
