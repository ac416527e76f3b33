// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "epoch/shapes.hpp"
#include "support/charts.hpp"
#include "support/report.hpp"
#include "support/timing.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/partition/contiguous_partitioner.hpp"
#include "tessera/sampling/cluster_sampler.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/sampling/prefetch_loader.hpp"

namespace tessera::bench {

/// One fit of a few epochs with what a shape trains; its epochs but the first.
inline std::vector<double> train_epochs(const Shape& shape, const Dataset& data, bool clusters,
                                        std::size_t epochs, Precision precision, double scale) {
  GcnNet<> model = gcn_of(shape);
  const FitOptions fit{.epochs = epochs + 1, .eval_every = 0, .precision = precision};
  if (!clusters) {
    Trainer trainer{model, FullGraphSampler{}, CrossEntropy{}, Adam{.lr = 0.01}, PrefetchOptions{}};
    return steady_seconds(trainer.fit(data, fit));
  }
  const Partition partition =
      ContiguousPartitioner{}.partition(data.graph, {.parts = parts_of(shape, scale)});
  Trainer trainer{model, ClusterSampler(partition.part, {.clusters_per_batch = shape.clusters_per_batch}),
                  CrossEntropy{}, Adam{.lr = 0.01}, PrefetchOptions{}};
  return steady_seconds(trainer.fit(data, fit));
}

/// Epochs on 1, 2, 4, ... threads, in turns.
inline void run_scaling(const Options& options, Report& report) {
  if (options.only != "scaling") return;
  std::vector<std::size_t> threads;
  for (std::size_t t = 1; t < options.common.threads; t *= 2) threads.push_back(t);
  threads.push_back(options.common.threads);
  for (const Shape& shape : {amazon2m(), reddit()}) {
    const Dataset data = make(shape, options, false);
    for (const bool clusters : {false, true}) {
      for (const Precision precision : {Precision::fp32, Precision::bf16}) {
        std::vector<std::vector<double>> seconds(threads.size());
        for (std::size_t round = 0; round < options.common.repeats; ++round) {
          for (std::size_t k = 0; k < threads.size(); ++k) {
            const auto more = with_threads(
                threads[k], [&] { return train_epochs(shape, data, clusters, 1, precision, options.scale); });
            seconds[k].insert(seconds[k].end(), more.begin(), more.end());
          }
        }
        const std::string group =
            shape.name + (clusters ? ", Cluster-GCN, " : ", full batch, ") + std::string(name(precision));
        report.begin_group(group, "speed-up");
        double one = 0;
        for (std::size_t k = 0; k < threads.size(); ++k) {
          Row row;
          row.group = group;
          row.name = std::to_string(threads[k]) + (threads[k] == 1 ? " thread" : " threads");
          row.timing = summarize(std::move(seconds[k]));
          if (k == 0) one = row.timing.median;
          row.ratio = one / row.timing.median;
          report.add(row);
        }
      }
    }
  }
}

/// Epochs at 1 % to 100 % of Amazon2M's shape; the ratio is the time per entry of the smallest over that of a size.
inline void run_linear(const Options& options, Report& report) {
  if (options.only != "linear") return;
  const Shape& shape = amazon2m();
  Chart chart{"ns per entry and epoch, bf16", "million entries", {{"full batch", {}}, {"Cluster-GCN", {}}}};
  report.begin_group(shape.name + ", bf16", "per entry");
  double first[2] = {};
  for (const double share : {0.01, 0.03, 0.1, 0.3, 1.0}) {
    Options scaled = options;
    scaled.scale = options.scale * share;
    const Dataset data = make(shape, scaled, false);
    const auto entries = static_cast<double>(data.graph.num_edges());
    for (const bool clusters : {false, true}) {
      Row row;
      row.group = "linear";
      row.name = (clusters ? "Cluster-GCN, " : "full batch, ") + std::to_string(data.graph.num_edges());
      row.timing = summarize(
          train_epochs(shape, data, clusters, options.common.repeats, Precision::bf16, scaled.scale));
      const double each = row.timing.median / entries;
      if (first[clusters] == 0) first[clusters] = each;
      row.ratio = first[clusters] / each;
      report.add(row);
      chart.lines[clusters ? 1 : 0].points.emplace_back(entries * 1e-6, each * 1e9);
    }
  }
  if (!options.plot.empty()) write_charts(options.plot, "Cost per entry against size", {chart});
}

}  // namespace tessera::bench
