// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/csr_graph.hpp"
#include "tessera/graph/detail/row_ranges.hpp"
#include "tessera/graph/transpose.hpp"

namespace tessera {

/// Throws ConfigError if `spec` asks for what cannot be.
inline void validate(const AggregationSpec& spec) {
  if (!std::isfinite(spec.diag_lambda)) {
    throw ConfigError(
        message("AggregationSpec: diag_lambda is ", spec.diag_lambda, ", want a finite number"));
  }
  if (spec.diag_lambda != 0.0f && !spec.self_loops) {
    throw ConfigError(message("AggregationSpec: diag_lambda is ", spec.diag_lambda,
                              " without self_loops; it scales the diagonal, so self_loops must be on"));
  }
}

/// The arithmetic every prepared adjacency shares, whole graph or batch, so that equal matrices get equal
/// bits.
///
/// Units    degrees are sums of weights in double, loops included; a degree of 0 gives coefficients of 0
class AggregationRule {
 public:
  explicit AggregationRule(const AggregationSpec& spec) noexcept
      : spec_(spec), diagonal_(1.0 + static_cast<double>(spec.diag_lambda)) {}

  const AggregationSpec& spec() const noexcept { return spec_; }
  bool self_loops() const noexcept { return spec_.self_loops; }
  /// Whether coefficients differ from the weights of the graph.
  bool changes_weights() const noexcept {
    return spec_.normalization != Normalization::none || spec_.diag_lambda != 0.0f;
  }
  /// Whether the prepared matrix of a symmetric graph is symmetric.
  bool keeps_symmetry() const noexcept { return spec_.normalization != Normalization::row; }

  /// The factor a node of this degree contributes.
  double factor(double degree) const noexcept {
    if (spec_.normalization == Normalization::none) return 1.0;
    if (!(degree > 0.0)) return 0.0;
    return spec_.normalization == Normalization::row ? 1.0 / degree : 1.0 / std::sqrt(degree);
  }

  /// The coefficient of entry j -> i of weight `weight`.
  float operator()(double weight, double factor_i, double factor_j, bool on_diagonal) const noexcept {
    // The factors are multiplied first: then c_ij and c_ji of a symmetric matrix have the same bits.
    const double scale = spec_.normalization == Normalization::symmetric ? factor_i * factor_j : factor_i;
    const double value = weight * scale;
    return static_cast<float>(on_diagonal ? value * diagonal_ : value);
  }

 private:
  AggregationSpec spec_;
  double diagonal_;
};

namespace detail {
class AdjacencyPreparer;
}

/// A graph made ready for aggregation by `prepare_adjacency`: it owns what was computed and borrows what
/// stayed as it was, so the graph must outlive it.
class PreparedAdjacency {
 public:
  Adjacency adjacency() const noexcept { return {forward_, transpose_, transpose_edge_}; }
  operator Adjacency() const noexcept { return adjacency(); }

 private:
  friend class detail::AdjacencyPreparer;

  CsrView<> forward_;
  CsrView<> transpose_;
  CsrGraph owned_;
  CsrGraph owned_transpose_;
  Array<EdgeId> transpose_edge_;
};

namespace detail {

/// The steps of `prepare_adjacency`; a class so that they share their arrays.
class AdjacencyPreparer {
 public:
  AdjacencyPreparer(CsrView<> graph, bool symmetric, const AggregationSpec& spec)
      : graph_(graph), symmetric_(symmetric), rule_(spec), factor_(graph.num_rows) {}

  PreparedAdjacency prepare(bool with_transpose_edge) {
    const CsrView<> pattern = count_rows() ? with_loops() : graph_;
    set_weights(pattern);
    CsrGraph& t = out_.owned_transpose_;
    if (symmetric_) {
      out_.transpose_ = out_.forward_;
      if (!t.weight.empty()) out_.transpose_.weight = t.weight.span();
    }
    if (!symmetric_ || with_transpose_edge) {
      TransposeWorkspace workspace;
      CsrGraph other;
      CsrGraph& target = symmetric_ ? other : t;
      transpose_into(out_.forward_, workspace, target.row_ptr, target.col, target.weight,
                     out_.transpose_edge_);
      target.num_cols = graph_.num_rows;
      if (!symmetric_) out_.transpose_ = t.view();
    }
    return std::move(out_);
  }

 private:
  /// Takes degrees and counts the entries each row will have; returns whether loops must be inserted.
  bool count_rows() {
    Array<EdgeId>& row_ptr = out_.owned_.row_ptr;
    row_ptr.resize(graph_.num_rows + 1);
    constexpr std::size_t kNone = std::numeric_limits<std::size_t>::max();
    const auto count = [&](std::size_t begin, std::size_t end) {
      std::size_t bad_row = kNone;
      for (std::size_t i = begin; i < end; ++i) {
        double degree = 0;
        for (const float w : graph_.weights(i)) degree += static_cast<double>(w);
        if (!graph_.weighted()) degree = static_cast<double>(graph_.degree(i));
        const bool missing_loop = rule_.self_loops() && !has_loop(i);
        if (missing_loop) degree += 1.0;
        if (!(degree >= 0.0) && rule_.spec().normalization != Normalization::none)
          bad_row = std::min(bad_row, i);
        factor_[i] = rule_.factor(degree);
        row_ptr[i] = graph_.degree(i) + (missing_loop ? 1u : 0u);
      }
      return bad_row;
    };
    const std::size_t bad_row = parallel_reduce(graph_.num_rows, 1024, kNone, count,
                                                [](std::size_t x, std::size_t y) { return std::min(x, y); });
    if (bad_row != kNone) {
      throw Error(message("prepare_adjacency: the weights of row ", bad_row,
                          " sum to a negative number or NaN; degrees must be 0 or more"));
    }
    row_ptr[graph_.num_rows] = 0;
    return parallel_exclusive_scan(row_ptr.span()) != graph_.num_edges();
  }

  bool has_loop(std::size_t i) const noexcept {
    const std::span<const NodeId> row = graph_.neighbors(i);
    return std::binary_search(row.begin(), row.end(), static_cast<NodeId>(i));
  }

  /// The pattern with the missing loops, weights (where there are any) not normalised yet.
  CsrView<> with_loops() {
    CsrGraph& owned = out_.owned_;
    owned.num_cols = graph_.num_cols;
    owned.col.resize(owned.row_ptr[graph_.num_rows]);
    owned.weight.resize(graph_.weighted() ? owned.col.size() : 0);
    parallel_rows(owned.row_ptr, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const std::span<const NodeId> row = graph_.neighbors(i);
        const std::span<const float> weight = graph_.weights(i);
        const std::size_t at = owned.row_ptr[i];
        if (owned.row_ptr[i + 1] - at == row.size()) {
          std::copy(row.begin(), row.end(), owned.col.begin() + at);
          std::copy(weight.begin(), weight.end(), owned.weight.begin() + (graph_.weighted() ? at : 0));
          continue;
        }
        const auto before =
            static_cast<std::size_t>(std::lower_bound(row.begin(), row.end(), i) - row.begin());
        insert_into(row, before, static_cast<NodeId>(i), owned.col.data() + at);
        if (graph_.weighted()) insert_into(weight, before, 1.0f, owned.weight.data() + at);
      }
    });
    return owned.view();
  }

  template <class T>
  static void insert_into(std::span<const T> values, std::size_t before, T value, T* out) {
    out = std::copy_n(values.begin(), before, out);
    *out++ = value;
    std::copy(values.begin() + static_cast<std::ptrdiff_t>(before), values.end(), out);
  }

  void set_weights(CsrView<> pattern) {
    out_.forward_ = pattern;
    if (!rule_.changes_weights()) return;
    // `weight` may be the storage of pattern.weight: entries are read before they are written.
    Array<float>& weight = out_.owned_.weight;
    Array<float>& mirrored = out_.owned_transpose_.weight;
    const bool mirror = symmetric_ && !rule_.keeps_symmetry();
    weight.resize(pattern.num_edges());
    if (mirror) mirrored.resize(pattern.num_edges());
    parallel_rows(pattern.row_ptr, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        for (auto e = pattern.begin(i); e < pattern.end(i); ++e) {
          const NodeId j = pattern.col[e];
          const double w = pattern.weighted() ? static_cast<double>(pattern.weight[e]) : 1.0;
          weight[e] = rule_(w, factor_[i], factor_[j], i == j);
          if (mirror) mirrored[e] = rule_(w, factor_[j], factor_[i], i == j);
        }
      }
    });
    out_.forward_.weight = weight.span();
  }

  CsrView<> graph_;
  bool symmetric_;
  AggregationRule rule_;
  Array<double> factor_;
  PreparedAdjacency out_;
};

}  // namespace detail

/// Prepares a whole graph for layers: missing loops inserted, degrees taken, coefficients computed.
///
/// Shapes   graph [N, N] with ascending rows -> an adjacency [N, N] with at most E + N entries
/// Cost     work O(E); extra memory 4 bytes per entry for weights (8 under `row`), 4 more where loops are
///          inserted, a second matrix if the graph is not symmetric. A symmetric graph shares its pattern,
///          and except under `row` its weights, with its transpose
/// Errors   ShapeError if the graph is not square; ConfigError for a wrong spec; Error names the first row
///          whose weights sum to a negative number or NaN
/// Threads  parallel; the result does not depend on T
/// Source   Kipf & Welling, ICLR 2017 (symmetric); Chiang et al., KDD 2019, eq. (10) and (11) (row,
///          diag_lambda)
inline PreparedAdjacency prepare_adjacency(CsrView<> graph, bool symmetric, const AggregationSpec& spec,
                                           bool with_transpose_edge = false) {
  validate(spec);
  if (graph.num_rows != graph.num_cols) {
    throw ShapeError(message("prepare_adjacency: graph is [", graph.num_rows, ", ", graph.num_cols,
                             "], want a square matrix"));
  }
  return detail::AdjacencyPreparer(graph, symmetric, spec).prepare(with_transpose_edge);
}

/// As above; the graph says itself whether it is symmetric.
inline PreparedAdjacency prepare_adjacency(const CsrGraph& graph, const AggregationSpec& spec,
                                           bool with_transpose_edge = false) {
  return prepare_adjacency(graph.view(), graph.symmetric, spec, with_transpose_edge);
}

}  // namespace tessera
