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
