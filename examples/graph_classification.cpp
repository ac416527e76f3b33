// SPDX-License-Identifier: MIT
//
// Tasks about whole graphs: classes by k-fold cross-validation where the data has no split (TU), classes, yes/no
// questions or numbers by the stored split where it has one (OGB molecules).
// Xu et al., How powerful are graph neural networks?, ICLR 2019; Tailor et al., EGC, ICLR 2022.
//
//     graph_classification                              tells generated rings from stars
//     graph_classification --data tu/PROTEINS           prints accuracy over ten folds
//     graph_classification --data ogb/ogbg_molbace --readout last --reduce mean --runs 3
//
// With folds, validation curves are averaged over the folds and the epoch of the best mean is reported, as in GIN's
// program: the same epoch for every fold, chosen on the held-out graphs themselves.

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "support/graph_data.hpp"
#include "support/graph_models.hpp"
#include "support/policies.hpp"
#include "support/program.hpp"
#include "support/quant_choice.hpp"
#include "tessera/graph/folds.hpp"
#include "tessera/graph/graph_dataset_view.hpp"
#include "tessera/io/standardize.hpp"
#include "tessera/nn/layers/pna_conv.hpp"
#include "tessera/nn/losses/squared_error.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/nn/optim/schedules.hpp"
#include "tessera/sampling/graph_batch_sampler.hpp"
#include "tessera/train/console_progress.hpp"
#include "tessera/train/trainer.hpp"

namespace {

struct Options {
  std::string data;
  examples::GraphModelOptions model;
  std::size_t graphs = 400;
  std::string features = "raw";
  std::size_t epochs = 350;
  std::size_t batch_size = 32;
  std::size_t folds = 10;
  std::size_t runs = 1;
  std::uint64_t seed = 0;
  double lr = 0.01;
  double weight_decay = 0;
  std::uint64_t decay_every = 50;
  std::size_t threads = 0;
  std::string report;
  bool quiet = false;
  std::string quantize = "none";
  int bits = 8;
  examples::QuantChoice quant;
};

void add_options(CLI::App& app, Options& o) {
  app.add_option("--data", o.data, "Folder of a TU or OGB graph data set; absent: generated rings and stars");
  app.add_option("--graphs", o.graphs, "Number of generated graphs")
      ->check(CLI::Range(20, 1'000'000))
      ->capture_default_str();
  app.add_option("--features", o.features, "raw; standard: mean 0, variance 1 over the nodes of all graphs")
      ->check(CLI::IsMember({"raw", "standard"}))
      ->capture_default_str();
  app.add_option("--model", o.model.model)
      ->check(CLI::IsMember(examples::graph_model_names()))
      ->capture_default_str();
  app.add_option("--hidden", o.model.hidden)->check(examples::kPositive)->capture_default_str();
  app.add_option("--layers", o.model.layers)->check(examples::kPositive)->capture_default_str();
  app.add_option("--dropout", o.model.dropout, "Of the rows behind each convolution")
      ->check(CLI::Range(0.0, 1.0))
      ->capture_default_str();
  app.add_option("--head-dropout", o.model.head_dropout)->check(CLI::Range(0.0, 1.0))->capture_default_str();
  app.add_option("--readout", o.model.readout,
                 "layers: GIN's recipe, every level; last: the last, then an MLP; concat: all, then an MLP")
      ->check(CLI::IsMember({"layers", "last", "concat"}))
      ->capture_default_str();
  app.add_option("--reduce", o.model.reduce, "How a graph's nodes become one row")
      ->check(CLI::IsMember({"sum", "mean", "max", "attention"}))
      ->capture_default_str();
  app.add_option("--epochs", o.epochs)->check(examples::kPositive)->capture_default_str();
  app.add_option("--batch-size", o.batch_size, "Graphs per step")
      ->check(examples::kPositive)
      ->capture_default_str();
  app.add_option("--folds", o.folds, "Of the cross-validation, where the data has no split")
      ->check(CLI::Range(2, 1000))
      ->capture_default_str();
  app.add_option("--runs", o.runs, "Repetitions, where the data has a split")
      ->check(examples::kPositive)
      ->capture_default_str();
  app.add_option("--seed", o.seed)->capture_default_str();
  app.add_option("--lr", o.lr, "Learning rate of Adam")->check(examples::kPositive)->capture_default_str();
  app.add_option("--weight-decay", o.weight_decay)->check(examples::kNonNegative)->capture_default_str();
  app.add_option("--decay-every", o.decay_every, "Epochs after which the learning rate is halved")
      ->check(examples::kPositive)
      ->capture_default_str();
  app.add_option("--threads", o.threads, "0: one per processor")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();
  app.add_option("--quantize", o.quantize, "Train for integers: every product and sum rounded (model gin)")
      ->check(CLI::IsMember({"none", "qat", "nqat", "dq"}))
      ->capture_default_str();
  app.add_option("--bits", o.bits, "Of the codes")->check(CLI::Range(2, 16))->capture_default_str();
  o.quant.add_to(app);
  app.add_option("--report", o.report, "Write the result as JSON");
  app.add_flag("--quiet", o.quiet, "No progress on stderr");
}

struct GraphLoss {
  tessera::GraphTask task = tessera::GraphTask::classes;

  template <class Ctx>
  tessera::Var operator()(Ctx& ctx, tessera::Var y, const tessera::Targets& targets) const {
    if (task == tessera::GraphTask::regression) return tessera::SquaredError{}(ctx, y, targets);
    return examples::ChosenLoss{task == tessera::GraphTask::indicators}(ctx, y, targets);
  }
};

/// Trains one network on the roles of the view.
tessera::FitReport train(const Options& o, const tessera::GraphDatasetView& view, tessera::GraphTask task,
                         std::uint64_t seed, const std::string& label) {
  auto model = o.quantize == "none"
                   ? examples::make_graph_model(o.model, view.num_features(), view.num_classes(), seed)
                   : examples::make_quantized_graph_model(o.model, o.quant.settings(o.quantize, o.bits),
                                                          view.num_features(), view.num_classes(),
                                                          view.graph.view(), view.node_ptr, seed);
  tessera::Trainer trainer{model, tessera::GraphBatchSampler(view.node_ptr, {.batch_size = o.batch_size}),
                           GraphLoss{task}, tessera::Adam{.lr = o.lr, .weight_decay = o.weight_decay}};
  examples::Maybe<tessera::ConsoleProgress> progress;
  if (!o.quiet) progress.hook.emplace(tessera::ConsoleProgressOptions{.label = label});
  const bool yes_no = task == tessera::GraphTask::indicators;
  const examples::ChosenStopping rule{yes_no ? "best-metric" : "best-loss", tessera::kNoPatience};
  const auto metric = yes_no                                   ? tessera::Metric::roc_auc
                      : task == tessera::GraphTask::regression ? tessera::Metric::rmse
                                                               : tessera::Metric::automatic;
  return trainer.fit(view, {.epochs = o.epochs, .seed = seed, .metric = metric}, rule,
                     tessera::StepDecay{.every = o.decay_every, .gamma = 0.5}, progress);
}

struct Mean {
  double mean = 0;
  double deviation = 0;
};

Mean mean_of(const std::vector<double>& values) {
  Mean out;
  const auto n = static_cast<double>(values.size());
  out.mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  for (const double v : values) out.deviation += (v - out.mean) * (v - out.mean);
  out.deviation = values.size() < 2 ? 0 : std::sqrt(out.deviation / (n - 1));
  return out;
}

void cross_validate(const Options& o, const tessera::GraphDataset& data, tessera::Report& report) {
  const auto fold = tessera::stratified_folds(data.targets.classes, o.folds, o.seed);
  std::vector<double> curve(o.epochs, 0.0);
  for (std::size_t k = 0; k < o.folds; ++k) {
    const auto roles = tessera::fold_roles(fold, static_cast<std::uint32_t>(k));
    tessera::GraphDatasetView view = data;
    view.roles = roles;
    tessera::FitReport fit = train(o, view, data.targets.task, o.seed + k,
                                   "fold " + std::to_string(k + 1) + "/" + std::to_string(o.folds));
    for (std::size_t e = 0; e < o.epochs; ++e)
      curve[e] += fit.history[e].evaluation.val.metric / static_cast<double>(o.folds);
    report.seconds.train += fit.seconds_train;
    report.runs.push_back({.seed = o.seed + k, .fit = std::move(fit), .additions = {}});
  }
  const auto best = static_cast<std::size_t>(std::max_element(curve.begin(), curve.end()) - curve.begin());
  std::vector<double> held_out;
  for (const tessera::RunSummary& run : report.runs)
    held_out.push_back(run.fit.history[best].evaluation.val.metric);
  const Mean result = mean_of(held_out);
  std::printf("accuracy %.2f +- %.2f over %zu folds, epoch %zu\n", 100 * result.mean, 100 * result.deviation,
              o.folds, best + 1);
  report.additions = {{"folds", static_cast<std::int64_t>(o.folds)},
                      {"epoch", static_cast<std::int64_t>(best)},
                      {"accuracy_mean", result.mean},
                      {"accuracy_std", result.deviation}};
}

void train_on_split(const Options& o, const tessera::GraphDataset& data, tessera::Report& report) {
  std::vector<double> scores;
  for (std::size_t r = 0; r < o.runs; ++r) {
    tessera::FitReport fit = train(o, data, data.targets.task, o.seed + r,
                                   "run " + std::to_string(r + 1) + "/" + std::to_string(o.runs));
    const tessera::Score& test = fit.evaluation.test;
    scores.push_back(test.metric);
    report.seconds.train += fit.seconds_train;
    report.runs.push_back({.seed = o.seed + r, .fit = std::move(fit), .additions = {}});
  }
  const Mean result = mean_of(scores);
  const std::string metric = std::string(tessera::name(report.runs.front().fit.metric));
  std::printf("test %s %.4f +- %.4f over %zu runs\n", metric.c_str(), result.mean, result.deviation, o.runs);
  report.additions = {{"test_" + metric + "_mean", result.mean},
                      {"test_" + metric + "_std", result.deviation}};
}

void run(Options o, examples::ExitCode& on_error) {
  tessera::Report report;
  report.program = "graph_classification";
  report.options = {{"data", o.data},
                    {"features", o.features},
                    {"model", o.model.model},
                    {"hidden", static_cast<std::int64_t>(o.model.hidden)},
                    {"layers", static_cast<std::int64_t>(o.model.layers)},
                    {"readout", o.model.readout},
                    {"reduce", o.model.reduce},
                    {"epochs", static_cast<std::int64_t>(o.epochs)},
                    {"batch_size", static_cast<std::int64_t>(o.batch_size)},
                    {"lr", o.lr},
                    {"quantize", o.quantize},
                    {"bits", static_cast<std::int64_t>(o.quantize == "none" ? 32 : o.bits)},
                    {"seed", static_cast<std::int64_t>(o.seed)}};
  const examples::Timer timer;
  tessera::GraphDataset data = examples::load_graph_data(o.data, o.graphs, o.seed);
  tessera::validate(data);
  if (o.features == "standard") {
    std::vector<tessera::NodeId> nodes(data.num_nodes());
    std::iota(nodes.begin(), nodes.end(), tessera::NodeId{0});
    tessera::io::apply_scaler(tessera::io::fit_scaler(data.features.view(), nodes), data.features.view());
  }
  if (o.model.model == "gine" && data.edge_features.cols() == 0) {
    throw tessera::ConfigError(tessera::message("--model gine: ", data.name, " has no edge features"));
  }
  o.model.edge_features = data.edge_features.cols();
  o.model.mean_log_degree = tessera::mean_log_degree(data.graph.view());
  on_error = examples::kFailed;
  report.seconds.load = timer.seconds();
  report.dataset = tessera::summarize(tessera::GraphDatasetView(data), data.name);
  const auto model = examples::make_graph_model(o.model, data.num_features(), data.targets.width(), o.seed);
  std::printf("%s\n%zu graphs, %zu nodes, %zu stored edges, %zu features, %zu of edges; %zu parameters\n",
              data.name.c_str(), data.num_graphs(), data.num_nodes(), data.graph.num_edges(),
              data.num_features(), data.edge_features.cols(), model.parameters().num_parameters());
  if (report.dataset.train > 0) {
    train_on_split(o, data, report);
  } else {
    cross_validate(o, data, report);
  }
  std::printf("seconds: load %.2f, train %.2f; peak memory %.0f MB\n", report.seconds.load,
              report.seconds.train, static_cast<double>(tessera::peak_rss_bytes()) / 1e6);
  if (!o.report.empty()) tessera::write_report(o.report, report);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains a graph neural network on tasks about whole graphs"};
  Options options;
  add_options(app, options);
  return examples::run_main(app, argc, argv, "graph_classification", options.threads,
                            [&](examples::ExitCode& on_error) { run(options, on_error); });
}
