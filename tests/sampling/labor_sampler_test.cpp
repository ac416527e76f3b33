// SPDX-License-Identifier: MIT
#include "tessera/sampling/labor_sampler.hpp"

#include <map>

#include "support/block_checks.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

static_assert(Sampler<LaborSampler>);

LaborSampler labor(std::vector<int> fanouts, std::size_t iterations,
                   RowEstimator estimator = RowEstimator::hajek, std::size_t batch_size = 64) {
  return LaborSampler({.fanouts = std::move(fanouts),
                       .batches = {.batch_size = batch_size},
                       .iterations = iterations,
                       .estimator = estimator});
}

/// The layer next to `rows`, prepared, with its chances by (row, source).
struct Layer {
  LaborPicker picker;
  LaborPicker::Workspace workspace;
  GraphCoefficients coefficients;
  std::vector<std::size_t> reached;
  std::vector<NodeId> rows;
  CsrView<> graph;

  Layer(const LaborSamplerOptions& options, const CsrGraph& g, std::vector<NodeId> destinations)
      : picker(options), reached{destinations.size()}, rows(std::move(destinations)), graph(g.view()) {
    coefficients.prepare(graph, kPlain);
    picker.begin_layer(view(), workspace);
  }
  LayerView view() const {
    return {graph, coefficients, rows, reached, 0, false, make_key(1, 0, Purpose::pick), 0};
  }
  double chance(std::size_t s, NodeId source) const {
    const auto row = graph.neighbors(rows[s]);
    for (std::size_t t = 0; t < row.size(); ++t) {
      if (row[t] == source) return picker.chance_of(workspace, s, t);
    }
    return 0;
  }
  /// Expected number of different sources picked: r_t is shared, so t is there if its largest chance says so.
  double expected() const {
    std::map<NodeId, double> largest;
    for (std::size_t s = 0; s < rows.size(); ++s) {
      for (const NodeId t : graph.neighbors(rows[s])) largest[t] = std::max(largest[t], chance(s, t));
    }
    double sum = 0;
    for (const auto& [t, p] : largest) sum += p;
    return sum;
  }
};

constexpr double kSolved = 1e-4;  // the published tolerance of the fixed point; ours is 1e-6

}  // namespace

TEST_CASE("LaborSampler: published values on G6") {
  const CsrGraph graph = g6();
  const Layer zero({.fanouts = {1}}, graph, {0, 2});
  CHECK(std::abs(zero.expected() - 5.0 / 3) < 1e-12);
  const Layer one({.fanouts = {1}, .iterations = 1}, graph, {0, 2});
  CHECK(std::abs(one.expected() - 1.5926) < kSolved);
  CHECK(std::abs(one.workspace.c[0] - 1) < kSolved);
  CHECK(std::abs(one.workspace.c[1] - 8.0 / 9) < kSolved);
  CHECK(std::abs(one.chance(0, 1) - 0.5) < kSolved);
  CHECK(std::abs(one.chance(0, 2) - 0.5) < kSolved);
  CHECK(std::abs(one.chance(1, 1) - 4.0 / 9) < kSolved);
  CHECK(std::abs(one.chance(1, 0) - 8.0 / 27) < kSolved);
  CHECK(std::abs(one.chance(1, 3) - 8.0 / 27) < kSolved);
  const Layer star({.fanouts = {1}, .converge = true}, graph, {0, 2});
  CHECK(std::abs(star.expected() - 1.5714) < 2e-3);  // the stopping rule leaves a relative 1e-4 per round
  const Layer all_star({.fanouts = {1}, .converge = true}, graph, {0, 1, 2, 3, 4});
  CHECK(all_star.expected() < 3.1);
  CHECK(all_star.expected() > 3.0 - 1e-3);
}

TEST_CASE("LaborSampler: c solves the variance equation") {
  const bool weighted = GENERATE(false, true);
  const std::size_t iterations = GENERATE(0u, 1u, 2u);
  CsrGraph graph = random_directed(60, 700, 3);
  if (weighted) graph = with_random_weights(std::move(graph), 4);
  const Layer layer({.fanouts = {4}, .iterations = iterations}, graph, all_nodes(graph));
  for (std::size_t s = 0; s < 60; ++s) {
    const auto row = graph.view().neighbors(s);
    if (row.empty()) continue;
    double have = 0;
    double sum = 0;
    double squares = 0;
    for (std::size_t t = 0; t < row.size(); ++t) {
      const double a = weighted ? static_cast<double>(graph.view().weights(s)[t]) : 1.0;
      have += a * a / layer.picker.chance_of(layer.workspace, s, t);
      sum += a;
      squares += a * a;
    }
    const auto d = static_cast<double>(row.size());
    const double want = sum * sum / std::min(4.0, d) - sum * sum / d + squares;
    CHECK(std::abs(have - want) <= 1e-3 * want);
  }
}

TEST_CASE("LaborSampler: every batch keeps the promises of a block sampler") {
  const AggregationSpec spec{GENERATE(Normalization::none, Normalization::symmetric, Normalization::row),
                             GENERATE(false, true), 0.0f};
  const std::size_t iterations = GENERATE(0u, 1u);
  const RowEstimator estimator =
      GENERATE(RowEstimator::hajek, RowEstimator::horvitz_thompson, RowEstimator::plain);
  for (const CsrGraph& graph : block_test_graphs())
    check_epochs(labor({4, 3}, iterations, estimator), graph, spec, 2);
}

TEST_CASE("LaborSampler keeps an edge with probability min(1, c pi), and destinations agree about a source") {
  const std::size_t iterations = GENERATE(0u, 1u);
  const CsrGraph graph = g6();
  const std::vector<NodeId> seeds{0, 1, 2};
  const Layer layer({.fanouts = {1}, .iterations = iterations}, graph, seeds);
  constexpr double kDraws = 20'000;
  std::map<EdgeId, double> hits;
  double together = 0;
  double apart = 0;
  LaborSampler::Workspace workspace;
  MiniBatch batch;
  for (std::uint64_t r = 0; r < static_cast<std::uint64_t>(kDraws); ++r) {
    labor({1}, iterations)
        .sample_seeds(source_with(graph, seeds), kPlain, seeds, {1, 0, r}, workspace, batch);
    std::set<EdgeId> kept(batch.blocks[0].edge_id.begin(), batch.blocks[0].edge_id.end());
    for (const EdgeId e : kept) ++hits[e];
    // Entries 1 (2 -> 0) and 3 (2 -> 1): rows 0 and 1 are alike, so both or none.
    (kept.count(1) == kept.count(3) ? together : apart) += 1;
  }
  CHECK(together == kDraws);
  for (std::size_t s = 0; s < 3; ++s) {
    for (EdgeId e = graph.row_ptr[s]; e < graph.row_ptr[s + 1]; ++e) {
      const double p = layer.chance(s, graph.col[e]);
      CHECK(std::abs(hits[e] / kDraws - p) <= 5 * std::sqrt(p * (1 - p) / kDraws) + 1 / kDraws);
    }
  }
}

TEST_CASE("LaborSampler: the Horvitz-Thompson estimate is unbiased") {
  const bool weighted = GENERATE(false, true);
  const std::size_t iterations = GENERATE(0u, 1u);
  const AggregationSpec spec{GENERATE(Normalization::none, Normalization::symmetric), true, 0.0f};
  CsrGraph graph = random_undirected(12, 40, 5);
  if (weighted) graph = with_random_weights(std::move(graph), 6);
  check_unbiased(labor({2}, iterations, RowEstimator::horvitz_thompson), graph, spec, 20'000);
}

TEST_CASE("LaborSampler: self-normalised rows keep the full weight of the row") {
  const CsrGraph graph = random_undirected(200, 3000, 7);
  const std::vector<NodeId> targets = all_nodes(graph);
  LaborSampler::Workspace workspace;
  MiniBatch batch;
  const AggregationSpec spec{Normalization::row, true, 0.0f};
  labor({5}, 1).sample_seeds(source_with(graph, targets), spec, targets, {}, workspace, batch);
  const Block& block = batch.blocks[0];
  for (std::size_t i = 0; i < block.num_dst; ++i) {
    double sum = 0;
    for (auto e = block.row_ptr[i]; e < block.row_ptr[i + 1]; ++e)
      sum += static_cast<double>(block.weight[e]);
    const auto entries = static_cast<double>(block.row_ptr[i + 1] - block.row_ptr[i]);
    CHECK(std::abs(sum - 1) <= (4 + entries) * 0x1p-23);
  }
}

TEST_CASE("LaborSampler fetches fewer nodes than independent sampling, fewer with every iteration") {
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    const CsrGraph graph = random_undirected(300, 4000, seed);
    const std::vector<NodeId> rows = all_nodes(graph);
    constexpr double k = 4;
    std::vector<double> missed(300, 1.0);
    for (const NodeId s : rows) {
      const auto d = static_cast<double>(graph.degree(s));
      for (const NodeId t : graph.view().neighbors(s)) missed[t] *= 1 - std::min(1.0, k / d);
    }
    double before = 0;
    for (const double m : missed) before += 1 - m;
    for (const std::size_t iterations : {0u, 1u, 2u}) {
      const double now = Layer({.fanouts = {4}, .iterations = iterations}, graph, rows).expected();
      CHECK(now < before);
      before = now;
    }
  }
}

TEST_CASE("LaborSampler: one set of numbers for all layers nests their sources") {
  const CsrGraph graph = random_undirected(300, 6000, 8);
  const std::vector<NodeId> seeds{0, 1, 2, 3};
  const auto redrawn = [&](bool layer_dependency) {
    LaborSampler::Workspace workspace;
    MiniBatch batch;
    LaborSampler({.fanouts = {5, 5}, .layer_dependency = layer_dependency})
        .sample_seeds(source_with(graph, seeds), kPlain, seeds, {}, workspace, batch);
    const Block& inner = batch.blocks[1];
    const Block& outer = batch.blocks[0];
    const std::set<EdgeId> far(outer.edge_id.begin(), outer.edge_id.begin() + outer.row_ptr[4]);
    const std::set<EdgeId> near(inner.edge_id.begin(), inner.edge_id.end());
    return far != near;
  };
  CHECK(!redrawn(true));
  CHECK(redrawn(false));
}

TEST_CASE("LaborSampler does not depend on threads, nor ask the system for memory") {
  const AggregationSpec spec{Normalization::symmetric, true, 0.0f};
  const std::size_t iterations = GENERATE(0u, 2u);
  check_determinism(labor({10, 5}, iterations, RowEstimator::hajek, 700), random_directed(8000, 100'000, 9),
                    spec);
  check_steady_state(labor({10, 5}, iterations, RowEstimator::hajek, 300),
                     random_undirected(3000, 30'000, 10), spec);
}

TEST_CASE("LaborSampler: seeds") { check_seed_handling(labor({3, 2}, GENERATE(0u, 1u)), g6(), 2); }

TEST_CASE("LaborSampler: fan-outs of 0 and all, isolated seeds, bad weights") {
  CsrGraph graph = with_random_weights(g6(), 11);
  const std::vector<NodeId> all = all_nodes(graph);
  LaborSampler::Workspace workspace;
  MiniBatch batch;
  const std::size_t iterations = GENERATE(0u, 1u);
  labor({0}, iterations).sample_seeds(source_with(graph, all), kPlain, all, {}, workspace, batch);
  CHECK(batch.blocks[0].col.empty());
  for (const int k : {-1, 100}) {
    labor({k}, iterations).sample_seeds(source_with(graph, all), kPlain, all, {}, workspace, batch);
    CHECK(values(batch.blocks[0].weight) == values(graph.weight));
  }
  for (float& w : graph.weight) w = 0.0f;
  labor({1}, iterations).sample_seeds(source_with(graph, all), kPlain, all, {}, workspace, batch);
  CHECK(batch.blocks[0].col.empty());
  graph.weight[2] = -1.0f;
  REQUIRE_THROWS_AS(
      labor({1}, iterations).sample_seeds(source_with(graph, all), kPlain, all, {}, workspace, batch), Error);
  REQUIRE_THROWS_AS(labor({-3}, 0), ConfigError);
  REQUIRE_THROWS_AS(labor({}, 0), ConfigError);
}
