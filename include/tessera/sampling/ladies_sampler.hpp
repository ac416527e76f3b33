// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/sampling/labor_sampler.hpp"
#include "tessera/sampling/neighbor_frontier.hpp"
#include "tessera/sampling/neighbor_weighted.hpp"

namespace tessera {

struct LadiesSamplerOptions {
  std::vector<std::size_t> layer_sizes{512, 512};  ///< nodes drawn per layer, next to the seeds first
  TargetBatches batches{.batch_size = 512, .shuffle = true};
  RowEstimator estimator = RowEstimator::hajek;
};

/// Picks one set of nodes for a whole layer, each in proportion to the squared coefficients with which the
/// destinations see it.
class LadiesPicker {
 public:
  using Options = LadiesSamplerOptions;
  static constexpr bool kExact = false;
  static constexpr const char* kName = "LadiesSampler";

  struct Workspace {
    NeighborFrontier frontier;
    Array<double> importance;  ///< per source of the frontier, not normalised
    Array<detail::KeyedStep> key;
    Array<float> scale;  ///< 1 / chance; 0 where not chosen
  };

  explicit LadiesPicker(const Options& options) : options_(options) {}

  std::size_t num_layers() const noexcept { return options_.layer_sizes.size(); }
  void check(CsrView<>) const noexcept {}
  bool scales(CsrView<>) const noexcept { return options_.estimator != RowEstimator::plain; }

  void begin_layer(const LayerView& layer, Workspace& w) const {
    w.frontier.find(layer);
    weigh(layer, w);
    const std::size_t sources = w.frontier.num_sources();
    const std::size_t destinations = layer.rows.size();
    detail::resize_roomy(w.scale, sources);
    // A destination is there anyway, for the next layer reads its row: it costs nothing and has chance 1.
    std::fill_n(w.scale.begin(), destinations, 1.0f);
    std::fill(w.scale.begin() + destinations, w.scale.end(), 0.0f);
    w.key.reserve(w.frontier.node.capacity());
    w.key.clear();
    for (std::size_t t = destinations; t < sources; ++t) {
      if (w.importance[t] > 0) w.key.push_back({0.0, static_cast<std::uint32_t>(t)});
    }
    const std::size_t wanted = options_.layer_sizes[layer.hop];
    if (w.key.size() <= wanted) {
      for (const detail::KeyedStep& k : w.key) w.scale[k.step] = 1.0f;
      return;
    }
    parallel_for(w.key.size(), 1024, [&](std::size_t t, std::size_t end) {
      for (; t < end; ++t) {
        const std::uint32_t s = w.key[t].step;
        const double u = layer.rng(layer.hop, w.frontier.node[s]).uniform_open();
        w.key[t].key = -std::log(u) / w.importance[s];
      }
    });
    const auto loser = w.key.begin() + static_cast<std::ptrdiff_t>(wanted);
    std::nth_element(w.key.begin(), loser, w.key.end());
    for (auto k = w.key.begin(); k != loser; ++k) {
      const double chance = detail::chance_below(w.importance[k->step], loser->key);
      w.scale[k->step] = static_cast<float>(1.0 / chance);
    }
  }

  std::size_t capacity(const LayerView& layer, const Workspace&, std::size_t i) const noexcept {
    return layer.graph.degree(layer.rows[i]);
  }

  PickedRow pick(const LayerView& layer, const Workspace& w, std::size_t i, std::uint32_t* step,
                 float* scale) const noexcept {
    const NodeId node = layer.rows[i];
    const EdgeId first = layer.graph.begin(node);
    const NodeId* const source = w.frontier.col.data() + w.frontier.row_ptr[i];
    const std::size_t degree = layer.graph.degree(node);
    const GraphCoefficients& coefficients = layer.coefficients;
    double full = coefficients.adds_loop(node) ? static_cast<double>(coefficients.loop(node)) : 0.0;
    double kept = full;
    std::size_t count = 0;
    for (std::size_t t = 0; t < degree; ++t) {
      const double c = static_cast<double>(coefficients.entry(node, first + t));
      full += c;
      const float factor = w.scale[source[t]];
      if (factor == 0.0f) continue;
      kept += c * static_cast<double>(factor);
      if (scale != nullptr) scale[count] = factor;
      step[count++] = static_cast<std::uint32_t>(t);
    }
    if (options_.estimator != RowEstimator::hajek || !(kept > 0)) return {count};
    const auto factor = static_cast<float>(full / kept);
    for (std::size_t t = 0; t < count; ++t) scale[t] *= factor;
    return {count, factor};
  }

  /// Fills workspace.importance with the squared column norms of the destinations' rows, loops included.
  static void weigh(const LayerView& layer, Workspace& w) {
    const NeighborFrontier& f = w.frontier;
    w.importance.reserve(f.node.capacity());
    w.importance.resize(f.num_sources());
    parallel_for(f.num_sources(), 512, [&](std::size_t t, std::size_t end) {
      for (; t < end; ++t) {
        double sum = 0;
        if (t < layer.rows.size() && layer.coefficients.adds_loop(layer.rows[t])) {
          const double c = static_cast<double>(layer.coefficients.loop(layer.rows[t]));
          sum = c * c;
        }
        for (EdgeId e = f.column_ptr[t]; e < f.column_ptr[t + 1]; ++e) {
          const NodeId row = f.row_of[e];
          const EdgeId stored = layer.graph.begin(layer.rows[row]) + (f.entry_of[e] - f.row_ptr[row]);
          const double c = static_cast<double>(layer.coefficients.entry(layer.rows[row], stored));
          sum += c * c;
        }
        w.importance[t] = sum;
      }
    });
  }

 private:
  Options options_;
};

/// LADIES: layer by layer, s nodes are drawn for all destinations together, important ones with higher
/// probability, and every link from them is kept.
///
///     LadiesSampler sampler({.layer_sizes = {512, 512}});
///
/// For networks that use coefficients (GCN); a mean aggregator would count important nodes double.
/// Cost     sample: work O(degrees of the destinations), s new nodes per layer
/// Source   Zou et al., Layer-dependent importance sampling for training deep and large graph convolutional
///          networks, NeurIPS 2019, algorithm 1; differs: drawn without replacement with conditional inclusion
///          probabilities (Cohen & Kaplan 2007), which makes the Horvitz-Thompson form unbiased, rows are
///          scaled to their full sum instead of 1, and the destinations themselves are always sources
using LadiesSampler = BlockSampler<LadiesPicker>;

}  // namespace tessera
