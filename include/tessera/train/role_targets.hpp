// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/train/concepts.hpp"

namespace tessera {

/// The labelled nodes of one role, and the whole graph's targets with every other node masked out.
///
/// Shapes   rows ascending; with one class per node `classes` is [N] (-1 elsewhere), with multi-label
///          `row_weight` is [N] (1 on rows, 0 elsewhere); the other is empty
struct RoleTargets {
  Array<NodeId> rows;
  Array<std::int32_t> classes;
  Array<float> row_weight;

  /// What a loss over logits of all N nodes gets.
  template <NodeData D>
  Targets targets(const D& data) const noexcept {
    if (!classes.empty()) return {classes.span(), {}, {}};
    return {{}, MatrixView<const float>(data.labels.indicators), row_weight.span()};
  }
};

/// Picks the nodes of `role` that have a label.
///
/// Cost     O(N C) reads for multi-label, O(N) otherwise
template <NodeData D>
RoleTargets targets_of(const D& data, Role role) {
  const std::span<const Role> roles = data.roles;
  const std::span<const std::int32_t> classes = data.labels.classes;
  const MatrixView<const float> indicators = data.labels.indicators;
  RoleTargets out;
  if (classes.empty()) {
    out.row_weight.assign(roles.size(), 0.0f);
  } else {
    out.classes.assign(roles.size(), kUnlabelled);
  }
  for (std::size_t i = 0; i < roles.size(); ++i) {
    if (roles[i] != role) continue;
    if (classes.empty()) {
      const auto row = indicators.row(i);
      if (std::all_of(row.begin(), row.end(), [](float y) { return std::isnan(y); })) continue;
      out.row_weight[i] = 1.0f;
    } else {
      if (classes[i] < 0) continue;
      out.classes[i] = classes[i];
    }
    out.rows.push_back(static_cast<NodeId>(i));
  }
  return out;
}

/// Rejects data the trainer cannot work with.
///
/// Cost     O(N); the graph is checked by `validate(dataset)`, not here
/// Errors   ShapeError where parts disagree about N; ConfigError for an empty graph, no features or no
/// labels;
///          IndexError for a label that is not below num_classes
template <NodeData D>
void check_node_data(const D& data, std::string_view who) {
  const std::size_t n = data.graph.view().num_rows;
  const MatrixView<const float> features = data.features;
  const std::span<const std::int32_t> classes = data.labels.classes;
  const MatrixView<const float> indicators = data.labels.indicators;
  const std::span<const Role> roles = data.roles;
  const std::size_t num_classes = data.labels.num_classes;
  if (n == 0) throw ConfigError(message(who, ": data.graph has no nodes"));
  if (features.rows() != n) {
    throw ShapeError(
        message(who, ": data.features has ", features.rows(), " rows, want ", n, " as the graph"));
  }
  const MatrixView<const float> seen = training_features(data);
  if (seen.rows() != n || seen.cols() != features.cols()) {
    throw ShapeError(message(who, ": data.train_features is [", seen.rows(), ", ", seen.cols(), "], want [",
                             n, ", ", features.cols(), "] as data.features, or none"));
  }
  if (features.cols() == 0) throw ConfigError(message(who, ": data.features has no columns"));
  const std::size_t targets = num_targets(data);
  if (roles.size() != targets) {
    throw ShapeError(message(who, ": data.roles has ", roles.size(), " entries, want ", targets,
                             WholeGraphData<D> ? ", one per graph" : " as the graph"));
  }
  if (classes.empty() && indicators.empty()) throw ConfigError(message(who, ": data.labels is empty"));
  const std::size_t labelled = classes.empty() ? indicators.rows() : classes.size();
  if (labelled != targets) {
    throw ShapeError(message(who, ": data.labels has ", labelled, " rows, want ", targets,
                             WholeGraphData<D> ? ", one per graph" : " as the graph"));
  }
  if (classes.empty() && indicators.cols() != num_classes) {
    throw ShapeError(message(who, ": data.labels.indicators has ", indicators.cols(),
                             " columns, want num_classes = ", num_classes));
  }
  for (std::size_t i = 0; i < classes.size(); ++i) {
    if (classes[i] >= 0 && static_cast<std::size_t>(classes[i]) >= num_classes) {
      throw IndexError(message(who, ": data.labels.classes[", i, "] is ", classes[i],
                               ", want below num_classes = ", num_classes));
    }
  }
}

}  // namespace tessera
