// SPDX-License-Identifier: MIT
// The whole way from a graph to trained weights, as a user's program takes it.
#include <bit>
#include <cstdint>
#include <vector>

#include "support/catch.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/nn/losses/binary_cross_entropy.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/cluster_gcn_net.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/mlp_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/partition/multilevel.hpp"
#include "tessera/sampling/cluster_sampler.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/sampling/prefetch_loader.hpp"
#include "tessera/train/trainer.hpp"

using namespace tessera;

namespace {

Dataset planted(std::size_t nodes = 3000) {
  return generate_community_graph(
      {.nodes = nodes, .classes = 5, .features = 32, .mean_degree = 12, .feature_noise = 0.5, .seed = 3});
}

/// Everything of a run that could depend on the number of threads.
struct Trace {
  std::vector<std::uint32_t> parts;
  std::vector<NodeId> batches;
  std::vector<std::uint64_t> losses;
  std::vector<std::uint32_t> weights;

  friend bool operator==(const Trace&, const Trace&) = default;
};

template <class Loader>
Trace trace(std::size_t threads, const Loader& loader) {
  return with_threads(threads, [&] {
    Trace out;
    const Dataset data = planted();
    const Partition parts = partition(data.graph, {.parts = 12, .seed = 5});
    for (const PartId p : parts.part) out.parts.push_back(static_cast<std::uint32_t>(p));

    const ClusterSampler sampler(parts.part, {.clusters_per_batch = 3});
    const Array<NodeId> targets = data.nodes(Role::train);
    const SampleSource source{data.graph, data.graph.symmetric, targets};
    ClusterSampler::Workspace workspace;
    MiniBatch batch;
    for (std::uint64_t b = 0; b < sampler.num_batches(source); ++b) {
      sampler.sample(source, {}, {.seed = 1, .epoch = 2, .batch = b}, workspace, batch);
      out.batches.insert(out.batches.end(), batch.node_id.begin(), batch.node_id.end());
    }

    GcnNet<> model{{.in = 32, .hidden = 24, .out = 5, .layers = 3, .seed = 9}};
    Trainer trainer{model, ClusterSampler(parts.part, {.clusters_per_batch = 3}), CrossEntropy{},
                    Adam{.lr = 0.01}, loader};
    const FitReport report = trainer.fit(data, {.epochs = 4, .seed = 1});
    for (const EpochRecord& epoch : report.history) {
      out.losses.push_back(std::bit_cast<std::uint64_t>(epoch.train_loss));
      out.losses.push_back(std::bit_cast<std::uint64_t>(epoch.evaluation.val.loss));
    }
    for (const float w : model.parameters().values()) out.weights.push_back(std::bit_cast<std::uint32_t>(w));
    return out;
  });
}

template <class Net, class Sampler>
double test_accuracy(const Dataset& data, Sampler sampler) {
  Net model{{.in = data.num_features(), .hidden = 32, .out = data.num_classes(), .dropout = 0.2f}};
  Trainer trainer{model, std::move(sampler), CrossEntropy{}, Adam{.lr = 0.01}};
  return trainer.fit(data, {.epochs = 40}, BestMetric{}).evaluation.test.metric;
}

}  // namespace

TEST_CASE("Parts, batches, losses and weights are the same bits for 1, 2 and 4 threads", "[integration]") {
  const Trace one = trace(1, InlineLoading{});
  REQUIRE(one.batches.size() == 3000);
  for (const std::size_t threads : {2u, 4u}) CHECK(trace(threads, InlineLoading{}) == one);
  SECTION("with or without prefetching") {
    for (const std::size_t threads : {1u, 4u}) CHECK(trace(threads, PrefetchOptions{.depth = 3}) == one);
  }
}

TEST_CASE("Every network learns the planted classes, full batch and in clusters", "[integration]") {
  const Dataset data = planted();
  const Partition parts = partition(data.graph, {.parts = 12});
  const auto clusters = [&] { return ClusterSampler(parts.part, {.clusters_per_batch = 3}); };
  const double features_alone = test_accuracy<MlpNet<>>(data, FullGraphSampler{});
  CHECK(features_alone < 0.9);  // else the graph would have nothing to add
  for (const double accuracy :
       {test_accuracy<GcnNet<>>(data, FullGraphSampler{}), test_accuracy<GcnNet<>>(data, clusters()),
        test_accuracy<SageNet<>>(data, FullGraphSampler{}), test_accuracy<SageNet<>>(data, clusters()),
        test_accuracy<ClusterGcnNet<>>(data, clusters())}) {
    CHECK(accuracy > 0.93);
    CHECK(accuracy > features_alone + 0.05);
  }
}

TEST_CASE("Multi-label targets are learned", "[integration]") {
  const Dataset data = generate_community_graph(
      {.nodes = 2000, .classes = 8, .features = 32, .feature_noise = 0.3, .multilabel = true, .seed = 1});
  SageNet<> model{{.in = 32, .hidden = 64, .out = data.num_classes(), .dropout = 0.0f}};
  Trainer trainer{model, FullGraphSampler{}, BinaryCrossEntropy{}, Adam{.lr = 0.01}};
  const FitReport report = trainer.fit(data, {.epochs = 80});
  CHECK(report.metric == Metric::micro_f1);
  CHECK(report.evaluation.test.metric > 0.75);
}

TEST_CASE("A graph without edges trains as a perceptron does, and isolated nodes do no harm",
          "[integration]") {
  Dataset data = planted(500);
  data.graph.col.clear();
  data.graph.row_ptr.assign(501, 0);
  const Partition parts = partition(data.graph, {.parts = 4});
  CHECK(parts.cut == 0);
  const double accuracy =
      test_accuracy<GcnNet<>>(data, ClusterSampler(parts.part, {.clusters_per_batch = 2}));
  CHECK(accuracy > 0.3);  // five classes: better than guessing
}
