// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tessera/graph/graph_dataset.hpp"

namespace examples {

/// A data set of many graphs with features that networks can read: categories become columns, graphs without features
/// get their nodes' degrees. Without a path: `graphs` generated rings and stars.
///
/// Errors   those of io::load_graphs
tessera::GraphDataset load_graph_data(const std::string& path, std::size_t graphs, std::uint64_t seed);

}  // namespace examples
