// SPDX-License-Identifier: MIT
#include "tessera/sampling/ppr_push.hpp"

#include <cmath>
#include <vector>

#include "support/batch_checks.hpp"
#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/sampling/ppr_table.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

/// Rows of alpha (I - (1 - alpha) P)^-1 by power iteration, P = D^-1 A (or its symmetric twin): the rest after
/// 400 steps is below (1 - alpha)^400.
std::vector<double> exact_ppr(const CsrGraph& graph, NodeId source, double alpha) {
  const std::size_t n = graph.num_nodes();
  std::vector<double> out(n);
  std::vector<double> walk(n);
  walk[source] = 1;
  double left = 1;
  for (int step = 0; step < 400 && left > 1e-18; ++step) {
    std::vector<double> next(n);
    for (std::size_t u = 0; u < n; ++u) {
      out[u] += alpha * walk[u];
      const auto row = graph.view().neighbors(u);
      for (const NodeId w : row) next[w] += (1 - alpha) * walk[u] / static_cast<double>(row.size());
    }
    walk = next;
    left *= 1 - alpha;
  }
  return out;
}

}  // namespace

TEST_CASE("PprPush: published values on G6") {
  struct Row {
    double alpha, eps;
    std::vector<double> p;
    std::uint64_t pushes, visits;
  };
  const std::vector<Row> rows{
      {.25, 1e-1, {.31738281, .11718750, .09375000, 0, 0}, 4, 9},
      {.25, 1e-2, {.38653179, .20787235, .25169173, .08205563, .02866038}, 35, 73},
      {.25, 1e-4, {.39616573, .21432924, .26316908, .09147737, .03430401}, 271, 516},
      {.5, 1e-2, {.56662326, .17051866, .19215224, .03146701, .00520833}, 11, 24},
  };
  const CsrGraph graph = g6();
  PprPush push;
  for (const Row& row : rows) {
    push.run(graph, 0, {row.alpha, row.eps});
    CHECK(push.pushes() == row.pushes);
    CHECK(push.link_visits() == row.visits);
    for (std::size_t u = 0; u < 5; ++u)
      CHECK(std::abs(push.estimate(static_cast<NodeId>(u)) - row.p[u]) < 1e-8);
    CHECK(push.estimate(5) == 0.0);
  }
}

TEST_CASE("PprPush: the error is below eps times the degree, the work below 1 / (alpha eps)") {
  const double alpha = GENERATE(0.1, 0.25, 0.5);
  const double eps = GENERATE(1e-2, 1e-3, 1e-5);
  const CsrGraph graph = random_undirected(150, 400, 3);
  PprPush push;
  for (const NodeId source : {NodeId{0}, NodeId{17}, NodeId{149}}) {
    push.run(graph, source, {alpha, eps});
    const std::vector<double> want = exact_ppr(graph, source, alpha);
    double mass = 0;
    for (NodeId u = 0; u < 150; ++u) {
      const double error = want[u] - push.estimate(u);
      CHECK(error >= -1e-14);
      CHECK(error <= eps * static_cast<double>(graph.degree(u)) + 1e-14);
      mass += push.estimate(u) + push.residual(u);
    }
    if (graph.degree(source) > 0) CHECK(std::abs(mass - 1) < 1e-12);
    CHECK(static_cast<double>(push.link_visits()) <=
          1 / (alpha * eps) + static_cast<double>(graph.degree(source)));
  }
}

TEST_CASE("PprPush: estimate plus residual walks is the exact vector, on directed graphs too") {
  const CsrGraph graph = GENERATE(true, false) ? random_directed(60, 240, 4) : random_undirected(60, 150, 5);
  PprPush push;
  push.run(graph, 7, {0.2, 1e-2});
  std::vector<double> sum(60);
  for (NodeId w = 0; w < 60; ++w) {
    if (push.residual(w) == 0) continue;
    const std::vector<double> from = exact_ppr(graph, w, 0.2);
    for (std::size_t u = 0; u < 60; ++u) sum[u] += push.residual(w) * from[u];
  }
  const std::vector<double> want = exact_ppr(graph, 7, 0.2);
  for (NodeId u = 0; u < 60; ++u) CHECK(std::abs(push.estimate(u) + sum[u] - want[u]) < 1e-12);
}

TEST_CASE("PprPush: a run does not remember the one before, and odd sources are fine") {
  const CsrGraph graph = g6();
  PprPush used;
  used.run(random_undirected(40, 100, 1), 3, {});
  used.run(graph, 4, {});
  used.run(graph, 0, {});
  PprPush fresh;
  fresh.run(graph, 0, {});
  for (NodeId u = 0; u < 6; ++u) CHECK(used.estimate(u) == fresh.estimate(u));
  used.run(graph, 5, {.alpha = 0.25, .eps = 1e-3});  // isolated: stays where it is
  CHECK(used.estimate(5) == 0.25);
  CHECK(used.touched().size() == 1);
  used.run(graph, 2, {.alpha = 1.0, .eps = 1e-3});
  CHECK(used.estimate(2) == 1.0);
}

TEST_CASE("PprPush refuses what it cannot work with") {
  const CsrGraph graph = g6();
  PprPush push;
  REQUIRE_THROWS_AS(push.run(graph, 6, {}), IndexError);
  REQUIRE_THROWS_AS(push.run(graph, 0, {.alpha = 0}), ConfigError);
  REQUIRE_THROWS_AS(push.run(graph, 0, {.alpha = 1.5}), ConfigError);
  REQUIRE_THROWS_AS(push.run(graph, 0, {.eps = 0}), ConfigError);
  REQUIRE_THROWS_AS(push.run(graph, 0, {.eps = std::nan("")}), ConfigError);
  REQUIRE_THROWS_AS(push.run(empty_graph(0), 0, {}), IndexError);
}

TEST_CASE("ppr_table keeps the k largest, larger first, for any number of threads") {
  const CsrGraph graph = random_undirected(500, 2500, 6);
  std::vector<NodeId> sources;
  for (NodeId s = 0; s < 500; s += 3) sources.push_back(s);
  const PprTableOptions options{.push = {0.25, 1e-4}, .k = 12};
  const PprTable table = with_threads(1, [&] { return ppr_table(graph, sources, options); });
  PprPush push;
  for (std::size_t s = 0; s < sources.size(); ++s) {
    push.run(graph, sources[s], options.push);
    std::vector<std::pair<double, NodeId>> all;
    for (const NodeId u : push.touched()) {
      if (push.estimate(u) > 0) all.emplace_back(-push.estimate(u), u);
    }
    std::sort(all.begin(), all.end());
    REQUIRE(table.nodes(s).size() == std::min<std::size_t>(12, all.size()));
    for (std::size_t t = 0; t < table.nodes(s).size(); ++t) {
      REQUIRE(table.nodes(s)[t] == all[t].second);
      REQUIRE(table.scores(s)[t] == static_cast<float>(-all[t].first));
    }
  }
  for (const std::size_t threads : {2u, 4u, 8u}) {
    const PprTable again = with_threads(threads, [&] { return ppr_table(graph, sources, options); });
    CHECK(values(again.row_ptr) == values(table.row_ptr));
    CHECK(values(again.node) == values(table.node));
    CHECK(values(again.score) == values(table.score));
  }
}

TEST_CASE("ppr_table scales by degrees, and rows shorter than k are as long as the component") {
  const CsrGraph graph = g6();
  const std::vector<NodeId> sources{0, 5, 4, 0};
  const PprTable row = ppr_table(graph, sources, {.k = 100});
  const PprTable symmetric = ppr_table(graph, sources, {.k = 100, .scale = PprScale::symmetric});
  const PprTable column = ppr_table(graph, sources, {.k = 100, .scale = PprScale::column});
  CHECK(row.nodes(0).size() == 5);
  CHECK(row.nodes(1).size() == 1);
  CHECK(values(row.source) == sources);
  for (std::size_t t = 0; t < 5; ++t) {
    const NodeId j = row.nodes(0)[t];
    CHECK(symmetric.nodes(0)[t] == j);
    const double ratio = 2.0 / static_cast<double>(graph.degree(j));
    const double p = static_cast<double>(row.scores(0)[t]);
    CHECK(std::abs(static_cast<double>(symmetric.scores(0)[t]) - p * std::sqrt(ratio)) <= 0x1p-23);
    CHECK(std::abs(static_cast<double>(column.scores(0)[t]) - p * ratio) <= 0x1p-23);
    CHECK(row.scores(3)[t] == row.scores(0)[t]);
  }
  REQUIRE_THROWS_AS(ppr_table(graph, sources, {.k = 0}), ConfigError);
  REQUIRE_THROWS_AS(ppr_table(graph, sources, {.push = {.alpha = -1}}), ConfigError);
  REQUIRE_THROWS_AS(ppr_table(graph, std::vector<NodeId>{9}, {}), IndexError);
  CHECK(ppr_table(graph, {}, {}).num_sources() == 0);
}

TEST_CASE("the lazy walk of shaDow is an ordinary one") {
  // G6, source 0, lazy 0.15, exact.
  const std::vector<double> want{.40414169, .21366549, .26101801, .08847685, .03269796, 0};
  const std::vector<double> got = exact_ppr(g6(), 0, ordinary_alpha(0.15));
  for (std::size_t u = 0; u < 6; ++u) CHECK(std::abs(got[u] - want[u]) < 1e-8);
}
