// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <tuple>

#include "tessera/core/array.hpp"
#include "tessera/partition/detail/level_graph.hpp"

namespace tessera::detail::multilevel {

/// What the two sides of a bisection should weigh, and may weigh at most.
struct BisectionTargets {
  std::array<Weight, 2> target{};
  std::array<Weight, 2> limit{};
};

/// A cut of a graph in two, with what refinement needs to know about it.
struct Bisection {
  Array<std::uint8_t> side;  ///< [n]
  std::array<Weight, 2> weight{};
  Weight cut = 0;

  /// Weight above the limits; 0 is feasible.
  Weight overload(const BisectionTargets& targets) const noexcept {
    return std::max<Weight>(0, weight[0] - targets.limit[0]) +
           std::max<Weight>(0, weight[1] - targets.limit[1]);
  }
  /// Distance from the wanted weights.
  Weight imbalance(const BisectionTargets& targets) const noexcept {
    return std::abs(weight[0] - targets.target[0]);
  }
  /// Order of preference: feasible, then small cut, then even.
  std::tuple<Weight, Weight, Weight> rank(const BisectionTargets& targets) const noexcept {
    return {overload(targets), cut, imbalance(targets)};
  }
  void copy_from(const Bisection& other) {
    side.resize(other.side.size());
    std::copy(other.side.begin(), other.side.end(), side.begin());
    weight = other.weight;
    cut = other.cut;
  }
  /// Fills in weight and cut from the sides.
  void measure(const LevelGraph& graph) {
    weight = {};
    Weight twice = 0;
    for (std::size_t v = 0; v < graph.num_nodes; ++v) {
      weight[side[v]] += graph.weight_of(v);
      graph.for_neighbors(v, [&](NodeId u, Weight w) { twice += side[u] != side[v] ? w : 0; });
    }
    cut = twice / 2;
  }
};

}  // namespace tessera::detail::multilevel
