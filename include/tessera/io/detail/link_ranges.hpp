// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/io/detail/bucketed_links.hpp"
#include "tessera/io/detail/link_text.hpp"
#include "tessera/io/mapped_file.hpp"

// The text of the links of a node-link file, cut into ranges that are read by themselves. Everything irregular is
// left to the full parser, which starts over.

namespace tessera::io::detail {

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
        range_bytes_(range_bytes),
        buckets_({.num_rows = ends.num_rows, .keep_loops = keep_loops, .symmetrize = true}) {}

  /// Reads the array of links that starts at `begin` ('['). The file offset behind it; 0 where it holds anything
  /// a range cannot judge by itself.
  std::uint64_t read(std::uint64_t begin) {
    if (!buckets_.fits() || begin >= file_bytes_) return 0;
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
    std::vector<BucketedRange> sorted;
    sorted.reserve(ranges_.size());
    std::size_t dropped = 0;
    for (Range& range : ranges_) {
      dropped += range.dropped;
      sorted.push_back(std::move(range.sorted));
    }
    ranges_.clear();
    BuiltGraph built = buckets_.build(std::move(sorted));
    return {std::move(built.graph), built.counts, dropped};
  }

 private:
  static constexpr std::size_t kRange = std::size_t{4} << 20;
  static constexpr std::size_t kLookahead = std::size_t{64} << 10;  // the longest link

  struct Range {
    bool regular = false;
    bool ended = false;
    std::uint64_t first = 0;  // offset of the first link
    std::uint64_t next = 0;   // of the first link of the next range, or behind the ']'
    std::size_t dropped = 0;
    BucketedRange sorted;
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
    range.sorted = buckets_.sort(ends);
  }

  Descriptor fd_;
  std::filesystem::path path_;
  std::uint64_t file_bytes_;
  LinkEnds ends_;
  std::size_t range_bytes_;
  BucketedLinks buckets_;
  std::vector<Range> ranges_;
};

}  // namespace tessera::io::detail
