// A user's own trainer against the package: a full-batch GCN in under 40 lines.
#include <cstdio>

#include "tessera/graph/generators.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/train/trainer.hpp"

std::size_t parameters_seen_by_the_other_file(const tessera::GcnNet<>& model);

int main() {
  const tessera::Dataset data = tessera::generate_community_graph({.nodes = 2000, .feature_noise = 0.5});
  tessera::GcnNet<> model{{.in = data.num_features(), .hidden = 32, .out = data.num_classes()}};
  tessera::Trainer trainer{model, tessera::FullGraphSampler{}, tessera::CrossEntropy{},
                           tessera::Adam{.lr = 0.01, .weight_decay = 5e-4}};
  const tessera::FitReport report = trainer.fit(data, {.epochs = 60});
  const double accuracy = report.evaluation.test.metric;
  std::printf("test accuracy %.3f with %zu parameters\n", accuracy, parameters_seen_by_the_other_file(model));
  return accuracy > 0.9 ? 0 : 1;
}
