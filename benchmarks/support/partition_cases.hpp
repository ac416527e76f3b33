// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "../tests/support/partition_graphs.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/graph/stand_ins.hpp"
#include "tessera/io/load.hpp"

namespace tessera::bench {

/// One published row: cuts are means over seeds 1 to 5 at 3 % imbalance, seconds those of a quiet 4-core machine.
/// 0 where nothing is published.
struct PartitionGoal {
  std::size_t parts;
  double metis_cut = 0;         ///< METIS 5.1.0 k-way
  double kaminpar_cut = 0;      ///< label propagation + FM, 4 threads
  double kaminpar_seconds = 0;  ///< of label propagation alone
  double kaminpar_fm_seconds = 0;
};

/// A graph and what it is cut into.
struct PartitionCase {
  std::string name;
  std::function<test::PartitionGraph()> make;
  std::vector<PartitionGoal> goals;
};

/// Without loops and duplicates, both directions of every link; of `keep` nodes only unless that is empty.
inline test::PartitionGraph simple_graph(CsrView<> graph, std::span<const NodeId> keep = {}) {
  Array<NodeId> local(graph.num_rows, kNoNode);
  for (std::size_t i = 0; i < keep.size(); ++i) local[keep[i]] = static_cast<NodeId>(i);
  test::EdgeList edges;
  for (std::size_t v = 0; v < graph.num_rows; ++v) {
    for (const NodeId u : graph.neighbors(v)) {
      if (keep.empty()) {
        edges.push_back({static_cast<NodeId>(v), u});
      } else if (local[v] != kNoNode && local[u] != kNoNode) {
        edges.push_back({local[v], local[u]});
      }
    }
  }
  return test::undirected(keep.empty() ? graph.num_rows : keep.size(), edges);
}

/// 64 x 64 x 64 with six neighbours.
inline test::PartitionGraph mesh_3d(std::size_t side) {
  test::EdgeList edges;
  const auto id = [&](std::size_t x, std::size_t y, std::size_t z) {
    return static_cast<NodeId>((x * side + y) * side + z);
  };
  for (std::size_t x = 0; x < side; ++x) {
    for (std::size_t y = 0; y < side; ++y) {
      for (std::size_t z = 0; z < side; ++z) {
        if (x + 1 < side) edges.push_back({id(x, y, z), id(x + 1, y, z)});
        if (y + 1 < side) edges.push_back({id(x, y, z), id(x, y + 1, z)});
        if (z + 1 < side) edges.push_back({id(x, y, z), id(x, y, z + 1)});
      }
    }
  }
  return test::undirected(side * side * side, edges);
}

/// Every graph of the benchmark; real ones where `data` has them, stand-ins at `scale`.
inline std::vector<PartitionCase> partition_cases(const std::filesystem::path& data, double scale) {
  std::vector<PartitionCase> out;
  const auto real = [&](const char* name, const char* path, std::vector<PartitionGoal> goals) {
    if (data.empty() || !std::filesystem::exists(data / path)) return;
    out.push_back(
        {name, [file = data / path] { return simple_graph(io::load(file).graph); }, std::move(goals)});
  };
  // clang-format off
  real("cora", "cora/planetoid", {{10, 598, 572, .018, .017}, {40, 1097, 1072, .030, .045}, {8}, {64}});
  real("citeseer", "citeseer/planetoid", {{10, 192, 177, .015, .016}, {24, 373, 356, .023, .023}});
  real("pubmed", "pubmed/csv", {{8, 5152, 4856, .038, .057}, {40, 10493, 10151, .079, .158}});
  if (!data.empty() && std::filesystem::exists(data / "toy-ppi/graphsaint")) {
    const auto file = data / "toy-ppi/graphsaint";
    out.push_back({"toy-ppi", [file] { return simple_graph(io::load(file).graph); },
                   {{10, 75661, 44467, .064, .207}, {50, 135604, 129232, .115, .414}}});
    out.push_back({"toy-ppi-train", [file] { const Dataset d = io::load(file); return simple_graph(d.graph, d.nodes(Role::train)); },
                   {{20, 81318, 76807, .074, .289}, {50, 98443, 96170, .092, .314}}});
  }
  real("computers", "amazon-computers/npz", {{4, 31663, 27003, .036, .072}, {32, 107554, 100930, .109, .262}, {8}, {64}});
  real("coauthor-cs", "coauthor-cs/npz", {{8, 12527, 11681, .050, .093}, {32, 23041, 21880, .083, .160}});
  real("physics", "coauthor-physics/npz", {{4, 26139, 25525, .068, .140}, {16, 67167, 61582, .123, .278}, {8}, {64}});
  real("dblp", "dblp/npz", {{40, 12528, 11996, .082, .155}});
  real("tolokers", "tolokers", {{8, 213502, 163535, .095, .336}, {32, 373184, 335784, .154, .574}});
  real("github", "musae-github/npz", {{8, 126162, 120357, .140, .318}, {32, 171270, 168737, .207, .531}, {64}, {128, 203831, 204120, .342, .966}});
  real("facebook", "musae-facebook/npz", {{8, 17675, 13125, .067, .092}, {32, 31747, 28081, .092, .211}, {64}, {128, 54785, 51002, .166, .418}});
  out.push_back({"grid", test::published_grid, {{16, 3577, 3686, .113, .253}, {64, 8290, 8260, .238, .775}, {1024, 34542, 35082, .710, 4.13}}});
  out.push_back({"mesh", [] { return mesh_3d(64); }, {{8}, {64}}});
  out.push_back({"sbm", test::published_sbm, {{50, 214574, 204996, .185, .826}, {100, 213421, 205923, .223, 1.44}, {1000, 756005, 729135, .716, 10.4}}});
  out.push_back({"ba", test::published_ba, {{16, 318209, 319291, .171, .757}, {64, 357100, 356845, .222, 1.94}, {512, 383601, 384131, .444, 5.45}}});
  out.push_back({"er", test::published_er, {{16, 561186, 563480, .255, 1.19}, {64, 623830, 620367, .316, 4.78}}});
  out.push_back({"rgg", test::published_rgg, {{16, 4231, 3387, .181, .249}, {64, 10226, 8086, .279, .362}, {1024, 49897, 46901, .720, 4.77}}});
  out.push_back({"rmat16", test::published_rmat16, {{16, 612233, 451119, .315, 1.06}, {64, 751172, 707352, .407, 1.58}, {512, 852971, 846710, .654, 3.91}}});
  // clang-format on
  const auto stand_in = [&](StandIn which, std::size_t parts) {
    if (scale <= 0) return;
    const double nodes = static_cast<double>(shape_of(which).nodes);
    const double used =
        std::min(1.0, std::max(scale, 51.0 * static_cast<double>(shape_of(which).classes) / nodes));
    const auto k = std::max<std::size_t>(8, static_cast<std::size_t>(static_cast<double>(parts) * used));
    out.push_back({std::string(shape_of(which).name),
                   [=] {
                     const Dataset d = generate_stand_in(which, {.scale = used, .features = 1});
                     test::PartitionGraph g;  // copied as it is: symmetric, no loops
                     g.row_ptr.assign(d.graph.row_ptr.begin(), d.graph.row_ptr.end());
                     g.col.assign(d.graph.col.begin(), d.graph.col.end());
                     return g;
                   },
                   {{8}, {64}, {k}}});
  };
  stand_in(StandIn::ogbn_arxiv, 1000);
  stand_in(StandIn::reddit, 1500);
  stand_in(StandIn::amazon2m, 15000);
  return out;
}

}  // namespace tessera::bench
