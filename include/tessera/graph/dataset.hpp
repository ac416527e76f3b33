// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/csr_graph.hpp"

namespace tessera {

/// What a node is used for. The numbers are those of DGL's split files.
enum class Role : std::uint8_t { none = 0, train = 1, val = 2, test = 3 };

/// The targets of a node task: one class per node, or any subset of C classes per node.
///
/// Shapes   classes [N] (kUnlabelled = -1 where there is none) or indicators [N, C] of 0 and 1; the other is
/// empty
struct Labels {
  Array<std::int32_t> classes;
  Tensor<float> indicators;
  std::size_t num_classes = 0;

  bool multilabel() const noexcept { return !indicators.empty(); }
};

/// Where a data set came from and what was done to it on the way; printed with results.
struct Provenance {
  std::string layout;                 ///< e.g. "graphsaint", "planetoid", "generated"
  std::string edge_policy;            ///< e.g. "symmetrised, merged 302 duplicates, dropped 0 self loops"
  std::string feature_state = "raw";  ///< "raw", "row-L1", "standardised(train rows)", ...
  std::vector<std::string> warnings;  ///< one line each, in the form of FormatError
};

/// The nodes of one role, ascending.
inline Array<NodeId> nodes_of(std::span<const Role> roles, Role role) {
  Array<NodeId> out;
  for (std::size_t i = 0; i < roles.size(); ++i) {
    if (roles[i] == role) out.push_back(static_cast<NodeId>(i));
  }
  return out;
}

/// A node-classification task in memory: graph, features, labels and split.
///
/// Shapes   graph [N, N], features [N, F] (row = node), labels over N, roles [N]
/// Errors   none here; `validate(dataset)` (graph/validate.hpp) checks the parts against each other
struct Dataset {
  std::string name;
  CsrGraph graph;
  CsrGraph
      train_graph;  ///< the graph training may see where the layout stores one (inductive); else no nodes
  Tensor<float> features;
  Labels labels;
  Array<Role> roles;
  Provenance provenance;

  std::size_t num_nodes() const noexcept { return graph.num_nodes(); }
  std::size_t num_features() const noexcept { return features.cols(); }
  std::size_t num_classes() const noexcept { return labels.num_classes; }
  bool multilabel() const noexcept { return labels.multilabel(); }

  /// The nodes of one role, ascending.
  Array<NodeId> nodes(Role role) const { return nodes_of(roles, role); }
};

}  // namespace tessera
