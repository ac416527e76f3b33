// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <span>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"

namespace tessera {

/// Whether a matrix equals its transpose, weights and repeated entries included.
///
/// Shapes   a [N, M] with ascending rows; false if N != M
/// Cost     work O(E log max_degree), and O(E / T) when it is far from symmetric
/// Threads  parallel
inline bool is_symmetric(CsrView<> a) {
  if (a.num_rows != a.num_cols) return false;
  constexpr std::size_t kRows = 512;
  // Every run of equal entries above the diagonal needs its equal below; as many below as above leaves no
  // other.
  struct Balance {
    std::size_t above = 0;
    std::size_t below = 0;
  };
  std::atomic<bool> differs{false};
  const auto row_balance = [&](std::size_t i, Balance& balance) {
    const std::span<const NodeId> row = a.neighbors(i);
    for (std::size_t k = 0; k < row.size();) {
      const NodeId j = row[k];
      const std::size_t first = k;
      while (k < row.size() && row[k] == j) ++k;
      if (j <= i) {
        balance.below += j < i ? k - first : 0u;
        continue;
      }
      balance.above += k - first;
      const std::span<const NodeId> mirror = a.neighbors(j);
      const auto range = std::equal_range(mirror.begin(), mirror.end(), static_cast<NodeId>(i));
      if (static_cast<std::size_t>(range.second - range.first) != k - first) return false;
      if (!a.weighted()) continue;
      const auto offset = static_cast<std::size_t>(range.first - mirror.begin());
      const std::span<const float> own = a.weights(i).subspan(first, k - first);
      if (!std::equal(own.begin(), own.end(), a.weights(j).subspan(offset).begin())) return false;
    }
    return true;
  };
  const auto count = [&](std::size_t begin, std::size_t end) {
    Balance balance;
    for (std::size_t i = begin; i < end && !differs.load(std::memory_order_relaxed); ++i) {
      if (!row_balance(i, balance)) differs.store(true, std::memory_order_relaxed);
    }
    return balance;
  };
  const Balance total = parallel_reduce(a.num_rows, kRows, Balance{}, count, [](Balance x, Balance y) {
    return Balance{x.above + y.above, x.below + y.below};
  });
  return !differs.load() && total.above == total.below;
}

}  // namespace tessera
