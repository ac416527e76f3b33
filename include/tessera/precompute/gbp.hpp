// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/dataset_view.hpp"

namespace tessera {

struct GbpOptions {
  double alpha = 0.1;       ///< share of a residue that stays, in (0, 1]
  double exponent = 0.5;    ///< r of D~^(r-1) (A + I) D~^-r, in [0, 1]
  double threshold = 1e-4;  ///< r_max: residues up to this share of a column's sum are not pushed on
};

/// What pushing did.
struct GbpCounts {
  std::uint64_t pushes = 0;  ///< nodes popped, over all columns
  std::uint64_t edges = 0;   ///< entries touched
};

namespace detail {

/// Reverse push of one sign of one column.
class GbpPush {
 public:
  GbpPush(CsrView<> a, std::span<const double> degree, std::span<const float> loop, const GbpOptions& options)
      : a_(a),
        degree_(degree),
        loop_(loop),
        options_(options),
        residue_(a.num_rows),
        queued_(a.num_rows),
        queue_(a.num_rows) {}

  /// Adds `sign` times the approximation for residues max(sign x, 0) to `out`.
  void run(std::span<const double> x, double sign, std::span<double> out, GbpCounts& counts) {
    const std::size_t n = a_.num_rows;
    double sum = 0;
    for (std::size_t i = 0; i < n; ++i) {
      residue_[i] = std::max(sign * x[i], 0.0);
      sum += residue_[i];
    }
    const double limit = options_.threshold * sum;
    if (sum > 0) push(limit, sign, out, counts);
    // What was not pushed counts as if it stayed.
    for (std::size_t i = 0; i < n; ++i) out[i] += sign * options_.alpha * residue_[i];
  }

 private:
  void push(double limit, double sign, std::span<double> out, GbpCounts& counts) {
    const std::size_t n = a_.num_rows;
    std::size_t head = 0;
    std::size_t waiting = 0;  // in a ring: a node waits at most once
    for (std::size_t i = 0; i < n; ++i) {
      queued_[i] = residue_[i] > limit ? 1 : 0;
      if (queued_[i] != 0) queue_[waiting++] = static_cast<NodeId>(i);
    }
    const auto give = [&](NodeId v, double amount) {
      residue_[v] += amount / degree_[v];
      if (queued_[v] != 0 || !(residue_[v] > limit)) return;
      queued_[v] = 1;
      const std::size_t at = head + waiting++;
      queue_[at < n ? at : at - n] = v;
    };
    while (waiting > 0) {
      const NodeId u = queue_[head];
      head = head + 1 == n ? 0 : head + 1;
      --waiting;
      queued_[u] = 0;
      const double residue = residue_[u];
      residue_[u] = 0;
      out[u] += sign * options_.alpha * residue;
      const double rest = (1 - options_.alpha) * residue;
      const std::span<const NodeId> row = a_.neighbors(u);
      const std::span<const float> weight = a_.weights(u);
      for (std::size_t k = 0; k < row.size(); ++k) {
        give(row[k], weight.empty() ? rest : rest * static_cast<double>(weight[k]));
      }
      if (loop_[u] > 0) give(u, rest * static_cast<double>(loop_[u]));
      ++counts.pushes;
      counts.edges += row.size() + 1;
    }
  }

  CsrView<> a_;
  std::span<const double> degree_;
  std::span<const float> loop_;
  const GbpOptions& options_;
  Array<double> residue_;
  Array<std::uint8_t> queued_;
  Array<NodeId> queue_;
};

}  // namespace detail

/// Generalised PageRank features by pushing: an approximation of sum over l of alpha (1 - alpha)^l
/// (D~^(r-1) (A + I) D~^-r)^l x that touches only what matters.
///
/// An entry i errs by at most D~_i^r (1 - alpha) threshold times the sum of the positive (or negative) entries of
/// D~^-r x in its column; with threshold 0 every residue would have to vanish, which takes for ever.
/// Shapes   graph [N, N] symmetric, x [N, F] -> [N, F]
/// Cost     work O(F / (alpha threshold)) times the mean degree at worst; per thread 37 bytes per node
/// Errors   ConfigError if an option is outside its range or the graph is directed; ShapeError if x does not fit
/// Threads  parallel over columns; result independent of T
/// Source   Chen et al., Scalable graph neural networks via bidirectional propagation, NeurIPS 2020; as their
///          code: a queue, thresholds relative to the column's sum, signs apart; differs: no random walks
inline Tensor<float> gbp_push(const GraphRef& graph, MatrixView<const float> x,
                              const GbpOptions& options = {}, GbpCounts* counts = nullptr) {
  const std::size_t n = graph.num_nodes();
  if (!graph.symmetric) throw ConfigError("gbp_push: the graph is directed, want it symmetric");
  if (x.rows() != n)
    throw ShapeError(message("gbp_push: x has ", x.rows(), " rows, want ", n, " as the graph"));
  if (!(options.alpha > 0 && options.alpha <= 1)) {
    throw ConfigError(message("gbp_push: alpha is ", options.alpha, ", want in (0, 1]"));
  }
  if (!(options.exponent >= 0 && options.exponent <= 1)) {
    throw ConfigError(message("gbp_push: exponent is ", options.exponent, ", want 0 to 1"));
  }
  if (!(options.threshold > 0 && options.threshold < 1)) {
    throw ConfigError(message("gbp_push: threshold is ", options.threshold, ", want in (0, 1)"));
  }
  const CsrView<> a = graph.view();
  Array<double> degree(n);
  Array<float> loop(n);
  Array<double> scale(n);
  parallel_for(n, 1024, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const std::span<const NodeId> row = a.neighbors(i);
      loop[i] = std::binary_search(row.begin(), row.end(), static_cast<NodeId>(i)) ? 0.0f : 1.0f;
      double d = static_cast<double>(loop[i]);
      for (const float w : a.weights(i)) d += static_cast<double>(w);
      if (!a.weighted()) d += static_cast<double>(row.size());
      degree[i] = d;
      scale[i] = std::pow(d, options.exponent);
    }
  });
  Tensor<float> out(n, x.cols());
  Array<GbpCounts> of_column(x.cols());
  parallel_blocks(x.cols(), [&](std::size_t f) {
    Array<double> column(n);
    Array<double> result(n, 0.0);
    for (std::size_t i = 0; i < n; ++i) column[i] = static_cast<double>(x(i, f)) / scale[i];
    detail::GbpPush push(a, degree, loop, options);
    GbpCounts count;
    push.run(column, 1, result, count);
    push.run(column, -1, result, count);
    of_column[f] = count;
    for (std::size_t i = 0; i < n; ++i) out(i, f) = static_cast<float>(result[i] * scale[i]);
  });
  if (counts != nullptr) {
    *counts = {};
    for (const GbpCounts& c : of_column) {
      counts->pushes += c.pushes;
      counts->edges += c.edges;
    }
  }
  return out;
}

}  // namespace tessera
