// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/graph/concepts.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/precompute/hop_features.hpp"

namespace tessera {

/// A node task whose features are propagated ones of any element type, read row by row from memory or from the
/// mapped file: what a trainer of heads takes.
///
///     const HopFeatures hops = propagate(gcn, 3, data.features, {.element = ElementType::bf16, .file = "hops"});
///     trainer.fit(HopData(data, hops), ...);
///
/// Shapes   one row per node, and a graph without entries: heads look at no neighbours
/// Cost     8 bytes per node
/// Errors   ShapeError unless the features have one row per node of `data`, in order
/// Threads  const members may be called concurrently. Borrows `data` and `hops`
class HopData {
 public:
  HopData(const DatasetView& data, const HopFeatures& hops)
      : graph{{}, true},
        train_graph{{}, true},
        features(nullptr, hops.rows(), hops.cols()),
        labels(data.labels),
        roles(data.roles),
        hops_(&hops),
        row_ptr_(hops.rows() + 1, EdgeId{0}) {
    if (hops.rows() != data.num_nodes() || !hops.row_ids().empty()) {
      throw ShapeError(message("HopData: hops has ", hops.rows(), " rows",
                               hops.row_ids().empty() ? "" : " chosen", ", want all ", data.num_nodes(),
                               " nodes in order"));
    }
    graph.matrix = {hops.rows(), hops.rows(), row_ptr_, {}, {}};
    train_graph = graph;
  }

  GraphRef graph;
  GraphRef train_graph;
  MatrixView<const float> features;  ///< extents only
  LabelsRef labels;
  std::span<const Role> roles;

  void gather_features(std::span<const NodeId> rows, MatrixView<float> out) const {
    hops_->gather(rows, out);
  }
  /// Stands for the features where a run is compared with another.
  std::uint64_t features_key() const noexcept { return hops_->layout().key; }

 private:
  const HopFeatures* hops_;
  Array<EdgeId> row_ptr_;
};

static_assert(GatheredFeatures<HopData>);

}  // namespace tessera
