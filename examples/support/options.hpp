// SPDX-License-Identifier: MIT
#pragma once

#include <CLI/CLI.hpp>
#include <cstddef>
#include <cstdint>
#include <string>
#include <thread>

namespace examples {

/// The options every example shares; `--help` prints them with these defaults.
struct Options {
  std::string data;
  std::string format = "auto";
  std::string split;
  std::string features = "auto";
  bool inductive = false;
  bool multilabel = false;

  std::size_t nodes = 20000;  ///< size of the generated graph when there is no --data

  std::string model = "gcn";
  std::size_t epochs = 200;
  std::size_t hidden = 16;
  std::size_t layers = 2;
  double dropout = 0.5;
  double lr = 0.01;
  double weight_decay = 5e-4;
  std::size_t patience = 0;

  std::size_t runs = 1;
  std::uint64_t seed = 0;
  std::size_t threads = 0;
  std::string precision = "fp32";

  std::string report;
  std::string log;
  std::string plot;
  std::string checkpoint;
  bool resume = false;
  bool quiet = false;
};

/// Declares the shared options; an example changes defaults in `options` before and adds its own options after.
inline void add_options(CLI::App& app, Options& options) {
  const auto group = [&app](const char* name) { return app.add_option_group(name); };

  auto* data = group("Data");
  data->add_option("--data", options.data, "Folder or file in any supported layout; absent: a generated community graph");
  data->add_option("--format", options.format, "Force a layout: graphsaint, graphsage, planetoid, shchur, heterophilous")
      ->capture_default_str();
  data->add_option("--split", options.split, "Name of the split where a folder has several (role-<NAME>.json, mask number)");
  data->add_option("--features", options.features, "raw, row (divide by the row's sum), standard (training mean and deviation)")
      ->check(CLI::IsMember({"auto", "raw", "row", "standard"}))
      ->capture_default_str();
  data->add_flag("--inductive", options.inductive, "Train on the graph of the training nodes alone");
  data->add_flag("--multilabel", options.multilabel, "Insist on multi-label targets");
  data->add_option("--nodes", options.nodes, "Nodes of the generated graph")->check(CLI::PositiveNumber)->capture_default_str();

  auto* model = group("Model and training");
  model->add_option("--model", options.model, "gcn, sage, mlp or clustergcn")
      ->check(CLI::IsMember({"gcn", "sage", "mlp", "clustergcn"}))
      ->capture_default_str();
  model->add_option("--epochs", options.epochs)->check(CLI::PositiveNumber)->capture_default_str();
  model->add_option("--hidden", options.hidden, "Width of the hidden layers")->check(CLI::PositiveNumber)->capture_default_str();
  model->add_option("--layers", options.layers)->check(CLI::PositiveNumber)->capture_default_str();
  model->add_option("--dropout", options.dropout)->check(CLI::Range(0.0, 1.0))->capture_default_str();
  model->add_option("--lr", options.lr)->check(CLI::PositiveNumber)->capture_default_str();
  model->add_option("--weight-decay", options.weight_decay, "L2 on the first layer, as in the original GCN")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  model->add_option("--patience", options.patience, "Stop after so many epochs without a better validation loss; 0: never")
      ->capture_default_str();
  model->add_option("--precision", options.precision)->check(CLI::IsMember({"fp32"}))->capture_default_str();

  auto* run = group("Runs");
  run->add_option("--runs", options.runs, "Repetitions with seeds seed, seed + 1, ...")->check(CLI::PositiveNumber)->capture_default_str();
  run->add_option("--seed", options.seed)->capture_default_str();
  run->add_option("--threads", options.threads, "0: all")->check(CLI::Range(0, 1024))->capture_default_str();

  auto* output = group("Output");
  output->add_option("--report", options.report, "Machine-readable result (JSON)");
  output->add_option("--log", options.log, "One JSON object per epoch");
  output->add_option("--plot", options.plot, "Curves (SVG)");
  output->add_option("--checkpoint", options.checkpoint, "Folder the state of training is kept in");
  output->add_flag("--resume", options.resume, "Continue from the checkpoint")->needs("--checkpoint");
  output->add_flag("--quiet", options.quiet, "No progress on stderr");
}

/// The thread count to run with.
inline std::size_t threads(const Options& options) {
  if (options.threads != 0) return options.threads;
  return std::max(1u, std::thread::hardware_concurrency());
}

}  // namespace examples
