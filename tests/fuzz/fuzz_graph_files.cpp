// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "tessera/core/parallel.hpp"
#include "tessera/graph/validate.hpp"
#include "tessera/io/dimacs.hpp"
#include "tessera/io/edge_list.hpp"
#include "tessera/io/matrix_market.hpp"
#include "tessera/io/metis.hpp"

namespace {

using namespace tessera;

void read(std::span<const std::byte> bytes, unsigned kind, std::size_t block) {
  const io::ReadOptions options{.symmetrise = (kind & 8) != 0 ? io::Symmetrise::on : io::Symmetrise::off,
                                .edge_list_ids = static_cast<io::EdgeListIds>((kind >> 4) % 3),
                                .max_bytes = 1 << 26};
  io::TextBlocks text(bytes, "fuzz", (kind & 3) == 0 ? io::BlankTail::keep : io::BlankTail::ignore, block);
  switch (kind & 3) {
    case 0:
      return validate(io::detail::MetisReader(text, options.max_bytes).read().graph.view());
    case 1:
      return validate(io::detail::MatrixMarketReader(text, options).read("fuzz").graph.view());
    case 2:
      return validate(io::detail::DimacsReader(text, options).read("fuzz").graph.view());
    default:
      return validate(io::detail::EdgeListReader(text, options).read("fuzz").data.graph.view());
  }
}

}  // namespace

// Any bytes are a graph file or refused; what is read must be a valid graph. The first byte chooses the format, the
// second the size of the blocks.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size < 2) return 0;
  try {
    with_threads(1, [&] { read(std::as_bytes(std::span(data + 2, size - 2)), data[0], data[1]); });
  } catch (const FormatError&) {
  }
  return 0;
}
