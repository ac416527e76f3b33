// SPDX-License-Identifier: MIT
//
// Distillation without the teacher's data: a classifier of graphs is trained, then a smaller one learns from it on graphs
// that were made up. Accuracy is that of held-out real graphs.
// Deng & Zhang, Graph-free knowledge distillation, IJCAI 2021 (gfkd); Zhuang et al., DFAD-GNN, IJCAI 2022 (dfad).
//
//     data_free                                  tells generated rings from stars
//     data_free --data tu/MUTAG --method gfkd    prints teacher, student, and the same student on random graphs

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "support/checks.hpp"
#include "support/graph_data.hpp"
#include "support/program.hpp"
#include "tessera/core/error.hpp"
#include "tessera/distill/distill.hpp"
#include "tessera/distill/fit_dfad.hpp"
#include "tessera/distill/invert_teacher.hpp"
#include "tessera/distill/logit.hpp"
#include "tessera/graph/folds.hpp"
#include "tessera/graph/graph_dataset_view.hpp"
#include "tessera/nn/layers/gcn_conv.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/graph_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/sampling/graph_batch_sampler.hpp"
#include "tessera/train/evaluate.hpp"
#include "tessera/train/trainer.hpp"

namespace {

using Net = tessera::GraphNet<tessera::GcnConv<>>;

struct Options {
  std::string data;
  std::string method = "gfkd";
  std::size_t graphs = 300;
  std::size_t teacher_hidden = 64, teacher_layers = 5, teacher_epochs = 100;
  std::size_t hidden = 32, layers = 3, student_epochs = 300;
  tessera::InvertOptions invert;
  tessera::FitDfadOptions dfad;
  std::size_t nodes = 20;
  double mean_degree = 3;
  std::size_t runs = 1;
  std::uint64_t seed = 0;
  std::size_t threads = 0;
  std::string report;
  bool quiet = false;
};

void add_options(CLI::App& app, Options& o) {
  const auto number = [&](const char* name, auto& value, const char* help) {
    app.add_option(name, value, help)->check(examples::kPositive)->capture_default_str();
  };
  app.add_option("--data", o.data, "Folder of a TU data set; absent: generated rings and stars");
  app.add_option("--method", o.method)->check(CLI::IsMember({"gfkd", "dfad"}))->capture_default_str();
  app.add_option("--graphs", o.graphs, "Number of generated real graphs")->check(CLI::Range(20, 1'000'000));
  number("--teacher-hidden", o.teacher_hidden, "");
  number("--teacher-layers", o.teacher_layers, "");
  number("--teacher-epochs", o.teacher_epochs, "");
  number("--student-hidden", o.hidden, "");
  number("--student-layers", o.layers, "");
  number("--student-epochs", o.student_epochs, "On the graphs of gfkd");
  number("--fake-graphs", o.invert.graphs, "Graphs gfkd makes up");
  app.add_option("--invert-epochs", o.invert.epochs)->capture_default_str();
  app.add_option("--density", o.invert.density, "Share of links that those have at first")
      ->capture_default_str();
  app.add_option("--norm-weight", o.invert.norm_weight, "Of the teacher's batch norms")
      ->capture_default_str();
  number("--dfad-epochs", o.dfad.epochs, "Steps of the generator");
  number("--dfad-lr", o.dfad.student_lr, "Of the student");
  number("--generator-lr", o.dfad.generator_lr, "");
  number("--batch-size", o.dfad.graphs, "Graphs per step of dfad");
  app.add_option("--nodes", o.nodes, "Of the generator's graphs")->check(CLI::Range(2, 1000));
  number("--mean-degree", o.mean_degree, "Of the generator's first graphs");
  number("--runs", o.runs, "Repetitions with seeds S, S + 1, ...");
  app.add_option("--seed", o.seed)->capture_default_str();
  app.add_option("--threads", o.threads, "0: one per processor")->check(CLI::Range(0, 1024));
  app.add_option("--report", o.report, "Write the result as JSON");
  app.add_flag("--quiet", o.quiet, "Print the table alone");
}

/// Whether every node's features are one 1 among zeros.
bool one_column_each(const tessera::GraphDataset& data) {
  for (std::size_t i = 0; i < data.num_nodes(); ++i) {
    const auto row = data.features.row(i);
    const auto ones = std::count(row.begin(), row.end(), 1.0f);
    if (ones != 1 || ones + std::count(row.begin(), row.end(), 0.0f) != std::ssize(row)) return false;
  }
  return true;
}

Net network(const Options& o, const tessera::GraphDataset& data, bool teacher, std::uint64_t seed) {
  return Net({.in = data.num_features(),
              .hidden = teacher ? o.teacher_hidden : o.hidden,
              .out = data.targets.num_classes,
              .layers = teacher ? o.teacher_layers : o.layers,
              .reduce = tessera::Reduce::mean,
              .seed = seed});
}

template <class L>
void fit(Net& net, const tessera::GraphDataset& data, const L& loss, std::size_t epochs, std::uint64_t seed) {
  tessera::Trainer trainer{net, tessera::GraphBatchSampler(data.node_ptr, {.batch_size = 32}), loss,
                           tessera::Adam{.lr = 0.01}};
  trainer.fit(tessera::GraphDatasetView(data), {.epochs = epochs, .seed = seed, .eval_every = 0});
}

double test_accuracy(const Net& net, const tessera::GraphDataset& data) {
  return tessera::evaluate(net, tessera::GraphDatasetView(data), tessera::CrossEntropy{}).test.metric;
}

/// A student that learns from what the teacher says of graphs made up from it; `epochs` of 0 leaves them random.
double by_inversion(const Options& o, const tessera::GraphDataset& real, const Net& teacher,
                    std::uint64_t epochs, std::uint64_t seed) {
  tessera::InvertOptions invert = o.invert;
  invert.epochs = epochs;
  invert.seed = seed;
  const tessera::InvertedGraphs fake = tessera::invert_teacher(teacher, invert);
  if (!o.quiet)
    std::fprintf(stderr, "loss of the graphs %.3f -> %.3f (epoch %llu)\n", fake.first_loss, fake.loss,
                 static_cast<unsigned long long>(fake.best_epoch));
  Net student = network(o, real, false, seed + 1);
  fit(student, fake.data, tessera::Distill{fake.teacher, tessera::Logit{.alpha = 1, .temperature = 2}},
      o.student_epochs, seed);
  return test_accuracy(student, real);
}

double by_adversary(const Options& o, const tessera::GraphDataset& real, const Net& teacher,
                    std::uint64_t seed) {
  tessera::GraphGenerator<float> generator(
      {.features = real.num_features(), .nodes = o.nodes, .mean_degree = o.mean_degree, .seed = seed});
  Net student = network(o, real, false, seed + 1);
  tessera::FitDfadOptions dfad = o.dfad;
  dfad.seed = seed;
  const tessera::DfadReport report = tessera::fit_dfad(student, teacher, generator, dfad);
  if (!o.quiet)
    std::fprintf(stderr, "discrepancy %.3f -> %.3f\n", report.discrepancy.front(), report.discrepancy.back());
  return test_accuracy(student, real);
}

/// Errors   ConfigError for an option that the method does not read
void check_method(const CLI::App& app, const Options& o) {
  const std::vector<std::string> other =
      o.method == "dfad" ? std::vector<std::string>{"--invert-epochs"}
                         : std::vector<std::string>{"--dfad-epochs", "--dfad-lr", "--generator-lr",
                                                    "--batch-size",  "--nodes",   "--mean-degree"};
  for (const std::string& name : other) {
    if (app.get_option(name)->count() == 0) continue;
    throw tessera::ConfigError(
        tessera::message("data_free: ", name, " is given, --method ", o.method, " does not read it"));
  }
}

void run(Options o, examples::ExitCode& on_error) {
  tessera::GraphDataset real = examples::load_graph_data(o.data, o.graphs, o.seed);
  if (real.targets.task != tessera::GraphTask::classes)
    throw tessera::ConfigError(tessera::message("data_free: ", real.name, " has no classes of graphs"));
  on_error = examples::kFailed;
  o.invert.one_hot = o.dfad.one_hot = one_column_each(real);
  std::vector<std::pair<std::string, std::vector<double>>> rows = {{"teacher", {}},
                                                                   {"student on real graphs", {}},
                                                                   {"student on random graphs", {}},
                                                                   {"student by " + o.method, {}}};
  for (std::size_t r = 0; r < o.runs; ++r) {
    const std::uint64_t seed = o.seed + r;
    const auto fold = tessera::stratified_folds(real.targets.classes, 10, seed);
    for (std::size_t g = 0; g < fold.size(); ++g)
      real.roles[g] = fold[g] < 3 ? tessera::Role::test : tessera::Role::train;
    Net teacher = network(o, real, true, seed);
    fit(teacher, real, tessera::CrossEntropy{}, o.teacher_epochs, seed);
    Net plain = network(o, real, false, seed + 1);
    fit(plain, real, tessera::CrossEntropy{}, o.teacher_epochs, seed);
    rows[0].second.push_back(test_accuracy(teacher, real));
    rows[1].second.push_back(test_accuracy(plain, real));
    rows[2].second.push_back(by_inversion(o, real, teacher, 0, seed));
    rows[3].second.push_back(o.method == "gfkd" ? by_inversion(o, real, teacher, o.invert.epochs, seed)
                                                : by_adversary(o, real, teacher, seed));
  }
  tessera::Report report;
  report.program = "data_free";
  report.options = {{"data", o.data}, {"method", o.method}, {"runs", static_cast<std::int64_t>(o.runs)}};
  report.dataset = tessera::summarize(tessera::GraphDatasetView(real), real.name);
  std::printf("%s: accuracy on held-out graphs, %zu runs\n", real.name.c_str(), o.runs);
  const char* const names[] = {"teacher", "real", "random", "test"};
  for (std::size_t k = 0; k < rows.size(); ++k) {
    double mean = 0;
    double squares = 0;
    const auto n = static_cast<double>(o.runs);
    for (const double v : rows[k].second) mean += v / n;
    for (const double v : rows[k].second) squares += (v - mean) * (v - mean);
    const double deviation = o.runs < 2 ? 0 : std::sqrt(squares / (n - 1));
    std::printf("  %-26s %6.2f +- %.2f\n", rows[k].first.c_str(), 100 * mean, 100 * deviation);
    report.additions.push_back({std::string(names[k]) + "_mean", mean});
    report.additions.push_back({std::string(names[k]) + "_std", deviation});
  }
  if (!o.report.empty()) tessera::write_report(o.report, report);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Distils a classifier of graphs without its data"};
  Options options;
  add_options(app, options);
  return examples::run_main(app, argc, argv, "data_free", options.threads, [&](examples::ExitCode& on_error) {
    check_method(app, options);
    run(options, on_error);
  });
}
