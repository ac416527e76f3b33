// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/graph/csr_graph.hpp"
#include "tessera/graph/dataset.hpp"

namespace tessera {

/// Anything that reads as a CSR matrix: CsrGraph, CsrView, a mapped file.
///
/// Semantics no compiler can check: rows ascend without duplicates, and the arrays live as long as the
/// object.
template <class G>
concept GraphView = std::convertible_to<const G&, CsrView<>>;

/// What training and evaluation read of a node task: `Dataset`, or a type of your own with the same members
/// (a mapped file, say).
///
/// Semantics no compiler can check: all parts cover the same N nodes (WholeGraphData's labels and roles the
/// same graphs); roles and labels do not change while it
/// is in use; train_graph has N nodes, or none where the data has no separate one.
template <class D>
concept NodeData = requires(const D& data) {
  { data.graph.view() } -> std::convertible_to<CsrView<>>;
  { data.graph.symmetric } -> std::convertible_to<bool>;
  { data.train_graph.view() } -> std::convertible_to<CsrView<>>;
  { data.train_graph.symmetric } -> std::convertible_to<bool>;
  { data.features } -> std::convertible_to<MatrixView<const float>>;
  { data.labels.classes } -> std::convertible_to<std::span<const std::int32_t>>;
  { data.labels.indicators } -> std::convertible_to<MatrixView<const float>>;
  { data.labels.num_classes } -> std::convertible_to<std::size_t>;
  { data.roles } -> std::convertible_to<std::span<const Role>>;
};

/// The features that training reads: those of `data.train_features` where the data has separate ones (sums
/// over the training graph, say), else data.features, which evaluation reads.
///
/// Shapes   [N, F], as data.features
template <NodeData D>
MatrixView<const float> training_features(const D& data) noexcept {
  if constexpr (requires { MatrixView<const float>(data.train_features); }) {
    const MatrixView<const float> separate = data.train_features;
    if (!separate.empty()) return separate;
  }
  return data.features;
}

/// Data whose features are no matrix of floats in memory but are read row by row: `features` has extents and no
/// elements, gather_features(rows, out) fills out_i with row rows[i]. Its graph has no entries.
template <class D>
concept GatheredFeatures = NodeData<D> &&
    requires(const D& data, std::span<const NodeId> rows, MatrixView<float> out) {
  data.gather_features(rows, out);
  { data.features_key() } -> std::convertible_to<std::uint64_t>;
};

/// Data whose targets are whole graphs: roles and labels count graphs, graph g owns the nodes
/// [node_ptr[g], node_ptr[g + 1]).
template <class D>
concept WholeGraphData = NodeData<D> && requires(const D& data) {
  { data.node_ptr } -> std::convertible_to<std::span<const std::size_t>>;
};

/// How many targets labels and roles count: graphs or nodes.
template <NodeData D>
std::size_t num_targets(const D& data) {
  if constexpr (WholeGraphData<D>) {
    return std::span<const std::size_t>(data.node_ptr).size() - 1;
  } else {
    return data.graph.view().num_rows;
  }
}

}  // namespace tessera
