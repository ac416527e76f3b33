// SPDX-License-Identifier: MIT
#include "support/options.hpp"

#include <algorithm>

#include "support/models.hpp"

namespace examples {

std::vector<std::string> without_networks(std::vector<std::string> more) {
  for (const char* name : {"--model", "--layer-norm", "--residual", "--diag-lambda", "--arch", "--decay"}) {
    more.emplace_back(name);
  }
  return more;
}

void add_options(CLI::App& app, Options& o) {
  auto* data = app.add_option_group("Data");
  data->add_option("--data", o.data, "Folder or file in any supported layout; absent: a generated graph");
  data->add_option("--format", o.format, "Force a layout")->check(CLI::IsMember(layout_names()));
  data->add_option("--split", o.split,
                   "Which split, where the layout stores several (role file, mask number)");
  data->add_option(
          "--features", o.features,
          "raw; row: divide each row by its sum; standard: mean 0, variance 1 over the training nodes; "
          "auto: row for sparse non-negative features, standard otherwise")
      ->check(CLI::IsMember({"auto", "raw", "row", "standard"}))
      ->capture_default_str();
  add_edge_options(*data, o.edges);
  data->add_flag("--inductive", o.inductive, "Train on the edges among training nodes alone");
  data->add_flag("--multilabel", o.multilabel, "Turn classes into indicators");
  data->add_option("--nodes", o.nodes, "Size of the generated graph")
      ->check(CLI::Range(330, 1'000'000'000))
      ->capture_default_str();

  auto* model = app.add_option_group("Model and training");
  model->add_option("--model", o.model)
      ->check(CLI::IsMember(o.models.empty() ? model_names() : o.models))
      ->capture_default_str();
  model->add_option("--epochs", o.epochs)->check(kPositive)->capture_default_str();
  model->add_option("--hidden", o.hidden)->check(kPositive)->capture_default_str();
  model->add_option("--layers", o.layers)->check(CLI::Range(1, 1000))->capture_default_str();
  model->add_option("--dropout", o.dropout)->check(CLI::Range(0.0, 1.0))->capture_default_str();
  model->add_flag("--layer-norm", o.layer_norm,
                  "Normalise hidden rows (the cluster-gcn network always does)");
  model->add_flag("--residual", o.residual, "Add its input to each hidden layer of equal width");
  model->add_option("--diag-lambda", o.diag_lambda, "Diagonal enhancement of the cluster-gcn network")
      ->capture_default_str();
  model->add_option("--arch", o.arch, "Orders of the graph-saint network's layers")->capture_default_str();
  model->add_option("--lr", o.lr, "Learning rate of Adam")->check(kPositive)->capture_default_str();
  model->add_option("--weight-decay", o.weight_decay)->check(kNonNegative)->capture_default_str();
  model
      ->add_option("--decay", o.decay,
                   "What decays: the first layer's weights, as in the original GCN, or all")
      ->check(CLI::IsMember({"first", "all"}))
      ->capture_default_str();
  model->add_option("--clip-norm", o.clip_norm, "Largest norm of the gradient; 0: any")
      ->check(kNonNegative)
      ->capture_default_str();
  model->add_option("--keep", o.keep, "Which epoch's weights are reported; best ones need validation nodes")
      ->check(CLI::IsMember({"best-loss", "best-metric", "best-both", "best-ranked", "last"}))
      ->capture_default_str();
  model->add_option("--patience", o.patience, "Stop after so many epochs without a better one; 0: never")
      ->capture_default_str();
  model->add_option("--eval-every", o.eval_every, "Epochs between evaluations")
      ->check(kPositive)
      ->capture_default_str();
  model->add_option("--precision", o.precision, "What training keeps and multiplies its matrices in")
      ->check(CLI::IsMember({"fp32", "bf16"}))
      ->capture_default_str();

  auto* runs = app.add_option_group("Runs");
  runs->add_option("--runs", o.runs, "Repetitions with seeds S, S + 1, ...")
      ->check(kPositive)
      ->capture_default_str();
  runs->add_option("--seed", o.seed)->capture_default_str();
  runs->add_option("--threads", o.threads, "0: one per processor")
      ->check(CLI::Range(0, 1024))
      ->capture_default_str();

  auto* output = app.add_option_group("Output");
  output->add_option("--report", o.report, "Write the result as JSON");
  output->add_option("--log", o.log, "Write one JSON object per epoch");
  output->add_option("--plot", o.plot, "Write curves of the first run as SVG");
  auto* checkpoint =
      output->add_option("--checkpoint", o.checkpoint, "Folder that keeps the state of training");
  output->add_flag("--resume", o.resume, "Continue from the checkpoint")->needs(checkpoint);
  output->add_option("--profile", o.profile,
                     "Record every kernel, print their totals and write a Chrome trace; for short runs");
  output->add_flag("--quiet", o.quiet, "No progress on stderr");

  for (const std::string& name : o.without) {
    for (CLI::App* group : {data, model, runs, output}) {
      if (CLI::Option* option = group->get_option_no_throw(name)) group->remove_option(option);
    }
  }
}

std::vector<tessera::ReportField> report_fields(const Options& o) {
  const auto number = [](auto x) { return static_cast<std::int64_t>(x); };
  std::vector<tessera::ReportField> fields = {{"data", o.data},
                                              {"format", o.format},
                                              {"split", o.split},
                                              {"features", o.features},
                                              {"symmetrise", o.edges.symmetrise},
                                              {"directed", o.edges.directed},
                                              {"inductive", o.inductive},
                                              {"multilabel", o.multilabel},
                                              {"nodes", number(o.nodes)},
                                              {"model", o.model},
                                              {"epochs", number(o.epochs)},
                                              {"hidden", number(o.hidden)},
                                              {"layers", number(o.layers)},
                                              {"dropout", static_cast<double>(o.dropout)},
                                              {"layer_norm", o.layer_norm},
                                              {"residual", o.residual},
                                              {"diag_lambda", static_cast<double>(o.diag_lambda)},
                                              {"lr", o.lr},
                                              {"weight_decay", o.weight_decay},
                                              {"decay", o.decay},
                                              {"arch", o.arch},
                                              {"clip_norm", o.clip_norm},
                                              {"keep", o.keep},
                                              {"patience", number(o.patience)},
                                              {"eval_every", number(o.eval_every)},
                                              {"runs", number(o.runs)},
                                              {"seed", number(o.seed)}};
  std::erase_if(fields, [&](const tessera::ReportField& field) {
    std::string flag = "--" + field.name;
    std::replace(flag.begin(), flag.end(), '_', '-');
    return std::find(o.without.begin(), o.without.end(), flag) != o.without.end();
  });
  return fields;
}

}  // namespace examples
