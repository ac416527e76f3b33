// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/partition/detail/level_graph.hpp"

namespace tessera::detail::multilevel {

/// Sums weights by a 32-bit key and lists the sums in the order the keys first came: what a node sees of
/// the clusters or blocks around it.
///
/// Cost     add O(1) expected, clear O(entries), memory O(most entries held at once)
class RatingMap {
 public:
  struct Entry {
    std::uint32_t key;
    std::uint32_t slot;
    Weight weight;
  };

  RatingMap() : slots_(kInitialSlots, 0u) {}

  void add(std::uint32_t key, Weight weight) {
    const std::uint32_t slot = find(key);
    if (const std::uint32_t at = slots_.data()[slot]) {
      entries_.data()[at - 1].weight += weight;
      return;
    }
    entries_.push_back({key, slot, weight});
    slots_.data()[slot] = static_cast<std::uint32_t>(entries_.size());
    if (2 * entries_.size() > slots_.size()) grow();
  }

  /// The sum for `key`, 0 if it never came.
  Weight operator[](std::uint32_t key) const noexcept {
    const std::uint32_t at = slots_.data()[find(key)];
    return at == 0 ? 0 : entries_.data()[at - 1].weight;
  }

  std::span<const Entry> entries() const noexcept { return entries_.span(); }
  std::size_t size() const noexcept { return entries_.size(); }

  void clear() noexcept {
    for (const Entry& entry : entries_) slots_.data()[entry.slot] = 0;
    entries_.clear();
  }

 private:
  static constexpr std::size_t kInitialSlots = 128;
  static constexpr unsigned kInitialShift = 25;  // keeps the upper 7 bits of 32

  std::uint32_t find(std::uint32_t key) const noexcept {
    const auto mask = static_cast<std::uint32_t>(slots_.size() - 1);
    std::uint32_t slot = (key * 0x9E3779B1u) >> shift_;
    for (;;) {
      const std::uint32_t at = slots_.data()[slot];
      if (at == 0 || entries_.data()[at - 1].key == key) return slot;
      slot = (slot + 1) & mask;
    }
  }

  void grow() {
    slots_.assign(4 * slots_.size(), 0u);
    shift_ -= 2;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      Entry& entry = entries_.data()[i];
      entry.slot = find(entry.key);
      slots_.data()[entry.slot] = static_cast<std::uint32_t>(i + 1);
    }
  }

  unsigned shift_ = kInitialShift;
  Array<std::uint32_t> slots_;  // position in entries_ plus one; 0 is free
  Array<Entry> entries_;
};

}  // namespace tessera::detail::multilevel
