// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/detail/row_ranges.hpp"
#include "tessera/sampling/detail/mark_row.hpp"
#include "tessera/sampling/node_set.hpp"

namespace tessera {

namespace detail {

/// Words of 64 bits for one bit per entry.
inline constexpr std::size_t mark_words(std::size_t entries) noexcept { return (entries + 63) / 64; }

/// Whether a hub's row is so much longer than the list that it is searched instead of read.
inline bool searched(std::span<const NodeId> row, std::span<const NodeId> nodes) noexcept {
  return row.size() / 32 > nodes.size();
}

/// Marks the entries of such a row whose column is in the list, and notes the places of the first `room`.
inline NodeId mark_searched(std::span<const NodeId> nodes, std::span<const NodeId> row, std::uint64_t* marks,
                            NodeId* place, std::size_t room) noexcept {
  std::fill_n(marks, mark_words(row.size()), std::uint64_t{0});
  NodeId kept = 0;
  auto from = row.begin();
  for (std::size_t t = 0; t < nodes.size(); ++t) {
    from = std::lower_bound(from, row.end(), nodes[t]);
    if (from == row.end()) break;
    if (*from != nodes[t]) continue;
    const auto k = static_cast<std::size_t>(from - row.begin());
    marks[k / 64] |= std::uint64_t{1} << (k % 64);
    if (kept < room) place[kept] = static_cast<NodeId>(t);
    ++kept;
  }
  return kept;
}

/// Marks the entries of one row whose column is in the set: bit k % 64 of marks[k / 64] for entry k. Returns
/// their number.
///
/// Cost     O(deg); O(n log deg) where a hub's row is far longer than the list
inline NodeId mark_listed(Isa isa, const NodeSet& set, std::span<const NodeId> nodes,
                          std::span<const NodeId> row, std::uint64_t* marks) noexcept {
  if (searched(row, nodes)) return mark_searched(nodes, row, marks, nullptr, 0);
  return mark_row(isa, set.bits(), row, marks);
}

/// Asks for the row that comes some rows later: rows of a subgraph lie anywhere in memory, and a short one is
/// over before the processor sees a pattern.
inline void prefetch_row(CsrView<> graph, std::span<const NodeId> nodes, std::size_t i) noexcept {
  constexpr std::size_t kPointers = 16;
  constexpr std::size_t kRows = 4;
  constexpr std::size_t kLine = 64 / sizeof(NodeId);
  if (i + kPointers < nodes.size()) __builtin_prefetch(&graph.row_ptr[nodes[i + kPointers]]);
  if (i + kRows >= nodes.size()) return;
  const std::span<const NodeId> row = graph.neighbors(nodes[i + kRows]);
  const std::size_t most = std::min<std::size_t>(row.size(), 16 * kLine);
  for (std::size_t k = 0; k < most; k += kLine) __builtin_prefetch(row.data() + k);
}

/// Calls body(k) for every marked entry k, ascending.
template <class F>
void for_marks(std::span<const std::uint64_t> marks, F&& body) {
  for (std::size_t w = 0; w < marks.size(); ++w) {
    for (std::uint64_t rest = marks[w]; rest != 0; rest &= rest - 1) {
      body(64 * w + static_cast<std::size_t>(std::countr_zero(rest)));
    }
  }
}

}  // namespace detail

/// The entries among the nodes of a list, as one bit for each entry of their rows: the first half of inducing
/// a subgraph. Of rows that keep at most one entry in eight it also notes where the kept ones are in the list, for
/// reading them again would touch nearly as much memory as the first time.
///
/// Cost     work O(sum of the nodes' degrees / T), scratch 5/8 byte for each of those entries
class ListedEntries {
 public:
  /// Makes room for lists of at most `nodes` nodes whose degrees in the graph sum to at most `entries`.
  void reserve(std::size_t nodes, std::size_t entries) {
    set_.reserve(nodes);
    first_word_.reserve(nodes + 1);
    count_.reserve(nodes);
    marks_.reserve(entries / 64 + nodes);
    place_.reserve(kPlaces * (entries / 64 + nodes));
  }

  /// Shapes   graph [N, N], nodes [n], which `set()` must hold
  void find(CsrView<> graph, std::span<const NodeId> nodes) {
    const std::size_t n = nodes.size();
    first_word_.resize(n + 1);
    count_.resize(n);
    parallel_for(n, 1 << 14, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) first_word_[i] = detail::mark_words(graph.degree(nodes[i]));
    });
    first_word_[n] = 0;
    const std::size_t words = static_cast<std::size_t>(parallel_exclusive_scan(first_word_.span()));
    marks_.clear();  // so that growing moves nothing
    marks_.resize(words);
    place_.clear();
    place_.resize(kPlaces * words);
    // A range holds about 2^14 words or rows at most; entries are 64 times as many, so cut finer.
    const std::size_t ranges = std::clamp<std::size_t>((n + 16 * words) / detail::kRangeWork, 1, 4096);
    const Isa isa = tessera::active_isa();
    parallel_blocks(ranges, [&](std::size_t k) {
      const std::size_t begin = detail::range_row(first_word_, k, ranges);
      const std::size_t end = detail::range_row(first_word_, k + 1, ranges);
      Array<NodeId> found;
      for (std::size_t i = begin; i < end; ++i) {
        detail::prefetch_row(graph, nodes, i);
        count_[i] = find_row(isa, graph.neighbors(nodes[i]), nodes, i, found);
      }
    });
  }

  NodeSet& set() noexcept { return set_; }
  const NodeSet& set() const noexcept { return set_; }
  /// Entries found in the row of nodes[i].
  std::size_t count(std::size_t i) const noexcept { return count_[i]; }
  /// Calls body(k) for every entry found in that row, k its distance from the begin of the row, ascending.
  template <class F>
  void for_row(std::size_t i, F&& body) const {
    detail::for_marks(marks_.span().subspan(first_word_[i], first_word_[i + 1] - first_word_[i]), body);
  }
  /// The places in the list of what `for_row` finds; empty where the row keeps too much for them to be noted.
  std::span<const NodeId> places(std::size_t i) const noexcept {
    if (count_[i] > room(i)) return {};
    return place_.span().subspan(kPlaces * first_word_[i], count_[i]);
  }

 private:
  static constexpr std::size_t kPlaces = 8;  // per word of marks

  std::size_t room(std::size_t i) const noexcept {
    return kPlaces * static_cast<std::size_t>(first_word_[i + 1] - first_word_[i]);
  }
  NodeId find_row(Isa isa, std::span<const NodeId> row, std::span<const NodeId> nodes, std::size_t i,
                  Array<NodeId>& found) {
    std::uint64_t* const marks = marks_.data() + first_word_[i];
    NodeId* const place = place_.data() + kPlaces * first_word_[i];
    if (detail::searched(row, nodes)) return detail::mark_searched(nodes, row, marks, place, room(i));
    if (found.size() < row.size() + 16) found.resize(row.size() + 16);
    return detail::mark_and_place_row(isa, set_.bits(), set_.before(), row, marks, found.data(), place,
                                      room(i));
  }

  NodeSet set_;
  Array<std::uint64_t> first_word_;
  Array<NodeId> count_;
  Array<std::uint64_t> marks_;
  Array<NodeId> place_;  ///< kPlaces for each word of marks
};

}  // namespace tessera
