// SPDX-License-Identifier: MIT
#include "tessera/sampling/fastgcn_sampler.hpp"

#include "support/block_checks.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

static_assert(Sampler<FastGcnSampler>);

constexpr AggregationSpec kRow{Normalization::row, true, 0.0f};
constexpr AggregationSpec kSymmetric{Normalization::symmetric, true, 0.0f};

FastGcnSampler fastgcn(const CsrGraph& graph, std::vector<std::size_t> sizes, std::size_t batch_size = 64,
                       RowEstimator estimator = RowEstimator::horvitz_thompson) {
  const PreparedAdjacency prepared = prepare_adjacency(graph, kRow);
  return FastGcnSampler(
      {.layer_sizes = std::move(sizes), .batches = {.batch_size = batch_size}, .estimator = estimator},
      fastgcn_distribution(prepared.adjacency()));
}

}  // namespace

TEST_CASE("fastgcn_distribution: published values on G6") {
  const auto check = [](const AggregationSpec& spec, std::vector<double> want, double total, bool skip) {
    const PreparedAdjacency prepared = prepare_adjacency(g6(), spec);
    const Array<double> q = fastgcn_distribution(prepared.adjacency(), skip);
    // Squares of float coefficients.
    for (std::size_t u = 0; u < 6; ++u) CHECK(std::abs(q[u] - want[u] / total) <= 0x1p-22);
  };
  check(kRow, {41, 41, 57, 61, 52, 144}, 396, false);
  check(kSymmetric, {44, 44, 45, 52, 60, 144}, 389, false);
  // Nobody else aggregates from node 5.
  check(kRow, {41, 41, 57, 61, 52, 0}, 252, true);
}

TEST_CASE("fastgcn_distribution follows columns of a directed graph") {
  const CsrGraph graph = from_links(3, {{0, 1}, {0, 2}}, {});
  const PreparedAdjacency prepared = prepare_adjacency(graph, kRow);
  const Array<double> q = fastgcn_distribution(prepared.adjacency());
  CHECK(q[0] == 1.0);
  CHECK(q[1] == 0.0);
}

TEST_CASE("FastGcnSampler: every batch keeps the promises of a block sampler") {
  const AggregationSpec spec{GENERATE(Normalization::none, Normalization::symmetric, Normalization::row),
                             GENERATE(false, true), 0.0f};
  const RowEstimator estimator =
      GENERATE(RowEstimator::hajek, RowEstimator::horvitz_thompson, RowEstimator::plain);
  for (const CsrGraph& graph : block_test_graphs()) {
    if (graph.num_edges() == 0) continue;  // nothing to draw: refused
    check_epochs(fastgcn(graph, {20, 30}, 64, estimator), graph, spec, 2);
  }
}

TEST_CASE("FastGcnSampler estimates the coefficients of the whole graph without bias") {
  const AggregationSpec spec{GENERATE(Normalization::none, Normalization::symmetric, Normalization::row),
                             true, 0.0f};
  const bool is_directed = GENERATE(false, true);
  const CsrGraph graph = is_directed ? random_directed(12, 50, 1) : g6();
  check_unbiased(fastgcn(graph, {4}), graph, spec, 20'000);
}

TEST_CASE("FastGcnSampler draws nodes with the probabilities of q") {
  const CsrGraph graph = g6();
  const PreparedAdjacency prepared = prepare_adjacency(graph, kRow);
  const Array<double> q = fastgcn_distribution(prepared.adjacency());
  constexpr double kDraws = 20'000;
  constexpr double kSize = 3;
  const std::vector<NodeId> seeds{4};  // its one neighbour is node 3
  double hits = 0;
  FastGcnSampler::Workspace workspace;
  MiniBatch batch;
  const FastGcnSampler sampler = fastgcn(graph, {3});
  for (std::uint64_t r = 0; r < static_cast<std::uint64_t>(kDraws); ++r) {
    sampler.sample_seeds(source_with(graph, seeds), kPlain, seeds, {1, 0, r}, workspace, batch);
    hits += batch.num_nodes() == 2 ? 1 : 0;
  }
  const double p = 1 - std::pow(1 - q[3], kSize);
  CHECK(std::abs(hits / kDraws - p) <= 5 * std::sqrt(p * (1 - p) / kDraws) + 1 / kDraws);
}

TEST_CASE("FastGcnSampler does not depend on threads, nor ask the system for memory") {
  const CsrGraph graph = random_directed(8000, 100'000, 9);
  check_determinism(fastgcn(graph, {800, 700}, 500), graph, kRow);
  check_steady_state(fastgcn(graph, {800, 700}, 500), graph, kRow);
}

TEST_CASE("FastGcnSampler: seeds") {
  const CsrGraph graph = g6();
  check_seed_handling(fastgcn(graph, {3, 2}), graph, 2);
}

TEST_CASE("FastGcnSampler refuses what it cannot work with") {
  const CsrGraph graph = g6();
  REQUIRE_THROWS_AS(fastgcn(empty_graph(5), {2}), ConfigError);
  REQUIRE_THROWS_AS(fastgcn(graph, {}), ConfigError);
  REQUIRE_THROWS_AS(fastgcn(graph, {2}, 0), ConfigError);
  FastGcnSampler::Workspace workspace;
  MiniBatch batch;
  const std::vector<NodeId> seeds{0};
  REQUIRE_THROWS_AS(
      fastgcn(graph, {2}).sample_seeds(source_with(path(4), seeds), kRow, seeds, {}, workspace, batch),
      ShapeError);
  fastgcn(graph, {0}).sample_seeds(source_with(graph, seeds), kRow, seeds, {}, workspace, batch);
  CHECK(batch.num_nodes() == 1);
}
