// SPDX-License-Identifier: MIT
#include "tessera/sampling/prefetch_loader.hpp"

#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "support/batch_checks.hpp"
#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "tessera/sampling/cluster_sampler.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

std::vector<PartId> striped_parts(std::size_t nodes, std::size_t parts) {
  std::vector<PartId> out(nodes);
  for (std::size_t i = 0; i < nodes; ++i) out[i] = part_id(i % parts);
  return out;
}

/// Batch b is node b alone; fails at one batch, and can be slow.
struct CountingSampler {
  struct Workspace {};
  std::size_t batches = 10;
  std::uint64_t fails_at = ~std::uint64_t{0};
  std::chrono::microseconds delay{0};

  std::size_t num_batches(const SampleSource&) const { return batches; }
  void sample(const SampleSource&, const AggregationSpec&, BatchKey key, Workspace&, MiniBatch& batch) const {
    std::this_thread::sleep_for(delay);
    if (key.batch == fails_at) throw std::runtime_error("no such luck");
    batch.node_id.assign(1, static_cast<NodeId>(100 * key.epoch + key.batch));
    batch.num_targets = 1;
  }
};
static_assert(Sampler<CountingSampler>);

std::vector<NodeId> drain(PrefetchLoader<CountingSampler>& loader) {
  std::vector<NodeId> seen;
  while (const MiniBatch* batch = loader.next()) seen.push_back(batch->node_id[0]);
  return seen;
}

}  // namespace

TEST_CASE("PrefetchLoader hands out the sampler's own batches in order, at any depth and thread count") {
  const std::size_t depth = GENERATE(0u, 1u, 3u, 50u);
  const std::size_t threads = GENERATE(1u, 4u);
  const CsrGraph graph = random_directed(3000, 20'000, 1);
  const SampleSource source{graph.view(), graph.symmetric, {}};
  const ClusterSampler sampler(striped_parts(3000, 20), {.clusters_per_batch = 3});
  PrefetchLoader loader(sampler, source, {}, {.depth = depth, .threads = threads});
  ClusterSampler::Workspace workspace;
  MiniBatch want;
  for (std::uint64_t epoch = 0; epoch < 3; ++epoch) {
    loader.start(7, epoch);
    std::uint64_t b = 0;
    while (const MiniBatch* batch = loader.next()) {
      sampler.sample(source, {}, {7, epoch, b}, workspace, want);
      REQUIRE(same_bits(*batch, want));
      ++b;
    }
    REQUIRE(b == sampler.num_batches(source));
    REQUIRE(loader.next() == nullptr);
  }
  CHECK(loader.times().batches == 3 * sampler.num_batches(source));
  CHECK(loader.times().sampling_seconds > 0);
}

TEST_CASE("PrefetchLoader starts in the middle, and over again at any moment") {
  const std::size_t depth = GENERATE(0u, 1u, 4u);
  CountingSampler sampler;
  sampler.delay = std::chrono::microseconds(GENERATE(0, 200));
  PrefetchLoader loader(sampler, SampleSource{}, {}, {.depth = depth, .threads = 1});
  CHECK(loader.next() == nullptr);  // nothing started yet
  loader.start(0, 1, 7);
  CHECK(drain(loader) == std::vector<NodeId>{107, 108, 109});
  for (std::size_t taken = 0; taken < 10; ++taken) {
    loader.start(0, 2);
    for (std::size_t b = 0; b < taken; ++b) REQUIRE(loader.next()->node_id[0] == 200 + b);
    loader.start(0, 3, 8);
    REQUIRE(drain(loader) == std::vector<NodeId>{308, 309});
  }
  loader.start(0, 4, 10);
  CHECK(loader.next() == nullptr);
}

TEST_CASE("PrefetchLoader passes on what the sampler throws, after the batches before it") {
  const std::size_t depth = GENERATE(0u, 1u, 4u);
  const std::uint64_t fails_at = GENERATE(0u, 3u, 9u);
  CountingSampler sampler;
  sampler.fails_at = fails_at;
  PrefetchLoader loader(sampler, SampleSource{}, {}, {.depth = depth, .threads = 1});
  for (std::uint64_t epoch = 0; epoch < 2; ++epoch) {
    loader.start(0, epoch);
    for (std::uint64_t b = 0; b < fails_at; ++b) REQUIRE(loader.next()->node_id[0] == 100 * epoch + b);
    REQUIRE_THROWS_AS(loader.next(), std::runtime_error);
    CHECK(loader.next() == nullptr);
  }
}

TEST_CASE("PrefetchLoader shuts down at any moment") {
  CountingSampler sampler;
  for (std::size_t taken = 0; taken < 12; ++taken) {
    for (const int delay : {0, 300}) {
      sampler.delay = std::chrono::microseconds(delay);
      PrefetchLoader loader(sampler, SampleSource{}, {}, {.depth = 2, .threads = 1});
      if (taken == 11) continue;  // never started
      loader.start(0, 0);
      for (std::size_t b = 0; b < taken; ++b) loader.next();
    }
  }
}

TEST_CASE("PrefetchLoader allocates nothing after its first epoch") {
  const std::size_t depth = GENERATE(0u, 2u);
  const CsrGraph graph = random_undirected(5000, 50'000, 2);
  const SampleSource source{graph.view(), graph.symmetric, {}};
  const ClusterSampler sampler(striped_parts(5000, 20), {.clusters_per_batch = 4});
  PrefetchLoader loader(sampler, source, {Normalization::row}, {.depth = depth, .threads = 2});
  const auto epoch = [&](std::uint64_t number) {
    loader.start(3, number);
    while (loader.next() != nullptr) {
    }
  };
  epoch(0);
  const auto before = BufferPool::global().stats().system_allocations;
  for (std::uint64_t e = 1; e < 8; ++e) epoch(e);
  CHECK(BufferPool::global().stats().system_allocations == before);
}

TEST_CASE("PrefetchLoader samples while the consumer works") {
  CountingSampler sampler;
  sampler.delay = std::chrono::milliseconds(4);
  PrefetchLoader loader(sampler, SampleSource{}, {}, {.depth = 2, .threads = 1});
  loader.start(0, 0);
  while (loader.next() != nullptr) std::this_thread::sleep_for(std::chrono::milliseconds(8));
  const LoaderTimes times = loader.times();
  CHECK(times.sampling_seconds >= 0.04);
  // Only the first batch has to be waited for; a loaded machine gets twice that for each of the ten.
  CHECK(times.waiting_seconds < times.sampling_seconds);
}
