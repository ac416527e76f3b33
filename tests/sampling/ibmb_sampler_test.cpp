// SPDX-License-Identifier: MIT
#include "tessera/sampling/ibmb_sampler.hpp"

#include <map>

#include "support/block_checks.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

static_assert(Sampler<IbmbSampler>);

}  // namespace

TEST_CASE("IbmbSampler: batches are targets and what matters to them, fixed, in a new order every epoch") {
  const CsrGraph graph = random_undirected(200, 700, 1);
  std::vector<NodeId> targets;
  for (NodeId i = 0; i < 200; i += 2) targets.push_back(i);
  const PprTable table = ppr_table(graph, targets, {.k = 6});
  const IbmbSampler sampler(table, 200, {.batch_size = 17});
  const SampleSource source = source_with(graph, targets);
  IbmbSampler::Workspace workspace;
  MiniBatch batch;
  std::vector<std::set<std::vector<NodeId>>> epochs(3);
  std::vector<std::vector<NodeId>> first;
  for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {
    std::map<NodeId, int> seen;
    for (std::uint64_t b = 0; b < sampler.num_batches(source); ++b) {
      const AggregationSpec spec{Normalization::symmetric, true, 0.0f};
      sampler.sample(source, spec, {1, epoch, b}, workspace, batch);
      check_subgraph_batch(source, spec, batch);
      std::set<NodeId> own;
      for (std::size_t i = 0; i < batch.num_nodes(); ++i) {
        if (batch.loss_weight[i] != 0.0f) own.insert(batch.node_id[i]);
      }
      for (const float w : batch.loss_weight)
        REQUIRE((w == 0.0f || w == 1.0f / static_cast<float>(own.size())));  // the batch's mean
      REQUIRE(own.size() <= 17);
      std::set<NodeId> want = own;
      for (const NodeId t : own) {
        ++seen[t];
        const auto nodes = table.nodes(t / 2);
        want.insert(nodes.begin(), nodes.end());
      }
      REQUIRE(std::set<NodeId>(batch.node_id.begin(), batch.node_id.end()) == want);
      epochs[epoch].insert(values(batch.node_id));
      if (b == 0) first.push_back(values(batch.node_id));
    }
    REQUIRE(seen.size() == 100);
    for (const auto& [target, count] : seen) REQUIRE(count == 1);
  }
  CHECK(epochs[0] == epochs[1]);
  CHECK((first[0] != first[1] || first[1] != first[2]));
}

TEST_CASE("IbmbSampler puts targets that matter to each other together") {
  // Cliques of 10 in a ring: with 10 targets per batch, every batch is one clique.
  const CsrGraph graph = cliques(8, 10, true);
  const std::vector<NodeId> targets = all_nodes(graph);
  const IbmbSampler sampler(ppr_table(graph, targets, {.k = 10}), 80, {.batch_size = 10});
  const SampleSource source = source_with(graph, targets);
  REQUIRE(sampler.num_batches(source) == 8);
  IbmbSampler::Workspace workspace;
  MiniBatch batch;
  for (std::uint64_t b = 0; b < 8; ++b) {
    sampler.sample(source, kPlain, {1, 0, b}, workspace, batch);
    std::set<NodeId> clique;
    for (std::size_t i = 0; i < batch.num_nodes(); ++i) {
      if (batch.loss_weight[i] != 0.0f) clique.insert(batch.node_id[i] / 10);
    }
    CHECK(clique.size() == 1);
  }
}

TEST_CASE("IbmbSampler does not depend on threads, nor ask the system for memory") {
  const CsrGraph graph = random_undirected(3000, 20'000, 2);
  const std::vector<NodeId> targets = all_nodes(graph);
  const IbmbSampler sampler(ppr_table(graph, targets, {.k = 12}), 3000, {.batch_size = 400});
  const AggregationSpec spec{Normalization::row, true, 0.0f};
  check_determinism(sampler, graph, spec);
  check_steady_state(sampler, graph, spec);
}

TEST_CASE("IbmbSampler refuses what it cannot work with") {
  const CsrGraph graph = g6();
  const std::vector<NodeId> targets{0, 4};
  const PprTable table = ppr_table(graph, targets, {.k = 3});
  REQUIRE_THROWS_AS(IbmbSampler(table, 6, {.batch_size = 0}), ConfigError);
  REQUIRE_THROWS_AS(IbmbSampler(table, 4), IndexError);
  const IbmbSampler sampler(table, 6);
  IbmbSampler::Workspace workspace;
  MiniBatch batch;
  REQUIRE_THROWS_AS(sampler.sample(source_with(path(7), targets), kPlain, {}, workspace, batch), ShapeError);
  REQUIRE_THROWS_AS(sampler.sample(source_with(graph, targets), kPlain, {0, 0, 1}, workspace, batch),
                    IndexError);
  CHECK(IbmbSampler(table, 6, {.batch_size = ~std::size_t{0}}).num_batches(source_with(graph, targets)) == 1);
  CHECK(IbmbSampler(ppr_table(graph, {}, {}), 6).num_batches(source_with(graph, {})) == 0);
}
