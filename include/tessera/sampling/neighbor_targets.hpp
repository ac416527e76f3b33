// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <span>
#include <string_view>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/sampling/concepts.hpp"

namespace tessera {

/// How targets become batches.
struct TargetBatches {
  std::size_t batch_size = 1024;
  bool shuffle = true;  ///< a new order every epoch; off: ascending

  std::size_t count(std::size_t targets) const noexcept {
    return targets == 0 ? 0 : (targets - 1) / batch_size + 1;
  }
};

/// The order in which an epoch visits its targets, remembered until the epoch changes.
///
/// Cost     `batch` O(batch_size), O(targets) where the epoch changes; 4 bytes per target
class TargetOrder {
 public:
  /// The targets of one batch.
  ///
  /// Errors   ConfigError if batch_size is 0; IndexError if key.batch is not one of the batches
  std::span<const NodeId> batch(const SampleSource& source, const TargetBatches& batches, BatchKey key,
                                std::string_view who) {
    const std::size_t count = source.targets.size();
    if (key.batch >= batches.count(count)) {
      throw IndexError(message(who, ": key.batch is ", key.batch, ", want less than ", batches.count(count)));
    }
    const std::size_t first = key.batch * batches.batch_size;
    const std::size_t size = std::min(batches.batch_size, count - first);
    if (!batches.shuffle) return source.targets.subspan(first, size);
    if (order_.size() != count || seed_ != key.seed || epoch_ != key.epoch) {
      order_.resize(count);
      std::iota(order_.begin(), order_.end(), NodeId{0});
      tessera::shuffle(order_.span(), CounterRng(make_key(key.seed, key.epoch, Purpose::shuffle), 0, 0));
      seed_ = key.seed;
      epoch_ = key.epoch;
    }
    chosen_.resize(size);
    for (std::size_t k = 0; k < size; ++k) chosen_[k] = source.targets[order_[first + k]];
    return chosen_;
  }

 private:
  Array<NodeId> order_;  // positions among the targets: they may change under the same count
  Array<NodeId> chosen_;
  std::uint64_t seed_ = 0;
  std::uint64_t epoch_ = 0;
};

inline void check_batch_size(std::size_t batch_size, std::string_view who) {
  if (batch_size == 0) throw ConfigError(message(who, ": batch_size is 0, want at least 1"));
}

}  // namespace tessera
