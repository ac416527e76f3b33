// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"

namespace tessera {

/// The share of a graph's nodes whose in-degree is at most that of each node: 1 for the largest, equal for equal
/// degrees. Where there are several graphs, each is ranked by itself.
///
/// Shapes   graph [N, N] without inserted loops; first_node [G + 1], or empty for one graph -> [N]
/// Cost     work O(N + largest degree)
/// Errors   ShapeError if first_node does not cut [0, N) into ranges
inline Array<float> degree_ranks(const CsrView<>& graph, std::span<const std::size_t> first_node = {}) {
  const std::size_t whole[2] = {0, graph.num_rows};
  if (first_node.empty()) first_node = whole;
  if (first_node.front() != 0 || first_node.back() != graph.num_rows ||
      !std::is_sorted(first_node.begin(), first_node.end())) {
    throw ShapeError(message("degree_ranks: first_node does not cut the ", graph.num_rows,
                             " nodes into ranges from 0 up"));
  }
  Array<float> rank(graph.num_rows);
  std::vector<std::size_t> at_most;
  for (std::size_t g = 0; g + 1 < first_node.size(); ++g) {
    const std::size_t begin = first_node[g];
    const std::size_t end = first_node[g + 1];
    std::size_t largest = 0;
    for (std::size_t v = begin; v < end; ++v) largest = std::max(largest, graph.degree(v));
    at_most.assign(largest + 1, 0);
    for (std::size_t v = begin; v < end; ++v) ++at_most[graph.degree(v)];
    for (std::size_t d = 1; d <= largest; ++d) at_most[d] += at_most[d - 1];
    const double nodes = static_cast<double>(end - begin);
    for (std::size_t v = begin; v < end; ++v) {
      rank[v] = static_cast<float>(static_cast<double>(at_most[graph.degree(v)]) / nodes);
    }
  }
  return rank;
}

/// How likely each node is to stay in full precision: p_low + (p_high - p_low) rank.
///
/// Shapes   rank [N] of degree_ranks -> [N]
/// Source   Tailor et al., Degree-Quant, ICLR 2021, with the ranks of the released code: the highest degree gets p_high,
///          the lowest p_low and its own share
inline float protection(float rank, double p_low, double p_high) noexcept {
  return static_cast<float>(p_low + (p_high - p_low) * static_cast<double>(rank));
}

/// Draws who is protected in one pass: keep_i = 1 with the probability of node_id_i, from (key, node) alone.
///
/// Shapes   rank [N], node_id [n] (empty: row i is node i) -> keep [n]
/// Errors   IndexError if a node has no rank
/// Threads  result independent of T and of the other nodes
inline void draw_protected(std::span<const float> rank, std::span<const NodeId> node_id, double p_low,
                           double p_high, RngKey key, std::span<std::uint8_t> keep) {
  if (!node_id.empty() && node_id.size() != keep.size()) {
    throw ShapeError(message("draw_protected: node_id has ", node_id.size(), " nodes, want ", keep.size()));
  }
  for (std::size_t i = 0; i < keep.size(); ++i) {
    const std::size_t v = node_id.empty() ? i : node_id[i];
    if (v >= rank.size()) throw IndexError(message("draw_protected: node ", v, ", want below ", rank.size()));
  }
  // No other draw of a step uses this number as its batch.
  constexpr std::uint32_t kDraw = 0x44510000u;
  parallel_for(keep.size(), 1024, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      const std::size_t v = node_id.empty() ? i : node_id[i];
      CounterRng rng(key, kDraw, v);
      keep[i] = rng.uniform() < static_cast<double>(protection(rank[v], p_low, p_high)) ? 1 : 0;
    }
  });
}

}  // namespace tessera
