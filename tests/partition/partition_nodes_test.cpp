// SPDX-License-Identifier: MIT
#include "tessera/partition/partition_nodes.hpp"

#include <algorithm>
#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "tessera/partition/multilevel.hpp"
#include "tessera/partition/random_partitioner.hpp"

using namespace tessera;
using namespace tessera::testing;

TEST_CASE("partition_nodes cuts the listed nodes evenly and leaves the others out") {
  // Four cliques of 8 in a ring; the second and the fourth are held out.
  const CsrGraph graph = cliques(4, 8, true);
  std::vector<NodeId> nodes;
  for (NodeId v = 0; v < 32; ++v) {
    if (v / 8 % 2 == 0) nodes.push_back(v);
  }
  const Partition parts = partition_nodes(MultilevelPartitioner{}, graph, nodes, {.parts = 2, .seed = 1});
  REQUIRE(parts.part.size() == 32);
  CHECK(parts.cut == 0);  // nothing but held-out nodes joins the two cliques
  for (NodeId v = 0; v < 32; ++v) {
    const bool listed = std::binary_search(nodes.begin(), nodes.end(), v);
    CHECK((parts.part[v] == kNoPart) == !listed);
    if (listed) CHECK(parts.part[v] == parts.part[v / 8 * 8]);
  }
  CHECK(parts.part[0] != parts.part[16]);
  CHECK(parts.part_weight[0] == 8);
  CHECK(parts.part_weight[1] == 8);
}

TEST_CASE("partition_nodes of all nodes is the partitioner itself") {
  const CsrGraph graph = grid(6, 7);
  std::vector<NodeId> nodes(42);
  for (NodeId v = 0; v < 42; ++v) nodes[v] = v;
  const PartitionOptions options{.parts = 5, .seed = 3};
  const Partition some = partition_nodes(RandomPartitioner{}, graph, nodes, options);
  const Partition all = RandomPartitioner{}.partition(graph, options);
  CHECK(std::equal(some.part.begin(), some.part.end(), all.part.begin(), all.part.end()));
  CHECK(some.cut == all.cut);
}

TEST_CASE("partition_nodes refuses what it cannot mean") {
  const CsrGraph graph = g6();
  const std::vector<std::int32_t> weights(graph.num_edges(), 1);
  REQUIRE_THROWS_AS(partition_nodes(RandomPartitioner{}, graph, std::vector<NodeId>{0, 1},
                                    {.parts = 1, .edge_weight = weights}),
                    ConfigError);
  REQUIRE_THROWS_AS(partition_nodes(RandomPartitioner{}, graph, std::vector<NodeId>{1, 0}, {.parts = 1}),
                    IndexError);
  REQUIRE_THROWS_AS(partition_nodes(RandomPartitioner{}, graph, std::vector<NodeId>{6}, {.parts = 1}),
                    IndexError);
  REQUIRE_THROWS_AS(partition_nodes(RandomPartitioner{}, graph, std::vector<NodeId>{0}, {.parts = 0}),
                    ConfigError);
}

TEST_CASE("neighbor_share_weights make the cut the share of neighbours that nodes lose") {
  // A star: the hub has degree 4, the leaves 1.
  const CsrGraph graph = star(5);
  const Array<std::int32_t> weights = neighbor_share_weights(graph);
  REQUIRE(weights.size() == 8);
  for (const std::int32_t w : weights) CHECK(w == 250 + 1000);

  const CsrGraph triangle_with_tail = g6();  // degrees 2, 2, 3, 2, 1, 0
  const Array<std::int32_t> mixed = neighbor_share_weights(triangle_with_tail);
  CHECK(mixed[0] == 500 + 500);   // 0 - 1
  CHECK(mixed[1] == 500 + 334);   // 0 - 2, thirds rounded up
  CHECK(mixed[9] == 1000 + 500);  // 4 - 3
}

TEST_CASE("Counting shares keeps more of the neighbourhoods than counting links") {
  // Hubs with many links among themselves, and chains that hang on them.
  Links links;
  for (NodeId u = 0; u < 20; ++u) {
    for (NodeId v = u + 1; v < 20; ++v) links.push_back({u, v});
  }
  for (NodeId leaf = 20; leaf < 120; ++leaf) links.push_back({leaf % 20, leaf});
  const CsrGraph graph = undirected(120, links);
  std::vector<NodeId> nodes(120);
  for (NodeId v = 0; v < 120; ++v) nodes[v] = v;
  const auto kept = [&](LinkCost cost) {
    const Partition parts =
        partition_nodes(MultilevelPartitioner{}, graph, nodes, {.parts = 4, .seed = 2}, cost);
    double sum = 0;
    for (NodeId v = 0; v < 120; ++v) {
      double same = 0;
      for (const NodeId u : graph.view().neighbors(v)) same += parts.part[u] == parts.part[v] ? 1 : 0;
      sum += same / static_cast<double>(graph.view().degree(v));
    }
    return sum / 120;
  };
  CHECK(kept(LinkCost::neighbor_shares) > kept(LinkCost::one) + 0.1);
}
