// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/csr_graph.hpp"
#include "tessera/graph/dataset.hpp"

namespace tessera {

/// What is to be said about a whole graph.
enum class GraphTask : std::uint8_t {
  classes,     ///< exactly one of C classes
  indicators,  ///< T yes/no questions, answers may be missing (ROC-AUC, one column each)
  regression   ///< T real numbers, any may be missing
};

/// The targets of a data set of many graphs.
///
/// Shapes   classes [G] for GraphTask::classes (kUnlabelled = -1 where there is none), else empty;
///          values [G, T] for the other tasks, NaN where the answer is missing, else empty
struct GraphTargets {
  GraphTask task = GraphTask::classes;
  Array<std::int32_t> classes;
  Tensor<float> values;
  std::size_t num_classes = 0;  ///< C for GraphTask::classes, else 0

  /// Columns a model's output needs: C or T.
  std::size_t width() const noexcept { return task == GraphTask::classes ? num_classes : values.cols(); }
};

/// Many small graphs, each with a target, stored as one block-diagonal graph.
///
/// Graph g owns the nodes [node_ptr[g], node_ptr[g + 1]) and no edge leaves that range, so a batch of graphs is
/// a copy of row ranges with the first node subtracted; ids in `graph` count through all graphs.
/// Shapes   node_ptr [G + 1]; graph [N, N] with E stored; features [N, F] (F may be 0); edge_features [E, D],
///          row e belongs to entry e of graph.col, or empty; roles [G]
/// Where a layout stores whole numbers that mean categories (OGB molecules), `categories` [F] and
/// `edge_categories` [D] count them per column and the features hold the codes; else they are empty.
/// Errors   none here; `validate(data)` checks the parts against each other
struct GraphDataset {
  std::string name;
  Array<std::size_t> node_ptr{1, std::size_t{0}};
  CsrGraph graph;
  Tensor<float> features;
  Tensor<float> edge_features;
  Array<std::uint32_t> categories;
  Array<std::uint32_t> edge_categories;
  GraphTargets targets;
  Array<Role> roles;  ///< Role::none for all where no split is stored (10-fold protocols)
  Provenance provenance;

  std::size_t num_graphs() const noexcept { return node_ptr.size() - 1; }
  std::size_t num_nodes() const noexcept { return graph.num_nodes(); }
  std::size_t num_features() const noexcept { return features.cols(); }
  std::size_t num_nodes(std::size_t graph_id) const noexcept {
    return node_ptr[graph_id + 1] - node_ptr[graph_id];
  }
  /// The positions in graph.col of one graph: [first, second).
  std::pair<std::size_t, std::size_t> edge_range(std::size_t graph_id) const noexcept {
    return {static_cast<std::size_t>(graph.row_ptr[node_ptr[graph_id]]),
            static_cast<std::size_t>(graph.row_ptr[node_ptr[graph_id + 1]])};
  }

  /// The graphs of one role, ascending.
  Array<std::uint32_t> graphs(Role role) const {
    Array<std::uint32_t> out;
    for (std::size_t g = 0; g < roles.size(); ++g) {
      if (roles[g] == role) out.push_back(static_cast<std::uint32_t>(g));
    }
    return out;
  }
};

/// Category codes written out: column j becomes categories[j] columns of zeros with a single one.
///
/// Shapes   codes [N, F] of whole numbers less than categories [F] -> [N, sum of categories]
/// Errors   ShapeError if the lengths differ, IndexError naming the first code out of range
inline Tensor<float> one_hot(MatrixView<const float> codes, std::span<const std::uint32_t> categories) {
  if (categories.size() != codes.cols()) {
    throw ShapeError(message("one_hot: categories has ", categories.size(), " entries, want ", codes.cols()));
  }
  std::size_t width = 0;
  for (const std::uint32_t c : categories) width += c;
  Tensor<float> out = Tensor<float>::zeros(codes.rows(), width);
  for (std::size_t i = 0; i < codes.rows(); ++i) {
    std::size_t first = 0;
    for (std::size_t j = 0; j < codes.cols(); first += categories[j], ++j) {
      const float code = codes(i, j);
      if (!(code >= 0 && code < static_cast<float>(categories[j])) || code != std::trunc(code)) {
        throw IndexError(message("one_hot: codes(", i, ", ", j, ") is ", code, ", want one of 0..",
                                 categories[j], " - 1"));
      }
      out(i, first + static_cast<std::size_t>(code)) = 1.0f;
    }
  }
  return out;
}

/// Checks the parts of a data set of graphs against each other, element by element.
///
/// Cost     O(N + E)
/// Errors   ShapeError for lengths that do not fit, IndexError for edges that leave their graph or classes out
///          of range
inline void validate(const GraphDataset& data) {
  const auto want = [](bool holds, std::string_view what, std::size_t got, std::size_t wanted) {
    if (!holds) throw ShapeError(message("validate: ", what, " is ", got, ", want ", wanted));
  };
  const std::size_t n = data.num_nodes();
  const std::size_t g_count = data.num_graphs();
  want(data.node_ptr[0] == 0 && data.node_ptr[g_count] == n, "node_ptr's last entry", data.node_ptr[g_count],
       n);
  want(data.features.rows() == n, "rows of features", data.features.rows(), n);
  want(data.edge_features.empty() || data.edge_features.rows() == data.graph.num_edges(),
       "rows of edge_features", data.edge_features.rows(), data.graph.num_edges());
  want(data.roles.size() == g_count, "length of roles", data.roles.size(), g_count);
  const bool classes = data.targets.task == GraphTask::classes;
  const std::size_t targets = classes ? data.targets.classes.size() : data.targets.values.rows();
  want(targets == g_count, "number of targets", targets, g_count);
  for (std::size_t g = 0; g < g_count; ++g) {
    const std::size_t first = data.node_ptr[g];
    const std::size_t last = data.node_ptr[g + 1];
    want(first <= last && last <= n, message("node_ptr[", g + 1, "]"), last, n);
    for (std::size_t i = first; i < last; ++i) {
      for (const NodeId j : data.graph.view().neighbors(i)) {
        if (j < first || j >= last) {
          throw IndexError(message("validate: node ", i, " of graph ", g, " has the neighbour ", j,
                                   " outside [", first, ", ", last, ")"));
        }
      }
    }
    if (classes && (data.targets.classes[g] < kUnlabelled ||
                    data.targets.classes[g] >= static_cast<std::int32_t>(data.targets.num_classes))) {
      throw IndexError(message("validate: class of graph ", g, " is ", data.targets.classes[g],
                               ", want less than ", data.targets.num_classes));
    }
  }
}

}  // namespace tessera
