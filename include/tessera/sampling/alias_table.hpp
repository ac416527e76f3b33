// SPDX-License-Identifier: MIT
#pragma once

#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/graph/detail/row_ranges.hpp"
#include "tessera/graph/induced_subgraph.hpp"

namespace tessera {

/// One slot of an alias table: keep it with this probability (in units of 2^-32), else take the other one.
struct AliasSlot {
  std::uint32_t keep = 0;
  std::uint32_t other = 0;
};

namespace detail {

/// Vose's construction with double accumulators and stacks in ascending order, so that equal weights give
/// equal tables. Returns the sum of the weights, 0 if nothing can be drawn, NaN for a weight that is negative
/// or not finite, or a sum that is not.
template <class Weight>
double build_alias(std::span<const Weight> weight, std::span<AliasSlot> slot, Array<double>& share,
                   Array<std::uint32_t>& stack) {
  const std::size_t n = weight.size();
  double total = 0;
  for (const Weight w : weight) {
    if (!(w >= 0) || !std::isfinite(w)) return std::numeric_limits<double>::quiet_NaN();
    total += static_cast<double>(w);
  }
  if (!std::isfinite(total)) return std::numeric_limits<double>::quiet_NaN();
  if (!(total > 0)) {
    for (std::size_t i = 0; i < n; ++i) slot[i] = {0, static_cast<std::uint32_t>(i)};
    return 0;
  }
  share.resize(n);
  stack.resize(n);
  std::size_t small = 0;  // grows from the front of the stack, large ones from its back
  std::size_t large = n;
  for (std::size_t i = n; i-- > 0;) {
    share[i] = static_cast<double>(weight[i]) / total * static_cast<double>(n);
    if (share[i] < 1.0) {
      stack[small++] = static_cast<std::uint32_t>(i);
    } else {
      stack[--large] = static_cast<std::uint32_t>(i);
    }
  }
  constexpr double kOne = 4294967296.0;
  while (small > 0 && large < n) {
    const std::uint32_t less = stack[--small];
    const std::uint32_t more = stack[large];
    slot[less] = {static_cast<std::uint32_t>(share[less] * kOne), more};
    share[more] -= 1.0 - share[less];
    if (share[more] >= 1.0) continue;
    ++large;
    stack[small++] = more;
  }
  // What is left has share 1 but for rounding; a slot whose other is itself is always kept.
  for (; large < n; ++large) slot[stack[large]] = {0, stack[large]};
  while (small > 0) {
    const std::uint32_t i = stack[--small];
    slot[i] = {0, i};
  }
  return total;
}

inline std::uint32_t draw_alias(std::span<const AliasSlot> slot, CounterRng& rng) noexcept {
  const auto i = static_cast<std::uint32_t>(rng.below(slot.size()));
  return rng.next32() < slot[i].keep ? i : slot[i].other;
}

}  // namespace detail

/// Draws from one fixed distribution in constant time.
///
/// Shapes   weight [n], n < 2^32, finite and not negative; they need not sum to 1
/// Units    probabilities are exact to 2^-32
/// Cost     construction O(n), 8 bytes per weight; a draw two to three words and one look-up
/// Errors   ConfigError for no weight, weights that are all zero, negative or not finite
/// Source   Vose, A linear algorithm for generating random numbers with a given distribution, 1991
class AliasTable {
 public:
  explicit AliasTable(std::span<const double> weight) : slot_(weight.size()) {
    Array<double> share;
    Array<std::uint32_t> stack;
    const double total = detail::build_alias(weight, slot_.span(), share, stack);
    if (total > 0) return;
    throw ConfigError(
        message("AliasTable: the ", weight.size(), " weights ",
                std::isnan(total) ? "hold a negative number or one that is not finite" : "are all zero",
                ", want at least one above zero"));
  }

  std::size_t size() const noexcept { return slot_.size(); }
  std::uint32_t draw(CounterRng& rng) const noexcept { return detail::draw_alias(slot_, rng); }

 private:
  Array<AliasSlot> slot_;
};

/// An alias table for every row of a weighted graph: draws a neighbour in proportion to the edge's weight.
///
/// Cost     construction O(E / T), 8 bytes per entry and 8 per row
/// Errors   ConfigError if the graph has no weights; Error names the first row with a weight that is negative
///          or not finite
class NeighborAliasTables {
 public:
  explicit NeighborAliasTables(CsrView<> graph) : total_(graph.num_rows), slot_(graph.num_edges()) {
    if (!graph.weighted() && graph.num_edges() > 0) {
      throw ConfigError("NeighborAliasTables: the graph has no weights, want one per entry");
    }
    row_ptr_ = Array<EdgeId>::copy_of(graph.row_ptr);
    std::atomic<std::size_t> first_bad{graph.num_rows};
    detail::parallel_rows(graph.row_ptr, [&](std::size_t i, std::size_t end) {
      Array<double> share;
      Array<std::uint32_t> stack;
      for (; i < end; ++i) {
        total_[i] = detail::build_alias(graph.weights(i), row(i), share, stack);
        if (std::isnan(total_[i])) detail::atomic_min(first_bad, i);
      }
    });
    const std::size_t bad = first_bad.load();
    if (bad == graph.num_rows) return;
    throw Error(message("NeighborAliasTables: row ", bad, " has a weight that is negative or not finite"));
  }

  std::size_t num_rows() const noexcept { return total_.size(); }
  std::size_t num_edges() const noexcept { return slot_.size(); }
  /// The sum of a row's weights; 0 where nothing can be drawn.
  double total(std::size_t i) const noexcept { return total_[i]; }
  /// A position in row i.
  std::uint32_t draw(std::size_t i, CounterRng& rng) const noexcept {
    return detail::draw_alias(slot_.span().subspan(row_ptr_[i], row_ptr_[i + 1] - row_ptr_[i]), rng);
  }

 private:
  std::span<AliasSlot> row(std::size_t i) noexcept {
    return slot_.span().subspan(row_ptr_[i], row_ptr_[i + 1] - row_ptr_[i]);
  }

  Array<EdgeId> row_ptr_;
  Array<double> total_;
  Array<AliasSlot> slot_;
};

}  // namespace tessera
