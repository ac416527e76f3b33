// SPDX-License-Identifier: MIT
// Memory, time and accuracy against depth for the ways to train a graph convolutional network on a graph: all of it at
// once, sampled neighbours, sampled neighbours with control variates (VR-GCN), clusters (Cluster-GCN), and parts with
// histories (GNNAutoScale); then inference inside a budget.
//
//     bench_memory                                             a hundredth of the Amazon2M shape
//     bench_memory --scale 1 --batches 5 --spill /scratch      the whole of it
//     bench_memory --scale 1 --inference --spill /scratch      inference alone
//
// Memory is what training holds beyond graph and features, histories included; peak is how far the process grew meanwhile,
// by what the system says. Where --batches cuts epochs short, their time is that of all batches at the pace of the first
// ones. Where the whole graph in one batch does not fit the machine's memory, its figures are ten times those of a tenth of
// the graph. Accuracy is of another training, of as many steps for every method, on a small graph of the same law.
#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "support/json.hpp"
#include "support/main.hpp"
#include "support/process_memory.hpp"
#include "support/report.hpp"
#include "tessera/core/buffer_pool.hpp"
#include "tessera/graph/stand_ins.hpp"
#include "tessera/history/history_model.hpp"
#include "tessera/history/refresh.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/partition/contiguous_partitioner.hpp"
#include "tessera/sampling/any_sampler.hpp"
#include "tessera/sampling/cluster_sampler.hpp"
#include "tessera/sampling/control_variate_sampler.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/sampling/halo_sampler.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"
#include "tessera/sampling/prefetch_loader.hpp"
#include "tessera/train/detail/replace_file.hpp"
#include "tessera/train/trainer.hpp"

namespace tessera::bench {
namespace {

struct Options {
  CommonOptions common;
  double scale = 0.01, metric_scale = 0.005;
  std::size_t hidden = 256, parts = 0, clusters_per_batch = 10, batch_size = 1024, batches = 0,
              metric_steps = 200;
  std::vector<std::size_t> depths{2, 3, 4};
  std::vector<std::string> methods{"full", "neighbors", "vrgcn", "cluster", "gas"};
  double budget_gib = 2;
  bool training_only = false, inference_only = false;
  std::string spill = std::filesystem::temp_directory_path() / "tessera-bench";
  std::string format = "bf16";
};

double seconds_since(std::chrono::steady_clock::time_point began) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - began).count();
}

/// The first batches of a sampler's epochs.
template <Sampler S>
struct FirstBatches {
  using Workspace = typename S::Workspace;
  S inner;
  std::size_t most;

  std::size_t num_batches(const SampleSource& source) const {
    return std::min(most, inner.num_batches(source));
  }
  bool same_every_epoch() const { return tessera::same_every_epoch(inner); }
  void sample(const SampleSource& source, const AggregationSpec& spec, BatchKey key, Workspace& workspace,
              MiniBatch& batch) const {
    inner.sample(source, spec, key, workspace, batch);
  }
};

struct Case {
  AnyModel<> model;
  AnySampler sampler;
  double whole_epoch = 1;  ///< batches of an epoch / batches of a measured one
  HistoryStore<float>* store = nullptr;
};

template <Sampler S>
AnySampler first_batches(S sampler, const SampleSource& source, const Options& o, double& whole_epoch) {
  const std::size_t all = sampler.num_batches(source);
  if (o.batches == 0 || all <= o.batches) return sampler;
  whole_epoch = static_cast<double>(all) / static_cast<double>(o.batches);
  return FirstBatches<S>{std::move(sampler), o.batches};
}

Case make_case(const std::string& method, std::size_t depth, const Dataset& data,
               std::span<const PartId> parts, std::span<const NodeId> targets, const Options& o) {
  GcnNet<> net({.in = data.num_features(),
                .hidden = o.hidden,
                .out = data.num_classes(),
                .layers = depth,
                .dropout = 0.2f,
                .input_dropout = false});
  const SampleSource source{data.graph.view(), data.graph.symmetric, targets};
  double whole = 1;
  const TargetBatches batches{.batch_size = o.batch_size};
  if (method == "full") return {std::move(net), FullGraphSampler{}};
  if (method == "neighbors") {
    std::vector<int> fanouts(depth, 10);
    fanouts.front() = 15;
    AnySampler sampler =
        first_batches(NeighborSampler({.fanouts = fanouts, .batches = batches}), source, o, whole);
    return {std::move(net), std::move(sampler), whole};
  }
  if (method == "cluster") {
    AnySampler sampler =
        first_batches(ClusterSampler(parts, {.clusters_per_batch = o.clusters_per_batch}), source, o, whole);
    return {std::move(net), std::move(sampler), whole};
  }
  HistoryModel<GcnNet<>> model(std::move(net), data.num_nodes(),
                               {.store = {.format = history_format(o.format)}});
  HistoryStore<float>* const store = &model.store();
  AnySampler sampler =
      method == "gas"
          ? first_batches(HaloSampler(parts, {.clusters_per_batch = o.clusters_per_batch}), source, o, whole)
          : first_batches(ControlVariateSampler({.layers = depth, .fanout = 2, .batches = batches}), source,
                          o, whole);
  return {std::move(model), std::move(sampler), whole, store};
}

/// A graph, what of it is trained, and its parts.
struct Subject {
  Dataset data;
  Partition parts;
  Array<NodeId> targets;

  Subject(double scale, const Options& o)
      : data(generate_stand_in(StandIn::amazon2m, {.scale = scale, .shuffle_nodes = false})),
        parts(ContiguousPartitioner{}.partition(data.graph.view(), {.parts = count(data.num_nodes(), o)})),
        targets(data.nodes(Role::train)) {}
  static std::size_t count(std::size_t nodes, const Options& o) {
    return o.parts > 0 ? o.parts : std::max<std::size_t>(20, nodes / 163);
  }
  Case make_case(const std::string& method, std::size_t depth, const Options& o) const {
    return bench::make_case(method, depth, data, parts.part, targets, o);
  }
};

/// RefreshHistory where the model has one.
struct RefreshIfKept {
  std::optional<RefreshHistory> hook;
  explicit RefreshIfKept(bool keeps) {
    if (keeps) hook.emplace();
  }
  template <class Run>
  void on_fit_begin(Run& run) {
    if (hook) hook->on_fit_begin(run);
  }
  template <class Run>
  void on_epoch_end(Run& run) {
    if (hook) hook->on_epoch_end(run);
  }
};

FitReport train(Case& c, const Dataset& data, std::size_t epochs, bool refresh) {
  Trainer trainer{c.model, std::move(c.sampler), CrossEntropy{}, Adam{.lr = 0.005}, PrefetchOptions{}};
  return trainer.fit(data, {.epochs = epochs, .eval_every = 0}, RefreshIfKept{refresh});
}

/// Bytes and seconds of one method at one depth.
struct Cost {
  double held = 0, peak = 0, tables = 0, seconds = 0;
  double moving = -1;       ///< share of the time that steps waited for rows of a history
  bool by_a_tenth = false;  ///< ten times what a tenth of the graph took
};

Cost measure(const Subject& subject, const std::string& method, std::size_t depth, const Options& o) {
  BufferPool::global().trim();
  const std::size_t before = BufferPool::global().stats().held_bytes;
  const Growth growth;
  Case c = subject.make_case(method, depth, o);
  const FitReport fit = train(c, subject.data, std::max<std::size_t>(2, o.common.repeats), false);
  Cost cost{.held = static_cast<double>(BufferPool::global().stats().held_bytes - before),
            .peak = growth.bytes()};
  double all = 0;
  cost.seconds = fit.history.back().seconds;  // the first epoch takes its memory from the system
  for (const EpochRecord& r : fit.history) all += r.seconds;
  for (std::size_t e = 1; e < fit.history.size(); ++e)
    cost.seconds = std::min(cost.seconds, fit.history[e].seconds);
  cost.seconds *= c.whole_epoch;
  if (c.store == nullptr) return cost;
  cost.tables = static_cast<double>(c.store->bytes());
  cost.moving = c.store->times().wait / all;
  return cost;
}

/// The whole graph in one batch, where the machine has the memory; else by a tenth of the graph.
Cost measure_full(const Subject& subject, std::size_t depth, const Options& o,
                  std::optional<Subject>& tenth) {
  if (subject.data.num_nodes() < 500'000) return measure(subject, "full", depth, o);
  if (!tenth) tenth.emplace(o.scale / 10, o);
  Cost small = measure(*tenth, "full", depth, o);
  BufferPool::global().trim();
  if (10 * small.held < 0.8 * system_bytes("/proc/meminfo", "MemAvailable:")) {
    return measure(subject, "full", depth, o);
  }
  return {
      .held = 10 * small.held, .peak = 10 * small.peak, .seconds = 10 * small.seconds, .by_a_tenth = true};
}

/// Test accuracy of a training of so many steps on a small graph, the history exact before every epoch.
double accuracy_of(const Subject& subject, const std::string& method, std::size_t depth, Options o) {
  o.batches = 0;
  Case c = subject.make_case(method, depth, o);
  const std::size_t batches = c.sampler.num_batches(
      {subject.data.graph.view(), subject.data.graph.symmetric, subject.targets.span()});
  train(c, subject.data, (o.metric_steps + batches - 1) / batches, c.store != nullptr);
  return evaluate(c.model, subject.data, CrossEntropy{}).test.metric;
}

void print_bound(double inputs, const Cost& cost, JsonObject& json) {
  const double allowed = inputs + cost.tables + 1e9, held = inputs + cost.held;
  std::printf("             inputs %.0f MB + histories %.0f MB + 1 GB = %.0f MB allowed, %.0f MB held: %s\n",
              1e-6 * inputs, 1e-6 * cost.tables, 1e-6 * allowed, 1e-6 * held,
              held <= allowed ? "inside" : "OUTSIDE");
  json.add("gas_bound_mb", 1e-6 * allowed).add("gas_held_mb", 1e-6 * held);
}

void run_depths(const Subject& subject, const Options& o, JsonObject& json) {
  std::printf("\nbeyond graph and features, against depth: %zu hidden, %zu parts, %zu a batch, %s history\n",
              o.hidden, Subject::count(subject.data.num_nodes(), o), o.clusters_per_batch, o.format.c_str());
  if (o.batches > 0)
    std::printf("an epoch's time is that of all its batches at the pace of its first %zu\n", o.batches);
  BufferPool::global().trim();
  const double inputs = static_cast<double>(BufferPool::global().stats().held_bytes);
  std::optional<Subject> small, tenth;
  if (o.metric_steps > 0) {
    small.emplace(o.metric_scale, o);
    std::printf("accuracy after %zu steps on %zu nodes\n", o.metric_steps, small->data.num_nodes());
  }
  std::printf("  %-10s %6s %11s %11s %11s %11s %13s %10s\n", "method", "layers", "memory MB", "peak MB",
              "history MB", "s per epoch", "moving rows %", "accuracy");
  for (const std::string& method : o.methods) {
    for (const std::size_t depth : o.depths) {
      if (method != "full") tenth.reset();
      const Cost cost =
          method == "full" ? measure_full(subject, depth, o, tenth) : measure(subject, method, depth, o);
      std::printf("  %-10s %6zu %11.1f %11.1f %11.1f %11.3f", method.c_str(), depth, 1e-6 * cost.held,
                  1e-6 * cost.peak, 1e-6 * cost.tables, cost.seconds);
      const std::string key = method + "_" + std::to_string(depth);
      json.add("memory_mb_" + key, 1e-6 * cost.held).add("peak_mb_" + key, 1e-6 * cost.peak);
      json.add("seconds_per_epoch_" + key, cost.seconds);
      if (cost.moving >= 0) {
        std::printf(" %13.1f", 100 * cost.moving);
        json.add("history_mb_" + key, 1e-6 * cost.tables).add("moving_percent_" + key, 100 * cost.moving);
      } else {
        std::printf(" %13s", "-");
      }
      if (small) {
        const double accuracy = accuracy_of(*small, method, depth, o);
        std::printf(" %10.2f", 100 * accuracy);
        json.add("accuracy_" + key, accuracy);
      }
      std::printf("%s\n", cost.by_a_tenth ? "   ten times a tenth of the graph" : "");
      if (cost.by_a_tenth) json.add("by_a_tenth_" + key, 1);
      if (method == "gas" && depth == 3) print_bound(inputs, cost, json);
      std::fflush(stdout);
    }
  }
}

void run_inference(const Dataset& data, const Options& o, JsonObject& json) {
  const GcnNet<> net({.in = data.num_features(), .hidden = o.hidden, .out = data.num_classes(), .layers = 3});
  const PreparedAdjacency prepared = prepare_adjacency(data.graph, net.aggregation());
  const auto timed = [&](const InferOptions& options, Tensor<float>& logits) {
    double best = 1e300;
    for (std::size_t r = 0; r < std::max<std::size_t>(1, o.common.repeats); ++r) {
      logits = {};
      BufferPool::global().trim();  // what an earlier round gave back is not this one's
      const auto began = std::chrono::steady_clock::now();
      logits = infer(net, prepared.adjacency(), data.features.view(), options);
      best = std::min(best, seconds_since(began));
    }
    return best;
  };
  const auto budget = static_cast<std::size_t>(o.budget_gib * 1073741824.0 * std::min(1.0, o.scale));
  Tensor<float> whole, spilled;
  BufferPool::global().trim();
  Growth growth;
  const double free_seconds = timed({}, whole);
  const double free_mb = 1e-6 * growth.bytes();
  BufferPool::global().trim();
  growth = {};
  const double spilled_seconds =
      timed({.memory_budget = std::max<std::size_t>(budget, 1 << 20), .spill = o.spill}, spilled);
  const double spilled_mb = 1e-6 * growth.bytes();
  bool same = whole.rows() == spilled.rows();
  for (std::size_t i = 0; same && i < whole.rows(); ++i) {
    same = std::equal(whole.row(i).begin(), whole.row(i).end(), spilled.row(i).begin());
  }
  std::printf(
      "\ninference of 3 layers: %.2f s, peak %.0f MB, without a budget; %.2f s, peak %.0f MB, inside %.0f "
      "MB: "
      "%.2f of the speed, %s\n",
      free_seconds, free_mb, spilled_seconds, spilled_mb, static_cast<double>(budget) * 1e-6,
      free_seconds / spilled_seconds, same ? "same bits" : "OTHER BITS");
  json.add("infer_seconds", free_seconds).add("infer_budget_seconds", spilled_seconds);
  json.add("infer_peak_mb", free_mb).add("infer_budget_peak_mb", spilled_mb);
}

int run(const Options& o) {
  const IsaScope scope(o.common.level());
  return with_threads(o.common.threads, [&] {
    const Subject subject(o.scale, o);
    const Dataset& data = subject.data;
    std::printf(
        "bench_memory %s   %s   threads %zu   isa %s   commit %s\n%s: %zu nodes, %zu entries, %zu features\n",
        kVersion, cpu_name().c_str(), o.common.threads, std::string(name(o.common.level())).c_str(),
        TESSERA_BENCH_COMMIT, data.name.c_str(), data.num_nodes(), data.graph.num_edges(),
        data.num_features());
    JsonObject json;
    json.add("program", std::string("bench_memory")).add("commit", std::string(TESSERA_BENCH_COMMIT));
    if (!o.inference_only) run_depths(subject, o, json);
    if (!o.training_only) run_inference(data, o, json);
    if (!o.common.report.empty()) tessera::detail::replace_file(o.common.report, json.text() + "\n");
    return 0;
  });
}

}  // namespace
}  // namespace tessera::bench

int main(int argc, char** argv) {
  tessera::bench::Options o;
  o.common.repeats = 2;
  CLI::App app("Memory and time of the ways to train, against depth");
  o.common.add_to(app);
  app.add_option("--scale", o.scale, "Share of the Amazon2M shape")
      ->check(CLI::Range(1e-4, 1.0))
      ->capture_default_str();
  app.add_option("--depths", o.depths)->capture_default_str();
  app.add_option("--methods", o.methods)
      ->check(CLI::IsMember({"full", "neighbors", "vrgcn", "cluster", "gas"}))
      ->capture_default_str();
  app.add_option("--hidden", o.hidden)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--parts", o.parts, "Parts of the partition; 0: of 163 nodes, as 15,000 of Amazon2M")
      ->capture_default_str();
  app.add_option("--clusters-per-batch", o.clusters_per_batch)
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--batch-size", o.batch_size)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--batches", o.batches, "Measure so many batches an epoch; 0: all")->capture_default_str();
  app.add_option("--metric-steps", o.metric_steps, "Steps of the training for the accuracy; 0: none")
      ->capture_default_str();
  app.add_option("--metric-scale", o.metric_scale, "Share of the Amazon2M shape it takes place on")
      ->check(CLI::Range(2e-3, 1.0))
      ->capture_default_str();
  app.add_option("--history-format", o.format)
      ->check(CLI::IsMember(tessera::kHistoryFormats))
      ->capture_default_str();
  app.add_option("--budget", o.budget_gib, "GiB of inference at scale 1, less in proportion below")
      ->capture_default_str();
  CLI::Option* const training = app.add_flag("--training", o.training_only, "Training alone");
  app.add_flag("--inference", o.inference_only, "Inference inside the budget alone")->excludes(training);
  app.add_option("--spill", o.spill, "Folder inference spills to")->capture_default_str();
  return tessera::bench::run_program(app, argc, argv, "bench_memory", [&] { return tessera::bench::run(o); });
}
