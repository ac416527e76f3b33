// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/csr_graph.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/graph/symmetry.hpp"

namespace tessera {

namespace detail {

/// The least i in [0, count) for which bad(i), or `count`: the same for any number of threads.
template <class Bad>
std::size_t first_bad(std::size_t count, Bad&& bad) {
  std::atomic<std::size_t> least{count};
  parallel_for(count, 4096, [&](std::size_t begin, std::size_t end) {
    if (begin > least.load(std::memory_order_relaxed)) return;
    for (std::size_t i = begin; i < end; ++i) {
      if (!bad(i)) continue;
      std::size_t seen = least.load();
      while (i < seen && !least.compare_exchange_weak(seen, i)) {
      }
      return;
    }
  });
  return least.load();
}

inline void validate_row(CsrView<> a, std::size_t row) {
  for (auto e = a.begin(row); e < a.end(row); ++e) {
    if (a.col[e] >= a.num_cols) {
      throw IndexError(
          message("validate: col[", e, "] in row ", row, " is ", a.col[e], ", want less than ", a.num_cols));
    }
    if (e > a.begin(row) && a.col[e - 1] >= a.col[e]) {
      throw IndexError(message("validate: col[", e, "] in row ", row, " is ", a.col[e], " after ",
                               a.col[e - 1], ", want strictly ascending columns"));
    }
    if (a.weighted() && !std::isfinite(a.weight[e]))
      throw Error(
          message("validate: weight[", e, "] in row ", row, " is ", a.weight[e], ", want a finite number"));
  }
}

inline bool row_is_bad(CsrView<> a, std::size_t row) noexcept {
  for (auto e = a.begin(row); e < a.end(row); ++e) {
    if (a.col[e] >= a.num_cols || (e > a.begin(row) && a.col[e - 1] >= a.col[e])) return true;
    if (a.weighted() && !std::isfinite(a.weight[e])) return true;
  }
  return false;
}

inline void require_length(const char* name, std::size_t got, std::size_t want) {
  if (got != want) {
    throw ShapeError(message("validate: ", name, " has ", got, " entries, want ", want, ", one per node"));
  }
}

}  // namespace detail

/// Checks a matrix entry by entry: lengths, offsets, ascending columns in range, finite weights.
///
/// Cost     work O(N + E)
/// Errors   ShapeError for lengths, IndexError for offsets and columns, Error for weights; each names the
/// first
///          offending element
/// Threads  parallel
inline void validate(CsrView<> a) {
  if (a.row_ptr.size() != a.num_rows + 1) {
    throw ShapeError(message("validate: row_ptr has ", a.row_ptr.size(), " entries, want ", a.num_rows + 1));
  }
  if (a.weighted() && a.weight.size() != a.col.size()) {
    throw ShapeError(
        message("validate: weight has ", a.weight.size(), " entries, want ", a.col.size(), " or none"));
  }
  if (a.row_ptr[0] != 0) throw IndexError(message("validate: row_ptr[0] is ", a.row_ptr[0], ", want 0"));
  const std::size_t step = detail::first_bad(a.num_rows, [&](std::size_t i) {
    return a.row_ptr[i] > a.row_ptr[i + 1] || a.row_ptr[i + 1] > a.num_edges();
  });
  if (step < a.num_rows) {
    throw IndexError(message("validate: row_ptr[", step + 1, "] is ", a.row_ptr[step + 1], " after ",
                             a.row_ptr[step], ", want offsets that do not fall and stay within ",
                             a.num_edges(), " entries"));
  }
  if (a.row_ptr[a.num_rows] != a.num_edges()) {
    throw ShapeError(message("validate: row_ptr ends at ", a.row_ptr[a.num_rows], ", want ", a.num_edges(),
                             " as col has entries"));
  }
  const std::size_t row =
      detail::first_bad(a.num_rows, [&](std::size_t i) { return detail::row_is_bad(a, i); });
  if (row < a.num_rows) detail::validate_row(a, row);
}

/// As above, and that a graph marked symmetric is.
inline void validate(const CsrGraph& graph) {
  validate(graph.view());
  if (graph.symmetric && !is_symmetric(graph)) {
    throw Error("validate: the graph is marked symmetric but differs from its transpose");
  }
}

namespace detail {

inline void validate_features(const Dataset& data) {
  if (data.features.rows() != data.num_nodes()) {
    throw ShapeError(message("validate: features has ", data.features.rows(), " rows, want ",
                             data.num_nodes(), ", one per node"));
  }
  const std::size_t row = first_bad(data.num_nodes(), [&](std::size_t i) {
    const auto values = data.features.row(i);
    return !std::all_of(values.begin(), values.end(), [](float x) { return std::isfinite(x); });
  });
  if (row == data.num_nodes()) return;
  for (std::size_t j = 0; j < data.num_features(); ++j) {
    const float x = data.features(row, j);
    if (!std::isfinite(x))
      throw Error(message("validate: features(", row, ", ", j, ") is ", x, ", want a finite number"));
  }
}

inline void validate_labels(const Dataset& data) {
  const Labels& labels = data.labels;
  if (labels.multilabel()) {
    if (!labels.classes.empty())
      throw ShapeError("validate: labels has both classes and indicators, want one");
    if (labels.indicators.rows() != data.num_nodes() || labels.indicators.cols() != labels.num_classes) {
      throw ShapeError(message("validate: labels.indicators is [", labels.indicators.rows(), ", ",
                               labels.indicators.cols(), "], want [", data.num_nodes(), ", ",
                               labels.num_classes, "]"));
    }
    const std::size_t row = first_bad(data.num_nodes(), [&](std::size_t i) {
      const auto values = labels.indicators.row(i);
      return !std::all_of(values.begin(), values.end(), [](float y) { return y == 0.0f || y == 1.0f; });
    });
    if (row < data.num_nodes())
      throw Error(message("validate: labels.indicators row ", row, " holds a value that is neither 0 nor 1"));
    return;
  }
  require_length("labels.classes", labels.classes.size(), data.num_nodes());
  const std::size_t node = first_bad(data.num_nodes(), [&](std::size_t i) {
    const std::int32_t k = labels.classes[i];
    return k != kUnlabelled && (k < 0 || static_cast<std::size_t>(k) >= labels.num_classes);
  });
  if (node < data.num_nodes()) {
    throw IndexError(message("validate: labels.classes[", node, "] is ", labels.classes[node],
                             ", want -1 or 0 to ", labels.num_classes, " - 1"));
  }
}

/// Roles, and what is odd about the data without being wrong.
inline std::vector<std::string> validate_roles(const Dataset& data) {
  require_length("roles", data.roles.size(), data.num_nodes());
  std::vector<std::string> warnings;
  std::size_t count[4] = {};
  std::size_t unlabelled_train = 0;
  std::vector<bool> occurs(data.num_classes());
  for (std::size_t i = 0; i < data.num_nodes(); ++i) {
    const auto role = static_cast<std::size_t>(data.roles[i]);
    if (role > 3) throw IndexError(message("validate: roles[", i, "] is ", role, ", want 0 to 3"));
    ++count[role];
    if (data.multilabel()) continue;
    const std::int32_t k = data.labels.classes[i];
    if (k != kUnlabelled) occurs[static_cast<std::size_t>(k)] = true;
    if (k == kUnlabelled && data.roles[i] == Role::train) ++unlabelled_train;
  }
  const char* const names[] = {"", "training", "validation", "test"};
  for (const std::size_t role : {std::size_t{1}, std::size_t{2}, std::size_t{3}}) {
    if (count[role] == 0) warnings.push_back(message("the split has no ", names[role], " nodes"));
  }
  if (unlabelled_train > 0) warnings.push_back(message(unlabelled_train, " training nodes have no label"));
  const auto missing = std::count(occurs.begin(), occurs.end(), false);
  if (!data.multilabel() && missing > 0)
    warnings.push_back(message(missing, " of ", data.num_classes(), " classes never occur"));
  return warnings;
}

}  // namespace detail

/// Checks the parts of a data set, and against each other: graph, features (finite), labels in range, roles.
/// Returns warnings, one line each, for what is legal but odd: an empty graph, no links, an empty split,
/// training nodes without a label, classes that never occur.
///
/// Cost     work O(N F + E)
/// Errors   ShapeError, IndexError or Error naming the first offending element
/// Threads  parallel
inline std::vector<std::string> validate(const Dataset& data) {
  validate(data.graph);
  if (data.graph.num_cols != data.num_nodes()) {
    throw ShapeError(message("validate: the graph is [", data.num_nodes(), ", ", data.graph.num_cols,
                             "], want a square matrix"));
  }
  if (data.train_graph.num_nodes() > 0) {
    validate(data.train_graph);
    if (data.train_graph.num_nodes() != data.num_nodes() || data.train_graph.num_cols != data.num_nodes()) {
      throw ShapeError(message("validate: train_graph is [", data.train_graph.num_nodes(), ", ",
                               data.train_graph.num_cols, "], want [", data.num_nodes(), ", ",
                               data.num_nodes(), "] or no nodes"));
    }
  }
  detail::validate_features(data);
  detail::validate_labels(data);
  std::vector<std::string> warnings = detail::validate_roles(data);
  if (data.graph.num_edges() == 0) {
    warnings.insert(warnings.begin(),
                    data.num_nodes() == 0 ? "the graph has no nodes" : "the graph has no links");
  }
  return warnings;
}

}  // namespace tessera
