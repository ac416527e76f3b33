// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"

namespace tessera::detail {

/// The numbers 0 .. count - 1 in an order drawn for one purpose.
inline Array<NodeId> random_order(std::size_t count, RngKey key) {
  Array<std::uint64_t> keyed(count);
  parallel_for(count, 1 << 13, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i)
      keyed[i] = std::uint64_t{CounterRng(key, 0, i).next32()} << 32 | i;
  });
  parallel_sort(keyed.begin(), keyed.end());
  Array<NodeId> order(count);
  parallel_for(count, 1 << 13, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) order[i] = static_cast<NodeId>(keyed[i]);
  });
  return order;
}

}  // namespace tessera::detail
