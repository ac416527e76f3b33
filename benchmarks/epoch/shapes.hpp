// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>
#include <vector>

#include "support/report.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/train/trainer.hpp"

namespace tessera::bench {

struct Options {
  CommonOptions common;
  double scale = 0.02;
  std::string only;
  std::string plot;
  bool kernels = false;
  bool bf16_only = false;
};

/// A published data set's shape and the network trained on it.
struct Shape {
  std::string name;
  std::size_t nodes, features, classes;
  double mean_degree, sigma;
  std::size_t hidden, layers, parts, clusters_per_batch;
  double train = 0.66;
};

/// The network trained on a shape.
inline GcnNet<> gcn_of(const Shape& shape) {
  return GcnNet<>{{.in = shape.features,
                   .hidden = shape.hidden,
                   .out = shape.classes,
                   .layers = shape.layers,
                   .dropout = 0.2f,
                   .input_dropout = false}};
}

inline Dataset make(const Shape& shape, const Options& options, bool shuffled) {
  CommunityGraphOptions graph;
  graph.nodes =
      std::max<std::size_t>(2000, static_cast<std::size_t>(static_cast<double>(shape.nodes) * options.scale));
  graph.classes = shape.classes;
  graph.features = shape.features;
  graph.mean_degree = std::min(shape.mean_degree, static_cast<double>(graph.nodes) / 100);
  graph.degree_sigma = shape.sigma;
  graph.train = shape.train;
  graph.val = 0;
  graph.test = 1 - shape.train;
  graph.shuffle_nodes = shuffled;
  return generate_community_graph(graph);
}

inline const Shape& amazon2m() {
  static const Shape shape{
      "Amazon2M shape, GCN 100-400-400-47", 2'449'029, 100, 47, 50.5, 1.3, 400, 3, 15'000, 10, 0.7};
  return shape;
}
inline const Shape& reddit() {
  static const Shape shape{"Reddit shape, GCN 602-128-41", 232'965, 602, 41, 492, 1.08, 128, 2, 1500, 20};
  return shape;
}

/// The parts of a shape at a scale, at least four batches.
inline std::size_t parts_of(const Shape& shape, double scale) {
  return std::max<std::size_t>(shape.clusters_per_batch * 4,
                               static_cast<std::size_t>(static_cast<double>(shape.parts) * scale));
}

/// The epochs but the first, which warms up.
inline std::vector<double> steady_seconds(const FitReport& fit) {
  std::vector<double> out;
  for (std::size_t e = 1; e < fit.history.size(); ++e) out.push_back(fit.history[e].seconds);
  return out;
}

}  // namespace tessera::bench
