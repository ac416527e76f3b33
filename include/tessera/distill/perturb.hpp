// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/graph/csr_graph.hpp"

namespace tessera {

/// x + sigma std(column) N(0, 1), to see how a trained model bears noise.
///
/// Shapes   x [N, F] -> [N, F]
/// Errors   ConfigError if sigma is negative
inline Tensor<float> noisy_features(MatrixView<const float> x, double sigma, std::uint64_t seed) {
  if (!(sigma >= 0)) throw ConfigError(message("noisy_features: sigma is ", sigma, ", want at least 0"));
  Tensor<float> out = Tensor<float>::copy_of(x);
  const RngKey key = make_key(seed, 0, Purpose::noise);
  const double n = static_cast<double>(x.rows());
  for (std::size_t j = 0; j < x.cols(); ++j) {
    double mean = 0;
    for (std::size_t i = 0; i < x.rows(); ++i) mean += static_cast<double>(x(i, j)) / n;
    double square = 0;
    for (std::size_t i = 0; i < x.rows(); ++i) {
      const double d = static_cast<double>(x(i, j)) - mean;
      square += d * d / n;
    }
    const double scale = sigma * std::sqrt(square);
    if (scale == 0) continue;
    CounterRng rng(key, 0, j);
    for (std::size_t i = 0; i < x.rows(); ++i) out(i, j) += static_cast<float>(scale * rng.normal());
  }
  return out;
}

/// An undirected graph less a share of its links, plus as many random ones as the share `added` says.
///
/// Shapes   graph [N, N], symmetric -> [N, N]
/// Errors   ConfigError for shares outside [0, 1] (removed) or below 0 (added)
inline CsrGraph noisy_links(CsrView<> graph, double removed, double added, std::uint64_t seed) {
  if (!(removed >= 0 && removed <= 1 && added >= 0))
    throw ConfigError(message("noisy_links: removed is ", removed, " and added ", added, ", want shares"));
  const RngKey key = make_key(seed, 1, Purpose::noise);
  std::vector<NodeId> source;
  std::vector<NodeId> target;
  std::size_t links = 0;
  for (std::size_t i = 0; i < graph.num_rows; ++i) {
    for (const NodeId j : graph.neighbors(i)) {
      if (j <= i) continue;
      ++links;
      CounterRng rng(key, 0, (std::uint64_t{i} << 32) | j);
      if (rng.uniform() < removed) continue;
      source.push_back(static_cast<NodeId>(i));
      target.push_back(j);
    }
  }
  const auto more = static_cast<std::size_t>(added * static_cast<double>(links));
  for (std::size_t e = 0; e < more; ++e) {
    CounterRng rng(key, 1, e);
    source.push_back(static_cast<NodeId>(rng.below(graph.num_rows)));
    target.push_back(static_cast<NodeId>(rng.below(graph.num_rows)));
  }
  return build_csr(graph.num_rows, {source, target, {}}, {.symmetrize = true}).graph;
}

}  // namespace tessera
