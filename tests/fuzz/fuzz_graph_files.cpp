// SPDX-License-Identifier: MIT
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>

#include "tessera/graph/validate.hpp"
#include "tessera/io/dimacs.hpp"
#include "tessera/io/edge_list.hpp"
#include "tessera/io/matrix_market.hpp"
#include "tessera/io/metis.hpp"

// Any bytes are a graph file or refused; what is read must be a valid graph. The first byte chooses the format.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace tessera;
  if (size < 2) return 0;
  const auto bytes = std::as_bytes(std::span(data + 2, size - 2));
  const std::size_t block = data[1];
  io::ReadOptions options{.symmetrise = (data[0] & 8) != 0 ? io::Symmetrise::on : io::Symmetrise::off,
                          .edge_list_ids = static_cast<io::EdgeListIds>((data[0] >> 4) % 3),
                          .max_bytes = 1 << 26};
  try {
    switch (data[0] & 3) {
      case 0: {
        io::TextBlocks text(bytes, "fuzz", io::BlankTail::keep, block);
        validate(io::detail::MetisReader(text, options.max_bytes).read().graph.view());
        break;
      }
      case 1: {
        io::TextBlocks text(bytes, "fuzz", io::BlankTail::ignore, block);
        validate(io::detail::MatrixMarketReader(text, options).read("fuzz").graph.view());
        break;
      }
      case 2: {
        io::TextBlocks text(bytes, "fuzz", io::BlankTail::ignore, block);
        validate(io::detail::DimacsReader(text, options).read("fuzz").graph.view());
        break;
      }
      default: {
        io::TextBlocks text(bytes, "fuzz", io::BlankTail::ignore, block);
        validate(io::detail::EdgeListReader(text, options).read("fuzz").data.graph.view());
      }
    }
  } catch (const FormatError&) {
  }
  return 0;
}
