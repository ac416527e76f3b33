// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/sampling/neighbor_blocks.hpp"
#include "tessera/sampling/neighbor_pick.hpp"

namespace tessera {

/// Stands among fan-outs for all neighbours.
inline constexpr int kAllNeighbors = -1;

struct NeighborSamplerOptions {
  std::vector<int> fanouts{10, 10};  ///< neighbours per node, next to the seeds first; -1 = all
  TargetBatches batches{};
  bool replace = false;      ///< draw with replacement: repeated picks are parallel entries
  bool expand_once = false;  ///< a node keeps the neighbours it got when it first appeared (PyG), instead of
                             ///< drawing anew in every hop (DGL)
  bool rescale = true;  ///< multiply coefficients by degree / picks, so that sums are estimated without bias;
                        ///< a mean needs none and can do without the weights
};

namespace detail {

inline void check_fanouts(const std::vector<int>& fanouts, std::string_view who) {
  for (std::size_t l = 0; l < fanouts.size(); ++l) {
    if (fanouts[l] < kAllNeighbors) {
      throw ConfigError(
          message(who, ": fanouts[", l, "] is ", fanouts[l], ", want 0 or more, or -1 for all neighbours"));
    }
  }
}

inline std::size_t fanout_or_all(int fanout) noexcept {
  return fanout < 0 ? std::numeric_limits<std::size_t>::max() : static_cast<std::size_t>(fanout);
}

}  // namespace detail

/// Picks k of a row's neighbours, each equally likely.
class UniformPicker {
 public:
  using Options = NeighborSamplerOptions;
  struct Workspace {};
  static constexpr bool kExact = true;
  static constexpr const char* kName = "NeighborSampler";

  explicit UniformPicker(const Options& options) : options_(options) {
    detail::check_fanouts(options.fanouts, kName);
    for (const int fanout : options.fanouts) {
      if (fanout == kAllNeighbors && options.replace) {
        throw ConfigError("NeighborSampler: a fan-out of -1 (all) cannot be drawn with replacement");
      }
    }
  }

  std::size_t num_layers() const noexcept { return options_.fanouts.size(); }
  bool expand_once() const noexcept { return options_.expand_once; }
  void check(CsrView<>) const noexcept {}
  bool scales(CsrView<>) const noexcept { return options_.rescale; }
  void begin_layer(const LayerView&, Workspace&) const noexcept {}

  std::size_t capacity(const LayerView& layer, const Workspace&, std::size_t i) const noexcept {
    return picks(layer.graph.degree(layer.rows[i]), layer.hop_of(i));
  }

  PickedRow pick(const LayerView& layer, const Workspace&, std::size_t i, std::uint32_t* step,
                 float* scale) const noexcept {
    const NodeId node = layer.rows[i];
    const std::size_t degree = layer.graph.degree(node);
    const std::uint32_t hop = layer.hop_of(i);
    const std::size_t count = picks(degree, hop);
    CounterRng rng = layer.rng(hop, node);
    if (options_.replace) {
      for (std::size_t t = 0; t < count; ++t) step[t] = static_cast<std::uint32_t>(rng.below(degree));
    } else {
      pick_without_replacement(static_cast<std::uint32_t>(degree), static_cast<std::uint32_t>(count), rng,
                               step);
    }
    if (scale != nullptr) {
      std::fill_n(scale, count, static_cast<float>(static_cast<double>(degree) / static_cast<double>(count)));
    }
    return {count};
  }

 private:
  std::size_t picks(std::size_t degree, std::uint32_t hop) const noexcept {
    const std::size_t fanout = detail::fanout_or_all(options_.fanouts[hop]);
    return options_.replace && degree > 0 ? fanout : std::min(fanout, degree);
  }

  Options options_;
};

/// GraphSAGE's neighbour sampling: every node aggregates from at most k of its neighbours.
///
///     NeighborSampler sampler({.fanouts = {25, 10}, .batches = {.batch_size = 512}});
///
/// Inclusion of one neighbour has probability min(1, k / d). See BlockSampler for what a batch is.
/// Cost     sample: work O(picks), of which most is waiting for memory
/// Source   Hamilton, Ying & Leskovec, Inductive representation learning on large graphs, 2017; differs: draws
///          of different nodes are independent and no neighbour is out of reach, as in DGL and PyG
using NeighborSampler = BlockSampler<UniformPicker>;

}  // namespace tessera
