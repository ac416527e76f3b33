// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <utility>

#include "tessera/graph/dataset.hpp"
#include "tessera/io/file_error.hpp"

// Files that hold a graph and nothing else.

namespace tessera::io::detail {

/// A data set whose nodes have no features, no labels and no roles yet.
inline Dataset bare_dataset(std::string name, std::string_view layout, std::size_t num_nodes) {
  Dataset out;
  out.name = std::move(name);
  out.provenance.layout = layout;
  out.features = Tensor<float>(num_nodes, 0);
  out.labels.classes.assign(num_nodes, kUnlabelled);
  out.roles.assign(num_nodes, Role::none);
  return out;
}

/// Refuses a number of nodes that no file of this size can mean: sixteen per byte of text, beyond the first million.
///
/// Errors   FormatError GEN-03
inline void require_plausible_nodes(const Place& place, std::uint64_t nodes, std::uint64_t file_bytes) {
  constexpr std::uint64_t kAlways = std::uint64_t{1} << 20;
  if (nodes > kAlways && nodes / 16 > file_bytes) {
    place.fail("GEN-03", "declares ", grouped(nodes), " nodes, which the file is too small for");
  }
}

/// The name of a graph in a file of its own: "web" for web.graph, web.mtx.gz and web.txt.
inline std::string graph_file_name(const std::filesystem::path& path) {
  std::filesystem::path name = path.filename();
  if (name.extension() == ".gz") name = name.stem();
  return name.stem().string();
}

}  // namespace tessera::io::detail
