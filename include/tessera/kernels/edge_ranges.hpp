// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"

namespace tessera {

/// A row with so many entries that it is worked on in parts.
struct HubRow {
  std::size_t row = 0;
  std::size_t first_part = 0;  ///< its parts are first_part, first_part + 1, ... among those of all hubs
  std::size_t num_parts = 0;
};

/// Cuts the rows of a sparse matrix into chunks of about equal work and its longest rows into parts.
///
/// Chunks balance rows + entries and depend on the matrix alone; whether and where a row is split depends on
/// its own length alone. So a row's bits depend neither on the number of threads nor on the other rows.
/// Cost     O(E / kHubEntries log N) to build, O(log N) per chunk; memory for the hubs only, from the pool
/// Source   chunks by binary search on the diagonal of (rows, entries): Merrill & Garland, Merge-based
///          parallel sparse matrix-vector multiplication, SC 2016; differs: a short row is never split
class EdgeRanges {
 public:
  static constexpr std::size_t kHubEntries = 8192;  ///< longer rows are hubs
  static constexpr std::size_t kPartEntries = 4096;
  static constexpr std::size_t kMinChunk = 1024;  ///< rows + entries; below, starting a task costs as much
  static constexpr std::size_t kMaxChunks = 2048;

  struct Rows {
    std::size_t first = 0;
    std::size_t last = 0;
  };
  struct Entries {
    std::size_t first = 0;
    std::size_t last = 0;
  };

  /// Shapes   row_ptr [N + 1], or empty for no rows; it must outlive this object
  explicit EdgeRanges(std::span<const EdgeId> row_ptr) : row_ptr_(row_ptr) {
    const std::size_t work = num_rows() + num_entries();
    chunk_work_ = std::max(kMinChunk, (work + kMaxChunks - 1) / kMaxChunks);
    num_chunks_ = (work + chunk_work_ - 1) / chunk_work_;
    find_hubs();
  }

  std::size_t num_rows() const noexcept { return row_ptr_.empty() ? 0 : row_ptr_.size() - 1; }
  std::size_t num_chunks() const noexcept { return num_chunks_; }
  std::span<const HubRow> hubs() const noexcept { return hubs_.span(); }
  /// Parts of all hubs together.
  std::size_t num_parts() const noexcept {
    return hubs_.empty() ? 0 : hubs_[hubs_.size() - 1].first_part + hubs_[hubs_.size() - 1].num_parts;
  }

  /// The rows of a chunk, hubs among them included.
  Rows chunk(std::size_t k) const noexcept {
    return {row_at(k * chunk_work_), row_at((k + 1) * chunk_work_)};
  }

  /// The hub a part belongs to.
  const HubRow& hub_of_part(std::size_t part) const noexcept {
    const auto after = std::upper_bound(hubs_.begin(), hubs_.end(), part,
                                        [](std::size_t p, const HubRow& h) { return p < h.first_part; });
    return *(after - 1);
  }

  /// The entries of part `part` of `hub`, positions in the whole matrix.
  Entries part_entries(const HubRow& hub, std::size_t part) const noexcept {
    const std::size_t first = entry(hub.row) + (part - hub.first_part) * kPartEntries;
    return {first, std::min(first + kPartEntries, entry(hub.row + 1))};
  }

  /// Calls rows(first, last) for runs of rows that are no hubs, part(hub, part_number, entries) for every
  /// part of every hub, all in parallel and in no order; together they cover every entry once and every row.
  template <class RowsBody, class PartBody>
  void for_each(RowsBody&& rows, PartBody&& part) const {
    const std::size_t parts = num_parts();
    parallel_blocks(parts + num_chunks_, [&](std::size_t task) {
      if (task < parts) {
        const HubRow& hub = hub_of_part(task);
        part(hub, task, part_entries(hub, task));
      } else {
        for_each_run(chunk(task - parts), rows);
      }
    });
  }

  /// Calls rows(first, last) for runs of rows that are no hubs, in parallel and in no order.
  template <class RowsBody>
  void for_each_rows(RowsBody&& rows) const {
    parallel_blocks(num_chunks_, [&](std::size_t k) { for_each_run(chunk(k), rows); });
  }

 private:
  std::size_t entry(std::size_t row) const noexcept { return static_cast<std::size_t>(row_ptr_[row]); }
  std::size_t num_entries() const noexcept {
    return row_ptr_.empty() ? 0 : static_cast<std::size_t>(row_ptr_.back());
  }

  // The first row i with row_ptr[i] + i >= work; all rows once work reaches N + E.
  std::size_t row_at(std::size_t work) const noexcept {
    std::size_t low = 0;
    std::size_t count = num_rows();
    while (count > 0) {
      const std::size_t half = count / 2;
      const bool before = entry(low + half) + low + half < work;
      low = before ? low + half + 1 : low;
      count = before ? count - half - 1 : half;
    }
    return low;
  }

  template <class RowsBody>
  void for_each_run(Rows range, RowsBody& rows) const {
    const HubRow* hub = std::lower_bound(hubs_.begin(), hubs_.end(), range.first,
                                         [](const HubRow& h, std::size_t row) { return h.row < row; });
    std::size_t first = range.first;
    for (; hub != hubs_.end() && hub->row < range.last; ++hub) {
      if (first < hub->row) rows(first, hub->row);
      first = hub->row + 1;
    }
    if (first < range.last) rows(first, range.last);
  }

  // A row of more than kHubEntries entries holds an entry whose position is a multiple of kHubEntries: only
  // the rows of those need a look. They ascend, so each search starts where the last ended and doubles its
  // steps.
  void find_hubs() {
    const std::size_t rows = num_rows();
    const std::size_t entries = num_entries();
    std::size_t row = 0;
    std::size_t parts = 0;
    for (std::size_t e = 0; e < entries; e += kHubEntries) {
      std::size_t step = 1;
      while (row + step <= rows && entry(row + step) <= e) {
        row += step;
        step *= 2;
      }
      for (; step > 0; step /= 2) {
        if (row + step <= rows && entry(row + step) <= e) row += step;
      }
      const std::size_t degree = entry(row + 1) - entry(row);
      if (degree <= kHubEntries || (!hubs_.empty() && hubs_[hubs_.size() - 1].row == row)) continue;
      const std::size_t num = (degree + kPartEntries - 1) / kPartEntries;
      hubs_.push_back({row, parts, num});
      parts += num;
    }
  }

  std::span<const EdgeId> row_ptr_;
  std::size_t chunk_work_ = 1;
  std::size_t num_chunks_ = 0;
  Array<HubRow> hubs_;
};

}  // namespace tessera
