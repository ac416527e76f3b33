// SPDX-License-Identifier: MIT
#include "tessera/sampling/saint/normalization.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "support/batch_checks.hpp"
#include "support/catch.hpp"
#include "support/golden.hpp"
#include "support/graph_factories.hpp"
#include "support/saint_cases.hpp"
#include "tessera/sampling/saint/closed_form.hpp"
#include "tessera/sampling/saint/count.hpp"
#include "tessera/sampling/saint/frontier_draw.hpp"
#include "tessera/sampling/saint/walk_draw.hpp"

using namespace tessera;
using namespace tessera::testing;

static_assert(ClosedFormDraw<SaintNodeDraw> && ClosedFormDraw<SaintEdgeDraw>);
static_assert(!ClosedFormDraw<SaintWalkDraw> && !ClosedFormDraw<SaintFrontierDraw>);

namespace {

constexpr double kFloatRound = 6e-8;  // half a unit of a float, relative

void check_probabilities(std::span<const float> got, const std::vector<double>& want) {
  REQUIRE(got.size() == want.size());
  for (std::size_t i = 0; i < want.size(); ++i) {
    CAPTURE(i);
    // Joint probabilities are differences of numbers below 2 in double, then rounded to float.
    CHECK(std::abs(static_cast<double>(got[i]) - want[i]) <= kFloatRound * want[i] + 4e-16);
  }
}

/// Exact probabilities against frequencies in fresh subgraphs.
template <SubgraphDraw D>
void check_against_frequencies(const SampleSource& source, const D& draws) {
  constexpr std::uint64_t kTrials = 20'000;
  const SaintNormalization exact = exact_inclusions(source, draws, {});
  const SlowCounts counts = slow_counts(draws, source, 11, 0, kTrials);
  for (std::size_t v = 0; v < counts.node.size(); ++v)
    check_frequency(counts.node[v], kTrials, static_cast<double>(exact.node[v]));
  for (std::size_t e = 0; e < counts.edge.size(); ++e)
    check_frequency(counts.edge[e], kTrials, static_cast<double>(exact.edge[e]));
}

struct Moments {
  double count = 0;
  double sum = 0;
  double squares = 0;

  void add(double x) {
    count += 1;
    sum += x;
    squares += x * x;
  }
  double mean() const { return sum / count; }
  double standard_error() const { return std::sqrt((squares / count - mean() * mean()) / (count - 1)); }
};

/// Mean of the corrected aggregation of x_u = u + 1 at every node, over batches that hold it, and of the
/// corrected loss with loss_v = v^2, against their values on the whole graph: five standard errors.
template <SubgraphDraw D>
void check_unbiased(const SampleSource& source, const D& draws, const SaintNormalization& normalization,
                    double relative_bias) {
  const CsrView<> graph = source.graph;
  const SaintCorrection correction = normalization.correction();
  std::vector<Moments> aggregation(graph.num_rows);
  Moments loss;
  for (std::uint64_t s = 0; s < 20'000; ++s) {
    const std::vector<NodeId> nodes = drawn_nodes(draws, source, {5, 0, s});
    double batch_loss = 0;
    for (const NodeId v : nodes) {
      double sum = 0;
      for (EdgeId e = graph.begin(v); e < graph.end(v); ++e) {
        const NodeId u = graph.col[e];
        if (!std::binary_search(nodes.begin(), nodes.end(), u)) continue;
        sum += correction(static_cast<double>(normalization.node[v]), e) * (u + 1.0) /
               static_cast<double>(graph.degree(v));
      }
      aggregation[v].add(sum);
      if (std::binary_search(source.targets.begin(), source.targets.end(), v)) {
        batch_loss += static_cast<double>(normalization.loss_weight(v, source.targets.size())) * v * v;
      }
    }
    loss.add(batch_loss);
  }
  for (std::size_t v = 0; v < graph.num_rows; ++v) {
    if (aggregation[v].count < 100) continue;
    double want = 0;
    for (const NodeId u : graph.neighbors(v)) want += (u + 1.0) / static_cast<double>(graph.degree(v));
    CAPTURE(v, aggregation[v].count);
    CHECK(std::abs(aggregation[v].mean() - want) <=
          5 * aggregation[v].standard_error() + (relative_bias + 2 * kFloatRound) * want);
  }
  double want = 0;
  for (const NodeId v : source.targets) {
    // What no subgraph can hold has no place in the estimate.
    if (normalization.node[v] > 0) want += static_cast<double>(v) * v;
  }
  want /= static_cast<double>(source.targets.size());
  CHECK(std::abs(loss.mean() - want) <= 5 * loss.standard_error() + (relative_bias + 2 * kFloatRound) * want);
}

/// Subgraphs from a list, as a sampler.
struct ListedDraw {
  struct Options {
    const std::vector<std::vector<NodeId>>* lists = nullptr;
  };
  struct Workspace {};
  Options options;

  ListedDraw(const SampleSource&, const Options& o) : options(o) {}
  std::size_t budget() const { return 1; }
  void draw(const SampleSource&, BatchKey key, Workspace&, Array<NodeId>& drawn) const {
    const std::vector<NodeId>& list = (*options.lists)[key.batch];
    drawn.resize(list.size());
    std::copy(list.rbegin(), list.rend(), drawn.begin());
  }
  template <class F>
  void visit_options(F&&) const {}
};
static_assert(SubgraphDraw<ListedDraw>);

struct Golden : GoldenFile {
  Golden() : GoldenFile("saint.npz") {}
  std::vector<double> reals(const std::string& name) const { return values<double>(name); }
};

}  // namespace

TEST_CASE("exact_inclusions of the edge sampler has the values of the specification") {
  const SaintSource source(g6());
  const SaintNormalization exact = exact_inclusions(source, SaintEdgeDraw(source, {.edges = 2}), {});
  check_probabilities(exact.node, {539. / 900, 539. / 900, 3. / 4, 161. / 225, 51. / 100, 0});
  const double p01 = 187. / 450;
  const double p02 = 79. / 180;
  const double p23 = 91. / 180;
  const double p34 = 51. / 100;
  check_probabilities(exact.edge, {p01, p02, p01, p02, p02, p02, p23, p23, p34, p34});
  CHECK(exact.unseen_nodes == 1);
  CHECK(exact.unseen_edges == 0);
  // alpha of 2->0, 0->2, 3->2, 2->3, 4->3, 3->4 to the six digits of the specification.
  const SaintCorrection correction = exact.correction();
  const auto alpha = [&](NodeId row, EdgeId e) { return 1 / correction(exact.node[row], e); };
  CHECK(std::abs(alpha(0, 1) - .732839) < 1e-6);
  CHECK(std::abs(alpha(2, 4) - .585185) < 1e-6);
  CHECK(std::abs(alpha(2, 6) - .674074) < 1e-6);
  CHECK(std::abs(alpha(3, 7) - .706522) < 1e-6);
  CHECK(std::abs(alpha(3, 8) - .712733) < 1e-6);
  CHECK(std::abs(alpha(4, 9) - 1) < 1e-6);
}

TEST_CASE("exact_inclusions of the node sampler has the values of the specification") {
  const SaintSource source(g6());
  const SaintNormalization paper = exact_inclusions(source, SaintNodeDraw(source, {.nodes = 3}), {});
  const std::vector<double> q{13. / 102, 13. / 102, 27. / 102, 40. / 102, 9. / 102, 0};
  std::vector<double> node;
  for (const double x : q) node.push_back(1 - std::pow(1 - x, 3));
  check_probabilities(paper.node, node);
  const auto both = [&](std::size_t u, std::size_t v) {
    return 1 - std::pow(1 - q[u], 3) - std::pow(1 - q[v], 3) + std::pow(1 - q[u] - q[v], 3);
  };
  check_probabilities(paper.edge, {both(0, 1), both(0, 2), both(0, 1), both(1, 2), both(0, 2), both(1, 2),
                                   both(2, 3), both(2, 3), both(3, 4), both(3, 4)});
  const SaintNormalization degree =
      exact_inclusions(source, SaintNodeDraw(source, {.nodes = 3, .rule = SaintNodeRule::degree}), {});
  check_probabilities(degree.node, {.488, .488, .657, .488, .271, 0});
}

TEST_CASE("exact_inclusions fits frequencies on graphs with loops, hubs and directions") {
  CsrGraph graphs[] = {graph_with_loops(40, 100, 1), random_directed(40, 120, 2), star(30)};
  for (CsrGraph& graph : graphs) {
    const SaintSource source(std::move(graph));
    check_against_frequencies(source, SaintEdgeDraw(source, {.edges = 7}));
    check_against_frequencies(source, SaintNodeDraw(source, {.nodes = 9}));
    check_against_frequencies(source, SaintNodeDraw(source, {.nodes = 9, .rule = SaintNodeRule::degree}));
  }
}

TEST_CASE("the edge estimator of a small graph is exact, summed over all pairs of draws") {
  const SaintSource source(g6());
  const SampleSource view = source;
  const SaintEdgeDraw draws(view, {.edges = 2});
  const SaintNormalization exact = exact_inclusions(view, draws, {});
  const SaintCorrection correction = exact.correction();
  const std::pair<NodeId, NodeId> edges[] = {{0, 1}, {0, 2}, {1, 2}, {2, 3}, {3, 4}};
  const double chance[] = {1. / 5, 1. / 6, 1. / 6, 1. / 6, 3. / 10};
  const double want[] = {5. / 2, 2, 7. / 3, 4, 4};  // means of x_u = u + 1 over the neighbours
  for (NodeId v = 0; v < 5; ++v) {
    double sum = 0;
    double held = 0;
    for (std::size_t a = 0; a < 5; ++a) {
      for (std::size_t b = 0; b < 5; ++b) {
        const double p = chance[a] * chance[b];
        const auto in = [&](NodeId u) {
          return u == edges[a].first || u == edges[a].second || u == edges[b].first || u == edges[b].second;
        };
        if (!in(v)) continue;
        held += p;
        for (EdgeId e = view.graph.begin(v); e < view.graph.end(v); ++e) {
          const NodeId u = view.graph.col[e];
          if (!in(u)) continue;
          sum += p * correction(exact.node[v], e) * (u + 1.0) / static_cast<double>(view.graph.degree(v));
        }
      }
    }
    CHECK(std::abs(sum / held - want[v]) < 4 * kFloatRound * want[v]);
  }
}

TEST_CASE("aggregation and loss are unbiased: node and edge estimators with exact probabilities") {
  CsrGraph graphs[] = {g6(), graph_with_loops(30, 60, 3), random_directed(30, 90, 4)};
  for (CsrGraph& graph : graphs) {
    const SaintSource source(std::move(graph));
    const SaintEdgeDraw edges(source, {.edges = 4});
    check_unbiased(source, edges, exact_inclusions(source, edges, {}), 0);
    const SaintNodeDraw nodes(source, {.nodes = 8});
    check_unbiased(source, nodes, exact_inclusions(source, nodes, {}), 0);
  }
}

TEST_CASE("aggregation and loss are nearly unbiased with counted frequencies: walks") {
  const SaintSource source(random_undirected(30, 60, 5));
  const SaintNormalizationOptions options{.coverage = 20'000, .round = 1000, .seed = 8};
  // Given that its row's node was seen C_v times, an entry was seen C_e ~ Binomial(C_v, alpha) times: the relative
  // deviation of C_v / C_e is at most 1 / sqrt(C_e), and that of a node's frequency less. Five of them.
  const auto bound = [&](const SaintNormalization& n) {
    double least = n.trials;
    for (const float c : n.edge) least = std::min(least, static_cast<double>(c));
    return 5 / std::sqrt(least);
  };
  const SaintWalkDraw walks(source, {.roots = 5, .length = 2});
  const SaintNormalization counted = count_inclusions(source, walks, options);
  REQUIRE(counted.unseen_edges == 0);
  check_unbiased(source, walks, counted, bound(counted));
  const SaintFrontierDraw frontier(source, {.nodes = 10, .roots = 4});
  const SaintNormalization moved = count_inclusions(source, frontier, options);
  REQUIRE(moved.unseen_edges == 0);
  check_unbiased(source, frontier, moved, bound(moved));
}

TEST_CASE("count_inclusions counts what a search counts, for every number of threads") {
  CsrGraph graphs[] = {graph_with_loops(200, 800, 6), random_directed(200, 900, 7)};
  for (CsrGraph& graph : graphs) {
    const SaintSource source(std::move(graph));
    const SaintWalkDraw draws(source, {.roots = 20, .length = 3});
    const SaintNormalizationOptions options{.coverage = 10, .round = 16, .seed = 2};
    for (const std::size_t threads : {1u, 2u, 4u}) {
      const SaintNormalization counted =
          with_threads(threads, [&] { return count_inclusions(source, draws, options); });
      const SlowCounts slow = slow_counts(draws, source, 2, kPresampleEpoch, counted.subgraphs);
      REQUIRE(counted.trials == static_cast<double>(counted.subgraphs));
      REQUIRE(std::equal(slow.node.begin(), slow.node.end(), counted.node.begin(), counted.node.end()));
      REQUIRE(std::equal(slow.edge.begin(), slow.edge.end(), counted.edge.begin(), counted.edge.end()));
      // One round fewer does not cover.
      double nodes = 0;
      for (const double c : slow.node) nodes += c;
      CHECK(counted.subgraphs % 16 == 0);
      CHECK(nodes > 10.0 * 200);
      const SlowCounts fewer = slow_counts(draws, source, 2, kPresampleEpoch, counted.subgraphs - 16);
      double before = 0;
      for (const double c : fewer.node) before += c;
      CHECK(before <= 10.0 * 200);
    }
  }
}

TEST_CASE("normalisation equals an independent count and the authors' constants") {
  const Golden golden;
  std::vector<NodeId> from = golden.ids("source");
  std::vector<NodeId> to = golden.ids("target");
  SaintSource source(build_csr(24, {from, to, {}}, {.self_loops = SelfLoops::keep}).graph);
  source.graph.symmetric = true;
  source.targets.resize(20);
  const std::vector<NodeId> ptr = golden.ids("subgraph.ptr");
  const std::vector<NodeId> flat = golden.ids("subgraph.nodes");
  std::vector<std::vector<NodeId>> lists;
  for (std::size_t s = 0; s + 1 < ptr.size(); ++s)
    lists.emplace_back(flat.begin() + ptr[s], flat.begin() + ptr[s + 1]);
  const SampleSource view = source;
  const SaintNormalization counted =
      count_inclusions(view, ListedDraw(view, {&lists}),
                       {.coverage = 0.01, .round = lists.size(), .unseen = SaintUnseen::authors});
  REQUIRE(counted.subgraphs == lists.size());
  const auto same = [](std::span<const float> got, const std::vector<double>& want) {
    return std::equal(got.begin(), got.end(), want.begin(), want.end());
  };
  CHECK(same(counted.node, golden.reals("count.node")));
  CHECK(same(counted.edge, golden.reals("count.edge")));
  const std::vector<double> agg = golden.reals("agg");
  const std::vector<double> loss = golden.reals("loss_weight");
  const SaintCorrection correction = counted.correction();
  bool clipped = false;
  bool floored = false;
  for (NodeId v = 0; v < 24; ++v) {
    for (EdgeId e = view.graph.begin(v); e < view.graph.end(v); ++e) {
      CHECK(correction(static_cast<double>(counted.node[v]), e) == agg[e]);
      clipped |= agg[e] == 1e4;
      floored |= agg[e] == 0.1;
    }
    if (v < 20) CHECK(counted.loss_weight(v, 20) == static_cast<float>(loss[v]));
  }
  CHECK(clipped);
  CHECK(floored);
  CHECK(counted.unseen_nodes == 2);

  // The default puts one sighting in place of none.
  SaintCorrection once = correction;
  once.unseen = SaintUnseen::once;
  for (NodeId v = 0; v < 24; ++v) {
    for (EdgeId e = view.graph.begin(v); e < view.graph.end(v); ++e) {
      const double row = static_cast<double>(counted.node[v]);
      CHECK(once(row, e) == (counted.edge[e] > 0 ? agg[e] : row + 1));
    }
  }
}

TEST_CASE("options of the normalisation that make no sense are refused") {
  const SaintSource source(g6());
  const SaintWalkDraw draws(source, {});
  CHECK_THROWS_AS(count_inclusions(source, draws, {.coverage = 0}), ConfigError);
  CHECK_THROWS_AS(count_inclusions(source, draws, {.coverage = std::nan("")}), ConfigError);
  CHECK_THROWS_AS(count_inclusions(source, draws, {.round = 0}), ConfigError);
  CHECK_THROWS_AS(count_inclusions(source, draws, {.clip = 0.5}), ConfigError);
  const SaintEdgeDraw edges(source, {});
  const std::vector<NodeId> beyond{2, 6};
  for (const std::vector<NodeId>& targets : {std::vector<NodeId>{}, beyond}) {
    const SampleSource wrong{source.graph.view(), true, targets};
    CHECK_THROWS_AS(count_inclusions(wrong, edges, {}), Error);
    CHECK_THROWS_AS(exact_inclusions(wrong, edges, {}), Error);
  }
  CHECK_THROWS_AS(count_inclusions({source.graph.view(), true, beyond}, edges, {}), IndexError);
}

TEST_CASE("saint_cache_key tells apart whatever the normalisation depends on") {
  const SaintSource source(g6());
  const SampleSource view = source;
  const SaintWalkDraw draws(view, {.roots = 3, .length = 2});
  const std::string key = saint_cache_key(view, draws, {});
  CHECK(key == saint_cache_key(view, draws, {}));
  CHECK(key != saint_cache_key(view, SaintWalkDraw(view, {.roots = 2, .length = 3}), {}));
  CHECK(key != saint_cache_key(view, SaintFrontierDraw(view, {.nodes = 3, .roots = 2}), {}));
  CHECK(key != saint_cache_key(view, draws, {.coverage = 51}));
  CHECK(key != saint_cache_key(view, draws, {.round = 100}));
  CHECK(key != saint_cache_key(view, draws, {.clip = 100}));
  CHECK(key != saint_cache_key(view, draws, {.unseen = SaintUnseen::authors}));
  CHECK(key != saint_cache_key(view, draws, {.seed = 1}));
  CHECK(key != saint_cache_key(view, draws, {.estimate = SaintEstimate::none}));
  SaintSource fewer(g6());
  fewer.targets.pop_back();
  CHECK(key != saint_cache_key(fewer, draws, {}));
  const SaintSource other(path(6));
  CHECK(key != saint_cache_key(other, draws, {}));
}
