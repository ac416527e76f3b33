// SPDX-License-Identifier: MIT
#include "tessera/sampling/random_node_sampler.hpp"

#include "support/block_checks.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

static_assert(Sampler<RandomNodeSampler>);

}  // namespace

TEST_CASE("RandomNodeSampler deals every node once per epoch, anew every epoch") {
  const CsrGraph graph = random_undirected(101, 600, 1);
  const SampleSource source = source_with(graph, {});
  const std::size_t parts = GENERATE(1u, 4u, 101u, 1000u);
  const RandomNodeSampler sampler({.parts = parts});
  REQUIRE(sampler.num_batches(source) == std::min<std::size_t>(parts, 101));
  RandomNodeSampler::Workspace workspace;
  MiniBatch batch;
  std::set<std::vector<NodeId>> first;
  for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {
    std::vector<int> seen(101);
    for (std::uint64_t b = 0; b < sampler.num_batches(source); ++b) {
      const AggregationSpec spec{Normalization::row, true, 0.0f};
      sampler.sample(source, spec, {1, epoch, b}, workspace, batch);
      check_subgraph_batch(source, spec, batch);
      const std::size_t share = 101 / sampler.num_batches(source);
      CHECK((batch.num_nodes() == share || batch.num_nodes() == share + 1));
      for (const NodeId i : batch.node_id) ++seen[i];
      if (b == 0) first.insert(values(batch.node_id));
    }
    for (const int count : seen) REQUIRE(count == 1);
  }
  if (parts == 4) CHECK(first.size() == 3);
}

TEST_CASE("RandomNodeSampler keeps a link with the probability that two nodes share a part") {
  const CsrGraph graph = undirected(40, {{3, 17}});
  const SampleSource source = source_with(graph, {});
  const RandomNodeSampler sampler({.parts = 4});
  RandomNodeSampler::Workspace workspace;
  MiniBatch batch;
  constexpr double kDraws = 20'000;
  double kept = 0;
  for (std::uint64_t epoch = 0; epoch < static_cast<std::uint64_t>(kDraws); ++epoch) {
    for (std::uint64_t b = 0; b < 4; ++b) {
      sampler.sample(source, kPlain, {2, epoch, b}, workspace, batch);
      kept += batch.blocks[0].col.empty() ? 0 : 1;
    }
  }
  const double p = 9.0 / 39;  // the others of the part, among all others
  CHECK(std::abs(kept / kDraws - p) <= 5 * std::sqrt(p * (1 - p) / kDraws) + 1 / kDraws);
}

TEST_CASE("RandomNodeSampler does not depend on threads, nor ask the system for memory") {
  const AggregationSpec spec{Normalization::symmetric, true, 0.0f};
  check_determinism(RandomNodeSampler({.parts = 5}), random_directed(8000, 80'000, 3), spec);
  const CsrGraph graph = random_undirected(3000, 30'000, 4);
  const SampleSource source = source_with(graph, {});
  const RandomNodeSampler sampler({.parts = 6});
  RandomNodeSampler::Workspace workspace;
  MiniBatch batch;
  const auto epochs = [&](std::uint64_t first, std::uint64_t last) {
    for (std::uint64_t e = first; e < last; ++e) {
      for (std::uint64_t b = 0; b < 6; ++b) sampler.sample(source, spec, {1, e, b}, workspace, batch);
    }
  };
  epochs(0, 20);
  const auto before = BufferPool::global().stats().system_allocations;
  epochs(20, 25);
  CHECK(BufferPool::global().stats().system_allocations == before);
}

TEST_CASE("RandomNodeSampler: no nodes, no parts, no such batch") {
  REQUIRE_THROWS_AS(RandomNodeSampler({.parts = 0}), ConfigError);
  const CsrGraph nothing = empty_graph(0);
  CHECK(RandomNodeSampler().num_batches(source_with(nothing, {})) == 0);
  RandomNodeSampler::Workspace workspace;
  MiniBatch batch;
  const CsrGraph graph = g6();
  REQUIRE_THROWS_AS(
      RandomNodeSampler({.parts = 2}).sample(source_with(graph, {}), kPlain, {0, 0, 2}, workspace, batch),
      IndexError);
}
