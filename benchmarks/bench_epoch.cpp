// SPDX-License-Identifier: MIT
// Seconds per training epoch, full batch and Cluster-GCN, on graphs of the published shapes, and where the
// time goes; and of features taken in as a matrix or by their entries (`FitOptions::sparse_below`).
//
//   bench_epoch                      1/50 of the nodes
//   bench_epoch --scale 1            Reddit and Amazon2M as large as published (needs about 12 GB)
//   bench_epoch --only job           the Cluster-GCN paper's run on Amazon2M: 3 and 4 layers, 200 epochs predicted from a few
//   bench_epoch --only scaling       epochs on 1, 2, 4, ... threads
//   bench_epoch --only linear        epochs at 1 % to 100 % of --scale; --plot FILE.svg draws them
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "epoch/job.hpp"
#include "epoch/shapes.hpp"
#include "epoch/sweeps.hpp"
#include "support/machine.hpp"
#include "support/main.hpp"
#include "support/report.hpp"
#include "support/timing.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/partition/contiguous_partitioner.hpp"
#include "tessera/sampling/cluster_sampler.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/sampling/prefetch_loader.hpp"
#include "tessera/train/trainer.hpp"

namespace tessera::bench {
namespace {

/// Operations and least bytes of one epoch: every product forward and twice backward (the first layer's input
/// needs no gradient), every aggregation forward and backward at the narrower width.
struct Work {
  double gemm_flops = 0;
  double spmm_flops = 0;
  double bytes = 0;
};

Work work_of(const Shape& shape, const Dataset& data) {
  Work work;
  const auto n = static_cast<double>(data.num_nodes());
  const auto entries = static_cast<double>(data.graph.num_edges()) + n;
  for (std::size_t l = 0; l < shape.layers; ++l) {
    const auto in = static_cast<double>(l == 0 ? shape.features : shape.hidden);
    const auto out = static_cast<double>(l + 1 == shape.layers ? shape.classes : shape.hidden);
    const double width = std::min(in, out);
    const double passes = l == 0 && in < out ? 1 : 2;  // aggregated features need no backward
    work.gemm_flops += 2 * n * in * out * (l == 0 ? 2 : 3);
    work.spmm_flops += 2 * entries * width * passes;
    work.bytes += passes * (8 * entries + 8 * n * width) + 4 * n * (in + out) * 3;
  }
  return work;
}

/// Trains in fp32 or bf16; `against` is the median of the run it is compared with, 0 for none. Returns its own.
template <class Sampler>
double run_case(const Shape& shape, const std::string& name, const Dataset& data, Sampler sampler,
                Precision precision, double against, const Options& options, const Machine& machine,
                Report& report) {
  GcnNet<> model = gcn_of(shape);
  Trainer trainer{model, std::move(sampler), CrossEntropy{}, Adam{.lr = 0.01}, PrefetchOptions{}};
  const FitReport fit =
      trainer.fit(data, {.epochs = options.common.repeats + 1, .eval_every = 0, .precision = precision});
  std::vector<double> seconds;
  Profile profile;
  for (std::size_t e = 1; e < fit.history.size(); ++e) {  // the first epoch warms up
    seconds.push_back(fit.history[e].seconds);
    profile += fit.history[e].profile;
  }
  const Work work = work_of(shape, data);
  Row row;
  row.group = shape.name;
  row.name = name + ", " + std::string(tessera::name(precision));
  row.timing = summarize(std::move(seconds));
  if (against > 0) row.ratio = against / row.timing.median;
  row.bytes = work.bytes;
  row.flops = work.gemm_flops + work.spmm_flops;
  row.bound_seconds = work.gemm_flops / machine.peak_flops + work.bytes / machine.stream_read;
  row.checksum = fit.history.back().train_loss;
  report.add(row);
  const double percent = 100 / profile.total();
  std::printf(
      "      wait %.1f %%, gather %.1f %%, forward %.1f %%, backward %.1f %%, optimizer %.1f %%, other %.1f "
      "%%; "
      "outside kernels %.1f %%\n",
      profile.wait * percent, profile.gather * percent, profile.forward * percent, profile.backward * percent,
      profile.optimizer * percent, profile.other * percent, 100 * profile.overhead());
  return row.timing.median;
}

/// fp32, then bf16 as a ratio to it. Bounds are those of fp32.
template <class MakeSampler>
void run_both(const Shape& shape, const std::string& name, const Dataset& data, MakeSampler&& sampler,
              const Options& options, const Machine& machine, Report& report) {
  const double wide = run_case(shape, name, data, sampler(), Precision::fp32, 0, options, machine, report);
  run_case(shape, name, data, sampler(), Precision::bf16, wide, options, machine, report);
}

void run_shape(const Shape& shape, const Options& options, const Machine& machine, Report& report) {
  if (!options.only.empty() && shape.name.find(options.only) == std::string::npos) return;
  for (const bool shuffled : {false, true}) {
    const Dataset data = make(shape, options, shuffled);
    const std::string title = shape.name + ", " + (shuffled ? "ids shuffled" : "community order") + ": " +
                              std::to_string(data.num_nodes()) + " nodes, " +
                              std::to_string(data.graph.num_edges()) + " entries";
    report.begin_group(title, "to fp32");
    run_both(
        shape, "full batch", data, [] { return FullGraphSampler{}; }, options, machine, report);
    if (shuffled) continue;  // parts of shuffled ids would need a partitioner: bench_partition times that
    const Partition partition =
        ContiguousPartitioner{}.partition(data.graph, {.parts = parts_of(shape, options.scale)});
    run_both(
        shape, "Cluster-GCN", data,
        [&] { return ClusterSampler(partition.part, {.clusters_per_batch = shape.clusters_per_batch}); },
        options, machine, report);
  }
  std::printf("\n");
}

/// Every element of the features is kept with probability `density` and 0 otherwise.
void thin(Tensor<float>& x, double density) {
  const RngKey key = make_key(7, 0, Purpose::generate);
  parallel_for(x.rows(), 256, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      CounterRng rng(key, 0, i);
      for (float& v : x.view().row(i)) v = rng.uniform() < density ? v : 0.0f;
    }
  });
}

/// One epoch with features of several densities, as a matrix and by their entries, in turns.
void run_densities(const Options& options, Report& report) {
  if (!options.only.empty() && options.only != "densities") return;
  CommunityGraphOptions graph;
  graph.nodes = std::max<std::size_t>(2000, static_cast<std::size_t>(1e6 * options.scale));
  graph.classes = 10;
  graph.features = 500;
  graph.mean_degree = 8;
  for (const std::size_t hidden : {std::size_t{16}, std::size_t{128}}) {
    report.begin_group("Features of " + std::to_string(graph.nodes) + " nodes, GCN 500-" +
                           std::to_string(hidden) + "-10: a matrix against entries",
                       "to matrix");
    for (const double density : {0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01}) {
      Dataset data = generate_community_graph(graph);
      thin(data.features, density);
      const auto seconds = [&](double sparse_below) {
        GcnNet<> model{{.in = 500, .hidden = hidden, .out = 10, .input_dropout = false}};
        Trainer trainer{model, FullGraphSampler{}, CrossEntropy{}, Adam{.lr = 0.01}};
        const FitReport fit = trainer.fit(
            data, {.epochs = options.common.repeats + 1, .eval_every = 0, .sparse_below = sparse_below});
        std::vector<double> epochs;
        for (std::size_t e = 1; e < fit.history.size(); ++e) epochs.push_back(fit.history[e].seconds);
        return std::pair{summarize(std::move(epochs)), fit.history.back().train_loss};
      };
      const auto [dense, dense_loss] = seconds(0);
      const auto [entries, entries_loss] = seconds(1);
      Row row;
      row.group = "densities " + std::to_string(hidden);
      row.name = "density " + std::to_string(density).substr(0, 4) + ", entries";
      row.timing = entries;
      row.ratio = dense.median / entries.median;
      row.checksum = dense_loss - entries_loss;
      report.add(row);
    }
  }
}

int run(const Options& options) {
  const IsaScope scope(options.common.level());
  return with_threads(options.common.threads, [&] {
    double sink = 0;
    const Machine machine = measure_machine(512, std::size_t{256} << 20, sink);
    Report report("bench_epoch", options.common, machine);
    report.note("scale", options.scale);
    run_shape(reddit(), options, machine, report);
    run_shape(amazon2m(), options, machine, report);
    run_job(options, machine, report);
    run_scaling(options, report);
    run_linear(options, report);
    run_densities(options, report);
    report.finish();
    return 0;
  });
}

}  // namespace
}  // namespace tessera::bench

int main(int argc, char** argv) {
  tessera::bench::Options options;
  CLI::App app("Seconds per training epoch at published shapes");
  options.common.add_to(app);
  app.add_option("--scale", options.scale, "Share of the published number of nodes")
      ->check(CLI::Range(1e-6, 1.0))
      ->capture_default_str();
  app.add_option(
      "--only", options.only,
      "Only shapes whose name contains this (Reddit, Amazon2M), or densities, job, scaling, linear");
  app.add_option("--plot", options.plot, "linear: where the picture goes, as SVG");
  app.add_flag("--bf16-only", options.bf16_only, "job: leave fp32 out");
  app.add_flag("--kernels", options.kernels, "job: what every kernel takes");
  return tessera::bench::run_program(app, argc, argv, "bench_epoch",
                                     [&] { return tessera::bench::run(options); });
}
