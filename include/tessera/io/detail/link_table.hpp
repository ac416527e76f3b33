// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/io/detail/bucketed_links.hpp"
#include "tessera/io/detail/link_text.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/limits.hpp"
#include "tessera/io/text_blocks.hpp"
#include "tessera/io/text_table.hpp"

namespace tessera::io::detail {

/// Reads the lines of one chunk into `ends`; notes the first line that is no pair of nodes below num_nodes. `limit`
/// ends what may be read, which is at or behind the end of the chunk.
inline void read_links_of(TextChunk& chunk, const char* limit, std::size_t num_nodes, Array<NodeId>& ends) {
  constexpr std::ptrdiff_t kLookahead = 32;  // what two numbers read at once may touch
  constexpr std::size_t kShortest = 4;       // "0,1\n"
  ends.resize(2 * (chunk.text.size() / kShortest + 1));
  NodeId* out = ends.data();
  const char* const end = chunk.text.data() + chunk.text.size();
  const char* p = chunk.text.data();
  while (p != end) {
    if (limit - p >= kLookahead) {
      const char* q = read_whole(p, out[0]);
      if (q != nullptr && *q == ',') q = read_whole(q + 1, out[1]);
      if (q != nullptr && *q == '\n' && out[0] < num_nodes && out[1] < num_nodes) {
        out += 2;
        p = q + 1;
        continue;
      }
    }
    std::uint64_t a = 0;
    std::uint64_t b = 0;
    const char* const next = scan_pair(p, ',', a, b);
    if (next == nullptr || a >= num_nodes || b >= num_nodes) {
      chunk.failed = p;
      break;
    }
    *out++ = static_cast<NodeId>(a);
    *out++ = static_cast<NodeId>(b);
    p = next;
  }
  ends.resize(static_cast<std::size_t>(out - ends.data()));
  chunk.rows = ends.size() / 2;
}

/// The graph of a table of two columns of node numbers, without a list of links in between.
///
/// Cost     5 bytes per entry beside the result, given back on the way; blocks are parsed in parallel while the next
///          is inflated
/// Errors   as read_id_pairs
/// Threads  parallel; the result does not depend on T
inline BuiltGraph read_link_table(TextBlocks& text, const BucketRules& rules, const WantRows& want,
                                  const Limits& limits) {
  constexpr std::size_t kChunk = std::size_t{1} << 20;
  const std::size_t bytes_per_link = (rules.symmetrize ? 2 : 1) * (BucketedLinks::kEntry + sizeof(NodeId));
  const BucketedLinks buckets(rules);
  std::vector<BucketedRange> ranges;
  std::uint64_t rows = 0;
  for_each_block(text, [&](const TextBlock& block) {
    std::vector<TextChunk> chunks = cut_chunks(block.text, kChunk);
    const std::size_t first = ranges.size();
    const std::uint64_t before = rows;
    ranges.resize(first + chunks.size());
    parallel_blocks(chunks.size(), [&](std::size_t i) {
      Array<NodeId> ends;
      read_links_of(chunks[i], block.text.data() + block.text.size(), rules.num_rows, ends);
      ranges[first + i] = buckets.sort(ends);
    });
    for (const TextChunk& chunk : chunks) {
      rows += chunk.rows;
      want.refuse_more(rows, text.place());
      if (chunk.failed == nullptr) continue;
      fail_pair(text, line_at(chunk.failed), rows, block.first_line + (rows - before), ',', rules.num_rows,
                0);
    }
    require_within(text.place(), saturating_product(rows, bytes_per_link), limits.max_bytes);
  });
  want.refuse_fewer(rows, text.place());
  return buckets.build(std::move(ranges));
}

}  // namespace tessera::io::detail
