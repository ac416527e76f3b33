// SPDX-License-Identifier: MIT
//
// The README's program: Cluster-GCN on a generated graph, in the fewest lines. Prints about "test accuracy
// 0.99".

#include <cstdio>

#include "tessera/tessera.hpp"

int main() {
  const auto data = tessera::generate_community_graph({.nodes = 20'000, .feature_noise = 0.5});
  const auto parts = tessera::partition(data.graph, {.parts = 40, .seed = 1});

  tessera::GcnNet<> model{{.in = data.num_features(), .hidden = 64, .out = data.num_classes(), .layers = 2}};
  tessera::Trainer trainer{model, tessera::ClusterSampler{parts.part, {.clusters_per_batch = 4}},
                           tessera::CrossEntropy{}, tessera::Adam{.lr = 0.01}};
  const auto report = trainer.fit(data, {.epochs = 20}, tessera::BestMetric{}, tessera::ConsoleProgress{});
  std::printf("test accuracy %.3f\n", report.evaluation.test.metric);

  const auto logits = tessera::infer(model, data, {.memory_budget = std::size_t{1} << 30});
  std::printf("logits of %zu nodes, %zu classes\n", logits.rows(), logits.cols());
  return report.evaluation.test.metric > 0.8 ? 0 : 1;
}
