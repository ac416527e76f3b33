// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <string>
#include <string_view>

#include "tessera/core/parallel.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/io/detail/link_table.hpp"
#include "tessera/io/text_table.hpp"

// Any bytes are a table or refused. The first byte chooses what is read, the second the size of the blocks; whatever
// the size, the result must be that of one block.
namespace {

using namespace tessera;

/// What one reading gave: a sum over the values, or that it was refused (which mistake is met first depends on the
/// blocks).
std::string outcome(std::span<const std::byte> bytes, unsigned kind, std::size_t block) {
  const io::Limits limits{.max_bytes = 1 << 24};
  const io::TableFormat format{.separator = (kind & 8) != 0 ? ' ' : ',',
                               .skip_lines = kind >> 4 & 1,
                               .empty_is_nan = (kind & 32) != 0};
  const io::BlankTail tail = (kind & 64) != 0 ? io::BlankTail::keep : io::BlankTail::ignore;
  try {
    io::TextBlocks text(bytes, "fuzz", tail, block);
    std::uint64_t sum = 0;
    if ((kind & 3) == 0) {
      const io::IdPairs pairs = io::read_id_pairs(text, 1000, kind >> 2 & 1, {}, format, limits);
      for (std::size_t e = 0; e < pairs.size(); ++e) sum = 31 * sum + 7 * pairs.source[e] + pairs.target[e];
    } else if ((kind & 3) == 1) {
      const Tensor<float> table = io::read_number_table(text, {}, format, limits);
      sum = table.rows() * 1000 + table.cols();
    } else if ((kind & 3) == 2) {
      for (const std::int64_t v : io::read_integer_column(text, {}, limits))
        sum = 31 * sum + static_cast<std::uint64_t>(v);
    } else {
      io::for_each_number_block(
          text, {.count = 7, .says = "the target"}, format,
          [&](std::uint64_t first, auto values) { sum += first + values.rows() * values.cols(); });
      sum = 0;  // blocks differ with their size
    }
    return message("read ", sum);
  } catch (const FormatError&) {
    return "refused";
  }
}

/// The graph of a table of links, or "refused".
template <class Read>
std::string graph_of(std::span<const std::byte> bytes, std::size_t block, Read&& read) {
  try {
    io::TextBlocks text(bytes, "fuzz", io::BlankTail::ignore, block);
    const BuiltGraph built = read(text);
    std::string out = message(built.counts.links, ' ', built.counts.dropped_loops, ' ',
                              built.counts.merged_duplicates, ' ', built.graph.symmetric ? 1 : 0, ':');
    for (const EdgeId e : built.graph.row_ptr) out += message(' ', e);
    for (const NodeId j : built.graph.col) out += message(' ', j);
    return out;
  } catch (const FormatError&) {
    return "refused";
  }
}

/// Links read into a graph directly are those read into a list first.
void compare_graphs(std::span<const std::byte> bytes, unsigned kind, std::size_t block) {
  constexpr std::size_t kNodes = 7;
  const bool symmetrize = (kind & 1) != 0;
  const bool keep_loops = (kind & 2) != 0;
  const std::string direct = graph_of(bytes, block, [&](io::TextBlocks& text) {
    return io::detail::read_link_table(text, {kNodes, keep_loops, symmetrize}, {}, {});
  });
  const std::string listed = graph_of(bytes, block, [&](io::TextBlocks& text) {
    const io::IdPairs pairs = io::read_id_pairs(text, kNodes, 0);
    return build_csr(
        kNodes, {pairs.source, pairs.target, {}},
        {.symmetrize = symmetrize, .self_loops = keep_loops ? SelfLoops::keep : SelfLoops::drop});
  });
  if (direct != listed) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  const auto bytes = std::as_bytes(std::span(data + 2, size - 2));
  with_threads(1, [&] {  // waking others costs more than these few bytes
    const std::string small = outcome(bytes, data[0], data[1]);
    const std::string whole = outcome(bytes, data[0], std::size_t{1} << 20);
    if (small != whole) std::abort();
    compare_graphs(bytes, data[0], data[1]);
  });
  return 0;
}
