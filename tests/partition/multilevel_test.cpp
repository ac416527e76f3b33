// SPDX-License-Identifier: MIT
#include "tessera/partition/multilevel.hpp"

#include <array>
#include <limits>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/partition_graphs.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/concepts.hpp"
#include "tessera/partition/metrics.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

static_assert(Partitioner<MultilevelPartitioner>);

std::vector<std::uint32_t> ids(const Partition& p) {
  std::vector<std::uint32_t> out;
  for (const PartId part : p.part) out.push_back(static_cast<std::uint32_t>(part));
  return out;
}

// What every result must satisfy, recounted from the parts alone.
void check_consistent(const PartitionGraph& graph, const Partition& p) {
  REQUIRE(p.part.size() == graph.num_nodes());
  std::vector<std::int64_t> weight(p.num_parts, 0);
  std::int64_t twice_cut = 0;
  for (std::size_t v = 0; v < graph.num_nodes(); ++v) {
    REQUIRE(index(p.part[v]) < p.num_parts);
    ++weight[index(p.part[v])];
    for (const NodeId u : graph.view().neighbors(v)) twice_cut += p.part[u] != p.part[v] ? 1 : 0;
  }
  CHECK(2 * p.cut == twice_cut);
  CHECK(std::vector<std::int64_t>(p.part_weight.begin(), p.part_weight.end()) == weight);
  CHECK(p.feasible());
}

template <class E, class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const E& e) {
    return e.what();
  }
  return "no such error";
}

}  // namespace

TEST_CASE("G6 in two: the triangle against the rest, isolated node included") {
  const PartitionGraph graph = g6();
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    const Partition p = partition(graph, {.parts = 2, .seed = seed});
    check_consistent(graph, p);
    CHECK(p.cut == 1);
    CHECK(p.max_part_weight == 3);
    CHECK(p.part[0] == p.part[1]);
    CHECK(p.part[0] == p.part[2]);
    CHECK(p.part[3] == p.part[4]);
    CHECK(p.part[3] == p.part[5]);
  }
}

TEST_CASE("cliques stay whole") {
  const PartitionGraph two = clique_chain(2, 10);
  CHECK(partition(two, {.parts = 2}).cut == 1);
  const PartitionGraph ring = clique_chain(8, 6);
  const Partition p = partition(ring, {.parts = 8});
  check_consistent(ring, p);
  CHECK(p.cut == 8);
}

TEST_CASE("a grid of 8 x 8 falls into its quarters") {
  const PartitionGraph graph = grid_graph(8, 8);
  const Partition p = partition(graph, {.parts = 4});
  check_consistent(graph, p);
  CHECK(p.cut == 16);
}

TEST_CASE("balance is exact when no imbalance is allowed") {
  const PartitionGraph graph = grid_graph(31, 33);
  for (const std::size_t k : {2u, 3u, 7u, 50u, 341u, 1000u}) {
    const Partition p = partition(graph, {.parts = k, .imbalance = 0});
    check_consistent(graph, p);
    CHECK(p.max_part_weight == static_cast<std::int64_t>((1023 + k - 1) / k));
  }
}

TEST_CASE("no part is empty while there are nodes enough") {
  for (const std::size_t k : {200u, 500u, 899u, 900u}) {
    const PartitionGraph graph = grid_graph(30, 30);
    const Partition p = partition(graph, {.parts = k});
    check_consistent(graph, p);
    CHECK(std::set<PartId>(p.part.begin(), p.part.end()).size() == k);
  }
}

TEST_CASE("trivial requests") {
  const PartitionGraph graph = g6();
  SECTION("one part") {
    const Partition p = partition(graph, {.parts = 1});
    check_consistent(graph, p);
    CHECK(p.cut == 0);
  }
  SECTION("no nodes") {
    const PartitionGraph none;
    const Partition p = partition(none, {.parts = 3});
    CHECK(p.part.empty());
    CHECK(p.cut == 0);
    CHECK(p.part_weight.size() == 3);
  }
  SECTION("more parts than nodes") {
    const Partition p = partition(graph, {.parts = 9});
    check_consistent(graph, p);
    CHECK(ids(p) == std::vector<std::uint32_t>{0, 1, 2, 3, 4, 5});
  }
  SECTION("mostly isolated nodes") {
    const PartitionGraph lonely = undirected(100, {{3, 50}});
    const Partition p = partition(lonely, {.parts = 10});
    check_consistent(lonely, p);
    CHECK(p.max_part_weight == 10);
    CHECK(std::set<PartId>(p.part.begin(), p.part.end()).size() == 10);
  }
  SECTION("no edges") {
    const PartitionGraph empty = undirected(7, {});
    const Partition p = partition(empty, {.parts = 3});
    check_consistent(empty, p);
    CHECK(p.cut == 0);
  }
}

TEST_CASE("components are kept apart where they fit") {
  EdgeList edges;
  for (NodeId c = 0; c < 6; ++c) {
    for (NodeId i = 0; i < 50; ++i) edges.push_back({c * 50 + i, c * 50 + (i + 1) % 50});
  }
  const PartitionGraph rings = undirected(300, edges);
  const Partition p = partition(rings, {.parts = 3});
  check_consistent(rings, p);
  CHECK(p.cut == 0);
}

TEST_CASE("the same parts at any number of threads") {
  const PartitionGraph graph = grid_graph(120, 110);
  const PartitionOptions options{.parts = 37, .seed = 5};
  const auto one = with_threads(1, [&] { return ids(partition(graph, options)); });
  for (const std::size_t threads : {2u, 3u, 4u, 8u, 16u}) {
    CHECK(with_threads(threads, [&] { return ids(partition(graph, options)); }) == one);
  }
  CHECK(ids(partition(graph, {.parts = 37, .seed = 6})) != one);
}

TEST_CASE("self loops change nothing") {
  const PartitionGraph graph = grid_graph(20, 20);
  PartitionGraph looped;
  for (std::size_t v = 0; v < graph.num_nodes(); ++v) {
    looped.col.push_back(static_cast<NodeId>(v));
    for (const NodeId u : graph.view().neighbors(v)) looped.col.push_back(u);
    looped.row_ptr.push_back(looped.col.size());
  }
  CHECK(ids(partition(looped, {.parts = 5})) == ids(partition(graph, {.parts = 5})));
}

TEST_CASE("node weights are balanced, edge weights are respected") {
  const PartitionGraph graph = grid_graph(16, 16);
  std::vector<std::int64_t> node(256);
  for (std::size_t v = 0; v < 256; ++v) node[v] = static_cast<std::int64_t>(v % 5);
  const Partition p = partition(graph, {.parts = 4, .node_weight = node});
  CHECK(p.feasible());
  CHECK(std::accumulate(p.part_weight.begin(), p.part_weight.end(), std::int64_t{0}) ==
        std::accumulate(node.begin(), node.end(), std::int64_t{0}));

  // A path whose light edges stand after nodes 9 and 19.
  EdgeList path;
  for (NodeId v = 0; v + 1 < 30; ++v) path.push_back({v, v + 1});
  const PartitionGraph line = undirected(30, path);
  std::vector<std::int32_t> edge;
  for (std::size_t v = 0; v < 30; ++v) {
    for (const NodeId u : line.view().neighbors(v))
      edge.push_back(std::min<std::size_t>(u, v) % 10 == 9 ? 1 : 100);
  }
  CHECK(partition(line, {.parts = 3, .edge_weight = edge}).cut == 2);
}

TEST_CASE("one node heavier than all others is reported, not refused") {
  const PartitionGraph graph = grid_graph(5, 5);
  std::vector<std::int64_t> node(25, 1);
  node[12] = 1000;
  const Partition p = partition(graph, {.parts = 4, .node_weight = node});
  CHECK(p.max_part_weight >= 1000);
  CHECK(p.feasible());
  CHECK(std::count(p.part_weight.begin(), p.part_weight.end(), 0) == 0);
}

TEST_CASE("directed graphs are refused by name or made symmetric") {
  PartitionGraph graph = grid_graph(4, 4);
  PartitionGraph directed;  // drop 5 -> 6 from row 6
  for (std::size_t v = 0; v < 16; ++v) {
    for (const NodeId u : graph.view().neighbors(v)) {
      if (!(v == 6 && u == 5)) directed.col.push_back(u);
    }
    directed.row_ptr.push_back(directed.col.size());
  }
  const std::string text = error_of<ConfigError>([&] { partition(directed, {.parts = 2}); });
  CHECK(text.find("edge 6 -> 5 is stored") != std::string::npos);
  const Partition p = partition(directed, {.parts = 2, .symmetrize = true});
  CHECK(ids(p) == ids(partition(graph, {.parts = 2})));
}

TEST_CASE("bad options are refused with what was got and wanted") {
  const PartitionGraph graph = g6();
  const std::array<std::int64_t, 2> two{1, 1};
  const std::array<std::int64_t, 6> negative{1, 1, -1, 1, 1, 1};
  const std::array<std::int32_t, 10> zero{};
  CHECK_THROWS_AS(partition(graph, {.parts = 0}), ConfigError);
  CHECK_THROWS_AS(partition(graph, {.parts = 2, .imbalance = -0.1}), ConfigError);
  CHECK_THROWS_AS(partition(graph, {.parts = 2, .imbalance = std::numeric_limits<double>::quiet_NaN()}),
                  ConfigError);
  CHECK_THROWS_AS(partition(graph, {.parts = 2, .node_weight = two}), ShapeError);
  CHECK_THROWS_AS(partition(graph, {.parts = 2, .node_weight = negative}), ConfigError);
  CHECK_THROWS_AS(partition(graph, {.parts = 2, .edge_weight = zero}), ConfigError);
  PartitionGraph broken = g6();
  broken.col[0] = 77;
  CHECK_THROWS_AS(partition(broken, {.parts = 2}), IndexError);
  CHECK(error_of<ConfigError>([&] { partition(graph, {.parts = 0}); }) == "partition: parts is 0, want >= 1");
}
