// SPDX-License-Identifier: MIT
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <new>
#include <span>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/graph/symmetry.hpp"

// Links to a graph without a list of links in between. Ranges of links are turned, each by itself, into entries
// sorted by bucket (consecutive rows), five bytes each. Then bucket after bucket is gathered from all ranges, sorted
// into the graph, and its pages given back. Memory peaks at five bytes per entry, where the finished graph has four.

namespace tessera::io::detail {

/// Pages of our own, so that those no longer needed can go back to the system one by one.
class PageBlock {
 public:
  PageBlock() = default;
  explicit PageBlock(std::size_t bytes) : bytes_(bytes) {
    if (bytes == 0) return;
    void* const at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED) throw std::bad_alloc();
    data_ = static_cast<std::byte*>(at);
  }
  PageBlock(PageBlock&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)) {}
  PageBlock& operator=(PageBlock&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(bytes_, other.bytes_);
    return *this;
  }
  ~PageBlock() {
    if (data_ != nullptr) ::munmap(data_, bytes_);
  }
  std::byte* data() const noexcept { return data_; }
  /// Gives back the pages that lie wholly in the first `bytes`; their content is lost.
  void forget(std::size_t bytes) noexcept {
    static const auto page = static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
    const std::size_t whole = bytes / page * page;
    if (data_ != nullptr && whole != 0) ::madvise(data_, whole, MADV_DONTNEED);
  }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// What becomes of the links; duplicates are always merged.
struct BucketRules {
  std::size_t num_rows = 0;
  bool keep_loops = false;
  bool symmetrize = true;
};

/// The entries of some of the links, sorted by bucket.
struct BucketedRange {
  std::size_t links = 0;
  std::size_t loops = 0;  ///< left out
  PageBlock entries;
  Array<std::uint32_t> bucket_begin;  ///< in entries
};

class BucketedLinks {
 public:
  static constexpr std::size_t kEntry = 5;

  explicit BucketedLinks(const BucketRules& rules)
      : rules_(rules), column_bits_(static_cast<unsigned>(std::bit_width(rules.num_rows))) {
    row_bits_ = column_bits_ > 10 ? column_bits_ - 10 : 0;
    buckets_ = (rules.num_rows >> row_bits_) + 1;
  }

  /// Whether five bytes are enough for an entry: up to 2^25 rows.
  bool fits() const noexcept { return column_bits_ + row_bits_ <= 40; }

  /// Sorts links, given as source, target, source, target ..., all less than num_rows; fewer than 2^31 of them.
  BucketedRange sort(std::span<const NodeId> ends) const {
    BucketedRange range;
    range.links = ends.size() / 2;
    range.bucket_begin.assign(buckets_ + 1, 0);
    std::size_t loops = 0;
    for (std::size_t e = 0; e < ends.size(); e += 2) loops += ends[e] == ends[e + 1] ? 1u : 0u;
    range.loops = rules_.keep_loops ? 0 : loops;
    for_each_entry(ends, [&](NodeId row, NodeId) { ++range.bucket_begin[row >> row_bits_]; });
    std::uint32_t sum = 0;
    for (std::uint32_t& begin : range.bucket_begin) sum += std::exchange(begin, sum);
    range.entries = PageBlock(std::size_t{sum} * kEntry + 8);
    Array<std::uint32_t> cursor = Array<std::uint32_t>::copy_of(range.bucket_begin);
    const std::uint64_t row_mask = (std::uint64_t{1} << row_bits_) - 1;
    for_each_entry(ends, [&](NodeId row, NodeId col) {
      const std::uint64_t entry = (row & row_mask) << column_bits_ | col;
      std::byte* const at = range.entries.data() + std::size_t{cursor[row >> row_bits_]++} * kEntry;
      const auto low = static_cast<std::uint32_t>(entry);
      std::memcpy(at, &low, 4);
      at[4] = static_cast<std::byte>(entry >> 32);
    });
    return range;
  }

  /// The graph of all ranges, whose pages are given back on the way.
  ///
  /// Threads  parallel; the result does not depend on T, nor on how links were cut into ranges
  BuiltGraph build(std::vector<BucketedRange> ranges) const {
    constexpr std::size_t kWaves = 16;
    BuiltGraph out;
    for (const BucketedRange& range : ranges) {
      out.counts.links += range.links;
      out.counts.dropped_loops += range.loops;
    }
    Array<EdgeId> raw_begin(buckets_ + 1);
    EdgeId total = 0;
    for (std::size_t b = 0; b < buckets_; ++b) {
      raw_begin[b] = total;
      for (const BucketedRange& range : ranges) total += range.bucket_begin[b + 1] - range.bucket_begin[b];
    }
    raw_begin[buckets_] = total;
    CsrGraph& graph = out.graph;
    graph.num_cols = rules_.num_rows;
    graph.row_ptr.assign(rules_.num_rows + 1, 0);
    graph.col.resize(total);
    for (std::size_t wave = 0; wave < kWaves; ++wave) {
      const std::size_t first = buckets_ * wave / kWaves;
      const std::size_t last = buckets_ * (wave + 1) / kWaves;
      parallel_blocks(last - first,
                      [&](std::size_t k) { build_bucket(ranges, first + k, raw_begin[first + k], graph); });
      parallel_for(ranges.size(), 64, [&](std::size_t r, std::size_t end) {
        for (; r < end; ++r) ranges[r].entries.forget(std::size_t{ranges[r].bucket_begin[last]} * kEntry);
      });
    }
    ranges.clear();
    const EdgeId stored = parallel_exclusive_scan(graph.row_ptr.span());
    out.counts.merged_duplicates = total - stored;
    if (stored != total) close_gaps(raw_begin, graph);
    graph.col.resize(stored);
    graph.symmetric = rules_.symmetrize || is_symmetric(graph.view());
    return out;
  }

 private:
  template <class Emit>
  void for_each_entry(std::span<const NodeId> ends, Emit&& emit) const {
    for (std::size_t e = 0; e < ends.size(); e += 2) {
      const NodeId source = ends[e];
      const NodeId target = ends[e + 1];
      if (source == target) {
        if (rules_.keep_loops) emit(target, source);
        continue;
      }
      emit(target, source);
      if (rules_.symmetrize) emit(source, target);
    }
  }

  /// Sorts the rows of a bucket into graph.col from `at` on, merged; leaves their lengths in row_ptr.
  void build_bucket(const std::vector<BucketedRange>& ranges, std::size_t bucket, EdgeId at,
                    CsrGraph& graph) const {
    const std::size_t row0 = bucket << row_bits_;
    const std::size_t rows =
        std::min(std::size_t{1} << row_bits_, rules_.num_rows - std::min(rules_.num_rows, row0));
    Array<std::uint64_t> entry;
    Array<std::uint32_t> begin(rows + 2, 0);
    const std::uint64_t mask = (std::uint64_t{1} << column_bits_) - 1;
    for (const BucketedRange& range : ranges) {
      const std::size_t first = range.bucket_begin[bucket];
      const std::size_t count = range.bucket_begin[bucket + 1] - first;
      const std::size_t old = entry.size();
      if (old + count > entry.capacity()) entry.reserve(2 * (old + count) + 1024);
      entry.resize(old + count);
      const std::byte* from = range.entries.data() + first * kEntry;
      for (std::size_t k = 0; k < count; ++k, from += kEntry) {
        std::uint64_t value = 0;
        std::memcpy(&value, from, 8);
        entry[old + k] = value & 0xFFFFFFFFFFu;
      }
    }
    for (const std::uint64_t e : entry) ++begin[(e >> column_bits_) + 2];
    for (std::size_t r = 2; r < begin.size(); ++r) begin[r] += begin[r - 1];
    Array<NodeId> column(entry.size());
    for (const std::uint64_t e : entry)
      column[begin[(e >> column_bits_) + 1]++] = static_cast<NodeId>(e & mask);
    NodeId* out = graph.col.data() + at;
    for (std::size_t r = 0; r < rows; ++r) {
      NodeId* const low = column.data() + begin[r];
      NodeId* const high = column.data() + begin[r + 1];
      if (!std::is_sorted(low, high))
        std::sort(low, high);  // writers that go through the nodes leave rows sorted
      NodeId* const end = std::unique_copy(low, high, out);
      graph.row_ptr[row0 + r] = static_cast<EdgeId>(end - out);
      out = end;
    }
  }

  /// Moves rows down where duplicates left room behind their bucket. row_ptr is final by now.
  void close_gaps(const Array<EdgeId>& raw_begin, CsrGraph& graph) const {
    for (std::size_t b = 0; b < buckets_; ++b) {
      const std::size_t row0 = std::min(b << row_bits_, rules_.num_rows);
      const std::size_t row1 = std::min((b + 1) << row_bits_, rules_.num_rows);
      const EdgeId count = graph.row_ptr[row1] - graph.row_ptr[row0];
      NodeId* const to = graph.col.data() + graph.row_ptr[row0];
      const NodeId* const from = graph.col.data() + raw_begin[b];
      if (to != from) std::memmove(to, from, count * sizeof(NodeId));
    }
  }

  BucketRules rules_;
  unsigned column_bits_;
  unsigned row_bits_ = 0;
  std::size_t buckets_ = 0;
};

}  // namespace tessera::io::detail
