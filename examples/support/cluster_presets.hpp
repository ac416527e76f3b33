// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include "support/options.hpp"

namespace examples {

struct ClusterOptions {
  std::size_t parts = 40;
  std::size_t clusters_per_batch = 4;
  std::string partitioner = "multilevel";
  std::string link_cost = "shares";
};

/// What the paper trained a data set with; where it leaves something open, the authors' program.
struct Preset {
  std::string_view name;
  std::size_t layers, hidden, parts, clusters_per_batch, epochs;
  double lr;
  float diag_lambda;
};
inline constexpr std::array kPresets{
    Preset{"ppi", 5, 2048, 50, 1, 400, 0.01, 1.0f},
    Preset{"reddit", 4, 128, 1500, 20, 130, 0.005, 1e-4f},
    Preset{"amazon", 3, 128, 200, 1, 200, 0.01, 0.0f},
    Preset{"amazon2m", 4, 400, 15'000, 10, 200, 0.01, 0.0f},
};

inline std::vector<std::string> preset_names() {
  std::vector<std::string> names;
  for (const Preset& preset : kPresets) names.emplace_back(preset.name);
  return names;
}

/// Changes the options to those of a preset. Everything the paper's runs share is set too: the network of the
/// authors' program on standardised features, inductive, its first layer precomputed, no weight decay.
inline void apply_preset(std::string_view name, Options& o, ClusterOptions& cluster) {
  for (const Preset& preset : kPresets) {
    if (preset.name != name) continue;
    o.model = "cluster-gcn";
    o.inductive = o.precomputed = true;
    o.features = "standard";
    o.layers = preset.layers;
    o.hidden = preset.hidden;
    o.epochs = preset.epochs;
    o.lr = preset.lr;
    o.diag_lambda = preset.diag_lambda;
    o.dropout = 0.2f;
    o.weight_decay = 0;
    o.keep = "best-metric";
    o.eval_every = 5;
    cluster.parts = preset.parts;
    cluster.clusters_per_batch = preset.clusters_per_batch;
  }
}

}  // namespace examples
