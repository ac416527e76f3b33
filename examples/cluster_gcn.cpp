// SPDX-License-Identifier: MIT
//
// Cluster-GCN: each step sees a few parts of a partition of the graph, and the links among them.
// Chiang et al., Cluster-GCN: an efficient algorithm for training deep and large graph convolutional
// networks, KDD 2019.
//
//     cluster_gcn                                                                trains on a generated graph
//     cluster_gcn --data cora/planetoid --parts 8 --clusters-per-batch 2 --runs 20   prints about "test
//     accuracy 81"

#include "support/program.hpp"
#include "tessera/partition/metrics.hpp"
#include "tessera/partition/multilevel.hpp"
#include "tessera/sampling/cluster_sampler.hpp"

namespace {

struct ClusterOptions {
  std::size_t parts = 40;
  std::size_t clusters_per_batch = 4;
};

/// The parts batches are made of. Inductive training must not let held-out nodes shape them, so these are in
/// no part.
tessera::Partition make_parts(const tessera::Dataset& data, bool inductive, const ClusterOptions& cluster) {
  const tessera::CsrView<> graph = inductive ? data.train_graph.view() : data.graph.view();
  tessera::Partition parts =
      tessera::partition(graph, {.parts = cluster.parts, .symmetrize = !data.graph.symmetric});
  for (std::size_t i = 0; inductive && i < parts.part.size(); ++i) {
    if (data.roles[i] != tessera::Role::train) parts.part[i] = tessera::kNoPart;
  }
  return parts;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains a graph neural network on clusters of nodes"};
  examples::Options options;
  ClusterOptions cluster;
  app.add_option("--parts", cluster.parts, "Parts of the partition")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--clusters-per-batch", cluster.clusters_per_batch, "Parts joined into one batch")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  return examples::run_program(
      app, argc, argv, "cluster_gcn", options, [&](const tessera::Dataset& data, tessera::Report& report) {
        const examples::Timer timer;
        const tessera::Partition parts = make_parts(data, options.inductive, cluster);
        report.seconds.partition = timer.seconds();
        report.additions = {{"parts", static_cast<std::int64_t>(cluster.parts)},
                            {"clusters_per_batch", static_cast<std::int64_t>(cluster.clusters_per_batch)},
                            {"edge_cut", parts.cut}};
        const auto sampler = [&] {
          return tessera::ClusterSampler(parts.part, {.clusters_per_batch = cluster.clusters_per_batch});
        };
        examples::train_runs(options, data, sampler, report);
      });
}
