// SPDX-License-Identifier: MIT
#include "tessera/graph/ordering.hpp"

#include <algorithm>
#include <vector>

#include "support/catch.hpp"
#include "support/partition_graphs.hpp"

using namespace tessera;
using namespace tessera::test;

TEST_CASE("nodes stand part after part, inside as asked") {
  // Part 1 is the path 0 - 2 - 4 - 6, part 0 a star around 5 with leaves 1 and 3; 7 is in no part.
  const PartitionGraph graph = undirected(8, {{0, 2}, {2, 4}, {4, 6}, {5, 1}, {5, 3}, {7, 0}});
  std::vector<PartId> part(8);
  for (std::size_t v = 0; v < 8; ++v) part[v] = part_id(v % 2 == 0 ? 1 : 0);
  part[7] = kNoPart;
  const auto order = [&](OrderWithin within) {
    const Array<NodeId> out = order_nodes(graph, part, within);
    return std::vector<NodeId>(out.begin(), out.end());
  };
  CHECK(order(OrderWithin::id) == std::vector<NodeId>{1, 3, 5, 0, 2, 4, 6, 7});
  CHECK(order(OrderWithin::degree) == std::vector<NodeId>{5, 1, 3, 0, 2, 4, 6, 7});
  CHECK(order(OrderWithin::bfs) == std::vector<NodeId>{1, 5, 3, 6, 4, 2, 0, 7});
}

TEST_CASE("orders hold every node once whatever the parts") {
  const PartitionGraph graph = grid_graph(13, 9);
  std::vector<PartId> part(117);
  for (std::size_t v = 0; v < 117; ++v) part[v] = v % 11 == 0 ? kNoPart : part_id(v * v % 5);
  for (const OrderWithin within : {OrderWithin::id, OrderWithin::degree, OrderWithin::bfs}) {
    const Array<NodeId> order = order_nodes(graph, part, within);
    CHECK_NOTHROW(inverse_permutation(order));
    for (std::size_t k = 1; k < 117; ++k) CHECK(index(part[order[k - 1]]) <= index(part[order[k]]));
  }
  CHECK(order_nodes(PartitionGraph{}, {}, OrderWithin::bfs).empty());
  CHECK_THROWS_AS(order_nodes(graph, std::span(part).first(5), OrderWithin::id), ShapeError);
}
