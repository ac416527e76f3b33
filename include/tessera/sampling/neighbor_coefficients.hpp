// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/induced_subgraph.hpp"
#include "tessera/graph/normalization.hpp"

namespace tessera {

/// What an aggregation asks of the whole graph, looked up entry by entry: the coefficients that blocks of
/// sampled neighbours estimate, bit for bit those of prepare_adjacency.
///
/// Cost     9 bytes per node unless the spec leaves the graph as it is; `prepare` O(N log d) once per graph
///          and spec, O(E) with weights
class GraphCoefficients {
 public:
  /// Errors   ConfigError for a wrong spec; ShapeError if the graph is not square; Error names a row whose
  ///          weights sum to a negative number or NaN
  void prepare(CsrView<> graph, const AggregationSpec& spec) {
    if (same_graph(graph) && spec == rule_.spec()) return;
    validate(spec);
    if (graph.num_rows != graph.num_cols) {
      throw ShapeError(message("sample: source.graph is [", graph.num_rows, ", ", graph.num_cols,
                               "], want a square matrix"));
    }
    graph_ = {};
    rule_ = AggregationRule(spec);
    trivial_ = spec.normalization == Normalization::none && !spec.self_loops;
    if (!trivial_) take_factors(graph);
    graph_ = graph;
  }

  const AggregationRule& rule() const noexcept { return rule_; }
  /// Whether coefficients differ from 1.
  bool weighted() const noexcept { return rule_.changes_weights() || graph_.weighted(); }
  /// Whether the spec adds a loop to this node.
  bool adds_loop(NodeId node) const noexcept { return !trivial_ && adds_loop_[node] != 0; }
  /// The coefficient of the loop it adds.
  float loop(NodeId node) const noexcept { return rule_(1.0, factor_[node], factor_[node], true); }
  /// The coefficient of stored entry e, which lies in row i.
  float entry(NodeId i, EdgeId e) const noexcept {
    const double w = graph_.weighted() ? static_cast<double>(graph_.weight[e]) : 1.0;
    if (trivial_) return static_cast<float>(w);
    const NodeId j = graph_.col[e];
    return rule_(w, factor_[i], factor_[j], i == j);
  }

 private:
  bool same_graph(CsrView<> graph) const noexcept {
    return graph.row_ptr.data() == graph_.row_ptr.data() && graph.row_ptr.size() == graph_.row_ptr.size() &&
           graph.col.data() == graph_.col.data() && graph.col.size() == graph_.col.size() &&
           graph.weight.data() == graph_.weight.data();
  }

  void take_factors(CsrView<> graph) {
    factor_.resize(graph.num_rows);
    adds_loop_.resize(graph.num_rows);
    std::atomic<std::size_t> first_bad{graph.num_rows};
    parallel_for(graph.num_rows, 1024, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        const auto row = graph.neighbors(i);
        double degree = 0;
        for (const float w : graph.weights(i)) degree += static_cast<double>(w);
        if (!graph.weighted()) degree = static_cast<double>(row.size());
        const bool missing = rule_.self_loops() && !std::binary_search(row.begin(), row.end(), i);
        if (missing) degree += 1.0;
        if (!(degree >= 0.0)) detail::atomic_min(first_bad, i);
        factor_[i] = rule_.factor(degree);
        adds_loop_[i] = missing ? 1 : 0;
      }
    });
    const std::size_t bad = first_bad.load();
    if (bad == graph.num_rows || rule_.spec().normalization == Normalization::none) return;
    throw Error(message("sample: the weights of row ", bad,
                        " sum to a negative number or NaN; degrees must be 0 or more"));
  }

  CsrView<> graph_;
  AggregationRule rule_{AggregationSpec{Normalization::none, false, 0.0f}};
  bool trivial_ = true;
  Array<double> factor_;
  Array<std::uint8_t> adds_loop_;
};

}  // namespace tessera
