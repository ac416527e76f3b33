// SPDX-License-Identifier: MIT
#include "tessera/partition/coarsen/coarsener.hpp"

#include <map>
#include <numeric>
#include <vector>

#include "support/catch.hpp"
#include "support/partition_graphs.hpp"
#include "support/partition_level.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/refine/block_state.hpp"

using namespace tessera;
using namespace tessera::test;
using namespace tessera::detail::multilevel;

namespace {

std::map<std::pair<NodeId, NodeId>, Weight> edges_of(const LevelGraph& graph) {
  std::map<std::pair<NodeId, NodeId>, Weight> out;
  for (std::size_t v = 0; v < graph.num_nodes; ++v) {
    graph.for_neighbors(v, [&](NodeId u, Weight w) { out[{static_cast<NodeId>(v), u}] += w; });
  }
  return out;
}

Weight sum_of_edges(const LevelGraph& graph) {
  Weight sum = 0;
  for (const auto& [edge, w] : edges_of(graph)) sum += w;
  return sum;
}

}  // namespace

TEST_CASE("contraction keeps node weight, symmetry and every cut") {
  const PartitionGraph source = grid_graph(23, 17);
  LevelGraph graph = level_of(source);
  for (int level = 0; level < 3; ++level) {
    const std::size_t n = graph.num_nodes;
    Array<NodeId> cluster(n);
    for (std::size_t v = 0; v < n; ++v) {
      cluster[v] = static_cast<NodeId>(hash(11, v) % std::max<std::size_t>(2, n / 3));
    }
    Array<NodeId> coarse;
    const std::size_t coarse_nodes = number_clusters(cluster, coarse);
    const LevelGraph next = contract(graph, coarse, coarse_nodes);

    REQUIRE(next.num_nodes == coarse_nodes);
    CHECK(next.total_weight == graph.total_weight);
    CHECK(std::accumulate(next.node_weight.begin(), next.node_weight.end(), Weight{0}) == graph.total_weight);
    CHECK(next.max_node_weight == *std::max_element(next.node_weight.begin(), next.node_weight.end()));
    Weight internal = 0;
    for (std::size_t v = 0; v < n; ++v) {
      graph.for_neighbors(v, [&](NodeId u, Weight w) { internal += coarse[u] == coarse[v] ? w : 0; });
    }
    CHECK(sum_of_edges(next) == sum_of_edges(graph) - internal);
    const auto edges = edges_of(next);
    for (const auto& [edge, w] : edges) {
      CHECK(edge.first != edge.second);
      CHECK(edges.at({edge.second, edge.first}) == w);
    }
    Array<Block> block(coarse_nodes), projected(n);
    for (std::size_t c = 0; c < coarse_nodes; ++c) block[c] = static_cast<Block>(hash(3, c) % 5);
    for (std::size_t v = 0; v < n; ++v) projected[v] = block[coarse[v]];
    CHECK(cut_of(next, block) == cut_of(graph, projected));
    graph = contract(graph, coarse, coarse_nodes);
  }
}

TEST_CASE("clusters respect the weight limit and do not depend on threads") {
  const PartitionGraph source = clique_chain(200, 7);
  const LevelGraph graph = level_of(source);
  const Weight limit = GENERATE(1, 2, 7, 20);
  Array<NodeId> first;
  for (const std::size_t threads : {1u, 2u, 16u}) {
    with_threads(threads, [&] {
      ClusterLabelPropagation propagation;
      Array<NodeId> cluster;
      Array<Weight> weight;
      propagation.run(graph, {.max_weight = limit, .key = 9}, cluster, weight);
      std::vector<Weight> recount(graph.num_nodes, 0);
      for (const NodeId c : cluster) ++recount[c];
      for (std::size_t c = 0; c < graph.num_nodes; ++c) {
        CHECK(recount[c] <= limit);
        CHECK(recount[c] == weight[c]);
      }
      if (first.empty()) first = Array<NodeId>::copy_of(cluster);
      CHECK(std::equal(first.begin(), first.end(), cluster.begin()));
    });
  }
  if (limit == 7) {  // most cliques end up whole
    std::size_t whole = 0;
    for (std::size_t c = 0; c < 200; ++c) {
      bool one = true;
      for (std::size_t i = 1; i < 7; ++i) one &= first[7 * c + i] == first[7 * c];
      whole += one ? 1u : 0u;
    }
    CHECK(whole > 100);
  }
}

TEST_CASE("two-hop matching halves the leaves of a full hub") {
  const PartitionGraph source = star_graph(1000);
  const LevelGraph graph = level_of(source);
  Array<NodeId> cluster(1001);
  Array<Weight> weight(1001, Weight{1});
  std::iota(cluster.begin(), cluster.end(), NodeId{0});
  match_two_hop(graph, 2, cluster, weight);
  std::map<NodeId, int> size;
  for (const NodeId c : cluster) ++size[c];
  CHECK(size.size() == 501);  // the hub wishes for a leaf no other wishes for
  for (const auto& [c, members] : size) CHECK(members <= 2);
}

TEST_CASE("coarsening reaches its goal and keeps the weights in bounds") {
  const PartitionGraph source = grid_graph(150, 150);
  Hierarchy levels;
  levels.graph.push_back(level_of(source));
  coarsen(levels, {.stop_nodes = 500, .nodes_per_block = 250, .blocks = 64, .key = 1});
  CHECK(levels.graph.back().num_nodes <= 500);
  REQUIRE(levels.graph.size() == levels.coarse.size() + 1);
  for (std::size_t l = 1; l < levels.graph.size(); ++l) {
    CHECK(levels.graph[l].num_nodes < levels.graph[l - 1].num_nodes);
    CHECK(levels.graph[l].total_weight == 22500);
  }
  CHECK(levels.graph.back().max_node_weight <= 22500 * 3 / 100 / 2);
}

TEST_CASE("coarsening inside blocks keeps the cut") {
  const PartitionGraph source = grid_graph(60, 50);
  Hierarchy levels;
  levels.graph.push_back(level_of(source));
  const LevelGraph& graph = levels.graph[0];
  Array<Block> block(3000);
  for (std::size_t v = 0; v < 3000; ++v) block[v] = static_cast<Block>(v / 7 % 9);
  const Weight cut = cut_of(graph, block);
  coarsen(levels, {.stop_nodes = 500, .nodes_per_block = 250, .blocks = 9, .key = 1}, &block);
  REQUIRE(levels.graph.size() > 1);
  REQUIRE(block.size() == levels.graph.back().num_nodes);
  CHECK(cut_of(levels.graph.back(), block) == cut);
}

TEST_CASE("edge weights beyond 32 bits survive contraction") {
  const PartitionGraph source = grid_graph(2, 3);
  const std::vector<std::int32_t> weight(source.col.size(), 2'000'000'000);
  const LevelGraph graph = prepare(source, {.parts = 2, .edge_weight = weight}).graph;
  Array<NodeId> coarse(6);
  for (std::size_t v = 0; v < 6; ++v) coarse[v] = static_cast<NodeId>(v / 3);
  const LevelGraph two = contract(graph, coarse, 2);
  REQUIRE(two.wide_edge_weight.size() == 2);
  CHECK(two.wide_edge_weight[0] == 6'000'000'000);
  CHECK(sum_of_edges(two) == 12'000'000'000);
}
