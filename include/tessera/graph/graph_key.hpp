// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/fingerprint.hpp"

namespace tessera {

/// A number that names a graph by its entries and their weights: what was computed on a graph belongs to the graph of that number.
///
/// Cost     one pass over the entries, at memory speed
/// Threads  result independent of T
inline std::uint64_t graph_key(CsrView<> graph) {
  detail::Fingerprint print;
  print.add(std::uint64_t{graph.num_rows}).add(graph.row_ptr).add(graph.col);
  if (graph.weighted()) print.add(graph.weight);
  return print.value();
}

}  // namespace tessera
