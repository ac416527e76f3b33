// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"

namespace tessera::detail {

/// Rows and entries that one range should hold: enough to hide what starting it costs.
inline constexpr std::size_t kRangeWork = 1 << 14;

/// Ranges worth cutting a matrix into, by rows plus entries; a function of the matrix alone.
inline std::size_t range_count(std::span<const EdgeId> row_ptr, std::size_t most) noexcept {
  const std::size_t rows = row_ptr.size() - 1;
  return std::clamp<std::size_t>((rows + row_ptr[rows]) / kRangeWork, 1, most);
}

/// The first row of range `k` of `ranges`, which hold about as many rows plus entries each. range_row(...,
/// ranges) is the number of rows.
inline std::size_t range_row(std::span<const EdgeId> row_ptr, std::size_t k, std::size_t ranges) noexcept {
  const std::size_t rows = row_ptr.size() - 1;
  if (k == ranges) return rows;
  const std::size_t work = (rows + row_ptr[rows]) / ranges * k;
  std::size_t low = 0;
  std::size_t high = rows;
  while (low < high) {
    const std::size_t middle = low + (high - low) / 2;
    if (middle + row_ptr[middle] < work) {
      low = middle + 1;
    } else {
      high = middle;
    }
  }
  return low;
}

/// Calls body(begin, end) for consecutive row ranges of about equal work that cover the matrix.
template <class F>
void parallel_rows(std::span<const EdgeId> row_ptr, F&& body) {
  const std::size_t ranges = range_count(row_ptr, 4096);
  parallel_blocks(ranges, [&](std::size_t k) {
    const std::size_t begin = range_row(row_ptr, k, ranges);
    const std::size_t end = range_row(row_ptr, k + 1, ranges);
    if (begin < end) body(begin, end);
  });
}

}  // namespace tessera::detail
