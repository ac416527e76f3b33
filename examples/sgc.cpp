// SPDX-License-Identifier: MIT
//
// SGC: features are propagated K times before training, the model is logistic regression.
// Wu et al., Simplifying graph convolutional networks, ICML 2019.
//
//     sgc                                                          trains on a generated graph
//     sgc --data cora/planetoid --weight-decay 1.3026973714e-5 --runs 10        prints about "test accuracy 81"
//     sgc --data citeseer/planetoid --epochs 150 --weight-decay 2.3545587233e-5 --runs 10       about "71.8"
//     sgc --data reddit/graphsaint --inductive --optimizer lbfgs --lr 1 --epochs 40

#include <cstdio>
#include <utility>
#include <vector>

#include "support/heads.hpp"
#include "support/program.hpp"
#include "tessera/kernels/rows.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/mlp_net.hpp"
#include "tessera/nn/optim/lbfgs.hpp"
#include "tessera/precompute/propagate.hpp"
#include "tessera/train/metrics.hpp"

namespace {

tessera::MlpNet<> make_sgc(const tessera::DatasetView& data, std::uint64_t seed) {
  return tessera::MlpNet<>(
      {.in = data.num_features(), .out = data.num_classes(), .layers = 1, .dropout = 0, .seed = seed});
}

/// Full-batch L-BFGS: one step per epoch, on the training rows gathered once.
void train_lbfgs(const examples::Options& o, const tessera::DatasetView& data, tessera::Report& report) {
  const auto nodes = [&](tessera::Role role) {
    std::vector<tessera::NodeId> out;
    for (std::size_t i = 0; i < data.roles.size(); ++i) {
      if (data.roles[i] == role && data.labels.classes[i] >= 0)
        out.push_back(static_cast<tessera::NodeId>(i));
    }
    return out;
  };
  const std::vector<tessera::NodeId> rows = nodes(tessera::Role::train);
  tessera::Tensor<float> x(rows.size(), data.num_features());
  std::vector<std::int32_t> classes;
  const auto seen = data.train_features.empty() ? data.features : data.train_features;
  tessera::gather_rows(seen, std::span<const tessera::NodeId>(rows), x.view());
  for (const tessera::NodeId i : rows) classes.push_back(data.labels.classes[i]);
  const std::vector<tessera::EdgeId> row_ptr(rows.size() + 1, 0);
  tessera::Adjacency none;
  none.forward = {rows.size(), rows.size(), row_ptr, {}, {}};
  for (std::size_t run = 0; run < o.runs; ++run) {
    const examples::Timer timer;
    tessera::MlpNet<> model = make_sgc(data, o.seed + run);
    const tessera::Lbfgs lbfgs{.lr = o.lr};
    auto state = lbfgs.start(model.parameters());
    tessera::Tape<float> tape;
    tessera::FitReport fit;
    for (std::size_t step = 0; step < o.epochs; ++step) {
      tape.rewind();
      model.parameters().zero_grads();
      const tessera::Var z =
          std::as_const(model).forward(tape, tessera::AdjacencyStack(std::span(&none, 1)),
                                       tape.input(std::as_const(x).view()), tessera::Pass{});
      tape.backward(tessera::CrossEntropy{}(tape, z, {classes, {}, {}}));
      lbfgs.step(state, model.parameters(), 1.0);
    }
    fit.epochs = o.epochs;
    fit.best_epoch = o.epochs - 1;  // the weights that are reported
    fit.seconds_train = timer.seconds();
    report.seconds.train += fit.seconds_train;
    const tessera::Tensor<float> logits = examples::logits_of(std::move(model), data.features);
    for (auto [score, role] : {std::pair{&fit.evaluation.train, tessera::Role::train},
                               {&fit.evaluation.val, tessera::Role::val},
                               {&fit.evaluation.test, tessera::Role::test}}) {
      const std::vector<tessera::NodeId> of_role = nodes(role);
      score->count = of_role.size();
      if (!of_role.empty()) score->metric = tessera::accuracy(logits.view(), data.labels.classes, of_role);
    }
    report.runs.push_back({.seed = o.seed + run, .fit = std::move(fit), .additions = {}});
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains logistic regression on propagated features"};
  examples::Options options;
  options.epochs = 100;
  options.lr = 0.2;
  options.weight_decay = 5e-6;
  options.without = examples::without_networks({"--hidden", "--layers", "--dropout"});
  options.keep = "last";
  options.eval_every = 0;
  examples::PropagateChoice choice;
  choice.last_only = true;
  examples::add_options(app, choice);
  std::string optimizer = "adam";
  app.add_option("--optimizer", optimizer, "What fits the regression; lbfgs wants --lr 1")
      ->check(CLI::IsMember({"adam", "lbfgs"}))
      ->capture_default_str();
  return examples::run_program(
      app, argc, argv, "sgc", options, [&](const tessera::DatasetView& data, tessera::Report& report) {
        const examples::PropagatedData hops = examples::propagate_data(options, choice, data, report);
        if (optimizer == "lbfgs") {
          if (data.multilabel()) throw tessera::ConfigError("--optimizer lbfgs wants one class per node");
          examples::refuse_hooks(options, "--optimizer lbfgs");
          return train_lbfgs(options, hops.view, report);
        }
        examples::Options adam = options;
        if (adam.eval_every == 0) adam.eval_every = adam.epochs;
        examples::train_heads(adam, hops.view, 0, false, report,
                              {.make_model = [&](std::uint64_t seed) { return make_sgc(hops.view, seed); }});
      });
}
