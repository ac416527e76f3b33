// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/partition/detail/level_graph.hpp"

namespace tessera::detail::multilevel {

/// A max-heap of ids in [0, capacity) whose keys can change; equal keys come out in an order fixed by the
/// calls made.
///
/// Cost     push, update, remove, pop O(log size); top O(1); clear O(size)
class IndexedHeap {
 public:
  /// Makes room for ids below `capacity`; forgets the content.
  void reset(std::size_t capacity) {
    position_.assign(capacity, kAbsent);
    items_.clear();
  }
  /// Makes room for one more id.
  void extend() { position_.push_back(kAbsent); }

  bool empty() const noexcept { return items_.empty(); }
  std::size_t size() const noexcept { return items_.size(); }
  std::uint32_t top() const noexcept { return items_.data()[0].id; }
  Weight top_key() const noexcept { return items_.data()[0].key; }
  bool contains(std::uint32_t id) const noexcept { return position_.data()[id] != kAbsent; }

  void push(std::uint32_t id, Weight key) {
    items_.push_back({key, id});
    sift_up(items_.size() - 1);
  }
  void update(std::uint32_t id, Weight key) noexcept {
    const std::size_t at = position_.data()[id];
    const Weight old = std::exchange(items_.data()[at].key, key);
    if (key > old) {
      sift_up(at);
    } else if (key < old) {
      sift_down(at);
    }
  }
  void remove(std::uint32_t id) noexcept {
    const std::size_t at = position_.data()[id];
    position_.data()[id] = kAbsent;
    const Item last = items_.data()[items_.size() - 1];
    items_.resize(items_.size() - 1);
    if (at == items_.size()) return;
    items_.data()[at] = last;
    position_.data()[last.id] = static_cast<std::uint32_t>(at);
    sift_up(at);
    sift_down(position_.data()[last.id]);
  }
  void pop() noexcept { remove(top()); }
  void clear() noexcept {
    for (const Item& item : items_) position_.data()[item.id] = kAbsent;
    items_.clear();
  }

 private:
  struct Item {
    Weight key;
    std::uint32_t id;
  };
  static constexpr std::uint32_t kAbsent = std::numeric_limits<std::uint32_t>::max();

  void place(std::size_t at, Item item) noexcept {
    items_.data()[at] = item;
    position_.data()[item.id] = static_cast<std::uint32_t>(at);
  }
  void sift_up(std::size_t at) noexcept {
    const Item item = items_.data()[at];
    for (; at > 0 && items_.data()[(at - 1) / 2].key < item.key; at = (at - 1) / 2) {
      place(at, items_.data()[(at - 1) / 2]);
    }
    place(at, item);
  }
  void sift_down(std::size_t at) noexcept {
    const Item item = items_.data()[at];
    for (;;) {
      std::size_t child = 2 * at + 1;
      if (child >= items_.size()) break;
      if (child + 1 < items_.size() && items_.data()[child].key < items_.data()[child + 1].key) ++child;
      if (items_.data()[child].key <= item.key) break;
      place(at, items_.data()[child]);
      at = child;
    }
    place(at, item);
  }

  Array<Item> items_;
  Array<std::uint32_t> position_;
};

}  // namespace tessera::detail::multilevel
