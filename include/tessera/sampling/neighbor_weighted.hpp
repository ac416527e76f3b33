// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/sampling/alias_table.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"

namespace tessera {

namespace detail {

/// A candidate of exponential-key sampling: the keys of the winners are the smallest.
struct KeyedStep {
  double key;
  std::uint32_t step;

  friend bool operator<(const KeyedStep& a, const KeyedStep& b) noexcept {
    return a.key != b.key ? a.key < b.key : a.step < b.step;
  }
};

/// 1 - exp(-w tau): the chance that the key of weight w falls below the threshold tau.
inline double chance_below(double weight, double threshold) noexcept {
  return -std::expm1(-weight * threshold);
}

}  // namespace detail

/// Picks k different neighbours, heavier edges first in probability: those with the k smallest keys
/// -log(U) / w.
///
/// The factor is 1 / (1 - exp(-w tau)) with tau the smallest key that lost, which makes weighted sums
/// unbiased.
/// Source   Efraimidis & Spirakis, Weighted random sampling with a reservoir, 2006; Cohen & Kaplan, Summarizing
///          data using bottom-k sketches, PODC 2007 (rank conditioning)
class WeightedPicker {
 public:
  using Options = NeighborSamplerOptions;
  struct Workspace {};
  static constexpr bool kExact = false;
  static constexpr const char* kName = "WeightedNeighborSampler";

  explicit WeightedPicker(const Options& options) : options_(options) {
    detail::check_fanouts(options.fanouts, kName);
    if (options.replace) {
      throw ConfigError(
          "WeightedNeighborSampler: replace is on; AliasNeighborSampler draws with replacement");
    }
  }

  std::size_t num_layers() const noexcept { return options_.fanouts.size(); }
  bool expand_once() const noexcept { return options_.expand_once; }
  void check(CsrView<> graph) const {
    if (!graph.weighted() && graph.num_edges() > 0)
      throw ConfigError("WeightedNeighborSampler: source.graph has no weights");
  }
  bool scales(CsrView<>) const noexcept { return options_.rescale; }
  void begin_layer(const LayerView&, Workspace&) const noexcept {}

  std::size_t capacity(const LayerView& layer, const Workspace&, std::size_t i) const noexcept {
    return std::min(layer.graph.degree(layer.rows[i]), fanout(layer, i));
  }

  /// Errors   Error if a weight of the row is negative or not finite
  PickedRow pick(const LayerView& layer, const Workspace&, std::size_t i, std::uint32_t* step,
                 float* scale) const {
    const NodeId node = layer.rows[i];
    const auto weight = layer.graph.weights(node);
    const std::size_t wanted = std::min(weight.size(), fanout(layer, i));
    CounterRng rng = layer.rng(layer.hop_of(i), node);
    Array<detail::KeyedStep> heap;  // from the pool: the wanted smallest and the first that loses
    heap.reserve(wanted + 2);
    const bool all = wanted == weight.size();
    for (std::size_t t = 0; t < weight.size(); ++t) {
      if (!(weight[t] >= 0.0f) || !std::isfinite(weight[t])) {
        throw Error(message("WeightedNeighborSampler: weight ", t, " of row ", node, " is ", weight[t],
                            ", want a finite number of 0 or more"));
      }
      if (weight[t] == 0.0f) continue;
      const double key = all ? 0.0 : -std::log(rng.uniform_open()) / static_cast<double>(weight[t]);
      heap.push_back({key, static_cast<std::uint32_t>(t)});
      std::push_heap(heap.begin(), heap.end());
      if (heap.size() <= wanted + 1) continue;
      std::pop_heap(heap.begin(), heap.end());
      heap.resize(heap.size() - 1);
    }
    double threshold = std::numeric_limits<double>::infinity();
    if (heap.size() > wanted) {
      std::pop_heap(heap.begin(), heap.end());
      threshold = heap[heap.size() - 1].key;
      heap.resize(wanted);
    }
    std::sort(heap.begin(), heap.end(),
              [](const detail::KeyedStep& a, const detail::KeyedStep& b) { return a.step < b.step; });
    for (std::size_t t = 0; t < heap.size(); ++t) {
      step[t] = heap[t].step;
      if (scale == nullptr) continue;
      const double w = static_cast<double>(weight[heap[t].step]);
      scale[t] = static_cast<float>(1.0 / detail::chance_below(w, threshold));
    }
    return {heap.size()};
  }

 private:
  std::size_t fanout(const LayerView& layer, std::size_t i) const noexcept {
    return detail::fanout_or_all(options_.fanouts[layer.hop_of(i)]);
  }

  Options options_;
};

/// Draws k neighbours with replacement, each in proportion to the weight of its edge, in constant time.
///
/// The factor of a pick is W / (k w) with W the sum of the row's weights, which makes sums unbiased. A row
/// whose weights are all zero stays empty.
class AliasPicker {
 public:
  using Options = NeighborSamplerOptions;
  struct Workspace {};
  static constexpr bool kExact = true;
  static constexpr const char* kName = "AliasNeighborSampler";

  AliasPicker(const Options& options, std::shared_ptr<const NeighborAliasTables> tables)
      : options_(options), tables_(std::move(tables)) {
    detail::check_fanouts(options.fanouts, kName);
    if (tables_ == nullptr) throw ConfigError("AliasNeighborSampler: tables is null");
    for (const int fanout : options.fanouts) {
      if (fanout != kAllNeighbors) continue;
      throw ConfigError("AliasNeighborSampler: a fan-out of -1 (all) cannot be drawn with replacement");
    }
  }

  std::size_t num_layers() const noexcept { return options_.fanouts.size(); }
  bool expand_once() const noexcept { return options_.expand_once; }
  /// Errors   ShapeError if the graph is not the one the tables were made of; ConfigError if it has no weights
  void check(CsrView<> graph) const {
    if (graph.num_rows == tables_->num_rows() && graph.num_edges() == tables_->num_edges()) {
      if (graph.weighted() || graph.num_edges() == 0) return;
      throw ConfigError("AliasNeighborSampler: source.graph has no weights, the tables were made of some");
    }
    throw ShapeError(message("AliasNeighborSampler: source.graph has ", graph.num_rows, " nodes and ",
                             graph.num_edges(), " entries, the tables have ", tables_->num_rows(), " and ",
                             tables_->num_edges()));
  }
  bool scales(CsrView<>) const noexcept { return options_.rescale; }
  void begin_layer(const LayerView&, Workspace&) const noexcept {}

  std::size_t capacity(const LayerView& layer, const Workspace&, std::size_t i) const noexcept {
    if (!(tables_->total(layer.rows[i]) > 0)) return 0;
    return detail::fanout_or_all(options_.fanouts[layer.hop_of(i)]);
  }

  PickedRow pick(const LayerView& layer, const Workspace& workspace, std::size_t i, std::uint32_t* step,
                 float* scale) const noexcept {
    const NodeId node = layer.rows[i];
    const std::size_t count = capacity(layer, workspace, i);
    CounterRng rng = layer.rng(layer.hop_of(i), node);
    const auto weight = layer.graph.weights(node);
    for (std::size_t t = 0; t < count; ++t) step[t] = tables_->draw(node, rng);
    if (scale == nullptr) return {count};
    const double share = tables_->total(node) / static_cast<double>(count);
    for (std::size_t t = 0; t < count; ++t)
      scale[t] = static_cast<float>(share / static_cast<double>(weight[step[t]]));
    return {count};
  }

 private:
  Options options_;
  std::shared_ptr<const NeighborAliasTables> tables_;
};

/// Neighbour sampling without replacement in proportion to edge weights; see WeightedPicker.
///
/// Cost     sample: work O(degrees of the destinations)
/// Errors   sample: ConfigError if the graph has no weights, Error for a weight that is negative or not finite
using WeightedNeighborSampler = BlockSampler<WeightedPicker>;

/// Neighbour sampling with replacement in proportion to edge weights; see AliasPicker.
///
///     AliasNeighborSampler sampler({.fanouts = {10, 10}}, std::make_shared<NeighborAliasTables>(graph));
///
/// Cost     sample: work O(picks)
using AliasNeighborSampler = BlockSampler<AliasPicker>;

}  // namespace tessera
