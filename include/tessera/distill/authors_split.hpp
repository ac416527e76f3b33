// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/graph/induced_subgraph.hpp"

namespace tessera {

/// The generator behind numpy's `RandomState(seed)`, as far as `permutation` needs it: published splits are drawn
/// with it.
///
/// Source   Matsumoto & Nishimura, Mersenne Twister, 1998; numpy's legacy seeding with one word and masked rejection
class NumpyRandom {
 public:
  explicit NumpyRandom(std::uint32_t seed) noexcept {
    state_[0] = seed;
    for (std::uint32_t i = 1; i < kWords; ++i)
      state_[i] = 1812433253u * (state_[i - 1] ^ (state_[i - 1] >> 30)) + i;
  }

  std::uint32_t next32() noexcept {
    if (at_ == kWords) twist();
    std::uint32_t y = state_[at_++];
    y ^= y >> 11;
    y ^= (y << 7) & 0x9D2C5680u;
    y ^= (y << 15) & 0xEFC60000u;
    return y ^ (y >> 18);
  }

  /// Uniform in [0, most].
  std::uint32_t up_to(std::uint32_t most) noexcept {
    std::uint32_t mask = most;
    for (const unsigned shift : {1u, 2u, 4u, 8u, 16u}) mask |= mask >> shift;
    std::uint32_t x = next32() & mask;
    while (x > most) x = next32() & mask;
    return x;
  }

  /// `RandomState.permutation(n)`.
  std::vector<NodeId> permutation(std::size_t n) {
    std::vector<NodeId> out(n);
    std::iota(out.begin(), out.end(), NodeId{0});
    for (std::size_t i = n; i-- > 1;) std::swap(out[i], out[up_to(static_cast<std::uint32_t>(i))]);
    return out;
  }

 private:
  static constexpr std::uint32_t kWords = 624;

  void twist() noexcept {
    for (std::uint32_t i = 0; i < kWords; ++i) {
      const std::uint32_t y = (state_[i] & 0x80000000u) | (state_[(i + 1) % kWords] & 0x7FFFFFFFu);
      state_[i] = state_[(i + 397) % kWords] ^ (y >> 1) ^ ((y & 1u) != 0 ? 0x9908B0DFu : 0u);
    }
    at_ = 0;
  }

  std::array<std::uint32_t, kWords> state_{};
  std::uint32_t at_ = kWords;
};

/// Draws `per_class` nodes of every class among those without a part yet, and gives them `part`.
///
/// Classes ascend; the candidates of a class ascend and the first of a permutation of them are taken.
/// Shapes   classes, parts [N]; parts are 0 where a node is free
/// Errors   ConfigError if a class has fewer free nodes
/// Source   Shchur et al. 2018, as used by BUPT-GAMMA/CPF and LTD
inline void draw_per_class(NumpyRandom& random, std::span<const std::int32_t> classes,
                           std::size_t num_classes, std::size_t per_class, std::uint8_t part,
                           std::span<std::uint8_t> parts) {
  for (std::size_t c = 0; c < num_classes; ++c) {
    std::vector<NodeId> candidates;
    for (std::size_t i = 0; i < classes.size(); ++i) {
      if (classes[i] == static_cast<std::int32_t>(c) && parts[i] == 0)
        candidates.push_back(static_cast<NodeId>(i));
    }
    if (candidates.size() < per_class) {
      throw ConfigError(message("draw_per_class: class ", c, " has ", candidates.size(),
                                " free nodes, want at least ", per_class));
    }
    const std::vector<NodeId> order = random.permutation(candidates.size());
    for (std::size_t k = 0; k < per_class; ++k) parts[candidates[order[k]]] = part;
  }
}

/// The roles of the CPF protocol: 20 nodes per class train, 30 validate, the rest are test.
inline Array<Role> cpf_split(std::span<const std::int32_t> classes, std::size_t num_classes,
                             std::uint32_t seed) {
  Array<std::uint8_t> parts(classes.size(), std::uint8_t{0});
  NumpyRandom random(seed);
  draw_per_class(random, classes, num_classes, 20, 1, parts.span());
  draw_per_class(random, classes, num_classes, 30, 2, parts.span());
  Array<Role> out(classes.size());
  for (std::size_t i = 0; i < out.size(); ++i)
    out[i] = parts[i] == 1 ? Role::train : parts[i] == 2 ? Role::val : Role::test;
  return out;
}

/// The parts of the LTD protocol: 20 nodes per class to distil with, 20 to evaluate temperatures on, 10 to validate;
/// the teacher is trained on the first two.
struct LtdSplit {
  Array<std::int32_t> distill;   ///< [N]: class of the nodes of V_D, -1 elsewhere
  Array<std::int32_t> evaluate;  ///< [N]: V_E
  Array<Role> roles;             ///< train = V_D and V_E, val, test
};
inline LtdSplit ltd_split(std::span<const std::int32_t> classes, std::size_t num_classes,
                          std::uint32_t seed = 0) {
  Array<std::uint8_t> parts(classes.size(), std::uint8_t{0});
  NumpyRandom random(seed);
  draw_per_class(random, classes, num_classes, 20, 1, parts.span());
  draw_per_class(random, classes, num_classes, 20, 2, parts.span());
  draw_per_class(random, classes, num_classes, 10, 3, parts.span());
  LtdSplit out;
  out.distill.assign(classes.size(), kUnlabelled);
  out.evaluate.assign(classes.size(), kUnlabelled);
  out.roles.assign(classes.size(), Role::test);
  for (std::size_t i = 0; i < classes.size(); ++i) {
    if (parts[i] == 1) out.distill[i] = classes[i];
    if (parts[i] == 2) out.evaluate[i] = classes[i];
    if (parts[i] != 0) out.roles[i] = parts[i] == 3 ? Role::val : Role::train;
  }
  return out;
}

/// The nodes of the largest connected component, ascending; of equals the one with the smallest node.
///
/// Cost     O((N + E) alpha(N))
inline std::vector<NodeId> largest_component(CsrView<> a) {
  std::vector<NodeId> parent(a.num_rows);
  std::iota(parent.begin(), parent.end(), NodeId{0});
  const auto root = [&](NodeId v) {
    while (parent[v] != v) v = parent[v] = parent[parent[v]];
    return v;
  };
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    for (const NodeId j : a.neighbors(i)) {
      const NodeId x = root(static_cast<NodeId>(i));
      const NodeId y = root(j);
      if (x != y) parent[std::max(x, y)] = std::min(x, y);
    }
  }
  std::vector<std::size_t> size(a.num_rows, 0);
  for (std::size_t i = 0; i < a.num_rows; ++i) ++size[root(static_cast<NodeId>(i))];
  const auto best = static_cast<NodeId>(std::max_element(size.begin(), size.end()) - size.begin());
  std::vector<NodeId> out;
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    if (root(static_cast<NodeId>(i)) == best) out.push_back(static_cast<NodeId>(i));
  }
  return out;
}

/// A node task restricted to some of its nodes, renumbered in their order; features become 0 or 1 where `binary`.
///
/// Errors   IndexError if nodes do not ascend strictly or lie outside
inline Dataset restrict_nodes(const DatasetView& data, std::span<const NodeId> nodes, bool binary) {
  Dataset out;
  InducedWorkspace workspace;
  Subgraph part;
  induced_subgraph(data.graph.view(), nodes, workspace, part);
  out.name = std::string(data.name);
  out.graph.num_cols = nodes.size();
  out.graph.row_ptr = std::move(part.row_ptr);
  out.graph.col = std::move(part.col);
  out.graph.weight = std::move(part.weight);
  out.graph.symmetric = data.graph.symmetric;
  out.features = Tensor<float>(nodes.size(), data.num_features());
  out.labels.num_classes = data.labels.num_classes;
  if (data.multilabel()) out.labels.indicators = Tensor<float>(nodes.size(), data.num_classes());
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const auto from = data.features.row(nodes[i]);
    std::transform(from.begin(), from.end(), out.features.row(i).begin(),
                   [&](float x) { return binary ? (x != 0.0f ? 1.0f : 0.0f) : x; });
    if (data.multilabel()) {
      const auto y = data.labels.indicators.row(nodes[i]);
      std::copy(y.begin(), y.end(), out.labels.indicators.row(i).begin());
    } else {
      out.labels.classes.push_back(data.labels.classes[nodes[i]]);
    }
    out.roles.push_back(data.roles.empty() ? Role::none : data.roles[nodes[i]]);
  }
  return out;
}

}  // namespace tessera
