// SPDX-License-Identifier: MIT
#include "tessera/sampling/neighbor_weighted.hpp"

#include <memory>

#include "support/block_checks.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

static_assert(Sampler<WeightedNeighborSampler>);
static_assert(Sampler<AliasNeighborSampler>);

AliasNeighborSampler alias_sampler(const CsrGraph& graph, std::vector<int> fanouts,
                                   std::size_t batch_size = 64) {
  return AliasNeighborSampler({.fanouts = std::move(fanouts), .batches = {.batch_size = batch_size}},
                              std::make_shared<NeighborAliasTables>(graph.view()));
}

WeightedNeighborSampler weighted_sampler(std::vector<int> fanouts, std::size_t batch_size = 64) {
  return WeightedNeighborSampler({.fanouts = std::move(fanouts), .batches = {.batch_size = batch_size}});
}

/// One node with four neighbours of weights 1, 2, 3, 0.
CsrGraph fan() {
  CsrGraph graph = from_links(5, {{1, 0}, {2, 0}, {3, 0}, {4, 0}}, {});
  graph.weight.assign(4, 0.0f);
  for (std::size_t e = 0; e < 3; ++e) graph.weight[e] = static_cast<float>(e + 1);
  return graph;
}

}  // namespace

TEST_CASE("weighted neighbour samplers keep the promises of a block sampler") {
  const AggregationSpec spec{GENERATE(Normalization::none, Normalization::row), GENERATE(false, true), 0.0f};
  for (const CsrGraph& graph : block_test_graphs(true)) {
    check_epochs(weighted_sampler({4, 3}), graph, spec, 2);
    check_epochs(alias_sampler(graph, {4, 3}), graph, spec, 2);
  }
}

TEST_CASE("WeightedNeighborSampler: the first pick is proportional to the weight") {
  const CsrGraph graph = fan();
  const std::vector<NodeId> seeds{0};
  WeightedNeighborSampler::Workspace workspace;
  MiniBatch batch;
  std::vector<double> hits(4);
  constexpr double kDraws = 20'000;
  for (std::uint64_t r = 0; r < static_cast<std::uint64_t>(kDraws); ++r) {
    weighted_sampler({1}).sample_seeds(source_with(graph, seeds), kPlain, seeds, {1, 0, r}, workspace, batch);
    REQUIRE(batch.blocks[0].col.size() == 1);
    ++hits[batch.blocks[0].edge_id[0]];
  }
  for (std::size_t e = 0; e < 4; ++e) {
    const double p = static_cast<double>(graph.weight[e]) / 6;
    CHECK(std::abs(hits[e] / kDraws - p) <= 5 * std::sqrt(p * (1 - p) / kDraws) + 1 / kDraws);
  }
}

TEST_CASE("WeightedNeighborSampler takes what has a positive weight, and no more") {
  const CsrGraph graph = fan();
  const std::vector<NodeId> seeds{0, 1};
  WeightedNeighborSampler::Workspace workspace;
  MiniBatch batch;
  for (const int k : {3, 4, 100, -1}) {
    weighted_sampler({k}).sample_seeds(source_with(graph, seeds), kPlain, seeds, {}, workspace, batch);
    CHECK(values(batch.blocks[0].edge_id) == std::vector<EdgeId>{0, 1, 2});
    CHECK(values(batch.blocks[0].weight) == std::vector<float>{1, 2, 3});
  }
}

TEST_CASE("weighted neighbour samplers estimate coefficients without bias") {
  const AggregationSpec spec{GENERATE(Normalization::none, Normalization::row), true, 0.0f};
  const CsrGraph graph = with_random_weights(random_directed(12, 60, 4), 5);
  check_unbiased(weighted_sampler({3}), graph, spec, 20'000);
  check_unbiased(alias_sampler(graph, {3}), graph, spec, 20'000);
}

TEST_CASE("weighted neighbour samplers do not depend on threads, nor ask the system for memory") {
  const CsrGraph graph = with_random_weights(random_directed(5000, 80'000, 6), 7);
  const AggregationSpec spec{Normalization::row, true, 0.0f};
  check_determinism(weighted_sampler({8, 4}, 700), graph, spec);
  check_determinism(alias_sampler(graph, {8, 4}, 700), graph, spec);
  check_steady_state(weighted_sampler({8, 4}, 300), graph, spec);
  check_steady_state(alias_sampler(graph, {8, 4}, 300), graph, spec);
}

TEST_CASE("WeightedNeighborSampler: seeds") {
  check_seed_handling(weighted_sampler({3, 2}), with_random_weights(g6(), 1), 2);
}
TEST_CASE("AliasNeighborSampler: seeds") {
  const CsrGraph graph = with_random_weights(g6(), 1);
  check_seed_handling(alias_sampler(graph, {3, 2}), graph, 2);
}

TEST_CASE("weighted neighbour samplers: all weights zero means no neighbours, negative ones are refused") {
  CsrGraph graph = fan();
  const std::vector<NodeId> seeds{0};
  const SampleSource source = source_with(graph, seeds);
  WeightedNeighborSampler::Workspace workspace;
  AliasNeighborSampler::Workspace alias_workspace;
  MiniBatch batch;
  for (float& w : graph.weight) w = 0.0f;
  weighted_sampler({2}).sample_seeds(source, kPlain, seeds, {}, workspace, batch);
  CHECK(batch.blocks[0].col.empty());
  alias_sampler(graph, {2}).sample_seeds(source, kPlain, seeds, {}, alias_workspace, batch);
  CHECK(batch.blocks[0].col.empty());
  graph.weight[1] = -0.5f;
  REQUIRE_THROWS_AS(weighted_sampler({2}).sample_seeds(source, kPlain, seeds, {}, workspace, batch), Error);
  REQUIRE_THROWS_AS(alias_sampler(graph, {2}), Error);
}

TEST_CASE("weighted neighbour samplers refuse what they cannot work with") {
  const CsrGraph plain = g6();
  const CsrGraph graph = with_random_weights(g6(), 1);
  const std::vector<NodeId> seeds{0};
  WeightedNeighborSampler::Workspace workspace;
  AliasNeighborSampler::Workspace alias_workspace;
  MiniBatch batch;
  REQUIRE_THROWS_AS(
      weighted_sampler({2}).sample_seeds(source_with(plain, seeds), kPlain, seeds, {}, workspace, batch),
      ConfigError);
  REQUIRE_THROWS_AS(alias_sampler(graph, {2})
                        .sample_seeds(source_with(path(4), seeds), kPlain, seeds, {}, alias_workspace, batch),
                    ShapeError);
  REQUIRE_THROWS_AS(alias_sampler(graph, {2})
                        .sample_seeds(source_with(plain, seeds), kPlain, seeds, {}, alias_workspace, batch),
                    ConfigError);
  REQUIRE_THROWS_AS(WeightedNeighborSampler({.fanouts = {2}, .replace = true}), ConfigError);
  REQUIRE_THROWS_AS(alias_sampler(graph, {-1}), ConfigError);
  REQUIRE_THROWS_AS(AliasNeighborSampler({.fanouts = {2}}, nullptr), ConfigError);
}
