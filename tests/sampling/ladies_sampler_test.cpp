// SPDX-License-Identifier: MIT
#include "tessera/sampling/ladies_sampler.hpp"

#include "support/block_checks.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

static_assert(Sampler<LadiesSampler>);

constexpr AggregationSpec kRow{Normalization::row, true, 0.0f};

LadiesSampler ladies(std::vector<std::size_t> sizes, RowEstimator estimator = RowEstimator::hajek,
                     std::size_t batch_size = 64) {
  return LadiesSampler(
      {.layer_sizes = std::move(sizes), .batches = {.batch_size = batch_size}, .estimator = estimator});
}

/// p over all nodes for these destinations.
std::vector<double> importance(const CsrGraph& graph, const std::vector<NodeId>& rows) {
  GraphCoefficients coefficients;
  coefficients.prepare(graph.view(), kRow);
  const std::vector<std::size_t> reached{rows.size()};
  const LayerView layer{graph.view(), coefficients, rows, reached, 0, false, {}, 0};
  LadiesPicker::Workspace workspace;
  workspace.frontier.find(layer);
  LadiesPicker::weigh(layer, workspace);
  double total = 0;
  for (const double x : workspace.importance) total += x;
  std::vector<double> p(graph.num_nodes());
  for (std::size_t t = 0; t < workspace.importance.size(); ++t)
    p[workspace.frontier.node[t]] = workspace.importance[t] / total;
  return p;
}

}  // namespace

TEST_CASE("LadiesSampler: importance on G6 is as published") {
  // Coefficients are floats: four roundings of 2^-24 each.
  const auto near = [](const std::vector<double>& got, const std::vector<double>& want) {
    for (std::size_t i = 0; i < want.size(); ++i) CHECK(std::abs(got[i] - want[i]) <= 0x1p-22);
  };
  near(importance(g6(), {0}), {1. / 3, 1. / 3, 1. / 3, 0, 0, 0});
  near(importance(g6(), {0, 3}), {1. / 6, 1. / 6, 1. / 3, 1. / 6, 1. / 6, 0});
}

TEST_CASE("LadiesSampler: importance equals the squared column norms of the prepared rows") {
  const CsrGraph graph = with_random_weights(random_directed(80, 900, 2), 3);
  const std::vector<NodeId> rows{3, 9, 27, 40, 41, 42};
  const PreparedAdjacency prepared = prepare_adjacency(graph, kRow);
  const CsrView<> a = prepared.adjacency().forward;
  std::vector<double> want(80);
  double total = 0;
  for (const NodeId i : rows) {
    for (auto e = a.begin(i); e < a.end(i); ++e) {
      const double c = static_cast<double>(a.weight[e]);
      want[a.col[e]] += c * c;
      total += c * c;
    }
  }
  const std::vector<double> got = importance(graph, rows);
  for (std::size_t i = 0; i < 80; ++i) CHECK(std::abs(got[i] - want[i] / total) <= 1e-14);
}

TEST_CASE("LadiesSampler: every batch keeps the promises of a block sampler") {
  const AggregationSpec spec{GENERATE(Normalization::none, Normalization::symmetric, Normalization::row),
                             GENERATE(false, true), 0.0f};
  const RowEstimator estimator =
      GENERATE(RowEstimator::hajek, RowEstimator::horvitz_thompson, RowEstimator::plain);
  for (const CsrGraph& graph : block_test_graphs())
    check_epochs(ladies({20, 30, 10}, estimator), graph, spec, 3);
}

TEST_CASE("LadiesSampler adds at most so many nodes per layer and keeps every link from them") {
  const CsrGraph graph = random_undirected(300, 6000, 4);
  const std::vector<NodeId> seeds{1, 5, 20, 100};
  LadiesSampler::Workspace workspace;
  MiniBatch batch;
  ladies({25, 40}).sample_seeds(source_with(graph, seeds), kRow, seeds, {}, workspace, batch);
  CHECK(batch.blocks[1].num_src == 4 + 25);
  CHECK(batch.blocks[0].num_src == 4 + 25 + 40);
  for (const Block& block : batch.blocks) {
    for (std::size_t i = 0; i < block.num_dst; ++i) {
      const auto row = graph.view().neighbors(batch.node_id[i]);
      std::size_t expected = 1;  // the loop
      for (std::size_t j = 0; j < block.num_src; ++j)
        expected += std::binary_search(row.begin(), row.end(), batch.node_id[j]) ? 1u : 0u;
      REQUIRE(block.row_ptr[i + 1] - block.row_ptr[i] == expected);
    }
  }
}

TEST_CASE("LadiesSampler: the Horvitz-Thompson estimate is unbiased") {
  const AggregationSpec spec{GENERATE(Normalization::row, Normalization::symmetric), true, 0.0f};
  const bool weighted = GENERATE(false, true);
  CsrGraph graph = random_undirected(12, 30, 5);
  if (weighted) graph = with_random_weights(std::move(graph), 6);
  // With all nodes as destinations nothing is left to draw, so half of them ask.
  const std::size_t n = 12;
  const std::vector<NodeId> seeds{0, 1, 2, 3, 4, 5};
  const PreparedAdjacency prepared = prepare_adjacency(graph, spec);
  const CsrView<> a = prepared.adjacency().forward;
  std::vector<double> want(seeds.size() * n);
  std::vector<double> sum(want.size());
  std::vector<double> squares(want.size());
  for (const NodeId i : seeds) {
    for (auto e = a.begin(i); e < a.end(i); ++e) want[i * n + a.col[e]] = static_cast<double>(a.weight[e]);
  }
  constexpr std::uint64_t kDraws = 20'000;
  const LadiesSampler sampler = ladies({2}, RowEstimator::horvitz_thompson);
  LadiesSampler::Workspace workspace;
  MiniBatch batch;
  for (std::uint64_t r = 0; r < kDraws; ++r) {
    sampler.sample_seeds(source_with(graph, seeds), spec, seeds, {7, 0, r}, workspace, batch);
    REQUIRE(batch.num_nodes() <= seeds.size() + 2);
    const Block& block = batch.blocks[0];
    for (std::size_t i = 0; i < block.num_dst; ++i) {
      for (auto e = block.row_ptr[i]; e < block.row_ptr[i + 1]; ++e) {
        const std::size_t at = batch.node_id[i] * n + batch.node_id[block.col[e]];
        const double w = static_cast<double>(block.weight[e]);
        sum[at] += w;
        squares[at] += w * w;
      }
    }
  }
  bool sampled = false;
  for (std::size_t e = 0; e < want.size(); ++e) {
    const double mean = sum[e] / kDraws;
    const double variance = std::max(0.0, squares[e] / kDraws - mean * mean);
    sampled |= variance > 1e-4;
    CAPTURE(e / n, e % n, mean, want[e]);
    CHECK(std::abs(mean - want[e]) <= 5 * std::sqrt(variance / kDraws) + 1e-5 * want[e]);
  }
  CHECK(sampled);
}

TEST_CASE("LadiesSampler: self-normalised rows keep the full sum of the row") {
  const CsrGraph graph = random_directed(200, 3000, 8);
  const std::vector<NodeId> seeds{1, 2, 3, 50, 60};
  LadiesSampler::Workspace workspace;
  MiniBatch batch;
  ladies({15, 15}).sample_seeds(source_with(graph, seeds), kRow, seeds, {}, workspace, batch);
  for (const Block& block : batch.blocks) {
    for (std::size_t i = 0; i < block.num_dst; ++i) {
      double sum = 0;
      for (auto e = block.row_ptr[i]; e < block.row_ptr[i + 1]; ++e)
        sum += static_cast<double>(block.weight[e]);
      const auto entries = static_cast<double>(graph.degree(batch.node_id[i]) + 1);
      CHECK(std::abs(sum - 1) <= (4 + entries) * 0x1p-23);
    }
  }
}

TEST_CASE("LadiesSampler does not depend on threads, nor ask the system for memory") {
  check_determinism(ladies({400, 300}, RowEstimator::hajek, 500), random_directed(8000, 100'000, 9), kRow);
  check_steady_state(ladies({200, 200}, RowEstimator::hajek, 300), random_undirected(3000, 30'000, 10), kRow);
}

TEST_CASE("LadiesSampler: seeds") { check_seed_handling(ladies({3, 2}), g6(), 2); }

TEST_CASE("LadiesSampler: no nodes per layer, more than there are, isolated seeds") {
  const CsrGraph graph = g6();
  const std::vector<NodeId> seeds{0, 5};
  LadiesSampler::Workspace workspace;
  MiniBatch batch;
  ladies({0}).sample_seeds(source_with(graph, seeds), kRow, seeds, {}, workspace, batch);
  CHECK(batch.num_nodes() == 2);
  CHECK(values(batch.blocks[0].weight) == std::vector<float>{1, 1});
  ladies({1000}).sample_seeds(source_with(graph, seeds), kRow, seeds, {}, workspace, batch);
  CHECK(batch.num_nodes() == 4);
  REQUIRE_THROWS_AS(ladies({}), ConfigError);
  REQUIRE_THROWS_AS(ladies({2}, RowEstimator::hajek, 0), ConfigError);
}
