// SPDX-License-Identifier: MIT
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <new>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/io/detail/link_text.hpp"
#include "tessera/io/mapped_file.hpp"

// From the text of the links to a graph without a list of links in between. The file is cut into ranges; each is
// read by itself into entries sorted by bucket (consecutive rows), five bytes each. Then bucket after bucket is
// gathered from all ranges, sorted into the graph, and its pages given back. Memory peaks at five bytes per entry,
// where the finished graph has four. Everything irregular is left to the full parser, which starts over.

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
    constexpr std::size_t kPage = 4096;
    const std::size_t whole = bytes / kPage * kPage;
    if (data_ != nullptr && whole != 0) ::madvise(data_, whole, MADV_DONTNEED);
  }

 private:
  std::byte* data_ = nullptr;
  std::size_t bytes_ = 0;
};

/// What the caller knows of the ends of the links.
struct LinkEnds {
  std::size_t num_positions = 0;
  std::size_t num_rows = 0;
  std::span<const NodeId> row_of_position;  ///< empty: the position is the row
  NodeId dropped = kNoNode;                 ///< in row_of_position: the link is left out
};

struct RangedGraph {
  CsrGraph graph;
  BuildCounts counts;
  std::size_t dropped_links = 0;
};

class LinkRanges {
 public:
  LinkRanges(const std::filesystem::path& path, std::uint64_t file_bytes, const LinkEnds& ends,
             bool keep_loops, std::size_t range_bytes = kRange)
      : fd_(open_for_reading(path)),
        path_(path),
        file_bytes_(file_bytes),
        ends_(ends),
        keep_loops_(keep_loops),
        range_bytes_(range_bytes) {
    const auto column_bits = static_cast<unsigned>(std::bit_width(ends.num_rows));
    row_bits_ = column_bits > 10 ? column_bits - 10 : 0;
    column_bits_ = column_bits;
    buckets_ = (ends.num_rows >> row_bits_) + 1;
  }

  /// Reads the array of links that starts at `begin` ('['). The file offset behind it; 0 where it holds anything
  /// a range cannot judge by itself.
  std::uint64_t read(std::uint64_t begin) {
    if (column_bits_ + row_bits_ > 40 || begin >= file_bytes_) return 0;
    const std::size_t count = (file_bytes_ - begin + range_bytes_ - 1) / range_bytes_;
    ranges_.resize(count);
    parallel_blocks(count, [&](std::size_t k) { read_range(begin + k * range_bytes_, k == 0, ranges_[k]); });
    std::uint64_t expected = ranges_[0].first;
    for (std::size_t k = 0; k < count; ++k) {
      const Range& range = ranges_[k];
      if (!range.regular || range.first != expected) return 0;
      if (range.ended) {
        ranges_.resize(k + 1);
        return ranges_[k].next;
      }
      expected = range.next;
    }
    return 0;
  }

  /// The symmetric graph of the links read.
  RangedGraph build() {
    RangedGraph out;
    for (const Range& range : ranges_) {
      out.counts.links += range.links;
      out.counts.dropped_loops += range.loops;
      out.dropped_links += range.dropped;
    }
    build(out);
    return out;
  }

 private:
  static constexpr std::size_t kRange = std::size_t{4} << 20;
  static constexpr std::size_t kLookahead = std::size_t{64} << 10;  // the longest link
  static constexpr std::size_t kEntry = 5;

  struct Range {
    bool regular = false;
    bool ended = false;
    std::uint64_t first = 0;  // offset of the first link
    std::uint64_t next = 0;   // of the first link of the next range, or behind the ']'
    std::size_t links = 0;
    std::size_t loops = 0;
    std::size_t dropped = 0;
    PageBlock entries;
    Array<std::uint32_t> bucket_begin;  // in entries
  };

  std::size_t read_at(std::uint64_t offset, std::span<char> out) const {
    std::size_t have = 0;
    while (have < out.size()) {
      const ssize_t got =
          ::pread(fd_.get(), out.data() + have, out.size() - have, static_cast<off_t>(offset + have));
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) fail_system(path_, "read", errno);
      if (got == 0) break;
      have += static_cast<std::size_t>(got);
    }
    return have;
  }

  void read_range(std::uint64_t offset, bool is_first, Range& range) const {
    Array<char> text(range_bytes_ + kLookahead + 64);
    const std::size_t bytes = read_at(offset, text.span().first(range_bytes_ + kLookahead));
    std::memset(text.data() + bytes, 0, 64);
    const char* const begin = text.data();
    const char* const end = begin + bytes + 64;  // the zeros end every token
    const char* const stop = begin + std::min(range_bytes_, bytes);
    const char* p = begin;
    if (is_first) {
      if (*p != '[') return;
      p = skip_blanks(p + 1, end);
      if (*p != '{') return;
    } else {
      p = static_cast<const char*>(std::memchr(p, '{', static_cast<std::size_t>(stop - p)));
      if (p == nullptr) return;
    }
    range.first = offset + static_cast<std::uint64_t>(p - begin);
    constexpr std::size_t kShortest = 23;  // {"source":0,"target":0} and its comma
    Array<std::uint32_t> ends(2 * (bytes / kShortest + 2));
    std::size_t count = 0;
    bool attributes = false;
    while (p < stop) {
      std::uint32_t source = 0;
      std::uint32_t target = 0;
      if (*p != '{') return;
      p = read_link(p, end, source, target, attributes);
      if (p == nullptr || attributes) return;
      if (source >= ends_.num_positions || target >= ends_.num_positions) return;
      ends[count++] = source;
      ends[count++] = target;
      if (*p == ',' && p[1] == ' ' && p[2] == '{') {
        p += 2;
        continue;
      }
      p = skip_blanks(p, end);
      if (*p == ']') {
        ++p;
        range.ended = true;
        break;
      }
      if (*p != ',') return;
      p = skip_blanks(p + 1, end);
      if (*p != '{') return;
    }
    range.next = offset + static_cast<std::uint64_t>(p - begin);
    ends.resize(count);
    sort_into_buckets(ends, range);
    range.regular = true;
  }

  void sort_into_buckets(Array<std::uint32_t>& ends, Range& range) const {
    if (!ends_.row_of_position.empty()) {
      std::size_t kept = 0;
      for (std::size_t e = 0; e < ends.size(); e += 2) {
        const NodeId source = ends_.row_of_position[ends[e]];
        const NodeId target = ends_.row_of_position[ends[e + 1]];
        if (source == ends_.dropped || target == ends_.dropped) {
          ++range.dropped;
          continue;
        }
        ends[kept++] = source;
        ends[kept++] = target;
      }
      ends.resize(kept);
    }
    range.links = ends.size() / 2;
    range.bucket_begin.assign(buckets_ + 1, 0);
    const auto for_each_entry = [&](auto&& emit) {
      for (std::size_t e = 0; e < ends.size(); e += 2) {
        const NodeId source = ends[e];
        const NodeId target = ends[e + 1];
        if (source == target) {
          if (keep_loops_) emit(target, source);
          continue;
        }
        emit(target, source);
        emit(source, target);
      }
    };
    std::size_t loops = 0;
    for (std::size_t e = 0; e < ends.size(); e += 2) loops += ends[e] == ends[e + 1] ? 1u : 0u;
    range.loops = keep_loops_ ? 0 : loops;
    for_each_entry([&](NodeId row, NodeId) { ++range.bucket_begin[row >> row_bits_]; });
    std::uint32_t sum = 0;
    for (std::uint32_t& begin : range.bucket_begin) sum += std::exchange(begin, sum);
    range.entries = PageBlock(std::size_t{sum} * kEntry + 8);
    Array<std::uint32_t> cursor = Array<std::uint32_t>::copy_of(range.bucket_begin);
    const std::uint64_t row_mask = (std::uint64_t{1} << row_bits_) - 1;
    for_each_entry([&](NodeId row, NodeId col) {
      const std::uint64_t entry = (row & row_mask) << column_bits_ | col;
      std::byte* const at = range.entries.data() + std::size_t{cursor[row >> row_bits_]++} * kEntry;
      const auto low = static_cast<std::uint32_t>(entry);
      std::memcpy(at, &low, 4);
      at[4] = static_cast<std::byte>(entry >> 32);
    });
  }

  /// Buckets become rows, a wave of them at a time so that pages can be given back.
  void build(RangedGraph& out) {
    constexpr std::size_t kWaves = 16;
    const std::size_t rows = ends_.num_rows;
    Array<EdgeId> raw_begin(buckets_ + 1);
    EdgeId total = 0;
    for (std::size_t b = 0; b < buckets_; ++b) {
      raw_begin[b] = total;
      for (const Range& range : ranges_) total += range.bucket_begin[b + 1] - range.bucket_begin[b];
    }
    raw_begin[buckets_] = total;
    CsrGraph& graph = out.graph;
    graph.num_cols = rows;
    graph.symmetric = true;
    graph.row_ptr.assign(rows + 1, 0);
    graph.col.resize(total);
    for (std::size_t wave = 0; wave < kWaves; ++wave) {
      const std::size_t first = buckets_ * wave / kWaves;
      const std::size_t last = buckets_ * (wave + 1) / kWaves;
      parallel_blocks(last - first,
                      [&](std::size_t k) { build_bucket(first + k, raw_begin[first + k], graph); });
      parallel_for(ranges_.size(), 64, [&](std::size_t r, std::size_t end) {
        for (; r < end; ++r) ranges_[r].entries.forget(std::size_t{ranges_[r].bucket_begin[last]} * kEntry);
      });
    }
    ranges_.clear();
    const EdgeId stored = parallel_exclusive_scan(graph.row_ptr.span());
    out.counts.merged_duplicates = total - stored;
    if (stored != total) close_gaps(raw_begin, graph);
    graph.col.resize(stored);
  }

  /// Sorts the rows of a bucket into graph.col from `at` on, merged; leaves their lengths in row_ptr.
  void build_bucket(std::size_t bucket, EdgeId at, CsrGraph& graph) const {
    const std::size_t row0 = bucket << row_bits_;
    const std::size_t rows =
        std::min(std::size_t{1} << row_bits_, ends_.num_rows - std::min(ends_.num_rows, row0));
    Array<std::uint64_t> entry;
    Array<std::uint32_t> begin(rows + 2, 0);
    const std::uint64_t mask = (std::uint64_t{1} << column_bits_) - 1;
    for (const Range& range : ranges_) {
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
      const std::size_t row0 = std::min(b << row_bits_, ends_.num_rows);
      const std::size_t row1 = std::min((b + 1) << row_bits_, ends_.num_rows);
      const EdgeId count = graph.row_ptr[row1] - graph.row_ptr[row0];
      NodeId* const to = graph.col.data() + graph.row_ptr[row0];
      const NodeId* const from = graph.col.data() + raw_begin[b];
      if (to != from) std::memmove(to, from, count * sizeof(NodeId));
    }
  }

  Descriptor fd_;
  std::filesystem::path path_;
  std::uint64_t file_bytes_;
  LinkEnds ends_;
  bool keep_loops_;
  std::size_t range_bytes_;
  unsigned row_bits_ = 0;
  unsigned column_bits_ = 0;
  std::size_t buckets_ = 0;
  std::vector<Range> ranges_;
};

}  // namespace tessera::io::detail
