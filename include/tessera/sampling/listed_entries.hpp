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
#include "tessera/core/parallel.hpp"
#include "tessera/graph/detail/row_ranges.hpp"
#include "tessera/sampling/node_set.hpp"

namespace tessera {

namespace detail {

/// Words of 64 bits for one bit per entry.
inline constexpr std::size_t mark_words(std::size_t entries) noexcept { return (entries + 63) / 64; }

/// Marks the entries of one row whose column is in the set: bit k % 64 of marks[k / 64] for entry k. Returns
/// their number.
///
/// Cost     O(deg); O(n log deg) where a hub's row is far longer than the list
inline NodeId mark_listed(const NodeSet& set, std::span<const NodeId> nodes, std::span<const NodeId> row,
                          std::uint64_t* marks) noexcept {
  const std::size_t words = mark_words(row.size());
  NodeId kept = 0;
  if (row.size() / 32 > nodes.size()) {
    std::fill_n(marks, words, std::uint64_t{0});
    auto from = row.begin();
    for (const NodeId j : nodes) {
      from = std::lower_bound(from, row.end(), j);
      if (from == row.end()) break;
      const auto k = static_cast<std::size_t>(from - row.begin());
      if (*from == j) marks[k / 64] |= std::uint64_t{1} << (k % 64);
      kept += *from == j ? 1u : 0u;
    }
    return kept;
  }
  const std::uint64_t* const bits = set.bits().data();
  for (std::size_t w = 0; w < words; ++w) {
    const NodeId* const at = row.data() + 64 * w;
    const std::size_t count = std::min<std::size_t>(64, row.size() - 64 * w);
    std::uint64_t mark = 0;  // without a branch to guess wrong
    for (std::size_t k = 0; k < count; ++k) mark |= (bits[at[k] >> 6] >> (at[k] & 63) & 1) << k;
    marks[w] = mark;
    kept += static_cast<NodeId>(std::popcount(mark));
  }
  return kept;
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
/// a subgraph.
///
/// Cost     work O(sum of the nodes' degrees / T), scratch one bit for each of those entries
class ListedEntries {
 public:
  /// Makes room for lists of at most `nodes` nodes whose degrees in the graph sum to at most `entries`.
  void reserve(std::size_t nodes, std::size_t entries) {
    set_.reserve(nodes);
    first_word_.reserve(nodes + 1);
    count_.reserve(nodes);
    marks_.reserve(entries / 64 + nodes);
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
    // A range holds about 2^14 words or rows at most; entries are 64 times as many, so cut finer.
    const std::size_t ranges = std::clamp<std::size_t>((n + 16 * words) / detail::kRangeWork, 1, 4096);
    parallel_blocks(ranges, [&](std::size_t k) {
      const std::size_t begin = detail::range_row(first_word_, k, ranges);
      const std::size_t end = detail::range_row(first_word_, k + 1, ranges);
      for (std::size_t i = begin; i < end; ++i) {
        count_[i] =
            detail::mark_listed(set_, nodes, graph.neighbors(nodes[i]), marks_.data() + first_word_[i]);
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

 private:
  NodeSet set_;
  Array<std::uint64_t> first_word_;
  Array<NodeId> count_;
  Array<std::uint64_t> marks_;
};

}  // namespace tessera
