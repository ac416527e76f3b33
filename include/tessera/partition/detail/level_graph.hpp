// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
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
/// Edge weights are 32 bits wide wherever the sum of all of them is: half the memory that moves.
/// Shapes   row_ptr [n + 1], col [e], edge_weight or wide_edge_weight [e] or both empty (all 1), node_weight [n]
///          or empty (all 1)
struct LevelGraph {
  std::size_t num_nodes = 0;
  std::span<const EdgeId> row_ptr;
  std::span<const NodeId> col;
  std::span<const std::int32_t> edge_weight;
  std::span<const Weight> wide_edge_weight;
  std::span<const Weight> node_weight;
  Weight total_weight = 0;
  Weight max_node_weight = 0;
  Weight total_edge_weight = 0;  ///< of the stored entries, or more

  Array<EdgeId> own_row_ptr;
  Array<NodeId> own_col;
  Array<std::int32_t> own_edge_weight;
  Array<Weight> own_wide_edge_weight;
  Array<Weight> own_node_weight;

  /// Points the views at the owned arrays (an owned array that is empty stays an absent one).
  void view_owned() noexcept {
    row_ptr = own_row_ptr.span();
    col = own_col.span();
    edge_weight = own_edge_weight.span();
    wide_edge_weight = own_wide_edge_weight.span();
    node_weight = own_node_weight.span();
  }

  std::size_t degree(std::size_t v) const noexcept {
    return static_cast<std::size_t>(row_ptr[v + 1] - row_ptr[v]);
  }
  Weight weight_of(std::size_t v) const noexcept { return node_weight.empty() ? 1 : node_weight[v]; }

  /// Stores weights of `entries` edges, `total` or less together, in the narrowest array they fit.
  void own_edge_weights(std::size_t entries, Weight total) {
    total_edge_weight = total;
    if (total <= std::numeric_limits<std::int32_t>::max()) {
      own_edge_weight.resize(entries);
    } else {
      own_wide_edge_weight.resize(entries);
    }
  }
  void set_edge_weight(std::size_t e, Weight weight) noexcept {
    if (own_wide_edge_weight.empty()) {
      own_edge_weight.data()[e] = static_cast<std::int32_t>(weight);
    } else {
      own_wide_edge_weight.data()[e] = weight;
    }
  }

  /// Calls f(neighbour, edge weight) for every stored edge of v, in order.
  template <class F>
  void for_neighbors(std::size_t v, F&& f) const {
    const auto begin = static_cast<std::size_t>(row_ptr[v]);
    const auto end = static_cast<std::size_t>(row_ptr[v + 1]);
    const NodeId* const to = col.data();
    if (const std::int32_t* const weight = edge_weight.data()) {
      for (std::size_t e = begin; e < end; ++e) f(to[e], Weight{weight[e]});
    } else if (const Weight* const wide = wide_edge_weight.data()) {
      for (std::size_t e = begin; e < end; ++e) f(to[e], wide[e]);
    } else {
      for (std::size_t e = begin; e < end; ++e) f(to[e], Weight{1});
    }
  }
  /// Calls f(value[neighbour], edge weight) for every stored edge of v, in order; fetches values ahead.
  template <class T, class F>
  void for_values(std::size_t v, const T* value, F&& f) const {
    constexpr std::size_t kAhead = 16;
    const auto begin = static_cast<std::size_t>(row_ptr[v]);
    const auto end = static_cast<std::size_t>(row_ptr[v + 1]);
    const NodeId* const to = col.data();
    const auto walk = [&](auto&& weight) {
      std::size_t e = begin;
      for (; e + kAhead < end; ++e) {
        __builtin_prefetch(value + to[e + kAhead]);
        f(value[to[e]], weight(e));
      }
      for (; e < end; ++e) f(value[to[e]], weight(e));
    };
    if (const std::int32_t* const weight = edge_weight.data()) {
      walk([weight](std::size_t e) { return Weight{weight[e]}; });
    } else if (const Weight* const wide = wide_edge_weight.data()) {
      walk([wide](std::size_t e) { return wide[e]; });
    } else {
      walk([](std::size_t) { return Weight{1}; });
    }
  }
  bool weighted() const noexcept { return !edge_weight.empty() || !wide_edge_weight.empty(); }
};

/// The same graph without ownership; `graph` must outlive the result.
inline LevelGraph borrow(const LevelGraph& graph) {
  LevelGraph out;
  out.num_nodes = graph.num_nodes;
  out.row_ptr = graph.row_ptr;
  out.col = graph.col;
  out.edge_weight = graph.edge_weight;
  out.wide_edge_weight = graph.wide_edge_weight;
  out.node_weight = graph.node_weight;
  out.total_weight = graph.total_weight;
  out.max_node_weight = graph.max_node_weight;
  out.total_edge_weight = graph.total_edge_weight;
  return out;
}

/// A well mixed word for (key, a, b): random choices that need no generator.
constexpr std::uint64_t hash(std::uint64_t key, std::uint64_t a, std::uint64_t b = 0) noexcept {
  return split_mix64(split_mix64(key ^ (a * 0xD6E8FEB86659FD93u)) ^ b);
}

/// A cheap mix for breaking ties: one multiplication.
constexpr std::uint32_t tie_break(std::uint64_t key, std::uint32_t id) noexcept {
  return static_cast<std::uint32_t>(((key ^ id) * 0x9E3779B97F4A7C15u) >> 32);
}

}  // namespace tessera::detail::multilevel
