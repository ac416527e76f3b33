// SPDX-License-Identifier: MIT
//
// Cluster-GCN: each step sees a few parts of a partition of the graph, and the links among them.
// Chiang et al., Cluster-GCN: an efficient algorithm for training deep and large graph convolutional
// networks, KDD 2019. docs/cluster_gcn.md says what every option does.
//
//     cluster_gcn                                                                trains on a generated graph
//     cluster_gcn --data cora/planetoid --parts 8 --clusters-per-batch 2 --runs 20   prints about "test
//     accuracy 81"
//     cluster_gcn --data toy-ppi/graphsaint --preset ppi --hidden 512 --clusters-per-batch 5   trains deep on toy-PPI

#include <cstdio>
#include <numeric>
#include <optional>
#include <string>
#include <utility>

#include "support/cluster_presets.hpp"
#include "support/program.hpp"
#include "tessera/graph/neighbor_sums.hpp"
#include "tessera/partition/metrics.hpp"
#include "tessera/partition/multilevel.hpp"
#include "tessera/partition/partition_nodes.hpp"
#include "tessera/partition/random_partitioner.hpp"
#include "tessera/sampling/cluster_sampler.hpp"
#include "tessera/sampling/diagnostics.hpp"

namespace {

/// The parts batches are made of; held-out nodes are in none where training must not see them.
template <class P>
tessera::Partition make_parts(const P& partitioner, const tessera::DatasetView& data, bool inductive,
                              const examples::ClusterOptions& cluster) {
  const tessera::PartitionOptions options{.parts = cluster.parts, .symmetrize = !data.graph.symmetric};
  const bool shares = cluster.link_cost == "shares" && data.graph.symmetric;
  const tessera::LinkCost cost = shares ? tessera::LinkCost::neighbor_shares : tessera::LinkCost::one;
  if (inductive) {
    return tessera::partition_nodes(partitioner, data.train_graph, data.nodes(tessera::Role::train), options,
                                    cost);
  }
  tessera::Array<tessera::NodeId> everyone(data.num_nodes());
  std::iota(everyone.begin(), everyone.end(), tessera::NodeId{0});
  return tessera::partition_nodes(partitioner, data.graph, everyone, options, cost);
}

/// How batches look: printed, and added to the report.
void diagnose(const tessera::ClusterSampler& sampler, const tessera::DatasetView& data, bool inductive,
              bool quiet, tessera::Report& report) {
  const tessera::GraphRef& graph = inductive ? data.train_graph : data.graph;
  const tessera::ClusterDiagnostics d =
      tessera::diagnose_clusters(sampler, {graph.view(), graph.symmetric, {}}, data.labels, data.roles);
  for (auto [name, value] : {std::pair{"cut_fraction", d.cut_fraction},
                             {"kept_fraction", d.kept_fraction},
                             {"part_entropy", d.part_entropy},
                             {"batch_entropy", d.batch_entropy},
                             {"label_entropy", d.overall_entropy}}) {
    report.additions.push_back({name, value});
  }
  if (quiet) return;
  std::fprintf(stderr,
               "batches: %.0f nodes (%.0f to %.0f), %.0f training nodes, %.0f entries inside (%.0f to %.0f); "
               "%.1f %% of entries cut, %.1f %% kept\n",
               d.batch_nodes.mean, d.batch_nodes.min, d.batch_nodes.max, d.training_nodes.mean,
               d.utilisation.mean, d.utilisation.min, d.utilisation.max, 100 * d.cut_fraction,
               100 * d.kept_fraction);
  if (d.overall_entropy > 0) {
    std::fprintf(stderr, "label entropy: %.2f bits in a part, %.2f in a batch, %.2f overall\n",
                 d.part_entropy, d.batch_entropy, d.overall_entropy);
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains a graph neural network on clusters of nodes"};
  examples::Options options;
  examples::ClusterOptions cluster;
  // Declared before what it sets: options given beside a preset win.
  app.add_option_function<std::string>(
         "--preset", [&](const std::string& name) { examples::apply_preset(name, options, cluster); },
         "The paper's settings for a data set; further options override them")
      ->check(CLI::IsMember(examples::preset_names()));
  app.add_option("--parts", cluster.parts, "Parts of the partition")
      ->check(examples::kPositive)
      ->capture_default_str();
  app.add_option("--clusters-per-batch", cluster.clusters_per_batch, "Parts joined into one batch")
      ->check(examples::kPositive)
      ->capture_default_str();
  app.add_option("--partitioner", cluster.partitioner, "How parts are made")
      ->check(CLI::IsMember({"multilevel", "random"}))
      ->capture_default_str();
  app.add_option("--link-cost", cluster.link_cost,
                 "What cutting a link costs: one, or the shares of neighbours its ends lose")
      ->check(CLI::IsMember({"one", "shares"}))
      ->capture_default_str();
  app.add_flag(
      "--precomputed,!--no-precomputed", options.precomputed,
      "First layer of the cluster-gcn network on [A X | X], made once from the whole training graph");
  return examples::run_program(
      app, argc, argv, "cluster_gcn", options,
      [&](const tessera::DatasetView& data, tessera::Report& report) {
        if (options.precomputed && options.model != "cluster-gcn") {
          throw tessera::ConfigError(
              "--precomputed needs --model cluster-gcn, whose first layer it replaces");
        }
        const examples::Timer partition_timer;
        const tessera::Partition parts =
            cluster.partitioner == "random"
                ? make_parts(tessera::RandomPartitioner{}, data, options.inductive, cluster)
                : make_parts(tessera::MultilevelPartitioner{}, data, options.inductive, cluster);
        report.seconds.partition = partition_timer.seconds();
        const tessera::CsrView<> graph = options.inductive ? data.train_graph.view() : data.graph.view();
        report.additions = {{"parts", static_cast<std::int64_t>(cluster.parts)},
                            {"clusters_per_batch", static_cast<std::int64_t>(cluster.clusters_per_batch)},
                            {"partitioner", cluster.partitioner},
                            {"link_cost", cluster.link_cost},
                            {"precomputed", options.precomputed},
                            {"edge_cut", tessera::edge_cut(graph, parts.part)}};
        tessera::ClusterSampler sampler(parts.part, {.clusters_per_batch = cluster.clusters_per_batch});
        diagnose(sampler, data, options.inductive, options.quiet, report);
        const examples::Timer precompute_timer;
        std::optional<tessera::NeighborSums> sums;
        if (options.precomputed) sums.emplace(data, tessera::NeighborSumOptions{options.inductive});
        report.seconds.precompute = precompute_timer.seconds();
        const tessera::AnySampler any(std::move(sampler));
        examples::train_runs(
            options, sums ? sums->view(data) : tessera::DatasetView(data), [&] { return any; }, report);
      });
}
