// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "support/batch_checks.hpp"
#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "support/saint_cases.hpp"
#include "tessera/sampling/saint/edge_draw.hpp"
#include "tessera/sampling/saint/frontier_draw.hpp"
#include "tessera/sampling/saint/node_draw.hpp"
#include "tessera/sampling/saint/walk_draw.hpp"

using namespace tessera;
using namespace tessera::testing;

static_assert(SubgraphDraw<SaintNodeDraw> && SubgraphDraw<SaintEdgeDraw>);
static_assert(SubgraphDraw<SaintWalkDraw> && SubgraphDraw<SaintFrontierDraw>);
struct NoDraw {};
static_assert(!SubgraphDraw<NoDraw>);

namespace {

constexpr std::uint64_t kTrials = 50'000;
// Entries of g6 by position: 0-1 0-2 | 1-0 1-2 | 2-0 2-1 2-3 | 3-2 3-4 | 4-3.
using Six = std::array<double, 6>;

template <SubgraphDraw D>
SlowCounts check_nodes(const D& draws, const SampleSource& source, const Six& want) {
  const SlowCounts counts = slow_counts(draws, source, 3, 0, kTrials);
  for (std::size_t v = 0; v < 6; ++v) check_frequency(counts.node[v], kTrials, want[v]);
  // Both directions of an edge are in the same subgraphs.
  const std::array<std::size_t, 5> forward{0, 1, 3, 6, 8};
  const std::array<std::size_t, 5> backward{2, 4, 5, 7, 9};
  for (std::size_t e = 0; e < 5; ++e) CHECK(counts.edge[forward[e]] == counts.edge[backward[e]]);
  return counts;
}

void check_joint(const SlowCounts& counts, const std::array<double, 5>& want) {
  const std::array<std::size_t, 5> forward{0, 1, 3, 6, 8};
  for (std::size_t e = 0; e < 5; ++e) check_frequency(counts.edge[forward[e]], kTrials, want[e]);
}

/// The multi-dimensional walk with its frontier searched one by one.
std::vector<NodeId> slow_frontier(const SampleSource& source, const SaintFrontierOptions& o, BatchKey key) {
  const CsrView<> graph = source.graph;
  const RngKey rng_key = make_key(key.seed, key.epoch, Purpose::walk);
  std::vector<NodeId> start;
  for (const NodeId v : source.targets) {
    if (graph.degree(v) > 0) start.push_back(v);
  }
  std::vector<NodeId> drawn;
  std::vector<NodeId> frontier;
  for (std::size_t i = 0; i < o.nodes; ++i) {
    CounterRng rng(rng_key, static_cast<std::uint32_t>(key.batch), i);
    if (i < o.roots) {
      drawn.push_back(start[rng.below(start.size())]);
      continue;
    }
    if (i == o.roots) frontier = drawn;
    std::uint64_t total = 0;
    for (const NodeId v : frontier) total += std::min(graph.degree(v), o.degree_clip);
    if (total == 0) break;
    std::uint64_t at = rng.below(total);
    std::size_t k = 0;
    while (at >= std::min(graph.degree(frontier[k]), o.degree_clip)) {
      at -= std::min(graph.degree(frontier[k]), o.degree_clip);
      ++k;
    }
    const auto row = graph.neighbors(frontier[k]);
    frontier[k] = row[rng.below(row.size())];
    drawn.push_back(frontier[k]);
  }
  return drawn;
}

}  // namespace

TEST_CASE("SaintNodeDraw includes nodes with the probabilities of both rules") {
  const SaintSource source(g6());
  const SampleSource view = source;
  const SaintNodeDraw by_norm(view, {.nodes = 3});
  const auto in_three = [](double q) { return 1 - std::pow(1 - q, 3); };
  check_nodes(by_norm, view,
              {in_three(13. / 102), in_three(13. / 102), in_three(27. / 102), in_three(40. / 102),
               in_three(9. / 102), 0});
  const SaintNodeDraw by_degree(view, {.nodes = 3, .rule = SaintNodeRule::degree});
  check_nodes(by_degree, view, {.488, .488, .657, .488, .271, 0});
}

TEST_CASE("SaintEdgeDraw includes nodes and edges with the published probabilities") {
  const SaintSource source(g6());
  const SaintEdgeDraw draws(source, {.edges = 2});
  const SlowCounts counts =
      check_nodes(draws, source, {539. / 900, 539. / 900, 3. / 4, 161. / 225, 51. / 100, 0});
  check_joint(counts, {187. / 450, 79. / 180, 79. / 180, 91. / 180, 51. / 100});
  // One draw: the edge itself, 1/5 (1/deg u + 1/deg v).
  const SaintEdgeDraw single(source, {.edges = 1});
  check_joint(slow_counts(single, source, 4, 0, kTrials), {1. / 5, 1. / 6, 1. / 6, 1. / 6, 3. / 10});
}

TEST_CASE("SaintWalkDraw includes nodes and edges with the hitting probabilities, isolated roots too") {
  const SaintSource source(g6());
  const SaintWalkDraw draws(source, {.roots = 2, .length = 2});
  const SlowCounts counts =
      check_nodes(draws, source, {203. / 324, 203. / 324, 119. / 144, 56. / 81, 155. / 324, 11. / 36});
  check_joint(counts, {163. / 324, 731. / 1296, 731. / 1296, 47. / 81, 155. / 324});
}

TEST_CASE("SaintWalkDraw steps along entries and stays where there are none") {
  const SaintSource source(random_directed(300, 500, 5));  // sinks among them
  const SampleSource view = source;
  const std::size_t length = 5;
  const SaintWalkDraw draws(view, {.roots = 1000, .length = length});
  SaintWalkDraw::Workspace workspace;
  Array<NodeId> drawn;
  draws.draw(view, {1, 2, 3}, workspace, drawn);
  REQUIRE(drawn.size() == 1000 * (length + 1));
  std::size_t stayed = 0;
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    if (i % (length + 1) == length) continue;
    const auto row = view.graph.neighbors(drawn[i]);
    if (row.empty()) {
      REQUIRE(drawn[i + 1] == drawn[i]);
      ++stayed;
    } else {
      REQUIRE(std::binary_search(row.begin(), row.end(), drawn[i + 1]));
    }
  }
  CHECK(stayed > 0);
}

TEST_CASE("SaintFrontierDraw is the walk with a frontier searched one by one") {
  const CsrGraph graphs[] = {random_undirected(200, 600, 1), random_directed(200, 300, 2), g6()};
  for (const CsrGraph& graph : graphs) {
    const SaintSource source(graph.clone());
    for (const SaintFrontierOptions o : {SaintFrontierOptions{50, 10, 3000}, SaintFrontierOptions{300, 64, 2},
                                         SaintFrontierOptions{7, 7, 1}, SaintFrontierOptions{40, 1, 3}}) {
      const SaintFrontierDraw draws(source, o);
      SaintFrontierDraw::Workspace workspace;
      Array<NodeId> drawn;
      for (std::uint64_t b = 0; b < 20; ++b) {
        draws.draw(source, {9, 1, b}, workspace, drawn);
        REQUIRE(values(drawn) == slow_frontier(source, o, {9, 1, b}));
      }
    }
  }
}

TEST_CASE("SaintFrontierDraw draws fewer nodes where the frontier has nowhere to go") {
  const SaintSource source(directed(3, {{0, 1}, {0, 2}}));  // 1 and 2 reach node 0, which has no row
  const SaintFrontierDraw draws(source, {.nodes = 10, .roots = 2});
  SaintFrontierDraw::Workspace workspace;
  Array<NodeId> drawn;
  draws.draw(source, {0, 0, 0}, workspace, drawn);
  CHECK(drawn.size() == 4);  // two roots, one step each
}

TEMPLATE_TEST_CASE("draws do not depend on threads, and differ by seed, epoch and batch", "", SaintNodeDraw,
                   SaintEdgeDraw, SaintWalkDraw, SaintFrontierDraw) {
  const SaintSource source(random_undirected(3000, 20'000, 3));
  const SampleSource view = source;
  typename TestType::Options options{};
  const TestType draws(view, options);
  const auto draw = [&](std::size_t threads, BatchKey key) {
    return with_threads(threads, [&] {
      typename TestType::Workspace workspace{};
      Array<NodeId> drawn;
      draws.draw(view, key, workspace, drawn);
      return values(drawn);
    });
  };
  const std::vector<NodeId> want = draw(1, {1, 2, 3});
  for (const std::size_t threads : {2u, 4u, 8u}) CHECK(draw(threads, {1, 2, 3}) == want);
  CHECK(draw(2, {2, 2, 3}) != want);
  CHECK(draw(2, {1, 3, 3}) != want);
  CHECK(draw(2, {1, 2, 4}) != want);
}

TEST_CASE("draws of sizes that make no sense are refused") {
  const SaintSource source(g6());
  CHECK_THROWS_AS(SaintNodeDraw(source, {.nodes = 0}), ConfigError);
  CHECK_THROWS_AS(SaintEdgeDraw(source, {.edges = 0}), ConfigError);
  CHECK_THROWS_AS(SaintWalkDraw(source, {.roots = 0}), ConfigError);
  CHECK_THROWS_AS(SaintWalkDraw(source, {.roots = 2, .length = std::size_t{1} << 40}), ConfigError);
  CHECK_THROWS_AS(SaintFrontierDraw(source, {.nodes = 5, .roots = 0}), ConfigError);
  CHECK_THROWS_AS(SaintFrontierDraw(source, {.nodes = 5, .roots = 6}), ConfigError);
  CHECK_THROWS_AS(SaintFrontierDraw(source, {.nodes = 5, .roots = 2, .degree_clip = 0}), ConfigError);
}

TEST_CASE("graphs without entries, without targets or with targets out of range are refused") {
  const SaintSource bare(empty_graph(5));
  CHECK_THROWS_AS(SaintNodeDraw(bare, {}), ConfigError);
  CHECK_THROWS_AS(SaintEdgeDraw(bare, {}), ConfigError);
  CHECK_THROWS_AS(SaintFrontierDraw(bare, {}), ConfigError);
  CHECK(drawn_nodes(SaintWalkDraw(bare, {.roots = 200, .length = 3}), bare, {}).size() == 5);
  const SaintSource nothing(empty_graph(0));
  CHECK_THROWS_AS(SaintWalkDraw(nothing, {}), ConfigError);
  CHECK_THROWS_AS(SaintNodeDraw(nothing, {}), ConfigError);
  SaintSource far(g6());
  far.targets = {2, 6};
  CHECK_THROWS_AS(SaintWalkDraw(far, {}), IndexError);
  CHECK_THROWS_AS(SaintFrontierDraw(far, {}), IndexError);
  far.targets = {5};  // isolated
  CHECK_THROWS_AS(SaintFrontierDraw(far, {}), ConfigError);
  CHECK(drawn_nodes(SaintWalkDraw(far, {.roots = 3}), far, {}) == std::vector<NodeId>{5});
}

TEST_CASE("walks of no step give roots; more draws than nodes stay inside the component") {
  SaintSource source(g6());
  source.targets = {1, 4};
  const SaintWalkDraw roots(source, {.roots = 50, .length = 0});
  CHECK(drawn_nodes(roots, source, {}) == std::vector<NodeId>{1, 4});
  CHECK(roots.budget() == 50);
  const std::vector<NodeId> component{0, 1, 2, 3, 4};
  CHECK(drawn_nodes(SaintWalkDraw(source, {.roots = 500, .length = 20}), source, {}) == component);
  CHECK(drawn_nodes(SaintFrontierDraw(source, {.nodes = 1000, .roots = 3}), source, {}) == component);
  CHECK(drawn_nodes(SaintEdgeDraw(source, {.edges = 1000}), source, {}) == component);
  CHECK(drawn_nodes(SaintNodeDraw(source, {.nodes = 1000}), source, {}) == component);
}
