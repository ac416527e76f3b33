// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <type_traits>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/graph/concepts.hpp"
#include "tessera/graph/csr_graph.hpp"
#include "tessera/graph/dataset.hpp"

namespace tessera {

/// A borrowed graph, with what its owner knows of its symmetry. Functions that take one take a CsrGraph too.
struct GraphRef {
  CsrView<> matrix;
  bool symmetric = false;

  GraphRef() = default;
  GraphRef(CsrView<> borrowed, bool is_symmetric) noexcept : matrix(borrowed), symmetric(is_symmetric) {}
  GraphRef(const CsrGraph& graph) noexcept  // NOLINT(google-explicit-constructor): a reference converts
      : GraphRef(graph.view(), graph.symmetric) {}

  operator CsrView<>() const noexcept { return matrix; }  // NOLINT(google-explicit-constructor): as CsrGraph
  CsrView<> view() const noexcept { return matrix; }
  std::size_t num_nodes() const noexcept { return matrix.num_rows; }
  std::size_t num_edges() const noexcept { return matrix.num_edges(); }
};

/// Borrowed labels: the members of `Labels`.
struct LabelsRef {
  std::span<const std::int32_t> classes;
  MatrixView<const float> indicators;
  std::size_t num_classes = 0;

  LabelsRef() = default;
  LabelsRef(std::span<const std::int32_t> of_nodes, MatrixView<const float> zeros_and_ones,
            std::size_t classes_there_are)
      : classes(of_nodes), indicators(zeros_and_ones), num_classes(classes_there_are) {}
  template <class L>
    requires requires(const L& labels) {
      std::span<const std::int32_t>(labels.classes);
      MatrixView<const float>(labels.indicators);
    }
  LabelsRef(const L& labels)  // NOLINT(google-explicit-constructor): a reference converts
      : classes(labels.classes), indicators(labels.indicators), num_classes(labels.num_classes) {}

  bool multilabel() const noexcept { return !indicators.empty(); }
};

/// A node task that somebody else owns: one type for a `Dataset`, a mapped file, and a data set whose features
/// were replaced (`view.features = transformed`). Code that takes it is compiled once.
///
/// Shapes   as Dataset; a train_graph without nodes where the data has none
/// Cost     O(1) to make and to copy; the owner must outlive it and stay where it is
struct DatasetView {
  std::string_view name;
  GraphRef graph;
  GraphRef train_graph;
  MatrixView<const float> features;
  MatrixView<const float> train_features;  ///< what training reads instead; empty where it reads the same
  LabelsRef labels;
  std::span<const Role> roles;

  DatasetView() = default;
  template <NodeData D>
    requires(!std::same_as<D, DatasetView>)
  DatasetView(const D& data)  // NOLINT(google-explicit-constructor): a view converts as std::span does
      : graph{data.graph.view(), data.graph.symmetric},
        train_graph{data.train_graph.view(), data.train_graph.symmetric},
        features(data.features),
        labels(data.labels),
        roles(data.roles) {
    if constexpr (requires { std::string_view(data.name); }) name = data.name;
    if constexpr (requires { MatrixView<const float>(data.train_features); })
      train_features = data.train_features;
  }

  std::size_t num_nodes() const noexcept { return graph.num_nodes(); }
  std::size_t num_features() const noexcept { return features.cols(); }
  std::size_t num_classes() const noexcept { return labels.num_classes; }
  bool multilabel() const noexcept { return labels.multilabel(); }

  /// The nodes of one role, ascending.
  Array<NodeId> nodes(Role role) const { return nodes_of(roles, role); }
};

static_assert(NodeData<DatasetView>);

}  // namespace tessera
