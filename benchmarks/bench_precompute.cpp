// SPDX-License-Identifier: MIT
// Propagation next to the bare products it is made of, in memory and to a file, its memory and parts, and how fast heads
// train on its rows.
//
//   bench_precompute                 1/50 of the nodes
//   bench_precompute --scale 1       Reddit and Amazon2M as large as published (needs about 8 GB, and 14 GB of disk)
#include <CLI/CLI.hpp>
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "support/machine.hpp"
#include "support/main.hpp"
#include "support/report.hpp"
#include "support/timing.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/graph/stand_ins.hpp"
#include "tessera/kernels/spmm.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/mlp_net.hpp"
#include "tessera/nn/nets/sign_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/nn/optim/lbfgs.hpp"
#include "tessera/precompute/hop_data.hpp"
#include "tessera/precompute/label_propagation.hpp"
#include "tessera/precompute/propagate.hpp"
#include "tessera/sampling/row_sampler.hpp"
#include "tessera/train/infer_rows.hpp"
#include "tessera/train/trainer.hpp"

namespace tessera::bench {
namespace {

struct Options {
  CommonOptions common;
  double scale = 0.02;
  double budget_gb = 4;
  std::string only;
  std::string folder = std::filesystem::temp_directory_path().string();
};

Dataset make(StandIn which, const Options& options) {
  CommunityGraphOptions graph = stand_in_options(which, {.scale = options.scale});
  graph.links = std::min(graph.links, graph.nodes * graph.nodes / 200);  // toys cannot be as dense
  return generate_community_graph(graph);
}

double checksum_of(const HopFeatures& hops) {
  std::vector<NodeId> rows;
  for (std::size_t i = 0; i < hops.rows(); i += 997) rows.push_back(static_cast<NodeId>(i));
  Tensor<float> x(rows.size(), hops.cols());
  hops.gather(rows, x.view());
  double sum = 0;
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (const float v : x.row(i)) sum += static_cast<double>(v);
  }
  return sum;
}

/// Anonymous memory of the process; pages of mapped files are not counted.
std::size_t anonymous_bytes() {
  std::ifstream status("/proc/self/status");
  std::string word;
  std::size_t kib = 0;
  while (status >> word) {
    if (word == "RssAnon:") status >> kib;
  }
  return kib * 1024;
}

/// The most anonymous memory of the process beyond what it had at first, looked at every few milliseconds.
class PeakWatch {
 public:
  PeakWatch() : before_(anonymous_bytes()), thread_([this] { watch(); }) {}
  ~PeakWatch() { stop(); }

  std::size_t stop() {
    if (thread_.joinable()) {
      stopped_ = true;
      thread_.join();
    }
    return peak_ > before_ ? peak_ - before_ : 0;
  }

 private:
  void watch() {
    while (!stopped_) {
      peak_ = std::max(peak_, anonymous_bytes());
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }

  std::size_t before_;
  std::size_t peak_ = 0;
  std::atomic<bool> stopped_ = false;
  std::thread thread_;
};

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

double processor_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + 1e-9 * static_cast<double>(now.tv_nsec);
}

Row row_of(const std::string& group, const std::string& name, const Timing& timing, double entries,
           double width, double products, double nodes, const Machine& machine) {
  Row row;
  row.group = group;
  row.name = name;
  row.timing = timing;
  row.flops = products * entries * width;
  row.bytes = products * (entries * 4 + 8 * nodes * width);  // ids once, features in and out once
  row.bound_seconds = std::max(row.bytes / machine.stream_read, 2 * row.flops / machine.peak_flops);
  return row;
}

void run_reddit(const Options& options, const Machine& machine, Report& report) {
  const Dataset data = make(StandIn::reddit_full, options);
  const CsrView<> a = data.graph.view();
  const PropagationOperator gcn(data.graph, {});
  const auto x = std::as_const(data.features).view();
  Tensor<float> y(x.rows(), x.cols());
  Tensor<float> z(x.rows(), x.cols());
  constexpr std::size_t kPanel = 128;  // what bench_spmm multiplies
  Tensor<float> p = Tensor<float>::zeros(x.rows(), kPanel);
  Tensor<float> q = Tensor<float>::zeros(x.rows(), kPanel);
  CsrGraph weighted = data.graph.clone();
  weighted.weight.assign(weighted.num_edges(), 0.5f);
  double checksum = 0;
  const auto run = [&](const PropagateOptions& o) { checksum = checksum_of(propagate(gcn, 2, x, o)); };
  const std::filesystem::path file = std::filesystem::path(options.folder) / "bench_precompute.hops";
  const std::vector<Case> cases{
      {"two products",
       [&] {
         spmm_sum<float, float>(a, x, y);
         spmm_sum<float, float>(a, std::as_const(y).view(), z);
       }},
      {"two weighted products",
       [&] {
         spmm_sum<float, float>(weighted.view(), x, y);
         spmm_sum<float, float>(weighted.view(), std::as_const(y).view(), z);
       }},
      {"two products, 128 columns at a time",
       [&] {
         for (std::size_t first = 0; first < x.cols(); first += kPanel) {
           const std::size_t width = std::min(kPanel, x.cols() - first);
           spmm_sum<float, float>(a, std::as_const(p).view().middle_cols(0, width),
                                  q.view().middle_cols(0, width));
           spmm_sum<float, float>(a, std::as_const(q).view().middle_cols(0, width),
                                  p.view().middle_cols(0, width));
         }
       }},
      {"propagate f32", [&] { run({.emit = Emit::last}); }},
      {"propagate f32, panels of 128", [&] { run({.emit = Emit::last, .panel = kPanel}); }},
      {"propagate f32, one panel", [&] { run({.emit = Emit::last, .panel = x.cols()}); }},
      {"propagate bf16", [&] { run({.emit = Emit::last, .element = ElementType::bf16}); }},
      {"propagate bf16, one panel",
       [&] { run({.emit = Emit::last, .element = ElementType::bf16, .panel = x.cols()}); }},
      {"propagate f32, mapped",
       [&] {
         run({.emit = Emit::last, .file = file});
         std::filesystem::remove(file);
       }},
  };
  const std::string group = "SGC on Reddit's shape";
  report.begin_group(message(group, ": ", data.num_nodes(), " nodes, ", data.graph.num_edges(),
                             " entries, F = ", x.cols(), ", K = 2"),
                     "vs products");
  const std::vector<Timing> timings = time_interleaved(cases, options.common.repeats);
  for (std::size_t c = 0; c < cases.size(); ++c) {
    Row row = row_of(group, cases[c].name, timings[c], static_cast<double>(a.num_edges()),
                     static_cast<double>(x.cols()), 2, static_cast<double>(x.rows()), machine);
    row.ratio = timings[0].median / timings[c].median;
    row.checksum = checksum;
    report.add(row);
  }
  const auto median = [&](std::size_t c) { return timings[c].median; };
  std::printf(
      "      propagation takes %.2f of the products of 128 columns, %.2f of those of whole rows; mapped, "
      "%.2f of "
      "the time in memory\n",
      median(3) / median(2), median(3) / median(0), median(8) / median(3));
  y = Tensor<float>();
  z = Tensor<float>();
  p = Tensor<float>();
  q = Tensor<float>();
  const double prepared = seconds_of([&] { const PropagationOperator again(data.graph, {}); });

  const HopFeatures hops = propagate(gcn, 2, x, {.emit = Emit::last});
  std::vector<NodeId> train;
  std::vector<std::int32_t> classes;
  for (std::size_t i = 0; i < data.num_nodes(); ++i) {
    if (data.roles[i] != Role::train) continue;
    train.push_back(static_cast<NodeId>(i));
    classes.push_back(data.labels.classes[i]);
  }
  const HopData rows_only(data, hops);
  double rows_s = 0, predict_s = 0;
  const auto fit = [&] {
    const double start = seconds_now();
    Tensor<float> rows(train.size(), hops.cols());
    hops.gather(train, rows.view());
    rows_s = seconds_now() - start;
    const std::vector<EdgeId> row_ptr(train.size() + 1, 0);
    Adjacency none;
    none.forward = {train.size(), train.size(), row_ptr, {}, {}};
    MlpNet<> model({.in = hops.cols(), .out = data.num_classes(), .layers = 1, .dropout = 0});
    const Lbfgs lbfgs;
    auto state = lbfgs.start(model.parameters());
    Tape<float> tape;
    for (int step = 0; step < 40; ++step) {
      tape.rewind();
      model.parameters().zero_grads();
      const Var logits = std::as_const(model).forward(tape, AdjacencyStack(std::span(&none, 1)),
                                                      tape.input(std::as_const(rows).view()), Pass{});
      const Var loss = CrossEntropy{}(tape, logits, {classes, {}, {}});
      checksum = static_cast<double>(tape.value(loss)(0, 0));
      tape.backward(loss);
      lbfgs.step(state, model.parameters(), 1.0);
    }
    const double trained = seconds_now();
    const Tensor<float> logits = infer_rows(model, rows_only.graph.view(), rows_only);
    checksum += static_cast<double>(logits(0, 0));
    predict_s = seconds_now() - trained;
  };
  Row row;
  row.group = group;
  row.name = "rows, 40 steps of L-BFGS, all logits";
  row.timing = time_interleaved({{row.name, fit}}, options.common.repeats).front();
  row.flops = 40.0 * 4 * static_cast<double>(train.size() * hops.cols() * data.num_classes());
  row.bytes = 40.0 * 8 * static_cast<double>(train.size() * hops.cols());
  row.bound_seconds = std::max(row.flops / machine.peak_flops, row.bytes / machine.stream_read);
  row.checksum = checksum;
  report.add(row);
  std::printf(
      "      whole job %.2f s: operator %.2f, propagation %.2f, training rows %.2f, L-BFGS %.2f, all logits "
      "%.2f\n\n",
      prepared + median(3) + row.timing.median, prepared, median(3), rows_s,
      row.timing.median - rows_s - predict_s, predict_s);
}

void run_amazon(const Options& options, const Machine& machine, Report& report) {
  const Dataset data = make(StandIn::amazon2m, options);
  const CsrView<> a = data.graph.view();
  const auto x = std::as_const(data.features).view();
  const std::filesystem::path file = std::filesystem::path(options.folder) / "bench_precompute.hops";
  const auto budget = static_cast<std::size_t>(options.budget_gb * 1e9);
  struct Job {
    std::string name;
    ElementType element;
    bool mapped;
    std::vector<double> seconds{};
    double products = 0, keys = 0, hops = 0, rest = 0;  ///< of the last round
    std::size_t peak = 0;
    double checksum = 0;
  };
  std::vector<Job> jobs{{"memory bf16", ElementType::bf16, false},
                        {"mapped bf16", ElementType::bf16, true},
                        {"mapped f32", ElementType::f32, true}};
  const auto run = [&](Job& job) {
    BufferPool::global().trim();
    PropagateOptions o;
    o.element = job.element;
    o.memory_budget = budget;
    if (job.mapped) o.file = file;
    PeakWatch watch;
    const double start = seconds_now();
    double last_hop = start;
    o.progress = [&](const PropagateProgress&) { last_hop = seconds_now(); };
    const PropagationOperator gcn(data.graph, {}), row_op(data.graph, {.kind = OperatorKind::row});
    const std::vector<PropagationFamily> families{{&gcn, 3}, {&row_op, 3}};
    const HopFeatures hops = propagate(families, x, o);
    const double end = seconds_now();
    job.peak = std::max(job.peak, watch.stop());
    job.seconds.push_back(end - start);
    job.checksum = checksum_of(hops);
    job.rest = end - last_hop;
    if (job.mapped) {  // the same call again hashes its inputs and opens the file
      job.keys = seconds_of([&] { const HopFeatures again = propagate(families, x, o); });
      std::filesystem::remove(file);
    }
    job.hops = job.seconds.back() - job.rest - job.keys;
  };
  const std::string group = "SIGN on Amazon2M's shape";
  report.begin_group(message(group, ": ", data.num_nodes(), " nodes, ", a.num_edges(),
                             " entries, F = ", x.cols(), ", 3 hops of 2 operators"),
                     "vs products");
  const auto products = [&] {
    Tensor<float> y(x.rows(), x.cols()), z(x.rows(), x.cols());
    for (int family = 0; family < 2; ++family) {
      spmm_sum<float, float>(a, x, y);
      spmm_sum<float, float>(a, std::as_const(y).view(), z);
      spmm_sum<float, float>(a, std::as_const(z).view(), y);
    }
  };
  std::vector<double> bare;
  for (std::size_t r = 0; r < std::max<std::size_t>(1, options.common.repeats / 3); ++r) {
    for (Job& job : jobs) {  // in turns, none beside the memory of another
      bare.push_back(seconds_of(products));
      run(job);
    }
  }
  const auto row_for = [&](const std::string& name, const std::vector<double>& seconds) {
    return row_of(group, name, summarize(seconds), static_cast<double>(a.num_edges()),
                  static_cast<double>(x.cols()), 6, static_cast<double>(x.rows()), machine);
  };
  Row first = row_for("six products f32", bare);
  first.ratio = 1;
  report.add(first);
  for (const Job& job : jobs) {
    Row row = row_for(job.name, job.seconds);
    row.ratio = first.timing.median / row.timing.median;
    row.checksum = job.checksum;
    report.add(row);
    std::printf("      %.2f GB beside graph and features, of %.2f allowed; ",
                static_cast<double>(job.peak) * 1e-9, options.budget_gb);
    if (job.mapped) {
      std::printf("inputs hashed in %.2f s, hops %.2f, rows put together and on disk %.2f\n", job.keys,
                  job.hops, job.rest);
    } else {
      std::printf("no file\n");
    }
    report.note(job.name + " peak bytes", job.peak);
  }
  const Array<NodeId> train = data.nodes(Role::train);
  double checksum = 0;
  const auto spread = [&] {
    const PropagationOperator op(data.graph, {.kind = OperatorKind::symmetric});
    const Tensor<float> scores = label_propagation(op, data.labels.classes, train, data.num_classes());
    checksum = static_cast<double>(scores(0, 0));
  };
  Row row = row_of(group, "label propagation, 50 steps", summarize({seconds_of(spread)}),
                   static_cast<double>(a.num_edges()), static_cast<double>(data.num_classes()), 50,
                   static_cast<double>(x.rows()), machine);
  row.checksum = checksum;
  report.add(row);
  std::printf("\n");
}

/// Notes the processor time of every epoch but the first.
struct ProcessorTime {
  double last = 0;
  std::vector<double> epochs{};

  template <class Run>
  void on_fit_begin(Run&) {
    last = processor_seconds();
  }
  template <class Run>
  void on_epoch_end(Run&) {
    const double now = processor_seconds();
    epochs.push_back(now - std::exchange(last, now));
  }
};

/// Rows per second of one epoch of mini-batches through a hidden layer of 256.
void run_heads(const Options& options, const Machine& machine, Report& report) {
  report.begin_group("heads: one hidden layer of 256, ReLU, dropout 0.5, Adam", "");
  struct Shape {
    std::size_t features, blocks, classes, batch;
  };
  for (const Shape shape : {Shape{16, 1, 16, 1024}, Shape{16, 1, 16, 8192}, Shape{100, 1, 47, 1024},
                            Shape{100, 1, 47, 8192}, Shape{100, 7, 47, 1024}, Shape{100, 7, 47, 8192}}) {
    const auto rows = std::max<std::size_t>(32'768, static_cast<std::size_t>(options.scale * 1'000'000));
    Tensor<float> x(rows, shape.features * shape.blocks);
    Labels labels;
    labels.num_classes = shape.classes;
    for (std::size_t i = 0; i < rows; ++i) {
      CounterRng rng(make_key(1, 0, Purpose::generate), 0, i);
      for (float& v : x.row(i)) v = static_cast<float>(rng.next32()) * 0x1p-31f - 1.0f;
      labels.classes.push_back(static_cast<std::int32_t>(rng.below(shape.classes)));
    }
    const Array<Role> roles(rows, Role::train);
    const Array<EdgeId> row_ptr(rows + 1, EdgeId{0});
    DatasetView view;
    view.graph = {{rows, rows, row_ptr, {}, {}}, true};
    view.features = std::as_const(x).view();
    view.labels = {labels.classes, {}, shape.classes};
    view.roles = roles;
    SignNet<> model(
        {.features = shape.features, .blocks = shape.blocks, .hidden = 256, .out = shape.classes});
    Trainer trainer{model, RowSampler({.batch_size = shape.batch}), CrossEntropy{}, Adam{.lr = 1e-3}};
    ProcessorTime processor;
    const FitReport fit =
        trainer.fit(view, {.epochs = options.common.repeats + 1, .eval_every = 0}, processor);
    std::vector<double> seconds;
    Profile parts;
    for (std::size_t e = 1; e < fit.history.size(); ++e) {
      seconds.push_back(fit.history[e].seconds);
      parts += fit.history[e].profile;
    }
    processor.epochs.erase(processor.epochs.begin());
    const double core_seconds = summarize(std::move(processor.epochs)).median;
    Row row;
    row.group = "heads";
    row.name =
        message(shape.blocks, " x ", shape.features, " -> 256 -> ", shape.classes, ", batch ", shape.batch);
    row.timing = summarize(std::move(seconds));
    const double in = static_cast<double>(shape.features * shape.blocks);
    const double wide = 256.0 * static_cast<double>(shape.blocks);
    // Forward and the weights' gradient of the first map, both and the input's of the second.
    row.flops = static_cast<double>(rows) * (4 * in * 256 + 6 * wide * static_cast<double>(shape.classes));
    row.bytes = static_cast<double>(rows) * 4 * (3 * in + 6 * wide);
    row.bound_seconds = row.flops / machine.peak_flops;
    row.checksum = fit.history.back().train_loss;
    report.add(row);
    const double millions = static_cast<double>(rows) * 1e-6;
    const auto threads = static_cast<double>(options.common.threads);
    std::printf("      %.3f M rows/s, %.3f per core by processor time; the arithmetic allows %.3f per core\n",
                millions / row.timing.median, millions / core_seconds,
                millions / row.bound_seconds / threads);
    const double all = parts.total();
    std::printf(
        "      forward %.0f%%, backward %.0f%%, optimiser %.0f%%, order and rows of the batch %.0f%%\n",
        100 * parts.forward / all, 100 * parts.backward / all, 100 * parts.optimizer / all,
        100 * (parts.wait + parts.gather + parts.other) / all);
  }
  std::printf("\n");
}

int run(const Options& options) {
  const IsaScope scope(options.common.level());
  return with_threads(options.common.threads, [&] {
    double sink = 0;
    const auto bytes = static_cast<std::size_t>(std::clamp(options.scale, 0.05, 1.0) * 1e9);
    const Machine machine = measure_machine(512, bytes, sink);
    Report report("bench_precompute", options.common, machine);
    report.note("scale", options.scale);
    const auto wanted = [&](const char* name) { return options.only.empty() || options.only == name; };
    if (wanted("reddit")) run_reddit(options, machine, report);
    if (wanted("amazon2m")) run_amazon(options, machine, report);
    if (wanted("heads")) run_heads(options, machine, report);
    report.finish();
    return 0;
  });
}

}  // namespace
}  // namespace tessera::bench

int main(int argc, char** argv) {
  tessera::bench::Options options;
  CLI::App app("Propagation of features next to the products it is made of, and training on its rows");
  options.common.add_to(app);
  app.add_option("--scale", options.scale, "Size of the graphs, 1 = as published")
      ->check(CLI::Range(1e-6, 1.0))
      ->capture_default_str();
  app.add_option("--budget", options.budget_gb, "Memory for SIGN beside graph and features, GB")
      ->capture_default_str();
  app.add_option("--only", options.only, "One part")->check(CLI::IsMember({"reddit", "amazon2m", "heads"}));
  app.add_option("--folder", options.folder, "Where the mapped file goes")->capture_default_str();
  return tessera::bench::run_program(app, argc, argv, "bench_precompute",
                                     [&] { return tessera::bench::run(options); });
}
