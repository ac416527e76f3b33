// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tessera/core/rng.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/graph/graph_dataset.hpp"

namespace tessera::testing {

/// Rings (class 0) and stars (class 1) of 3 to 12 nodes, in turns; features are the degree and 1. Of every eight
/// graphs four train, two validate, two test.
inline GraphDataset rings_and_stars(std::size_t graphs, std::uint64_t seed = 1) {
  GraphDataset data;
  data.name = "rings and stars";
  std::vector<NodeId> source;
  std::vector<NodeId> target;
  const auto link = [&](std::size_t u, std::size_t v) {
    source.push_back(static_cast<NodeId>(u));
    target.push_back(static_cast<NodeId>(v));
  };
  std::size_t n = 0;
  for (std::size_t g = 0; g < graphs; ++g) {
    CounterRng rng(make_key(seed, 0, Purpose::generate), 0, g);
    const std::size_t size = 3 + static_cast<std::size_t>(rng.below(10));
    for (std::size_t i = 1; i < size; ++i) link(n + i, g % 2 == 0 ? n + i - 1 : n);
    if (g % 2 == 0) link(n, n + size - 1);
    n += size;
    data.node_ptr.push_back(n);
    data.targets.classes.push_back(static_cast<std::int32_t>(g % 2));
    data.roles.push_back(g % 4 < 2 ? Role::train : g / 4 % 2 == 0 ? Role::val : Role::test);
  }
  data.targets.num_classes = 2;
  data.graph = build_csr(n, {source, target, {}}, {.symmetrize = true}).graph;
  data.features.resize(n, 2);
  for (std::size_t i = 0; i < n; ++i) {
    data.features(i, 0) = static_cast<float>(data.graph.degree(i));
    data.features(i, 1) = 1.0f;
  }
  return data;
}

}  // namespace tessera::testing
