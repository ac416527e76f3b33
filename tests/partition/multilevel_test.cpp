// SPDX-License-Identifier: MIT
#include "tessera/partition/multilevel.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <limits>
#include <numeric>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/partition_graphs.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
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

TEST_CASE("a node no part can hold is refused with the imbalance that would do, or let in when asked") {
  const PartitionGraph graph = grid_graph(5, 5);
  std::vector<std::int64_t> node(25, 1);
  node[12] = 1000;
  const std::string text =
      error_of<ConfigError>([&] { partition(graph, {.parts = 4, .node_weight = node}); });
  CHECK(text.find("a part may weigh 263") != std::string::npos);
  CHECK(text.find("smallest feasible imbalance is 2.90625") != std::string::npos);  // 1000 / 256 - 1
  CHECK(partition(graph, {.parts = 4, .imbalance = 2.90625, .node_weight = node}).feasible());
  const Partition p = partition(graph, {.parts = 4, .relax_limit = true, .node_weight = node});
  CHECK(p.max_part_weight >= 1000);
  CHECK(p.feasible());
  CHECK(std::count(p.part_weight.begin(), p.part_weight.end(), 0) == 0);
}

TEST_CASE("nodes without weight and nodes of huge weight") {
  const PartitionGraph graph = grid_graph(10, 10);
  std::vector<std::int64_t> node(100, 0);
  const Partition nothing = partition(graph, {.parts = 4, .node_weight = node});
  CHECK(nothing.feasible());
  CHECK(nothing.max_part_weight == 0);
  std::fill(node.begin(), node.end(), std::int64_t{1} << 48);
  const Partition huge = partition(graph, {.parts = 4, .node_weight = node});
  CHECK(huge.feasible());
  CHECK(huge.cut <= 40);  // 20 is the best there is
  CHECK(partition(graph, {.parts = 4, .imbalance = 1e300, .node_weight = node}).feasible());
  std::fill(node.begin(), node.end(), std::int64_t{1} << 50);
  const std::string text =
      error_of<ConfigError>([&] { partition(graph, {.parts = 4, .node_weight = node}); });
  CHECK(text.find("add up to 2^56 or more at node 63") != std::string::npos);
}

TEST_CASE("cuts beyond 32 bits are counted right") {
  const PartitionGraph graph = grid_graph(40, 40);
  const std::vector<std::int32_t> heavy(graph.col.size(), 2'000'000'000);
  const Partition p = partition(graph, {.parts = 16, .edge_weight = heavy});
  CHECK(p.cut == 2'000'000'000 * edge_cut(graph, p.part));
  CHECK(p.cut > std::int64_t{1} << 32);
  CHECK(p.feasible());
  const std::vector<std::int32_t> light(graph.col.size(), 1);
  CHECK(std::ranges::equal(p.part, partition(graph, {.parts = 16, .edge_weight = light}).part));
}

TEST_CASE("an edge stored twice counts twice") {
  PartitionGraph graph;  // a path of 4 whose middle link is stored twice in both directions
  const std::vector<std::vector<NodeId>> rows{{1}, {0, 2, 2}, {1, 1, 3}, {2}};
  for (const auto& row : rows) {
    graph.col.insert(graph.col.end(), row.begin(), row.end());
    graph.row_ptr.push_back(graph.col.size());
  }
  const Partition p = partition(graph, {.parts = 2, .imbalance = 1});
  CHECK(p.cut == 1);
  CHECK(p.part[1] == p.part[2]);
}

TEST_CASE("balance and cut hold on random graphs of any kind") {
  for (std::uint64_t trial = 0; trial < 60; ++trial) {
    CounterRng rng(make_key(11, 0, Purpose::generic), 0, trial);
    const std::size_t n = 2 + rng.below(400);
    EdgeList edges;
    const std::size_t hubs = 1 + rng.below(n);
    for (std::uint64_t e = rng.below(4 * n); e > 0; --e) {
      edges.push_back({static_cast<NodeId>(rng.below(n)), static_cast<NodeId>(rng.below(hubs))});
    }
    const PartitionGraph graph = undirected(n, edges);
    const std::size_t k = 1 + rng.below(n + 3);
    const double imbalance = rng.below(2) == 0 ? 0.03 : 0.0;
    const auto effort = static_cast<PartitionEffort>(rng.below(3));
    const Partition p =
        partition(graph, {.parts = k, .imbalance = imbalance, .seed = trial, .effort = effort});
    CAPTURE(trial, n, k);
    check_consistent(graph, p);
    const auto average = static_cast<double>((n + k - 1) / k);
    if (k <= n) CHECK(p.max_part_weight == static_cast<std::int64_t>(average + average * imbalance));
    for (const std::int64_t w : p.part_weight) CHECK(w <= p.max_part_weight);
  }
}

TEST_CASE("cuts of tiny graphs are at most a few edges above the best there is") {
  // Brute force over all balanced bisections.
  std::int64_t excess = 0, optimal = 0, exact = 0;
  constexpr std::uint64_t kTrials = 40;
  for (std::uint64_t trial = 0; trial < kTrials; ++trial) {
    CounterRng rng(make_key(12, 0, Purpose::generic), 0, trial);
    const std::size_t n = 8 + rng.below(5);
    EdgeList edges;
    for (std::size_t v = 0; v < n; ++v) {
      for (int t = 0; t < 2; ++t)
        edges.push_back({static_cast<NodeId>(v), static_cast<NodeId>(rng.below(n))});
    }
    const PartitionGraph graph = undirected(n, edges);
    const Partition p = partition(graph, {.parts = 2, .seed = trial, .effort = PartitionEffort::high});
    std::int64_t best = std::numeric_limits<std::int64_t>::max();
    for (std::uint32_t side = 0; side < (1u << n); ++side) {
      const auto ones = static_cast<std::int64_t>(std::popcount(side));
      if (ones > p.max_part_weight || static_cast<std::int64_t>(n) - ones > p.max_part_weight) continue;
      std::int64_t twice = 0;
      for (std::size_t v = 0; v < n; ++v) {
        for (const NodeId u : graph.view().neighbors(v)) twice += ((side >> v) ^ (side >> u)) & 1u;
      }
      best = std::min(best, twice / 2);
    }
    CHECK(p.cut >= best);
    CHECK(p.cut <= best + 2);
    excess += p.cut - best;
    optimal += best;
    exact += p.cut == best ? 1 : 0;
  }
  CHECK(exact >= 36);             // nine tenths are optimal
  CHECK(50 * excess <= optimal);  // and together within a fiftieth
}

TEST_CASE("training nodes are balanced beside all nodes") {
  const PartitionGraph graph = grid_graph(40, 50);
  std::vector<std::int64_t> train(2000, 0);
  for (std::size_t v = 0; v < 2000; ++v) train[v] = v < 700 ? 1 : 0;  // in one corner
  for (const std::size_t k : {2u, 8u, 50u}) {
    const Partition one = partition(graph, {.parts = k});
    const Partition two = partition(graph, {.parts = k, .second_weight = train});
    check_consistent(graph, two);
    REQUIRE(two.second_part_weight.size() == k);
    const auto average = static_cast<std::int64_t>((700 + k - 1) / k);
    CHECK(two.max_second_part_weight == average + average * 3 / 100);
    std::vector<std::int64_t> recount(k, 0);
    for (std::size_t v = 0; v < 2000; ++v) recount[index(two.part[v])] += train[v];
    for (std::size_t p = 0; p < k; ++p) {
      CHECK(recount[p] == two.second_part_weight[p]);
      CHECK(recount[p] <= two.max_second_part_weight);
    }
    CHECK(one.second_part_weight.empty());
  }
  const std::vector<std::int64_t> wrong(3, 1);
  CHECK_THROWS_AS(partition(graph, {.parts = 2, .second_weight = wrong}), ShapeError);
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
