// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/induced_subgraph.hpp"
#include "tessera/sampling/alias_table.hpp"
#include "tessera/sampling/labor_sampler.hpp"
#include "tessera/sampling/neighbor_blocks.hpp"

namespace tessera {

/// FastGCN's distribution over all nodes: q_u in proportion to the squared norm of column u.
///
/// Shapes   prepared [N, N] -> [N], summing to 1; all 0 where the matrix is empty
/// With `skip_loop_only`, a node that nobody but itself aggregates from gets 0: its loop would give it the
/// largest share, and no other row can use it.
/// Cost     O(E)
/// Source   Chen, Ma & Xiao, FastGCN, ICLR 2018, proposition 4; `skip_loop_only` off is as published
inline Array<double> fastgcn_distribution(const Adjacency& prepared, bool skip_loop_only = true) {
  const CsrView<> columns = prepared.transpose;
  Array<double> q(columns.num_rows);
  parallel_for(columns.num_rows, 1024, [&](std::size_t u, std::size_t end) {
    for (; u < end; ++u) {
      double sum = 0;
      bool others = false;
      for (EdgeId e = columns.begin(u); e < columns.end(u); ++e) {
        const double c = columns.weighted() ? static_cast<double>(columns.weight[e]) : 1.0;
        sum += c * c;
        others |= columns.col[e] != u;
      }
      q[u] = others || !skip_loop_only ? sum : 0.0;
    }
  });
  const double total = parallel_sum<double>(q.size(), 4096, [&](std::size_t u, std::size_t end) {
    double sum = 0;
    for (; u < end; ++u) sum += q[u];
    return sum;
  });
  for (double& x : q) x = total > 0 ? x / total : 0.0;
  return q;
}

struct FastGcnSamplerOptions {
  std::vector<std::size_t> layer_sizes{400, 400};  ///< draws per layer, next to the seeds first
  TargetBatches batches{.batch_size = 256, .shuffle = true};
  RowEstimator estimator = RowEstimator::horvitz_thompson;
};

/// Keeps the links from nodes that were drawn for the layer, whoever its destinations are.
class FastGcnPicker {
 public:
  using Options = FastGcnSamplerOptions;
  static constexpr bool kExact = false;
  static constexpr const char* kName = "FastGcnSampler";

  struct Workspace {
    Array<NodeId> drawn;  ///< distinct, ascending
    Array<float> scale;   ///< times drawn / (t q)
    NodePlaces places;
  };

  /// Errors   ConfigError if nothing can be drawn from q
  FastGcnPicker(const Options& options, std::span<const double> q)
      : options_(options), q_(Array<double>::copy_of(q)), table_(q) {
    double total = 0;
    for (const double x : q) total += x;
    for (double& x : q_) x /= total;
  }

  std::size_t num_layers() const noexcept { return options_.layer_sizes.size(); }
  void check(CsrView<> graph) const {
    if (graph.num_rows == q_.size()) return;
    throw ShapeError(
        message("FastGcnSampler: source.graph has ", graph.num_rows, " nodes, q has ", q_.size()));
  }
  bool scales(CsrView<>) const noexcept { return options_.estimator != RowEstimator::plain; }

  void begin_layer(const LayerView& layer, Workspace& w) const {
    const std::size_t draws = options_.layer_sizes[layer.hop];
    w.drawn.resize(draws);
    // The draws of a layer belong to no node; an id above every node keeps them apart.
    parallel_for(draws, 1024, [&](std::size_t t, std::size_t end) {
      for (; t < end; ++t) {
        CounterRng rng(
            layer.key, layer.batch,
            std::uint64_t{1} << 63 | std::uint64_t{layer.hop} << 32 | static_cast<std::uint32_t>(t));
        w.drawn[t] = table_.draw(rng);
      }
    });
    parallel_sort(w.drawn.begin(), w.drawn.end());
    w.scale.resize(draws);
    std::size_t distinct = 0;
    for (std::size_t t = 0; t < draws;) {
      const NodeId u = w.drawn[t];
      std::size_t times = 0;
      for (; t < draws && w.drawn[t] == u; ++t) ++times;
      w.drawn[distinct] = u;
      w.scale[distinct++] =
          static_cast<float>(static_cast<double>(times) / (static_cast<double>(draws) * q_[u]));
    }
    w.drawn.resize(distinct);
    w.scale.resize(distinct);
    w.places.assign(layer.graph.num_rows, w.drawn);
  }

  std::size_t capacity(const LayerView& layer, const Workspace&, std::size_t i) const noexcept {
    return layer.graph.degree(layer.rows[i]);
  }

  PickedRow pick(const LayerView& layer, const Workspace& w, std::size_t i, std::uint32_t* step,
                 float* scale) const noexcept {
    const NodeId node = layer.rows[i];
    const auto row = layer.graph.neighbors(node);
    const EdgeId first = layer.graph.begin(node);
    const GraphCoefficients& coefficients = layer.coefficients;
    const bool hajek = options_.estimator == RowEstimator::hajek;
    double full = coefficients.adds_loop(node) ? static_cast<double>(coefficients.loop(node)) : 0.0;
    double kept = full;
    std::size_t count = 0;
    for (std::size_t t = 0; t < row.size(); ++t) {
      const double c = hajek ? static_cast<double>(coefficients.entry(node, first + t)) : 0.0;
      full += c;
      const NodeId place = w.places[row[t]];
      // A destination's own entry is there anyway, so it is exact.
      if (place >= w.places.size() && row[t] != node) continue;
      const float factor = row[t] == node ? 1.0f : w.scale[place];
      kept += c * static_cast<double>(factor);
      if (scale != nullptr) scale[count] = factor;
      step[count++] = static_cast<std::uint32_t>(t);
    }
    if (!hajek || !(kept > 0)) return {count};
    const auto factor = static_cast<float>(full / kept);
    for (std::size_t t = 0; t < count; ++t) scale[t] *= factor;
    return {count, factor};
  }

 private:
  Options options_;
  Array<double> q_;
  AliasTable table_;
};

/// FastGCN: every layer sees the same kind of random nodes, drawn from one distribution over the whole graph.
///
///     const PreparedAdjacency prepared = prepare_adjacency(graph, model.aggregation());
///     FastGcnSampler sampler({.layer_sizes = {400, 400}}, fastgcn_distribution(prepared));
///
/// For networks that use coefficients (GCN). Rows may have nothing but their own entry, which is exact.
/// Cost     sample: work O(degrees of the destinations + draws)
/// Errors   sample: ShapeError if q is of another graph
/// Source   Chen, Ma & Xiao, FastGCN: fast learning with graph convolutional networks via importance sampling,
///          ICLR 2018, algorithm 1, as published but for the own entry; the authors' program, which draws among
///          the neighbours without replacement and keeps the weights of drawing from all, is biased
using FastGcnSampler = BlockSampler<FastGcnPicker>;

}  // namespace tessera
