// SPDX-License-Identifier: MIT
#include "tessera/sampling/row_sampler.hpp"

#include <algorithm>
#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "tessera/core/parallel.hpp"

using namespace tessera;

static_assert(Sampler<RowSampler>);

TEST_CASE("row sampler: every target once per epoch, in an order of its own", "[row_sampler]") {
  const CsrGraph graph = testing::empty_graph(50);
  std::vector<NodeId> targets;
  for (NodeId i = 1; i < 50; i += 2) targets.push_back(i);
  const SampleSource source{graph.view(), true, targets};
  const RowSampler sampler({.batch_size = 10});
  REQUIRE(sampler.num_batches(source) == 3);
  CHECK_FALSE(same_every_epoch(sampler));
  const auto epoch = [&](std::uint64_t seed, std::uint64_t number, bool backwards) {
    RowSampler::Workspace workspace;
    MiniBatch batch;
    std::vector<std::vector<NodeId>> parts(3);
    for (std::uint64_t k = 0; k < 3; ++k) {
      const std::uint64_t b = backwards ? 2 - k : k;
      sampler.sample(source, {}, {seed, number, b}, workspace, batch);
      CHECK(batch.num_targets == (b == 2 ? 5 : 10));
      CHECK(batch.blocks[0].num_src == batch.num_targets);
      CHECK(batch.blocks[0].adjacency().forward.num_edges() == 0);
      parts[b].assign(batch.node_id.begin(), batch.node_id.end());
    }
    std::vector<NodeId> all;
    for (const auto& part : parts) all.insert(all.end(), part.begin(), part.end());
    return all;
  };
  const std::vector<NodeId> first = epoch(1, 0, false);
  CHECK(first == epoch(1, 0, true));
  CHECK(first != epoch(1, 1, false));
  CHECK(first != epoch(2, 0, false));
  for (std::uint64_t e = 0; e < 3; ++e) {
    std::vector<NodeId> sorted = epoch(1, e, false);
    std::sort(sorted.begin(), sorted.end());
    CHECK(sorted == targets);
  }
}

TEST_CASE("row sampler: batches do not depend on threads", "[row_sampler]") {
  const CsrGraph graph = testing::empty_graph(100'000);  // enough for a parallel order
  std::vector<NodeId> targets;
  for (NodeId i = 0; i < 100'000; i += 3) targets.push_back(i);
  const SampleSource source{graph.view(), true, targets};
  const RowSampler sampler({.batch_size = 10'000});
  const auto epoch = [&](std::size_t threads) {
    return with_threads(threads, [&] {
      RowSampler::Workspace workspace;
      MiniBatch batch;
      std::vector<NodeId> all;
      for (std::uint64_t b = 0; b < sampler.num_batches(source); ++b) {
        sampler.sample(source, {}, {5, 1, b}, workspace, batch);
        all.insert(all.end(), batch.node_id.begin(), batch.node_id.end());
      }
      return all;
    });
  };
  const std::vector<NodeId> one = epoch(1);
  CHECK(epoch(2) == one);
  CHECK(epoch(4) == one);
}

TEST_CASE("row sampler: full batches ascend and stay", "[row_sampler]") {
  const CsrGraph graph = testing::empty_graph(9);
  const std::vector<NodeId> targets{2, 5, 7};
  const RowSampler full({.batch_size = 0});
  const SampleSource source{graph.view(), true, targets};
  CHECK(same_every_epoch(full));
  REQUIRE(full.num_batches(source) == 1);
  RowSampler::Workspace workspace;
  MiniBatch batch;
  full.sample(source, {}, {3, 4, 0}, workspace, batch);
  CHECK(std::vector<NodeId>(batch.node_id.begin(), batch.node_id.end()) == targets);
  CHECK_THROWS_AS(full.sample(source, {}, {0, 0, 1}, workspace, batch), IndexError);
  CHECK(full.num_batches({graph.view(), true, {}}) == 0);
  CHECK(RowSampler({.batch_size = ~std::size_t{0}}).num_batches(source) == 1);
}
