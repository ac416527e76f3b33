// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"

namespace tessera {

/// Numbers nodes in the order in which they first appear, one list after another: no hashing, nothing cleared
/// between batches.
///
/// Cost     8 bytes per node of the graph; `append` O(1) per id, one pass on one thread and four on more;
///          O(N) once in 2^32 batches
/// Threads  one caller at a time; parallel inside, and the numbers are those of reading the list from its
///          begin
class FirstAppearanceIds {
 public:
  /// Forgets every node.
  void begin(std::size_t num_nodes) {
    // A word is stamp << 32 | number. Stamps fall from batch to batch, so what an older one left behind is
    // larger than anything written now, and the first appearance is a plain minimum.
    if (word_.size() != num_nodes || stamp_ == 0) {
      word_.clear();
      word_.resize(num_nodes);
      parallel_for(num_nodes, kGrain, [&](std::size_t i, std::size_t end) {
        std::fill(word_.begin() + i, word_.begin() + end, std::numeric_limits<std::uint64_t>::max());
      });
      stamp_ = std::numeric_limits<std::uint32_t>::max();
    }
    --stamp_;
  }

  /// Replaces every id by its number; new ids are appended to `nodes`, whose size is the count so far.
  ///
  /// Errors   ShapeError if nodes and ids together exceed what a NodeId counts; ids must be below num_nodes
  void append(std::span<NodeId> ids, Array<NodeId>& nodes) {
    if (ids.size() + nodes.size() >= kNoNode) {
      throw ShapeError(message("FirstAppearanceIds: ", ids.size(), " entries on top of ", nodes.size(),
                               " nodes, want less than ", kNoNode, " together"));
    }
    if (max_threads() == 1 || ids.size() < kSmall) {
      append_in_order(ids, nodes);
    } else {
      append_at_once(ids, nodes);
    }
  }

  /// The number of a node that has appeared; kNoNode for another.
  NodeId operator[](NodeId node) const noexcept {
    return word_[node] >> 32 == stamp_ ? static_cast<NodeId>(word_[node]) : kNoNode;
  }

 private:
  static constexpr std::size_t kGrain = 1 << 14;
  static constexpr std::size_t kSmall = 1 << 13;
  static constexpr std::size_t kAhead = 24;

  std::uint64_t word(std::size_t number) const noexcept { return std::uint64_t{stamp_} << 32 | number; }

  void append_in_order(std::span<NodeId> ids, Array<NodeId>& nodes) {
    std::uint64_t* const words = word_.data();
    const std::size_t known = nodes.size();
    nodes.resize(known + ids.size());
    NodeId* const out = nodes.data();
    std::size_t next = known;
    for (std::size_t e = 0; e < ids.size(); ++e) {
      if (e + kAhead < ids.size()) __builtin_prefetch(words + ids[e + kAhead], 1);
      std::uint64_t& at = words[ids[e]];
      // Written whether new or not, so that the loop has no branch to guess wrong.
      const bool is_new = at >> 32 != stamp_;
      out[next] = ids[e];
      at = is_new ? word(next) : at;
      next += is_new ? 1u : 0u;
      ids[e] = static_cast<NodeId>(at);
    }
    nodes.resize(next);
  }

  void append_at_once(std::span<NodeId> ids, Array<NodeId>& nodes) {
    const std::size_t known = nodes.size();
    const auto atomic = [&](NodeId id) { return std::atomic_ref<std::uint64_t>(word_[id]); };
    constexpr auto kRelaxed = std::memory_order_relaxed;
    parallel_for(ids.size(), kBlock, [&](std::size_t e, std::size_t end) {
      for (; e < end; ++e) {
        if (e + kAhead < end) __builtin_prefetch(word_.data() + ids[e + kAhead], 1);
        const auto slot = atomic(ids[e]);
        const std::uint64_t mine = word(known + e);
        std::uint64_t seen = slot.load(kRelaxed);
        while (mine < seen && !slot.compare_exchange_weak(seen, mine, kRelaxed)) {
        }
      }
    });
    firsts_.resize((ids.size() + kBlock - 1) / kBlock);
    parallel_for(ids.size(), kBlock, [&](std::size_t begin, std::size_t end) {
      std::size_t count = 0;
      for (std::size_t e = begin; e < end; ++e) {
        count += atomic(ids[e]).load(kRelaxed) == word(known + e) ? 1u : 0u;
      }
      firsts_[begin / kBlock] = count;
    });
    std::size_t total = known;
    for (std::size_t& first : firsts_) total += std::exchange(first, total);
    nodes.resize(total);
    // A number is at most the position it stands for, so what is written here is no later entry's position.
    parallel_for(ids.size(), kBlock, [&](std::size_t begin, std::size_t end) {
      std::size_t next = firsts_[begin / kBlock];
      for (std::size_t e = begin; e < end; ++e) {
        const auto slot = atomic(ids[e]);
        if (slot.load(kRelaxed) != word(known + e)) continue;
        nodes[next] = ids[e];
        slot.store(word(next), kRelaxed);
        ++next;
      }
    });
    parallel_for(ids.size(), kBlock, [&](std::size_t e, std::size_t end) {
      for (; e < end; ++e) ids[e] = static_cast<NodeId>(word_[ids[e]]);
    });
  }

  static constexpr std::size_t kBlock = 1 << 12;

  Array<std::uint64_t> word_;
  Array<std::size_t> firsts_;
  std::uint32_t stamp_ = 0;
};

}  // namespace tessera
