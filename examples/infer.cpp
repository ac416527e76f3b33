// SPDX-License-Identifier: MIT
//
// Loads a checkpoint and writes a prediction for every node, layer by layer inside a memory budget: what does not fit
// lies in mapped files in --spill. Predictions are the bits of inference without a budget.
//
//     full_graph --nodes 3000 --checkpoint runs && infer --nodes 3000 --checkpoint runs --out classes.csv
//     infer --data amazon2m --layers 3 --hidden 256 --checkpoint runs --memory-budget 2 --spill /scratch --out logits.npy

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>

#include "support/models.hpp"
#include "support/policies.hpp"
#include "support/predictions.hpp"
#include "support/program.hpp"
#include "tessera/io/checkpoint.hpp"
#include "tessera/train/evaluate.hpp"
#include "tessera/train/infer.hpp"

int main(int argc, char** argv) {
  CLI::App app{"Predicts every node with a trained model inside a memory budget"};
  examples::Options options;
  std::string out = "predictions.csv";
  std::string spill;
  double budget = 0;
  bool last = false;
  app.add_option("--out", out, "Where predictions go: .npy (scores) or .csv (node, class, its score)")
      ->capture_default_str();
  app.add_option("--memory-budget", budget, "GiB of activations, 0 for no limit")
      ->check(CLI::NonNegativeNumber)
      ->capture_default_str();
  app.add_option("--spill", spill, "Folder for what the budget does not hold");
  app.add_flag("--last", last, "The last epoch's weights instead of the best");
  return examples::run_program(
      app, argc, argv, "infer", options, [&](const auto& data, tessera::Report& report) {
        if (!examples::is_table_name(out)) {
          throw tessera::ConfigError(
              tessera::message("--out is ", out, ", want a name that ends in .npy or .csv"));
        }
        tessera::AnyModel<> model =
            examples::make_model(options, data.num_features(), data.num_classes(), options.seed);
        if (options.checkpoint.empty()) {
          std::fprintf(stderr, "no --checkpoint: predicting with the initial weights of seed %llu\n",
                       static_cast<unsigned long long>(options.seed));
        } else {
          std::filesystem::path file = options.checkpoint;
          if (std::filesystem::is_directory(file))
            file /= tessera::message("run-", options.seed, ".safetensors");
          const bool best = !last && examples::has_best_weights(file);
          tessera::io::load_weights(file, model.parameters(),
                                    best ? tessera::io::Weights::best : tessera::io::Weights::last);
        }
        const examples::Timer timer;
        const tessera::Tensor<float> logits = tessera::infer(
            model, tessera::DatasetView(data),
            {.memory_budget = static_cast<std::size_t>(budget * 1073741824.0), .spill = spill});
        report.seconds.infer = timer.seconds();
        const tessera::DatasetView view(data);
        const tessera::SplitTargets split = split_targets(view);
        const examples::ChosenLoss loss{view.multilabel()};
        tessera::RunSummary run{.seed = options.seed, .fit = {}, .additions = {}};
        run.fit.metric = view.multilabel() ? tessera::Metric::micro_f1 : tessera::Metric::accuracy;
        run.fit.evaluation.train = score(logits.view(), view, split.train, loss, run.fit.metric);
        run.fit.evaluation.val = score(logits.view(), view, split.val, loss, run.fit.metric);
        run.fit.evaluation.test = score(logits.view(), view, split.test, loss, run.fit.metric);
        report.runs.push_back(std::move(run));
        examples::write_predictions(out, logits.view(), data.multilabel(), options.quiet);
        report.additions = {
            {"out", out},
            {"memory_budget_gib", budget},
            {"nodes_per_second", static_cast<double>(data.num_nodes()) / report.seconds.infer}};
      });
}
