// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <span>
#include <type_traits>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/concepts.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/kernels/rows.hpp"
#include "tessera/nn/concepts.hpp"

namespace tessera {

namespace detail {

/// Consecutive graphs of a block-diagonal adjacency under local ids, with their read-out. Forward only.
class GraphSlice {
 public:
  void assign(CsrView<> whole, std::span<const std::size_t> node_ptr, MatrixView<const float> edge_features,
              std::size_t first, std::size_t last) {
    const std::size_t begin = node_ptr[first];
    const std::size_t n = node_ptr[last] - begin;
    const EdgeId skipped = whole.row_ptr[begin];
    const std::size_t entries = static_cast<std::size_t>(whole.row_ptr[begin + n] - skipped);
    row_ptr_.resize(n + 1);
    for (std::size_t i = 0; i <= n; ++i) row_ptr_[i] = whole.row_ptr[begin + i] - skipped;
    col_.resize(entries);
    for (std::size_t e = 0; e < entries; ++e) {
      col_[e] = whole.col[static_cast<std::size_t>(skipped) + e] - static_cast<NodeId>(begin);
    }
    weight_ = whole.weighted() ? whole.weight.subspan(static_cast<std::size_t>(skipped), entries)
                               : std::span<const float>();
    readout_ptr_.resize(last - first + 1);
    for (std::size_t g = first; g <= last; ++g) readout_ptr_[g - first] = node_ptr[g] - begin;
    readout_col_.resize(n);
    std::iota(readout_col_.begin(), readout_col_.end(), NodeId{0});
    level_ = {{n, n, row_ptr_, col_, weight_}, {}, {}};
    if (edge_features.rows() > 0) {
      level_.edge_features = edge_features.middle_rows(static_cast<std::size_t>(skipped), entries);
    }
    readout_ = {{last - first, n, readout_ptr_, readout_col_, {}}, {}, {}};
  }

  AdjacencyStack stack() const noexcept { return AdjacencyStack({&level_, 1}, &readout_); }

 private:
  Array<EdgeId> row_ptr_;
  Array<NodeId> col_;
  std::span<const float> weight_;
  Array<EdgeId> readout_ptr_;
  Array<NodeId> readout_col_;
  Adjacency level_;
  Adjacency readout_;
};

}  // namespace detail

/// Outputs of every graph, a slice of consecutive graphs at a time; no tape.
///
/// The bits do not depend on the size of the slices: no sum crosses graphs outside training.
/// Shapes   adjacency [N, N] prepared for the model, block-diagonal by node_ptr [G + 1]; features [N, F];
///          edge_features [E, D], a row for every entry of the adjacency, or none -> [G, C]
/// Cost     the forward pass; activations of about `nodes_at_once` rows, or of one graph where that is larger
/// Errors   ShapeError if the shapes do not fit
/// Threads  result independent of T
template <TrainableModel M>
Tensor<typename M::Scalar> infer_graphs(const M& model, CsrView<> adjacency,
                                        std::span<const std::size_t> node_ptr,
                                        MatrixView<const float> features, std::size_t nodes_at_once = 32768,
                                        MatrixView<const float> edge_features = {}) {
  using T = typename M::Scalar;
  if (node_ptr.empty() || node_ptr.back() != adjacency.num_rows || features.rows() != adjacency.num_rows ||
      features.cols() != model.in_features()) {
    throw ShapeError(message("infer_graphs: adjacency has ", adjacency.num_rows, " rows, features is [",
                             features.rows(), ", ", features.cols(), "], node_ptr ends with ",
                             node_ptr.empty() ? 0 : node_ptr.back(), "; the model wants ",
                             model.in_features(), " features"));
  }
  if (edge_features.rows() > 0 && edge_features.rows() != adjacency.num_edges()) {
    throw ShapeError(message("infer_graphs: edge_features has ", edge_features.rows(),
                             " rows, the adjacency ", adjacency.num_edges(), " entries"));
  }
  const std::size_t graphs = node_ptr.size() - 1;
  Tensor<T> out(graphs, model.out_features());
  Tensor<T> converted;
  detail::GraphSlice slice;
  NoTape<T> ctx;
  for (std::size_t first = 0; first < graphs;) {
    std::size_t last = first + 1;
    while (last < graphs && node_ptr[last + 1] - node_ptr[first] <= nodes_at_once) ++last;
    slice.assign(adjacency, node_ptr, edge_features, first, last);
    const MatrixView<const float> rows =
        features.middle_rows(node_ptr[first], node_ptr[last] - node_ptr[first]);
    Var x;
    if constexpr (std::is_same_v<T, float>) {
      x = ctx.input(rows);
    } else {
      converted.resize(rows.rows(), rows.cols());
      for (std::size_t i = 0; i < rows.rows(); ++i)
        std::copy(rows.row(i).begin(), rows.row(i).end(), converted.view().row(i).begin());
      x = ctx.input(converted.view());
    }
    const MatrixView<const T> y = ctx.value(model.forward(ctx, slice.stack(), x, Pass{}));
    for (std::size_t g = first; g < last; ++g) {
      std::copy(y.row(g - first).begin(), y.row(g - first).end(), out.view().row(g).begin());
    }
    ctx.rewind();
    first = last;
  }
  return out;
}

/// The edge features of a data set, for an adjacency prepared from its graph: none where the data have none or the
/// adjacency has loops of its own, whose entries no row belongs to.
template <WholeGraphData D>
MatrixView<const float> edge_features_for(const D& data, CsrView<> adjacency) noexcept {
  if constexpr (requires { MatrixView<const float>(data.edge_features); }) {
    const MatrixView<const float> rows = data.edge_features;
    if (rows.rows() == adjacency.num_edges()) return rows;
  }
  return {};
}

/// Outputs of every graph of a data set.
///
/// Shapes   -> [G, C]
/// Errors   as the other overload
template <TrainableModel M, WholeGraphData D>
Tensor<typename M::Scalar> infer_graphs(const M& model, const D& data) {
  const PreparedAdjacency prepared =
      prepare_adjacency(data.graph.view(), data.graph.symmetric, model.aggregation());
  const CsrView<> forward = prepared.adjacency().forward;
  return infer_graphs(model, forward, data.node_ptr, MatrixView<const float>(data.features), 32768,
                      edge_features_for(data, forward));
}

}  // namespace tessera
