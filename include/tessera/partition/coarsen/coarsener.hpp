// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/partition/coarsen/contract.hpp"
#include "tessera/partition/coarsen/label_propagation.hpp"
#include "tessera/partition/coarsen/two_hop.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/detail/phases.hpp"

namespace tessera::detail::multilevel {

/// A graph, ever coarser copies of it, and the maps between them.
struct Hierarchy {
  std::deque<LevelGraph> graph;      ///< [0] finest
  std::deque<Array<NodeId>> coarse;  ///< coarse[l][v]: the node of graph[l + 1] that v of graph[l] lies in
};

/// How many average nodes a cluster may hold: in one step to a sixtieth, refinement would have little to work
/// on. Measured: 16 against no bound cuts 2 % less on meshes and 2 % more on the most skewed graph.
inline constexpr Weight kShrink = 16;

/// A cluster may hold that many average nodes as long as a block of its level has room for 12 clusters.
/// Measured for thousands of blocks: half the time and memory, the same cuts.
inline constexpr Weight kLeast = 8;

/// How far, and how gently, to coarsen.
struct CoarsenOptions {
  std::size_t stop_nodes = 4000;
  std::size_t nodes_per_block = 2000;  ///< C: n nodes are cut into about n / C blocks
  std::size_t blocks = 2;              ///< final ones
  Weight slack_percent = 3;            ///< a cluster may weigh that share of a block of its level
  int rounds = 3;                      ///< of label propagation per level
  std::uint64_t key = 0;
  PhaseSeconds* phases = nullptr;
};

/// Coarsens until `stop_nodes` are left or clustering no longer helps.
///
/// `block`, unless it is null, is a partition of the finest graph that clusters must respect; it becomes that of
/// the coarsest one.
/// Cost     work O(E) per level, levels O(log n); memory O(E + coarse graphs)
/// Source   Gottesbueren et al., Deep multilevel graph partitioning, ESA 2021
inline void coarsen(Hierarchy& levels, const CoarsenOptions& options, Array<Block>* block = nullptr) {
  ClusterLabelPropagation propagation;
  Array<NodeId> cluster;
  Array<Weight> cluster_weight;
  while (levels.graph.back().num_nodes > options.stop_nodes) {
    const LevelGraph& graph = levels.graph.back();
    const std::size_t n = graph.num_nodes;
    const auto parts = static_cast<Weight>(std::max<std::size_t>(
        2, std::min(options.blocks, std::max<std::size_t>(2, n / options.nodes_per_block))));
    const auto nodes = static_cast<Weight>(n);
    const Weight share = graph.total_weight / (100 * parts) * options.slack_percent +
                         graph.total_weight % (100 * parts) * options.slack_percent / (100 * parts);
    const Weight gentle = kShrink * graph.total_weight / nodes * options.slack_percent / 3;
    // Where blocks are small, 3 % of one is a node or two: many levels that hardly shrink.
    const Weight least = std::min(kLeast * graph.total_weight / nodes, graph.total_weight / (12 * parts));
    const Weight max_weight = std::max({graph.max_node_weight, std::min(share, gentle), least});
    ClusterLabelPropagation::Options clustering{.max_weight = max_weight, .rounds = options.rounds};
    clustering.key = hash(options.key, levels.graph.size());
    if (block != nullptr) clustering.within = *block;
    Array<NodeId> coarse;
    std::size_t coarse_nodes = 0;
    {
      const PhaseTimer timer(options.phases, Phase::cluster);
      propagation.run(graph, clustering, cluster, cluster_weight);
      coarse_nodes = number_clusters(cluster, coarse);
      if (2 * coarse_nodes > n && block == nullptr) {
        match_two_hop(graph, max_weight, cluster, cluster_weight);
        coarse_nodes = number_clusters(cluster, coarse);
      }
    }
    if (20 * coarse_nodes > 19 * n) break;
    const PhaseTimer timer(options.phases, Phase::contract);
    LevelGraph next = contract(graph, coarse, coarse_nodes);
    if (block != nullptr) {
      Array<Block> above(coarse_nodes);
      for (std::size_t v = 0; v < n; ++v) above[coarse[v]] = (*block)[v];
      *block = std::move(above);
    }
    levels.coarse.push_back(std::move(coarse));
    levels.graph.push_back(std::move(next));
  }
}

}  // namespace tessera::detail::multilevel
