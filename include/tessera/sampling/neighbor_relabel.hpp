// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"

namespace tessera {

/// Runs the second half of a loop in order while its first half still runs: whoever finishes a range does
/// the next steps that are due, and nobody waits.
///
/// Threads  `finished` may be called concurrently, once per range; `step` runs for 0, 1, 2, ... one at a time
class InOrderSteps {
 public:
  explicit InOrderSteps(std::size_t ranges) : done_(ranges, 0u) {}

  template <class F>
  void finished(std::size_t range, F&& step) {
    flag(range).store(1);
    while (!busy_.exchange(true)) {
      for (; next_ < done_.size() && flag(next_).load() != 0; ++next_) step(next_);
      const std::size_t stopped = next_;
      busy_.store(false);
      // A range that was finished meanwhile, whose thread found this one busy, is this one's to do.
      if (stopped == done_.size() || flag(stopped).load() == 0) return;
    }
  }

 private:
  std::atomic_ref<std::uint32_t> flag(std::size_t range) noexcept {
    return std::atomic_ref<std::uint32_t>(done_[range]);
  }

  Array<std::uint32_t> done_;
  std::atomic<bool> busy_{false};
  std::size_t next_ = 0;
};

/// Numbers nodes in the order in which they first appear, one list after another: no hashing, nothing cleared
/// between batches.
///
/// Cost     8 bytes per node of the graph; `append` O(1) per id, a few ns each; O(N) once in 2^32 batches
/// Threads  one caller at a time. Not parallel inside: one pass over a list costs less than the passes that
///          would agree about firsts, and hides behind the picking of what follows (InOrderSteps)
class FirstAppearanceIds {
 public:
  /// Forgets every node.
  void begin(std::size_t num_nodes) {
    // A word is stamp << 32 | number; words of older batches have another stamp.
    if (word_.size() != num_nodes || stamp_ == std::numeric_limits<std::uint32_t>::max()) {
      word_.clear();
      word_.resize(num_nodes);
      parallel_for(num_nodes, std::size_t{1} << 14, [&](std::size_t i, std::size_t end) {
        std::fill(word_.begin() + i, word_.begin() + end, std::uint64_t{0});
      });
      stamp_ = 0;
    }
    ++stamp_;
  }

  /// Replaces every id by its number; new ids are appended to `nodes`, whose size is the count so far.
  ///
  /// Errors   ShapeError if nodes and ids together exceed what a NodeId counts; ids must be below num_nodes
  void append(std::span<NodeId> ids, Array<NodeId>& nodes) {
    check(nodes.size(), ids.size());
    constexpr std::size_t kAhead = 24;
    std::uint64_t* const words = word_.data();
    const std::size_t known = nodes.size();
    nodes.resize(known + ids.size());
    NodeId* const out = nodes.data();
    const std::uint64_t stamp = std::uint64_t{stamp_} << 32;
    std::size_t next = known;
    for (std::size_t e = 0; e < ids.size(); ++e) {
      if (e + kAhead < ids.size()) __builtin_prefetch(words + ids[e + kAhead], 1);
      std::uint64_t& at = words[ids[e]];
      // Written whether new or not, so that the loop has no branch to guess wrong.
      const bool is_new = at < stamp;
      out[next] = ids[e];
      at = is_new ? stamp | next : at;
      next += is_new ? 1u : 0u;
      ids[e] = static_cast<NodeId>(at);
    }
    nodes.resize(next);
  }

  /// The number of a node that has appeared; kNoNode for another.
  NodeId operator[](NodeId node) const noexcept {
    return word_[node] >> 32 == stamp_ ? static_cast<NodeId>(word_[node]) : kNoNode;
  }

  /// Errors   ShapeError if so many nodes and ids together exceed what a NodeId counts
  static void check(std::size_t nodes, std::size_t ids) {
    if (ids + nodes < kNoNode) return;
    throw ShapeError(message("FirstAppearanceIds: ", ids, " entries on top of ", nodes,
                             " nodes, want less than ", kNoNode, " together"));
  }

 private:
  Array<std::uint64_t> word_;
  std::uint32_t stamp_ = std::numeric_limits<std::uint32_t>::max();
};

}  // namespace tessera
