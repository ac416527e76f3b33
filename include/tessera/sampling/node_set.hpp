// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"

namespace tessera {

/// Some nodes of a graph, reusable: one bit per node says whether it is in the set, and one number per 64
/// nodes where its list begins, so that neither membership nor places need hashing.
///
/// Cost     3/16 byte per node of the graph, which stays in the cache where four bytes per node would not;
///          replacing the set clears what the old one touched
/// Threads  `assign` and `collect` are one caller's; the const members may be called concurrently after them
class NodeSet {
 public:
  /// Makes the set hold `nodes`.
  ///
  /// Cost     O(n / T); O(num_nodes / T) when num_nodes changes
  /// Errors   IndexError, before anything changes, unless nodes ascend strictly and lie below num_nodes
  void assign(std::size_t num_nodes, std::span<const NodeId> nodes) {
    check(num_nodes, nodes);
    clear(num_nodes);
    for_ranges(nodes, [&](std::size_t begin, std::size_t end) {
      for (std::size_t k = begin; k < end; ++k) {
        const std::size_t word = nodes[k] >> 6;
        if (bits_[word] == 0) place_[word] = static_cast<NodeId>(k);
        bits_[word] |= bit(nodes[k]);
      }
    });
    touched_.resize(nodes.size());
    std::copy(nodes.begin(), nodes.end(), touched_.begin());
  }

  /// Makes the set hold `drawn`, whose nodes may repeat, and lists them: each once, ascending.
  ///
  /// Cost     O(drawn + num_nodes / 64), without sorting
  /// Errors   IndexError, before anything changes, if a node is not below num_nodes
  void collect(std::size_t num_nodes, std::span<const NodeId> drawn, Array<NodeId>& nodes) {
    for (const NodeId v : drawn) {
      if (v >= num_nodes)
        throw IndexError(message("NodeSet: a drawn node is ", v, ", want less than ", num_nodes));
    }
    clear(num_nodes);
    nodes.clear();
    nodes.resize(drawn.size());
    for (const NodeId v : drawn) bits_[v >> 6] |= bit(v);
    std::size_t size = 0;
    for (std::size_t word = 0; word < bits_.size(); ++word) {
      if (bits_[word] == 0) continue;
      place_[word] = static_cast<NodeId>(size);
      for (std::uint64_t rest = bits_[word]; rest != 0; rest &= rest - 1) {
        nodes[size++] = static_cast<NodeId>(word * 64 + static_cast<std::size_t>(std::countr_zero(rest)));
      }
    }
    nodes.resize(size);
    touched_.resize(size);
    std::copy(nodes.begin(), nodes.end(), touched_.begin());
  }

  /// Makes room for sets of at most `nodes` nodes.
  void reserve(std::size_t nodes) { touched_.reserve(nodes); }

  std::size_t size() const noexcept { return touched_.size(); }
  bool contains(NodeId node) const noexcept { return (bits_[node >> 6] & bit(node)) != 0; }
  /// The place of a node of the set in its ascending list.
  NodeId place(NodeId node) const noexcept {
    const std::size_t word = node >> 6;
    return place_[word] + static_cast<NodeId>(std::popcount(bits_[word] & (bit(node) - 1)));
  }
  /// Bit v % 64 of word v / 64 is set where node v is in the set.
  std::span<const std::uint64_t> bits() const noexcept { return bits_; }
  /// The nodes of the set before word w of `bits`, where that word holds one.
  std::span<const NodeId> before() const noexcept { return place_; }

 private:
  static constexpr std::size_t kGrain = 1 << 14;

  static std::uint64_t bit(NodeId node) noexcept { return std::uint64_t{1} << (node & 63); }

  static void check(std::size_t num_nodes, std::span<const NodeId> nodes) {
    // An atomic minimum is the same for any number of threads, and needs no memory of its own.
    std::atomic<std::size_t> first_bad{nodes.size()};
    parallel_for(nodes.size(), kGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t k = begin; k < end; ++k) {
        if (nodes[k] < num_nodes && (k == 0 || nodes[k - 1] < nodes[k])) continue;
        std::size_t seen = first_bad.load();
        while (k < seen && !first_bad.compare_exchange_weak(seen, k)) {
        }
        return;
      }
    });
    const std::size_t bad = first_bad.load();
    if (bad == nodes.size()) return;
    if (nodes[bad] >= num_nodes) {
      throw IndexError(message("NodeSet: nodes[", bad, "] is ", nodes[bad], ", want less than ", num_nodes));
    }
    throw IndexError(message("NodeSet: nodes[", bad, "] is ", nodes[bad], " after ", nodes[bad - 1],
                             ", want strictly ascending ids"));
  }

  void clear(std::size_t num_nodes) {
    const std::size_t words = (num_nodes + 63) / 64;
    if (bits_.size() != words) {
      bits_.assign(words, 0);
      place_.resize(words);
    } else {
      for_ranges(touched_, [&](std::size_t begin, std::size_t end) {
        for (std::size_t k = begin; k < end; ++k) bits_[touched_[k] >> 6] = 0;
      });
    }
    touched_.clear();
  }

  /// Calls body(begin, end) for ranges of ascending nodes that share no word.
  template <class F>
  static void for_ranges(std::span<const NodeId> nodes, F&& body) {
    const auto whole_word = [&](std::size_t k) {
      while (k > 0 && k < nodes.size() && nodes[k] >> 6 == nodes[k - 1] >> 6) ++k;
      return k;
    };
    parallel_for(nodes.size(), kGrain, [&](std::size_t begin, std::size_t end) {
      const std::size_t first = whole_word(begin);
      const std::size_t last = whole_word(end);
      if (first < last) body(first, last);
    });
  }

  Array<std::uint64_t> bits_;
  Array<NodeId> place_;    ///< of the first node of each word that holds one
  Array<NodeId> touched_;  ///< the nodes of the set, ascending
};

}  // namespace tessera
