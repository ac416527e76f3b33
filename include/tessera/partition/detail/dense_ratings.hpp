// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "tessera/core/array.hpp"
#include "tessera/partition/detail/level_graph.hpp"

namespace tessera::detail::multilevel {

/// Sums positive weights by keys below a bound: a RatingMap with a place for every key, for so few keys that all
/// places stay in cache.
///
/// Cost     add O(1) and take O(keys met); memory O(keys)
class DenseRatings {
 public:
  /// Makes room for keys below `keys`. Nothing may have been added since the last take.
  void reset(std::size_t keys) {
    if (keys <= weight_.size()) return;
    weight_.assign(keys, 0);
    met_.resize(keys);
  }

  void add(std::uint32_t key, Weight weight) noexcept {
    Weight& sum = weight_.data()[key];
    if (sum == 0) met_.data()[size_++] = key;
    sum += weight;
  }
  std::size_t size() const noexcept { return size_; }
  /// The sum for `key`, 0 if it never came.
  Weight operator[](std::uint32_t key) const noexcept { return weight_.data()[key]; }

  /// Calls f(key, sum) for the keys in the order they first came, and forgets them.
  template <class F>
  void take(F&& f) noexcept {
    for (std::size_t i = 0; i < size_; ++i) {
      const std::uint32_t key = met_.data()[i];
      const Weight sum = weight_.data()[key];
      weight_.data()[key] = 0;
      f(key, sum);
    }
    size_ = 0;
  }

 private:
  Array<Weight> weight_;
  Array<std::uint32_t> met_;
  std::size_t size_ = 0;
};

}  // namespace tessera::detail::multilevel
