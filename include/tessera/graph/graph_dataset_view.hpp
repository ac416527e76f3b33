// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <span>
#include <string_view>

#include "tessera/core/matrix_view.hpp"
#include "tessera/graph/concepts.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/graph/graph_dataset.hpp"

namespace tessera {

/// A `GraphDataset` that somebody else owns, as trainers read it: node features and edges of all graphs, labels
/// and roles per graph. A fold of a cross-validation replaces `roles`.
///
/// Shapes   as GraphDataset; labels.num_classes is the width of a model's output. The values of a regression
///          task stand in labels.indicators
/// Cost     O(1) to make and to copy; the owner must outlive it and stay where it is
struct GraphDatasetView {
  std::string_view name;
  GraphRef graph;
  GraphRef train_graph;  ///< none: training sees whole graphs of its own
  MatrixView<const float> features;
  MatrixView<const float> edge_features;
  LabelsRef labels;
  std::span<const Role> roles;
  std::span<const std::size_t> node_ptr;

  GraphDatasetView() = default;
  GraphDatasetView(const GraphDataset& data)  // NOLINT(google-explicit-constructor): a view converts
      : name(data.name),
        graph{data.graph.view(), data.graph.symmetric},
        features(data.features.view()),
        edge_features(data.edge_features.view()),
        labels{data.targets.classes, data.targets.values.view(), data.targets.width()},
        roles(data.roles),
        node_ptr(data.node_ptr) {}

  std::size_t num_graphs() const noexcept { return node_ptr.size() - 1; }
  std::size_t num_nodes() const noexcept { return graph.num_nodes(); }
  std::size_t num_features() const noexcept { return features.cols(); }
  std::size_t num_classes() const noexcept { return labels.num_classes; }
};

static_assert(WholeGraphData<GraphDatasetView>);

}  // namespace tessera
