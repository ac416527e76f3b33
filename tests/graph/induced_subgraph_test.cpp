// SPDX-License-Identifier: MIT
#include "tessera/graph/induced_subgraph.hpp"

#include <algorithm>
#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

std::vector<NodeId> random_nodes(std::size_t nodes, double share, std::uint64_t seed) {
  std::vector<NodeId> out;
  for (NodeId i = 0; i < nodes; ++i) {
    if (CounterRng(make_key(seed, 0, Purpose::pick), 0, i).uniform() < share) out.push_back(i);
  }
  return out;
}

/// The slow twin: look every neighbour up in the list.
void check_against_naive(CsrView<> graph, const std::vector<NodeId>& nodes, const Subgraph& got) {
  REQUIRE(got.num_nodes() == nodes.size());
  std::size_t at = 0;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    REQUIRE(got.row_ptr[i] == at);
    for (auto e = graph.begin(nodes[i]); e < graph.end(nodes[i]); ++e) {
      const auto found = std::lower_bound(nodes.begin(), nodes.end(), graph.col[e]);
      if (found == nodes.end() || *found != graph.col[e]) continue;
      REQUIRE(got.col[at] == static_cast<NodeId>(found - nodes.begin()));
      REQUIRE(got.edge_id[at] == e);
      if (graph.weighted()) REQUIRE(got.weight[at] == graph.weight[e]);
      ++at;
    }
  }
  REQUIRE(got.row_ptr[nodes.size()] == at);
  REQUIRE(got.col.size() == at);
  REQUIRE(got.weight.size() == (graph.weighted() ? at : 0));
}

}  // namespace

TEST_CASE("induced_subgraph equals the naive twin with one workspace for many graphs and lists") {
  InducedWorkspace workspace;
  Subgraph out;
  std::vector<CsrGraph> graphs;
  graphs.push_back(g6());
  graphs.push_back(empty_graph(5));
  graphs.push_back(empty_graph(0));
  graphs.push_back(star(100));
  graphs.push_back(random_directed(300, 3000, 1));
  graphs.push_back(with_random_weights(random_undirected(2000, 60'000, 2), 3));
  for (const CsrGraph& graph : graphs) {
    for (const double share : {0.0, 0.1, 0.5, 1.0}) {
      const auto nodes = random_nodes(graph.num_nodes(), share, 4);
      induced_subgraph(graph, nodes, workspace, out);
      check_against_naive(graph, nodes, out);
    }
  }
}

TEST_CASE("induced_subgraph of G6: parts {0, 1, 2} and {3, 4, 5}") {
  InducedWorkspace workspace;
  Subgraph out;
  const CsrGraph graph = g6();
  const std::vector<NodeId> upper{3, 4, 5};
  induced_subgraph(graph, upper, workspace, out);
  CHECK(std::vector<EdgeId>(out.row_ptr.begin(), out.row_ptr.end()) == std::vector<EdgeId>{0, 1, 2, 2});
  CHECK(std::vector<NodeId>(out.col.begin(), out.col.end()) == std::vector<NodeId>{1, 0});
  CHECK(std::vector<EdgeId>(out.edge_id.begin(), out.edge_id.end()) == std::vector<EdgeId>{8, 9});
}

TEST_CASE("induced_subgraph refuses lists out of order or range and keeps the output") {
  InducedWorkspace workspace;
  Subgraph out;
  const CsrGraph graph = g6();
  const std::vector<NodeId> good{1, 2};
  induced_subgraph(graph, good, workspace, out);
  for (const std::vector<NodeId>& bad : {std::vector<NodeId>{2, 1}, {1, 1}, {5, 6}, {6}}) {
    REQUIRE_THROWS_AS(induced_subgraph(graph, bad, workspace, out), IndexError);
    CHECK(out.num_nodes() == 2);
  }
}

TEST_CASE("NodePlaces forgets older lists") {
  NodePlaces places;
  const std::vector<NodeId> first{0, 2, 5};
  const std::vector<NodeId> second{1, 2};
  places.assign(6, first);
  CHECK(places[2] == 1);
  CHECK_FALSE(places.contains(1));
  places.assign(6, second);
  CHECK(places[1] == 0);
  CHECK(places[2] == 1);
  CHECK_FALSE(places.contains(0));
  CHECK_FALSE(places.contains(5));
  places.assign(6, {});
  for (NodeId i = 0; i < 6; ++i) CHECK_FALSE(places.contains(i));
}

TEST_CASE("NodePlaces survives the wrap of its 32-bit numbers", "[slow]") {
  NodePlaces places;
  std::vector<NodeId> nodes(1 << 22);
  for (std::size_t i = 0; i < nodes.size(); ++i) nodes[i] = static_cast<NodeId>(2 * i);
  const std::vector<NodeId> few{1, 3, 4};
  for (int round = 0; round < (1 << 10) + 3; ++round) {
    places.assign(2 * nodes.size(), nodes);
    places.assign(2 * nodes.size(), few);
    REQUIRE(places[4] == 2);
    REQUIRE_FALSE(places.contains(0));
    REQUIRE_FALSE(places.contains(6));
  }
}

TEST_CASE("induced_subgraph: same bits for any number of threads, no allocation once warm") {
  const CsrGraph graph = with_random_weights(random_directed(30'000, 300'000, 5), 6);
  const auto nodes = random_nodes(30'000, 0.5, 7);
  InducedWorkspace workspace;
  Subgraph one;
  with_threads(1, [&] { induced_subgraph(graph, nodes, workspace, one); });
  Subgraph many;
  for (const std::size_t threads : {2u, 4u, 16u}) {
    with_threads(threads, [&] { induced_subgraph(graph, nodes, workspace, many); });
    CHECK(std::equal(one.row_ptr.begin(), one.row_ptr.end(), many.row_ptr.begin()));
    CHECK(std::equal(one.col.begin(), one.col.end(), many.col.begin(), many.col.end()));
    CHECK(std::equal(one.edge_id.begin(), one.edge_id.end(), many.edge_id.begin(), many.edge_id.end()));
    CHECK(std::equal(one.weight.begin(), one.weight.end(), many.weight.begin(), many.weight.end()));
  }
  const auto before = BufferPool::global().stats().system_allocations;
  induced_subgraph(graph, nodes, workspace, many);
  CHECK(BufferPool::global().stats().system_allocations == before);
}
