// SPDX-License-Identifier: MIT
// Propagation next to the bare products it is made of, its memory, and how fast heads train on its rows.
//
//   bench_precompute                 1/50 of the nodes
//   bench_precompute --scale 1       Reddit and Amazon2M as large as published (needs about 8 GB, and 14 GB of disk)
#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
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
#include "tessera/precompute/label_propagation.hpp"
#include "tessera/precompute/propagate.hpp"
#include "tessera/sampling/row_sampler.hpp"
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
  y = Tensor<float>();
  z = Tensor<float>();
  p = Tensor<float>();
  q = Tensor<float>();

  const HopFeatures hops = propagate(gcn, 2, x, {.emit = Emit::last});
  std::vector<NodeId> train;
  std::vector<std::int32_t> classes;
  for (std::size_t i = 0; i < data.num_nodes(); ++i) {
    if (data.roles[i] != Role::train) continue;
    train.push_back(static_cast<NodeId>(i));
    classes.push_back(data.labels.classes[i]);
  }
  const auto fit = [&] {
    Tensor<float> rows(train.size(), hops.cols());
    hops.gather(train, rows.view());
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
  };
  Row row;
  row.group = group;
  row.name = "40 steps of L-BFGS";
  row.timing = time_interleaved({{row.name, fit}}, options.common.repeats).front();
  row.flops = 40.0 * 4 * static_cast<double>(train.size() * hops.cols() * data.num_classes());
  row.bytes = 40.0 * 8 * static_cast<double>(train.size() * hops.cols());
  row.bound_seconds = std::max(row.flops / machine.peak_flops, row.bytes / machine.stream_read);
  row.checksum = checksum;
  report.add(row);
  std::printf("\n");
}

void run_amazon(const Options& options, const Machine& machine, Report& report) {
  const Dataset data = make(StandIn::amazon2m, options);
  const CsrView<> a = data.graph.view();
  const auto x = std::as_const(data.features).view();
  const PropagationOperator gcn(data.graph, {}), row_op(data.graph, {.kind = OperatorKind::row});
  const std::vector<PropagationFamily> families{{&gcn, 3}, {&row_op, 3}};
  const std::filesystem::path file = std::filesystem::path(options.folder) / "bench_precompute.hops";
  const auto budget = static_cast<std::size_t>(options.budget_gb * 1e9);
  double checksum = 0;
  std::size_t peak = 0;
  const auto run = [&](ElementType element, bool mapped) {
    PropagateOptions o;
    o.element = element;
    if (mapped) {
      o.file = file;
      o.memory_budget = budget;
      BufferPool::global().trim();
    }
    const std::size_t before = anonymous_bytes();
    o.progress = [&](const PropagateProgress&) { peak = std::max(peak, anonymous_bytes() - before); };
    checksum = checksum_of(propagate(families, x, o));
    if (mapped) std::filesystem::remove(file);
  };
  const std::string group = "SIGN on Amazon2M's shape";
  report.begin_group(message(group, ": ", data.num_nodes(), " nodes, ", a.num_edges(),
                             " entries, F = ", x.cols(), ", 3 hops of 2 operators"),
                     "vs products");
  std::vector<Case> cases;
  cases.push_back({"six products", [&] {
                     Tensor<float> y(x.rows(), x.cols()), z(x.rows(), x.cols());
                     for (int family = 0; family < 2; ++family) {
                       spmm_sum<float, float>(a, x, y);
                       spmm_sum<float, float>(a, std::as_const(y).view(), z);
                       spmm_sum<float, float>(a, std::as_const(z).view(), y);
                     }
                   }});
  cases.push_back({"mapped f32", [&] { run(ElementType::f32, true); }});
  cases.push_back({"mapped bf16", [&] { run(ElementType::bf16, true); }});
  cases.push_back({"memory bf16", [&] { run(ElementType::bf16, false); }});
  for (std::size_t c = 0; c < cases.size(); ++c) {  // not in turns: each wants the memory to itself
    peak = 0;
    BufferPool::global().trim();
    std::vector<double> seconds;
    for (std::size_t r = 0; r < std::max<std::size_t>(1, options.common.repeats / 3); ++r) {
      seconds.push_back(seconds_of(cases[c].run));
    }
    Row row = row_of(group, cases[c].name, summarize(seconds), static_cast<double>(a.num_edges()),
                     static_cast<double>(x.cols()), 6, static_cast<double>(x.rows()), machine);
    static double products = 0;
    if (c == 0) products = row.timing.median;
    row.ratio = products / row.timing.median;
    row.checksum = checksum;
    report.add(row);
    if (c == 1 || c == 2) {
      std::printf("      anonymous memory beside graph, features and operators: %.2f GB of %.2f allowed\n",
                  static_cast<double>(peak) * 1e-9, options.budget_gb);
      report.note(cases[c].name + " peak bytes", peak);
    }
  }
  const Array<NodeId> train = data.nodes(Role::train);
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

/// Rows per second of one epoch of mini-batches through a hidden layer of 256.
void run_heads(const Options& options, const Machine& machine, Report& report) {
  report.begin_group("heads: one hidden layer of 256, batches of 8192, Adam", "");
  struct Shape {
    std::size_t features, blocks, classes;
  };
  for (const Shape shape : {Shape{16, 1, 16}, Shape{100, 1, 47}, Shape{100, 7, 47}}) {
    const auto rows = std::max<std::size_t>(20'000, static_cast<std::size_t>(options.scale * 1'000'000));
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
    Trainer trainer{model, RowSampler({.batch_size = 8192}), CrossEntropy{}, Adam{.lr = 1e-3}};
    const FitReport fit = trainer.fit(view, {.epochs = options.common.repeats + 1, .eval_every = 0});
    std::vector<double> seconds;
    for (std::size_t e = 1; e < fit.history.size(); ++e) seconds.push_back(fit.history[e].seconds);
    Row row;
    row.group = "heads";
    row.name = message(shape.blocks, " x ", shape.features, " -> 256 -> ", shape.classes);
    row.timing = summarize(std::move(seconds));
    const double in = static_cast<double>(shape.features * shape.blocks);
    const double wide = 256.0 * static_cast<double>(shape.blocks);
    // Forward and the weights' gradient of the first map, both and the input's of the second.
    row.flops = static_cast<double>(rows) * (4 * in * 256 + 6 * wide * static_cast<double>(shape.classes));
    row.bytes = static_cast<double>(rows) * 4 * (3 * in + 6 * wide);
    row.bound_seconds = row.flops / machine.peak_flops;
    row.checksum = fit.history.back().train_loss;
    report.add(row);
    std::printf(
        "      %.3f M rows/s, %.3f M rows/s per thread; the arithmetic allows %.3f M per thread\n",
        static_cast<double>(rows) / row.timing.median * 1e-6,
        static_cast<double>(rows) / row.timing.median * 1e-6 / static_cast<double>(options.common.threads),
        static_cast<double>(rows) / row.bound_seconds * 1e-6 / static_cast<double>(options.common.threads));
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
