// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <span>

#include "tessera/core/array.hpp"
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

/// What training and evaluation read of a node task: Dataset, or a user's own storage.
///
///     struct Mine {
///       CsrGraph graph, train_graph;             // train_graph without nodes: training sees graph
///       Labels labels;
///       MatrixView<const float> features;        // e.g. of a mapped file
///       Array<NodeId> nodes(Role) const;         // ascending
///       std::size_t num_nodes() const, num_features() const, num_classes() const;
///       bool multilabel() const;
///     };
///
/// Semantics no compiler can check: row i of everything is about node i; validate(data) would pass.
template <class D>
concept NodeData = requires(const D& data, Role role) {
  { data.graph } -> std::convertible_to<const CsrGraph&>;
  { data.train_graph } -> std::convertible_to<const CsrGraph&>;
  { data.features } -> std::convertible_to<MatrixView<const float>>;
  { data.labels } -> std::convertible_to<const Labels&>;
  { data.nodes(role) } -> std::convertible_to<std::span<const NodeId>>;
  { data.num_nodes() } -> std::convertible_to<std::size_t>;
  { data.num_features() } -> std::convertible_to<std::size_t>;
  { data.num_classes() } -> std::convertible_to<std::size_t>;
  { data.multilabel() } -> std::convertible_to<bool>;
};

}  // namespace tessera
