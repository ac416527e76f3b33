// SPDX-License-Identifier: MIT
// The experiments of the Cluster-GCN paper: clusters (that keep neighbourhoods, or cut the fewest links) against random
// parts, one and several per batch (metric at the same epochs, embedding utilisation), label entropy of parts, and
// memory and time against depth.
//
//     bench_cluster                                            a generated graph
//     bench_cluster --data toy-ppi/graphsaint --hidden 512 --layers 5 --epochs 400 --only batches
//     bench_cluster --nodes 2449029 --features 100 --classes 47 --degree 50.5 --contiguous --parts 15000
//                   --clusters-per-batch 10 --hidden 400 --batches 20 --only depth --depths 3 4 5
//
// With --plots DIR every table is also drawn: DIR/batches.svg, utilisation.svg, entropy.svg, depth.svg.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <string>
#include <vector>

#include "support/charts.hpp"
#include "support/main.hpp"
#include "support/report.hpp"
#include "tessera/core/buffer_pool.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/graph/neighbor_sums.hpp"
#include "tessera/io/load.hpp"
#include "tessera/io/standardize.hpp"
#include "tessera/io/train_graph.hpp"
#include "tessera/nn/losses/binary_cross_entropy.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/cluster_gcn_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/partition/contiguous_partitioner.hpp"
#include "tessera/partition/multilevel.hpp"
#include "tessera/partition/partition_nodes.hpp"
#include "tessera/partition/random_partitioner.hpp"
#include "tessera/sampling/cluster_sampler.hpp"
#include "tessera/sampling/diagnostics.hpp"
#include "tessera/sampling/prefetch_loader.hpp"
#include "tessera/train/trainer.hpp"

namespace tessera::bench {
namespace {

struct Options {
  CommonOptions common;
  std::string data, only, plots;
  CommunityGraphOptions graph{
      .nodes = 6000, .classes = 12, .features = 32, .mean_degree = 15, .feature_noise = 2};
  std::size_t parts = 50, clusters_per_batch = 5, hidden = 64, layers = 3, epochs = 40, batches = 0;
  std::vector<std::size_t> depths{2, 3, 4, 5, 6, 7, 8};
  float diag_lambda = 1;
  bool contiguous = false;
};

struct ChosenLoss {
  bool multilabel = false;
  template <class Ctx>
  Var operator()(Ctx& ctx, Var logits, const Targets& targets) const {
    return multilabel ? BinaryCrossEntropy{}(ctx, logits, targets) : CrossEntropy{}(ctx, logits, targets);
  }
};

/// The best epoch on validation where epochs are evaluated, else the last.
struct BestOrLast {
  static constexpr bool kKeepsBest = true;
  static constexpr bool kNeedsValidation = false;

  Verdict judge(const StoppingView& view) const noexcept { return BestMetric{}.judge(view); }
};

Dataset load(const Options& o) {
  Dataset data;
  if (o.data.empty()) {
    CommunityGraphOptions graph = o.graph;
    graph.shuffle_nodes = !o.contiguous;
    data = generate_community_graph(graph);
  } else {
    data = io::load(o.data, {});
    io::standardize(data);
  }
  if (data.train_graph.num_nodes() != data.num_nodes()) {
    data.train_graph = io::edges_among_training_nodes(data.graph, data.roles);
  }
  return data;
}

/// How training nodes are put into parts.
enum class Parts { shares, links, random };
constexpr std::array kParts{Parts::shares, Parts::links, Parts::random};

constexpr const char* name_of(Parts parts) {
  return parts == Parts::shares ? "clustered" : parts == Parts::links ? "fewest cut" : "random";
}

Partition make_parts(const Dataset& data, const Options& o, Parts kind) {
  const PartitionOptions options{.parts = o.parts, .seed = 1};
  const Array<NodeId> nodes = data.nodes(Role::train);
  if (kind == Parts::random) return partition_nodes(RandomPartitioner{}, data.train_graph, nodes, options);
  if (o.contiguous) return partition_nodes(ContiguousPartitioner{}, data.train_graph, nodes, options);
  return partition_nodes(MultilevelPartitioner{}, data.train_graph, nodes, options,
                         kind == Parts::shares ? LinkCost::neighbor_shares : LinkCost::one);
}

/// Trains the network of the Cluster-GCN program on [A X | X].
FitReport train(const DatasetView& data, ClusterSampler sampler, const Options& o, std::size_t layers,
                std::uint64_t epochs, std::uint64_t eval_every) {
  ClusterGcnNet<> model{{.in = data.num_features(),
                         .hidden = o.hidden,
                         .out = data.num_classes(),
                         .layers = layers,
                         .dropout = 0.2f,
                         .conv = {.diag_lambda = o.diag_lambda, .precomputed = true}}};
  BufferPool::global().trim();  // blocks that the growing parameters left behind
  Trainer trainer{model, std::move(sampler), ChosenLoss{data.multilabel()}, Adam{.lr = 0.01},
                  PrefetchOptions{}};
  return trainer.fit(data, {.epochs = epochs, .inductive = true, .eval_every = eval_every}, BestOrLast{});
}

bool wanted(const Options& o, const char* name) { return o.only.empty() || o.only == name; }

void write(const Options& o, const char* name, const char* title, const std::vector<Chart>& charts) {
  if (o.plots.empty()) return;
  std::filesystem::create_directories(o.plots);
  write_charts(o.plots + "/" + name + ".svg", title, charts);
}

ClusterDiagnostics diagnose(const Dataset& data, const ClusterSampler& sampler) {
  return diagnose_clusters(sampler, {data.train_graph.view(), data.train_graph.symmetric, {}}, data.labels,
                           data.roles);
}

void run_batches(const Dataset& data, const DatasetView& view, const Options& o, JsonObject& json) {
  std::printf(
      "clusters against random parts, one and several per batch: %zu parts, %zu x %zu, best validation of "
      "%zu "
      "epochs\n  %-12s %3s %8s %8s %9s %9s %7s %7s %7s %9s\n",
      o.parts, o.layers, o.hidden, o.epochs, "parts", "q", "nodes", "entries", "entropy", "kept %", "train",
      "val", "test", "s/epoch");
  Chart curves{"validation metric", "epoch", {}};
  Chart utilisation{"entries inside a batch, batches sorted", "batch", {}};
  for (const Parts kind : kParts) {
    const Partition parts = make_parts(data, o, kind);
    for (const std::size_t q : {std::size_t{1}, o.clusters_per_batch}) {
      ClusterSampler sampler(parts.part, {.clusters_per_batch = q});
      ClusterDiagnostics d = diagnose(data, sampler);
      const FitReport fit =
          train(view, std::move(sampler), o, o.layers, o.epochs, std::max<std::size_t>(1, o.epochs / 40));
      const Evaluation& e = fit.evaluation;
      const std::string name = name_of(kind);
      std::printf("  %-12s %3zu %8.0f %8.0f %9.2f %9.1f %7.2f %7.2f %7.2f %9.4f\n", name.c_str(), q,
                  d.batch_nodes.mean, d.utilisation.mean, d.batch_entropy, 100 * d.kept_fraction,
                  100 * e.train.metric, 100 * e.val.metric, 100 * e.test.metric, fit.seconds_per_epoch());
      std::fflush(stdout);
      const std::string key = name + "_q" + std::to_string(q);
      json.add(key + "_test", e.test.metric).add(key + "_kept", d.kept_fraction);
      Line line{name + ", q = " + std::to_string(q), {}};
      for (const EpochRecord& r : fit.history) {
        if (r.evaluated) line.points.emplace_back(static_cast<double>(r.epoch), r.evaluation.val.metric);
      }
      Line used{line.label, {}};
      std::sort(d.batch_entries.begin(), d.batch_entries.end());
      for (std::size_t b = 0; b < d.batch_entries.size(); ++b) {
        used.points.emplace_back(static_cast<double>(b), d.batch_entries[b]);
      }
      curves.lines.push_back(std::move(line));
      utilisation.lines.push_back(std::move(used));
    }
  }
  write(o, "batches", "Clusters against random parts", {curves});
  write(o, "utilisation", "Embedding utilisation", {utilisation});
}

/// How many parts have which label entropy, as figure 2 of the paper.
void run_entropy(const Dataset& data, const Options& o) {
  if (data.multilabel()) {
    std::printf("\nlabel entropy: defined for one class per node, this data has several\n");
    return;
  }
  constexpr double kBin = 0.25;
  std::array<std::vector<std::size_t>, kParts.size()> count;
  std::size_t bins = 0;
  Chart chart{"parts", "label entropy, bits", {}};
  std::printf("\nlabel entropy of parts\n  %-14s", "bits");
  for (std::size_t k = 0; k < kParts.size(); ++k) {
    const Partition parts = make_parts(data, o, kParts[k]);
    for (const double bits : diagnose(data, ClusterSampler(parts.part)).part_entropies) {
      const auto bin = static_cast<std::size_t>(bits / kBin);
      count[k].resize(std::max(count[k].size(), bin + 1));
      ++count[k][bin];
    }
    bins = std::max(bins, count[k].size());
    chart.lines.push_back({name_of(kParts[k]), {}});
    std::printf(" %10s", name_of(kParts[k]));
  }
  std::printf("\n");
  for (std::size_t b = 0; b < bins; ++b) {
    const double low = kBin * static_cast<double>(b);
    std::printf("  %5.2f to %4.2f ", low, low + kBin);
    for (std::size_t k = 0; k < kParts.size(); ++k) {
      count[k].resize(bins);
      std::printf(" %10zu", count[k][b]);
      // A step per bin.
      chart.lines[k].points.emplace_back(low, static_cast<double>(count[k][b]));
      chart.lines[k].points.emplace_back(low + kBin, static_cast<double>(count[k][b]));
    }
    std::printf("\n");
  }
  write(o, "entropy", "Label entropy of parts", {chart});
}

/// Bytes that one more hidden layer keeps for backward, [A H | H], what is normalised and what comes out, and its
/// weights with gradient, two moments and a copy of the best.
double bytes_per_layer(double nodes, double hidden) {
  return 4 * (nodes * (2 + 1 + 1) * hidden + 5 * 2 * hidden * hidden);
}

void run_depth(const Dataset& data, const DatasetView& view, const Options& o, JsonObject& json) {
  Partition parts = make_parts(data, o, Parts::shares);
  const std::size_t kept = o.batches * o.clusters_per_batch;
  for (PartId& p : parts.part) {
    if (kept > 0 && p != kNoPart && index(p) >= kept) p = kNoPart;
  }
  const auto sampler = [&] {
    return ClusterSampler(parts.part, {.clusters_per_batch = o.clusters_per_batch});
  };
  const SampleSource source{data.train_graph.view(), data.train_graph.symmetric, {}};
  double largest = 0;
  std::size_t batches = 0;
  {
    const ClusterSampler probe = sampler();
    ClusterSampler::Workspace workspace;
    MiniBatch batch;
    batches = probe.num_batches(source);
    for (std::size_t b = 0; b < batches; ++b) {
      probe.sample(source, {Normalization::none, false, 0}, {0, 0, b}, workspace, batch);
      largest = std::max(largest, static_cast<double>(batch.num_nodes()));
    }
  }
  const double need = bytes_per_layer(largest, static_cast<double>(o.hidden)) * 1e-6;
  std::printf(
      "\nmemory and time against depth: %zu hidden, %zu batches of %zu parts, up to %.0f nodes\n"
      "memory is what training holds beyond graph and features; a layer needs %.1f MB\n"
      "  %-7s %10s %14s %10s %12s\n",
      o.hidden, batches, o.clusters_per_batch, largest, need, "layers", "memory MB", "MB per layer",
      "of need", "ms per batch");
  Chart memory{"MB beyond graph and features", "layers", {{"memory", {}}}};
  Chart time{"ms per batch", "layers", {{"time", {}}}};
  double previous = 0;
  std::size_t previous_depth = 0;
  for (const std::size_t layers : o.depths) {
    BufferPool::global().trim();
    const std::size_t before = BufferPool::global().stats().held_bytes;
    const FitReport fit = train(view, sampler(), o, layers, o.common.repeats + 1, 0);
    const double held = static_cast<double>(BufferPool::global().stats().held_bytes - before) * 1e-6;
    double fastest = fit.history.back().seconds;
    for (std::size_t e = 1; e < fit.history.size(); ++e) fastest = std::min(fastest, fit.history[e].seconds);
    const double ms = 1e3 * fastest / static_cast<double>(batches);
    std::printf("  %-7zu %10.1f", layers, held);
    if (previous_depth > 0) {
      const double step = (held - previous) / static_cast<double>(layers - previous_depth);
      std::printf(" %14.1f %9.0f%%", step, 100 * step / need);
    } else {
      std::printf(" %14s %10s", "-", "-");
    }
    std::printf(" %12.2f\n", ms);
    std::fflush(stdout);
    json.add("memory_mb_" + std::to_string(layers), held).add("ms_per_batch_" + std::to_string(layers), ms);
    memory.lines[0].points.emplace_back(static_cast<double>(layers), held);
    time.lines[0].points.emplace_back(static_cast<double>(layers), ms);
    previous = held;
    previous_depth = layers;
  }
  write(o, "depth", "Memory and time against depth", {memory, time});
}

int run(const Options& o) {
  const IsaScope scope(o.common.level());
  return with_threads(o.common.threads, [&] {
    const Dataset data = load(o);
    const NeighborSums sums(data, {.inductive = true});
    const DatasetView view = sums.view(data);
    std::printf(
        "bench_cluster %s   %s   threads %zu   isa %s   commit %s\n%s: %zu nodes, %zu entries, %zu "
        "features\n\n",
        kVersion, cpu_name().c_str(), o.common.threads, std::string(name(o.common.level())).c_str(),
        TESSERA_BENCH_COMMIT, data.name.c_str(), data.num_nodes(), data.graph.num_edges(),
        data.num_features());
    JsonObject json;
    json.add("program", std::string("bench_cluster")).add("commit", std::string(TESSERA_BENCH_COMMIT));
    if (wanted(o, "batches")) run_batches(data, view, o, json);
    if (wanted(o, "entropy")) run_entropy(data, o);
    if (wanted(o, "depth")) run_depth(data, view, o, json);
    if (!o.common.report.empty()) tessera::detail::replace_file(o.common.report, json.text() + "\n");
    return 0;
  });
}

}  // namespace
}  // namespace tessera::bench

int main(int argc, char** argv) {
  tessera::bench::Options o;
  o.common.repeats = 2;
  CLI::App app("The experiments of the Cluster-GCN paper");
  o.common.add_to(app);
  app.add_option("--data", o.data, "Folder in any supported layout; absent: a generated graph");
  app.add_option("--only", o.only, "One experiment")->check(CLI::IsMember({"batches", "entropy", "depth"}));
  app.add_option("--plots", o.plots, "Write SVG pictures into this folder");
  app.add_option("--nodes", o.graph.nodes)->check(CLI::Range(500, 1'000'000'000))->capture_default_str();
  app.add_option("--features", o.graph.features)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--classes", o.graph.classes)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--degree", o.graph.mean_degree)->check(CLI::NonNegativeNumber)->capture_default_str();
  app.add_flag("--contiguous", o.contiguous,
               "Generated ids follow communities, and parts are ranges of them");
  app.add_option("--parts", o.parts)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--clusters-per-batch", o.clusters_per_batch)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--hidden", o.hidden)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--layers", o.layers)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--epochs", o.epochs)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--diag-lambda", o.diag_lambda)->capture_default_str();
  app.add_option("--depths", o.depths, "Layers to compare")->capture_default_str();
  app.add_option("--batches", o.batches, "Train on so many batches of parts only; 0: all")
      ->capture_default_str();
  return tessera::bench::run_program(app, argc, argv, "bench_cluster",
                                     [&] { return tessera::bench::run(o); });
}
