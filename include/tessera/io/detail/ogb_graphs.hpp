// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/io/dataset_name.hpp"
#include "tessera/io/detail/graph_links.hpp"
#include "tessera/io/detail/ogb_files.hpp"
#include "tessera/io/edge_policy.hpp"
#include "tessera/io/finite.hpp"
#include "tessera/io/ogb_graphs.hpp"

namespace tessera::io {
namespace detail {

// ogb.utils.features.get_atom_feature_dims and get_bond_feature_dims, version 1.3.
inline constexpr std::uint32_t kAtomCategories[] = {119, 5, 12, 12, 10, 6, 6, 2, 2};
inline constexpr std::uint32_t kBondCategories[] = {5, 6, 2};

/// Category counts of columns of whole numbers from 0 on, at least `known` where that fits; nothing if a column
/// holds other numbers.
inline Array<std::uint32_t> count_categories(MatrixView<const float> values,
                                             std::span<const std::uint32_t> known) {
  constexpr float kMost = 1 << 16;
  Array<std::uint32_t> out(values.cols(), 1);
  for (std::size_t i = 0; i < values.rows(); ++i) {
    for (std::size_t j = 0; j < values.cols(); ++j) {
      const float v = values(i, j);
      if (!(v >= 0 && v < kMost) || v != std::trunc(v)) return {};
      out[j] = std::max(out[j], static_cast<std::uint32_t>(v) + 1);
    }
  }
  for (std::size_t j = 0; j < out.size() && known.size() == out.size(); ++j)
    out[j] = std::max(out[j], known[j]);
  return out;
}

/// Positions from counts.
inline Array<std::size_t> running_sum(const Array<std::int64_t>& counts, std::uint64_t most,
                                      const Place& place) {
  Array<std::size_t> out(counts.size() + 1, 0);
  for (std::size_t g = 0; g < counts.size(); ++g) {
    out[g + 1] = out[g] + static_cast<std::size_t>(counts[g]);
    if (static_cast<std::uint64_t>(counts[g]) > most || out[g + 1] > most) {
      place.fail("EDG-03", "the counts add up to more than ", grouped(most));
    }
  }
  return out;
}

inline GraphTargets graph_targets(Tensor<float> values) {
  GraphTargets out;
  bool indicators = true;
  for (std::size_t g = 0; g < values.rows(); ++g) {
    for (const float v : values.row(g)) indicators &= std::isnan(v) || v == 0.0f || v == 1.0f;
  }
  out.task = indicators ? GraphTask::indicators : GraphTask::regression;
  out.values = std::move(values);
  return out;
}

}  // namespace detail

TESSERA_DEFINE GraphDataset read_ogb_graphs(const std::filesystem::path& path, const ReadOptions& options) {
  using namespace detail;
  const std::filesystem::path root = ogb_root(path);
  const std::filesystem::path raw = ogb_raw(root);
  const Limits limits{.max_bytes = byte_limit(options)};
  GraphDataset out;
  out.name = dataset_name(root);
  out.provenance.layout = "ogb-graphs";
  std::vector<std::string>& warnings = out.provenance.warnings;

  const std::filesystem::path node_list = require_text(raw, "num-node-list.csv");
  const std::filesystem::path edge_list = require_text(raw, "num-edge-list.csv");
  const Array<std::int64_t> nodes = read_counts(node_list);
  const Array<std::int64_t> edges = read_counts(edge_list, {nodes.size(), "num-node-list"});
  out.node_ptr = running_sum(nodes, kNoNode - 1, Place(node_list));
  const Array<std::size_t> edge_ptr = running_sum(edges, std::uint64_t{1} << 48, Place(edge_list));
  const std::size_t num_nodes = out.node_ptr[nodes.size()];
  const std::size_t links = edge_ptr[nodes.size()];
  require_within(Place(node_list), saturating_product(num_nodes, sizeof(EdgeId)), limits.max_bytes);

  TextBlocks edge_text{require_text(raw, "edge.csv")};
  IdPairs pairs = read_id_pairs(edge_text, num_nodes, 0, {links, "num-edge-list"}, {}, limits);
  for (std::size_t g = 0; g < nodes.size(); ++g) {
    for (std::size_t e = edge_ptr[g]; e < edge_ptr[g + 1]; ++e) {
      for (NodeId* end : {&pairs.source[e], &pairs.target[e]}) {
        if (*end >= static_cast<std::uint64_t>(nodes[g])) {
          edge_text.at_line(e + 1).fail("EDG-01", "node ", *end, " of graph ", grouped(g), ", which has ",
                                        nodes[g], " nodes (numbers restart at 0 in every graph)");
        }
        *end += static_cast<NodeId>(out.node_ptr[g]);
      }
    }
  }
  const BuildOptions build{.symmetrize = options.symmetrise != Symmetrise::off,
                           .duplicates = options.duplicates,
                           .self_loops = options.self_loops};
  LinkedGraph linked = link_graph(num_nodes, pairs.source, pairs.target, build);
  out.graph = std::move(linked.graph);
  out.provenance.edge_policy = describe(linked.counts, out.graph.num_edges(), build.symmetrize);

  if (const auto file = find_text(raw, "node-feat.csv"); !file.empty()) {
    out.features = read_ogb_table(file, num_nodes, "num-node-list", options);
    check_finite(out.features.view(), Place(file), options.nan, &warnings);
    out.categories = count_categories(out.features.view(), kAtomCategories);
  } else {
    out.features = Tensor<float>(num_nodes, 0);
  }
  if (const auto file = find_text(raw, "edge-feat.csv"); !file.empty()) {
    Tensor<float> of_links = read_ogb_table(file, links, "num-edge-list", options);
    check_finite(of_links.view(), Place(file), options.nan, &warnings);
    out.edge_categories = count_categories(of_links.view(), kBondCategories);
    out.edge_features = spread_to_entries(of_links.view(), linked.link_of);
  }
  const std::filesystem::path labels = require_text(raw, "graph-label.csv");
  out.targets =
      graph_targets(read_ogb_table(labels, nodes.size(), "num-node-list", options, BlankTail::keep));
  out.roles = read_ogb_roles(ogb_split(root, options.split), nodes.size(), warnings, "graph");
  return out;
}

}  // namespace tessera::io
