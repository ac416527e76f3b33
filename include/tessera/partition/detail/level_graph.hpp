// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/rng.hpp"

namespace tessera::detail::multilevel {

/// Node, edge and block weights, cuts and gains. Integers only: a partition never depends on rounding.
using Weight = std::int64_t;

/// Positions of blocks while partitioning; PartId is for results.
using Block = std::uint32_t;

/// One graph of the hierarchy: symmetric, no self loops. The finest borrows the user's arrays where it can,
/// coarse ones own theirs.
///
/// Shapes   row_ptr [n + 1], col [e], edge_weight [e] or empty (all 1), node_weight [n] or empty (all 1)
struct LevelGraph {
  std::size_t num_nodes = 0;
  std::span<const EdgeId> row_ptr;
  std::span<const NodeId> col;
  std::span<const Weight> edge_weight;
  std::span<const Weight> node_weight;
  Weight total_weight = 0;
  Weight max_node_weight = 0;

  Array<EdgeId> own_row_ptr;
  Array<NodeId> own_col;
  Array<Weight> own_edge_weight;
  Array<Weight> own_node_weight;

  /// Points the views at the owned arrays (an owned array that is empty stays an absent one).
  void view_owned() noexcept {
    row_ptr = own_row_ptr.span();
    col = own_col.span();
    edge_weight = own_edge_weight.span();
    node_weight = own_node_weight.span();
  }

  std::size_t degree(std::size_t v) const noexcept {
    return static_cast<std::size_t>(row_ptr[v + 1] - row_ptr[v]);
  }
  Weight weight_of(std::size_t v) const noexcept { return node_weight.empty() ? 1 : node_weight[v]; }

  /// Calls f(neighbour, edge weight) for every stored edge of v, in order.
  template <class F>
  void for_neighbors(std::size_t v, F&& f) const {
    const auto begin = static_cast<std::size_t>(row_ptr[v]);
    const auto end = static_cast<std::size_t>(row_ptr[v + 1]);
    if (edge_weight.empty()) {
      for (std::size_t e = begin; e < end; ++e) f(col[e], Weight{1});
    } else {
      for (std::size_t e = begin; e < end; ++e) f(col[e], edge_weight[e]);
    }
  }
};

/// The same graph without ownership; `graph` must outlive the result.
inline LevelGraph borrow(const LevelGraph& graph) {
  LevelGraph out;
  out.num_nodes = graph.num_nodes;
  out.row_ptr = graph.row_ptr;
  out.col = graph.col;
  out.edge_weight = graph.edge_weight;
  out.node_weight = graph.node_weight;
  out.total_weight = graph.total_weight;
  out.max_node_weight = graph.max_node_weight;
  return out;
}

/// A well mixed word for (key, a, b): random choices that need no generator.
constexpr std::uint64_t hash(std::uint64_t key, std::uint64_t a, std::uint64_t b = 0) noexcept {
  return split_mix64(split_mix64(key ^ (a * 0xD6E8FEB86659FD93u)) ^ b);
}

}  // namespace tessera::detail::multilevel
