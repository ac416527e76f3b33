// SPDX-License-Identifier: MIT
//
// Correct & Smooth: a model that sees no graph, then its errors on labelled nodes spread over the graph, then the
// labels themselves. Prints the scores of the base, of label propagation alone, and of the whole.
// Huang et al., Combining label propagation and simple models out-performs graph neural networks, ICLR 2021.
//
//     correct_and_smooth                                           on a generated graph
//     correct_and_smooth --data cora/planetoid --resplit --runs 10     "test accuracy" about 87, base 75

#include <cstdio>
#include <utility>
#include <vector>

#include "support/heads.hpp"
#include "support/program.hpp"
#include "tessera/kernels/softmax.hpp"
#include "tessera/nn/nets/mlp_net.hpp"
#include "tessera/nn/nets/sign_net.hpp"
#include "tessera/precompute/correct_and_smooth.hpp"
#include "tessera/precompute/label_propagation.hpp"
#include "tessera/train/metrics.hpp"

namespace {

using tessera::OperatorKind;

struct Graphs {
  std::vector<tessera::PropagationOperator> operators;  ///< symmetric, row, column

  explicit Graphs(const tessera::GraphRef& graph) {
    for (const OperatorKind kind : {OperatorKind::symmetric, OperatorKind::row, OperatorKind::column}) {
      operators.emplace_back(graph, tessera::OperatorSpec{.kind = kind, .sides = tessera::Sides::both});
    }
  }
};

struct Split {
  std::vector<tessera::NodeId> train, val, test;

  Split(std::span<const tessera::Role> roles, std::span<const std::int32_t> classes) {
    for (std::size_t i = 0; i < roles.size(); ++i) {
      if (classes[i] < 0) continue;
      if (roles[i] == tessera::Role::train) train.push_back(static_cast<tessera::NodeId>(i));
      if (roles[i] == tessera::Role::val) val.push_back(static_cast<tessera::NodeId>(i));
      if (roles[i] == tessera::Role::test) test.push_back(static_cast<tessera::NodeId>(i));
    }
  }
};

struct Best {
  double val = -1;
  double train = 0;
  double test = 0;

  void offer(tessera::MatrixView<const float> scores, std::span<const std::int32_t> classes,
             const Split& split) {
    const double now = tessera::accuracy(scores, classes, split.val);
    if (now <= val) return;
    val = now;
    train = tessera::accuracy(scores, classes, split.train);
    test = tessera::accuracy(scores, classes, split.test);
  }
};

/// The best of a small grid by validation accuracy; only training labels are shown to the algorithm.
Best correct_and_smooth(const Graphs& graphs, tessera::MatrixView<const float> probabilities,
                        std::span<const std::int32_t> classes, const Split& split) {
  Best best;
  const auto smooth_all = [&](tessera::MatrixView<const float> corrected) {
    for (const auto& op : graphs.operators) {
      for (const double alpha : {0.5, 0.8, 0.95}) {
        best.offer(tessera::smooth<float>(op, corrected, classes, split.train, {.alpha = alpha}).view(),
                   classes, split);
      }
    }
  };
  smooth_all(probabilities);
  for (const auto& op : graphs.operators) {
    for (const double alpha : {0.5, 0.8, 0.95}) {
      smooth_all(tessera::correct<float>(op, probabilities, classes, split.train, {.alpha = alpha}).view());
    }
    smooth_all(tessera::correct<float>(op, probabilities, classes, split.train,
                                       {.scaling = tessera::ResidualScale::fixed, .scale = 1})
                   .view());
  }
  return best;
}

Best propagate_labels(const Graphs& graphs, std::span<const std::int32_t> classes, std::size_t num_classes,
                      const Split& split) {
  Best best;
  for (const auto& op : graphs.operators) {
    for (const double alpha : {0.5, 0.8, 0.9, 0.95, 0.99}) {
      best.offer(tessera::label_propagation(op, classes, split.train, num_classes, {.alpha = alpha}).view(),
                 classes, split);
    }
  }
  return best;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Corrects and smooths the predictions of a model without a graph"};
  examples::Options options;
  options.epochs = 200;
  options.hidden = 256;
  options.without = examples::without_networks({"--layers"});
  options.weight_decay = 0;
  options.keep = "best-metric";
  options.features = "raw";  // as published: words as they are
  std::string base = "mlp";
  std::size_t batch_size = 0;
  bool resplit = false;
  app.add_option("--base", base, "The model")->check(CLI::IsMember({"linear", "mlp"}))->capture_default_str();
  app.add_option("--batch-size", batch_size, "Rows per step; 0: all")->capture_default_str();
  app.add_flag("--resplit", resplit, "A random 60/20/20 split for every run");
  return examples::run_program(
      app, argc, argv, "correct_and_smooth", options,
      [&](const tessera::DatasetView& data, tessera::Report& report) {
        if (data.multilabel()) throw tessera::ConfigError("wants one class per node");
        const Graphs graphs(data.graph);
        const std::span<const std::int32_t> classes = data.labels.classes;
        std::vector<double> sums(3);
        const auto make_model = [&](std::uint64_t seed) -> tessera::AnyModel<> {
          tessera::HopHeadOptions mlp;
          mlp.features = data.num_features();
          mlp.hidden = options.hidden;
          mlp.out = data.num_classes();
          mlp.head_layers = 2;
          mlp.batch_norm = true;
          mlp.dropout = options.dropout;
          mlp.seed = seed;
          if (base == "linear") {
            return tessera::MlpNet<>(
                {.in = mlp.features, .out = mlp.out, .layers = 1, .dropout = 0, .seed = seed});
          }
          return tessera::SignNet<>(mlp);
        };
        const auto after = [&](const tessera::AnyModel<>& model, tessera::RunSummary& run) {
          const auto roles = resplit ? examples::random_roles(data.labels, 0.6, 0.2, run.seed)
                                     : tessera::Array<tessera::Role>::copy_of(data.roles);
          const Split split(roles, classes);
          if (split.val.empty() || split.test.empty()) return;
          tessera::Tensor<float> z = examples::logits_of(model, data.features);
          tessera::softmax(std::as_const(z).view(), z.view());
          const examples::Timer timer;
          const Best whole = correct_and_smooth(graphs, std::as_const(z).view(), classes, split);
          const Best labels = propagate_labels(graphs, classes, data.num_classes(), split);
          report.seconds.precompute += timer.seconds();
          const double alone = tessera::accuracy(std::as_const(z).view(), classes, split.test);
          run.additions = {{"base_test", alone}, {"label_propagation_test", labels.test}};
          run.fit.evaluation.train.metric = whole.train;
          run.fit.evaluation.val.metric = whole.val;
          run.fit.evaluation.test.metric = whole.test;
          sums[0] += alone;
          sums[1] += labels.test;
          sums[2] += whole.test;
        };
        tessera::DatasetView rows = data;
        const tessera::Array<tessera::EdgeId> row_ptr(data.num_nodes() + 1, tessera::EdgeId{0});
        rows.graph = {{data.num_nodes(), data.num_nodes(), row_ptr, {}, {}}, true};
        examples::train_heads(options, rows, batch_size, resplit, report,
                              {.make_model = make_model, .after = after});
        const double runs = static_cast<double>(report.runs.size());
        std::printf("base %.2f, label propagation %.2f, correct and smooth %.2f\n", 100 * sums[0] / runs,
                    100 * sums[1] / runs, 100 * sums[2] / runs);
      });
}
