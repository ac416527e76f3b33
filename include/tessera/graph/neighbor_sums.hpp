// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/concepts.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/kernels/spmm.hpp"

namespace tessera {

/// [A X | X]: beside each node's features the sum of its neighbours', times the entries' weights where A has
/// some.
///
/// Shapes   a [N, N], x [N, F] -> [N, 2 F]
/// Cost     2 E F flops
/// Errors   ShapeError if a and x do not fit
/// Threads  parallel; the result does not depend on T
inline Tensor<float> with_neighbor_sums(CsrView<> a, MatrixView<const float> x) {
  const std::size_t width = x.cols();
  if (a.num_rows != x.rows() || a.num_cols != x.rows()) {
    throw ShapeError(message("with_neighbor_sums: a is [", a.num_rows, ", ", a.num_cols, "], x [", x.rows(),
                             ", ", width, "], want a square a over the rows of x"));
  }
  Tensor<float> both(x.rows(), 2 * width);
  spmm_sum(a, x, both.view().middle_cols(0, width));
  const MatrixView<float> right = both.view().middle_cols(width, width);
  parallel_for(x.rows(), 256, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) std::copy(x.row(i).begin(), x.row(i).end(), right.row(i).begin());
  });
  return both;
}

struct NeighborSumOptions {
  bool inductive = false;  ///< training sees data.train_graph: sum over that for it
};

/// What a network whose first layer is precomputed (`ClusterGcnNet` with `.conv = {.precomputed = true}`) reads
/// instead of X: [A X | X], made once, from the whole graph, so that its first layer misses no link that
/// batches cut.
///
///     const NeighborSums sums(data, {.inductive = true});
///     trainer.fit(sums.view(data), {.inductive = true});
///
/// Shapes   features, train_features [N, 2 F]
/// Cost     2 E F flops; 8 N F bytes, twice where inductive
/// Errors   ShapeError if the data's parts do not fit, or it has no train_graph where inductive
/// Source   Chiang et al., Cluster-GCN, KDD 2019, section 6.2, and the authors' `precalc`: raw sums, no
///          normalisation
struct NeighborSums {
  Tensor<float> features;        ///< over the whole graph, for evaluation
  Tensor<float> train_features;  ///< over the training graph; empty where that is the whole one

  template <NodeData D>
  explicit NeighborSums(const D& data, const NeighborSumOptions& options = {})
      : features(with_neighbor_sums(data.graph.view(), data.features)) {
    if (options.inductive) train_features = with_neighbor_sums(data.train_graph.view(), data.features);
  }

  /// The data with these features in place of its own. Borrows both.
  template <NodeData D>
  DatasetView view(const D& data) const {
    DatasetView out(data);
    out.features = features;
    out.train_features = train_features;
    return out;
  }
};

}  // namespace tessera
