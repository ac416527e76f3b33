// SPDX-License-Identifier: MIT
#include "tessera/graph/degree.hpp"

#include <cstdint>
#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "tessera/graph/symmetry.hpp"

using namespace tessera;
using namespace tessera::testing;

TEST_CASE("degrees of G6") {
  const Array<NodeId> d = degrees(g6());
  CHECK(std::vector<NodeId>(d.begin(), d.end()) == std::vector<NodeId>{2, 2, 3, 2, 1, 0});
  const DegreeSummary summary = summarize_degrees(g6());
  CHECK(summary.isolated == 1);
  CHECK(summary.min == 0);
  CHECK(summary.median == 2);
  CHECK(summary.max == 3);
  CHECK(summary.mean == 10.0 / 6.0);
}

TEST_CASE("degrees of a star and of nothing") {
  const DegreeSummary summary = summarize_degrees(star(101));
  CHECK(summary.max == 100);
  CHECK(summary.p99 == 1);
  CHECK(summary.isolated == 0);
  CHECK(summarize_degrees(empty_graph(0)).max == 0);
  CHECK(summarize_degrees(empty_graph(3)).isolated == 3);
}

TEST_CASE("edge_homophily counts entries inside a class, without loops and unlabelled ends") {
  const std::vector<std::int32_t> classes{0, 0, 1, 1, kUnlabelled, 0};
  CHECK(edge_homophily(g6(), classes) == 4.0 / 8.0);  // 0-1 and 2-3 of 0-1, 0-2, 1-2, 2-3
  CHECK(edge_homophily(empty_graph(6), classes) == 0.0);
  const CsrGraph loops = from_links(2, {{0, 0}, {0, 1}}, {.symmetrize = true, .self_loops = SelfLoops::keep});
  CHECK(edge_homophily(loops, std::vector<std::int32_t>{0, 1}) == 0.0);
  REQUIRE_THROWS_AS(edge_homophily(path(5), classes), ShapeError);
}

TEST_CASE("is_symmetric equals the naive comparison") {
  for (std::uint64_t seed = 0; seed < 30; ++seed) {
    // Dense enough that random directed graphs of three nodes are symmetric now and then.
    const CsrGraph graph = random_directed(3, 6, seed);
    bool want = true;
    for (NodeId i = 0; i < 3; ++i) {
      for (const NodeId j : graph.view().neighbors(i)) {
        const auto mirror = graph.view().neighbors(j);
        want &= std::find(mirror.begin(), mirror.end(), i) != mirror.end();
      }
    }
    CHECK(is_symmetric(graph) == want);
  }
  CHECK(is_symmetric(random_undirected(2000, 20'000, 1)));
  CHECK_FALSE(is_symmetric(random_directed(2000, 20'000, 1)));
}
