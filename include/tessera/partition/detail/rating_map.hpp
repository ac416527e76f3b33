// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/partition/detail/level_graph.hpp"

namespace tessera::detail::multilevel {

/// Sums weights by a 32-bit key and lists the sums in the order the keys first came: what a node sees of
/// the clusters or blocks around it.
///
/// Cost     add O(1) expected, clear O(entries), memory O(most entries held at once) or O(keys)
class RatingMap {
 public:
  struct Entry {
    std::uint32_t key;
    std::uint32_t slot;
    Weight weight;
  };

  /// Keys of any size, hashed.
  RatingMap() : slots_(kInitialSlots, Slot{0, 0}) { entries_.reserve(kInitialSlots / 2); }
  /// Keys below `keys`: where these are few, every key has a slot of its own.
  explicit RatingMap(std::size_t keys) : RatingMap() {
    if (keys > kMostDirect) return;
    factor_ = 1;
    shift_ = 0;
    slots_.assign(keys, Slot{0, 0});
    entries_.reserve(std::max(keys, kInitialSlots));
  }

  void add(std::uint32_t key, Weight weight) {
    const std::uint32_t slot = find(key);
    if (const std::uint32_t at = slots_.data()[slot].at) {
      entries_.data()[at - 1].weight += weight;
      return;
    }
    const std::size_t size = entries_.size();
    entries_.resize(size + 1);
    entries_.data()[size] = {key, slot, weight};
    slots_.data()[slot] = {key, static_cast<std::uint32_t>(size + 1)};
    if (2 * (size + 1) > slots_.size() && factor_ != 1) grow();
  }

  /// The sum for `key`, 0 if it never came.
  Weight operator[](std::uint32_t key) const noexcept {
    const std::uint32_t at = slots_.data()[find(key)].at;
    return at == 0 ? 0 : entries_.data()[at - 1].weight;
  }

  std::span<const Entry> entries() const noexcept { return entries_.span(); }
  std::size_t size() const noexcept { return entries_.size(); }

  /// Calls f(key, sum) for the keys in the order they first came, and forgets them.
  template <class F>
  void take(F&& f) {
    for (const Entry& entry : entries_) f(entry.key, entry.weight);
    clear();
  }

  void clear() noexcept {
    for (const Entry& entry : entries_) slots_.data()[entry.slot] = {0, 0};
    entries_.clear();
  }

 private:
  struct Slot {
    std::uint32_t key;
    std::uint32_t at;  // position in entries_ plus one; 0 is free
  };
  static constexpr std::size_t kInitialSlots = 128;
  static constexpr unsigned kInitialShift = 25;  // keeps the upper 7 bits of 32
  static constexpr std::size_t kMostDirect = 1 << 12;

  std::uint32_t find(std::uint32_t key) const noexcept {
    const auto mask = static_cast<std::uint32_t>(slots_.size() - 1);
    std::uint32_t slot = (key * factor_) >> shift_;
    for (;;) {
      const Slot found = slots_.data()[slot];
      if (found.at == 0 || found.key == key) return slot;
      slot = (slot + 1) & mask;
    }
  }

  void grow() {
    slots_.assign(4 * slots_.size(), Slot{0, 0});
    shift_ -= 2;
    for (std::size_t i = 0; i < entries_.size(); ++i) {
      Entry& entry = entries_.data()[i];
      entry.slot = find(entry.key);
      slots_.data()[entry.slot] = {entry.key, static_cast<std::uint32_t>(i + 1)};
    }
  }

  std::uint32_t factor_ = 0x9E3779B1u;
  unsigned shift_ = kInitialShift;
  Array<Slot> slots_;
  Array<Entry> entries_;
};

}  // namespace tessera::detail::multilevel
