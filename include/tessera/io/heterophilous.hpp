// SPDX-License-Identifier: MIT
#pragma once

#include <charconv>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <system_error>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/io/edge_policy.hpp"
#include "tessera/io/file_error.hpp"
#include "tessera/io/label_array.hpp"
#include "tessera/io/npy_convert.hpp"
#include "tessera/io/npz.hpp"
#include "tessera/io/npz_dataset.hpp"
#include "tessera/io/read_options.hpp"
#include "tessera/io/splits.hpp"

namespace tessera::io {

namespace detail {

/// Columns of `edges` (M, 2), each id less than num_nodes.
inline std::pair<Array<NodeId>, Array<NodeId>> read_edge_pairs(const NpyArray& edges, std::size_t num_nodes) {
  const Place& place = edges.place();
  edges.require_rank(2, "(M, 2)");
  if (edges.dim(1) != 2) {
    place.fail("NPY-07", "expected the shape (M, 2), found ", shape_text(edges.header().shape));
  }
  if (num_nodes == 0 && edges.size() > 0) place.fail("EDG-01", "there are edges but no nodes");
  const auto highest = static_cast<NodeId>(num_nodes == 0 ? 0 : num_nodes - 1);
  const Array<NodeId> flat =
      to_integers<NodeId>(edges, 0, highest, [&](std::size_t k, const std::string& value) {
        const std::string_view which = k % 2 == 0 ? "source " : "target ";
        if (value.starts_with('-')) place.fail("EDG-02", "edge ", grouped(k / 2), ": ", which, value);
        place.fail("EDG-01", "edge ", grouped(k / 2), ": ", which, value, " but N = ", grouped(num_nodes),
                   " (valid 0..", grouped(highest), ")");
      });
  std::pair<Array<NodeId>, Array<NodeId>> out{Array<NodeId>(edges.dim(0)), Array<NodeId>(edges.dim(0))};
  for (std::size_t e = 0; e < edges.dim(0); ++e) {
    out.first[e] = flat[2 * e];
    out.second[e] = flat[2 * e + 1];
  }
  return out;
}

/// The row of the masks that options.split names; 0 where it names none.
inline std::size_t mask_number(const NpyArray& masks, const ReadOptions& options) {
  std::size_t number = 0;
  const std::string& text = options.split;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const bool valid = text.empty() || (error == std::errc() && end == text.data() + text.size());
  if (!valid || number >= masks.dim(0)) {
    masks.place().fail("SPL-03", "no split \"", text.substr(0, 40), "\"; the archive has ", masks.dim(0),
                       ", numbered from 0");
  }
  return number;
}

/// Roles from `train_masks`, `val_masks` and `test_masks`, each (S, N) or (N).
inline Array<Role> read_mask_roles(const NpzFile& npz, std::size_t num_nodes, const ReadOptions& options,
                                   std::vector<std::string>& warnings) {
  constexpr std::string_view kNames[] = {"", "train", "val", "test"};
  const std::vector<NpyArray> masks = npz.read({"train_masks", "val_masks", "test_masks"});
  Array<Role> roles(num_nodes, Role::none);
  for (std::size_t which = 1; which <= masks.size(); ++which) {
    const NpyArray& mask = masks[which - 1];
    const bool flat = mask.rank() == 1;
    if (!flat) mask.require_rank(2, "(splits, N)");
    if (mask.dim(flat ? 0 : 1) != num_nodes) {
      mask.place().fail("SPL-01", "has the shape ", shape_text(mask.header().shape), ", the graph has ",
                        grouped(num_nodes), " nodes");
    }
    const std::size_t row = flat ? 0 : mask_number(mask, options);
    check_bools(mask, warnings);
    const Array<std::uint8_t> bits = to_integers<std::uint8_t>(mask);
    for (std::size_t i = 0; i < num_nodes; ++i) {
      if (bits[row * num_nodes + i] == 0) continue;
      if (roles[i] != Role::none) {
        mask.place().fail("SPL-01", "node ", grouped(i), " is in both ",
                          kNames[static_cast<std::size_t>(roles[i])], " and ", kNames[which]);
      }
      roles[i] = static_cast<Role>(which);
    }
  }
  return roles;
}

/// Whether the file says that its edges have a direction.
inline bool named_directed(const std::filesystem::path& file) {
  const std::string name = file.stem().string();
  return name.find("directed") != name.npos && name.find("undirected") == name.npos;
}

}  // namespace detail

/// Reads an archive with `edges` (M, 2), each edge once, `node_features` (N, F), `node_labels` (N) and
/// split masks.
///
/// `path` is the .npz file, or a folder with one. The split is mask number options.split, the first by
/// default. Files with "directed" in their name keep the direction of their edges.
/// Shapes   graph [N, N], features [N, F]; masks (S, N) in either order
/// Errors   FormatError GEN, ZIP, NPY, EDG, LBL, FEA, SPL
/// Source   Platonov et al., A critical look at the evaluation of GNNs under heterophily, 2023
inline Dataset read_heterophilous(const std::filesystem::path& path, const ReadOptions& options = {}) {
  const std::filesystem::path file = find_npz(path, "node_features");
  const NpzFile npz(file, {.max_bytes = byte_limit(options)});
  Dataset out;
  out.name = file.stem().string();
  out.provenance.layout = "heterophilous";
  std::vector<std::string>& warnings = out.provenance.warnings;

  const std::vector<NpyArray> arrays = npz.read({"node_features", "node_labels", "edges"});
  out.features = to_matrix(arrays[0], options.nan, &warnings, {.max_bytes = byte_limit(options)});
  const std::size_t num_nodes = out.features.rows();
  if (num_nodes >= kNoNode)
    npz.place().fail("EDG-03", grouped(num_nodes), " nodes do not fit 32-bit node numbers");
  out.labels = read_label_array(arrays[1], num_nodes, options, warnings);
  {
    const auto [source, target] = detail::read_edge_pairs(arrays[2], num_nodes);
    const Stored stored = detail::named_directed(file) ? Stored::directed : Stored::once;
    out.graph = build_graph(num_nodes, {source, target, {}}, stored, options, npz.place(), out.provenance);
  }
  if (npz.has("train_masks")) {
    out.roles = detail::read_mask_roles(npz, num_nodes, options, warnings);
    check_split(out, npz.place(), warnings);
  } else {
    out.roles.assign(num_nodes, Role::none);
    warnings.push_back(npz.place().warning("SPL-02", "the archive has no masks, so no node has a role"));
  }
  return out;
}

}  // namespace tessera::io
