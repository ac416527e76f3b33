// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdio>
#include <string>

#include "epoch/shapes.hpp"
#include "support/machine.hpp"
#include "support/process_memory.hpp"
#include "support/report.hpp"
#include "support/timing.hpp"
#include "tessera/core/buffer_pool.hpp"
#include "tessera/graph/neighbor_sums.hpp"
#include "tessera/io/train_graph.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/cluster_gcn_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/partition/contiguous_partitioner.hpp"
#include "tessera/partition/partition_nodes.hpp"
#include "tessera/sampling/cluster_sampler.hpp"
#include "tessera/sampling/prefetch_loader.hpp"
#include "tessera/train/kernel_report.hpp"

namespace tessera::bench {

inline constexpr double kJobEpochs = 200;

/// What the paper's V100 took for all epochs.
inline double paper_seconds(std::size_t layers) { return layers == 3 ? 1523 : 2289; }

/// Multiplications and additions of an epoch's products: forward and twice backward, but that the first layer's input needs
/// no gradient.
inline double product_flops(const Shape& shape, std::size_t nodes, std::size_t layers) {
  const auto n = static_cast<double>(nodes);
  const auto h = static_cast<double>(shape.hidden);
  const double first = 2 * 2 * static_cast<double>(shape.features) * h;
  const double inner = 3 * 2 * h * h * static_cast<double>(layers - 2);
  return 2 * n * (first + inner + 3 * 2 * h * static_cast<double>(shape.classes));
}

/// One network in one precision; returns the seconds of an epoch.
inline double train_job(const Options& options, const DatasetView& data, const Array<PartId>& part,
                        std::size_t layers, Precision precision, double against, const Machine& machine,
                        Report& report) {
  const Shape& shape = amazon2m();
  BufferPool::global().trim();
  const Growth growth;
  ClusterGcnNet<> model{{.in = 2 * shape.features,
                         .hidden = shape.hidden,
                         .out = shape.classes,
                         .layers = layers,
                         .dropout = 0.2f,
                         .conv = {.precomputed = true}}};
  Trainer trainer{model, ClusterSampler(part, {.clusters_per_batch = shape.clusters_per_batch}),
                  CrossEntropy{}, Adam{.lr = 0.01}, PrefetchOptions{}};
  if (options.kernels) KernelProfile::global().start();
  const FitReport fit = trainer.fit(
      data,
      {.epochs = options.common.repeats + 1, .inductive = true, .eval_every = 0, .precision = precision});
  Row row;
  row.group = "job";
  row.name = std::to_string(layers) + " layers, " + std::string(name(precision));
  row.timing = summarize(steady_seconds(fit));
  if (against > 0) row.ratio = against / row.timing.median;
  row.flops = product_flops(shape, data.nodes(Role::train).size(), layers);
  row.bound_seconds = row.flops / machine.peak_flops;
  row.checksum = fit.history.back().train_loss;
  report.add(row);
  const double all = row.timing.median * kJobEpochs;
  std::printf("      %.0f epochs: %.0f s predicted", kJobEpochs, all);
  if (options.scale < 1) std::printf(", %.0f s at full size", all / options.scale);
  std::printf("; the paper's V100 took %.0f s; memory beyond graph and features %.2f GB\n",
              paper_seconds(layers), growth.bytes() * 1e-9);
  if (options.kernels) {
    KernelProfile::global().stop();
    const auto totals = kernel_totals(KernelProfile::global().calls(), measure_kernel_bounds());
    std::printf("%s", kernel_table(totals).c_str());
  }
  return row.timing.median;
}

/// The run of Cluster-GCN's paper on Amazon2M: the network of its program, the first layer precomputed, inductive, 70 %
/// of the nodes to train on. Parts are runs of ids, which are in community order. Evaluation is not timed.
inline void run_job(const Options& options, const Machine& machine, Report& report) {
  if (options.only != "job") return;
  Dataset data = make(amazon2m(), options, false);
  data.train_graph = io::edges_among_training_nodes(data.graph, data.roles);
  const std::size_t parts = parts_of(amazon2m(), options.scale);
  const Partition partition =
      partition_nodes(ContiguousPartitioner{}, data.train_graph, data.nodes(Role::train), {.parts = parts});
  const NeighborSums sums(data, {.inductive = true});
  report.begin_group("The paper's job: " + std::to_string(data.nodes(Role::train).size()) +
                         " training nodes, " + std::to_string(data.train_graph.num_edges()) + " entries, " +
                         std::to_string(parts) + " parts, 10 a batch",
                     "to fp32");
  for (const std::size_t layers : {std::size_t{3}, std::size_t{4}}) {
    const auto train = [&](Precision precision, double against) {
      return train_job(options, sums.view(data), partition.part, layers, precision, against, machine, report);
    };
    train(Precision::bf16, options.bf16_only ? 0 : train(Precision::fp32, 0));
  }
  std::printf("\n");
}

}  // namespace tessera::bench
