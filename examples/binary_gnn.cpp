// SPDX-License-Identifier: MIT
//
// Networks of signs. bi-gcn: binary graph convolutions beside the same network in full precision. cascade: binary GraphSAGE
// in four stages, each the teacher and the start of the next.
// Wang et al., Bi-GCN, CVPR 2021; Bahri, Bahl & Zafeiriou, Binary graph neural networks, CVPR 2021.
//
//     binary_gnn                                                    both on a generated graph
//     binary_gnn --data cora/planetoid --method bi-gcn --runs 10    Bi-GCN's protocol

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "support/policies.hpp"
#include "support/program.hpp"
#include "tessera/distill/distill.hpp"
#include "tessera/distill/logit.hpp"
#include "tessera/distill/run_teacher.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/quant/bi_gcn_conv.hpp"
#include "tessera/quant/binary_sage_conv.hpp"
#include "tessera/quant/calibrate.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/train/trainer.hpp"

namespace {

using tessera::DatasetView;

/// Holds weights where their signs have a gradient.
struct ClampAfterSteps {
  template <class Run, class Record>
  void on_batch(Run& run, const Record&) const {
    tessera::clamp_weights(run.model().parameters());
  }
};

/// Trains both networks of Bi-GCN's comparison.
void bi_gcn(const examples::Options& o, const DatasetView& data, tessera::Report& report) {
  for (const bool binary : {false, true}) {
    tessera::Report part = report;
    part.runs.clear();
    examples::RunExtras extras;
    extras.make_model = [&](std::uint64_t seed) -> tessera::AnyModel<> {
      return tessera::BiGcnNet<>({.in = data.num_features(),
                                  .hidden = o.hidden,
                                  .out = data.num_classes(),
                                  .layers = o.layers,
                                  .dropout = o.dropout,
                                  .seed = seed,
                                  .conv = {.binary = binary}});
    };
    examples::train_runs(
        o, data, [] { return tessera::FullGraphSampler{}; }, part, extras);
    const std::string name = binary ? "binary" : "full precision";
    std::printf("%-16s test %6.2f +- %5.2f\n", name.c_str(), 100 * part.test_mean(), 100 * part.test_std());
    report.additions.push_back({binary ? "bi_gcn_mean" : "gcn_mean", part.test_mean()});
    report.additions.push_back({binary ? "bi_gcn_std" : "gcn_std", part.test_std()});
    report.runs = std::move(part.runs);
  }
}

/// One seed's cascade; returns the test metric of every stage.
std::vector<double> cascade(const examples::Options& o, const DatasetView& data, std::uint64_t seed,
                            tessera::Report& report) {
  using tessera::BinarySageNet;
  using tessera::BinaryStage;
  std::vector<double> scores;
  tessera::TeacherOutputs teacher;
  BinarySageNet<> before(
      {.in = data.num_features(), .hidden = o.hidden, .out = data.num_classes(), .layers = o.layers});
  for (const BinaryStage stage :
       {BinaryStage::real, BinaryStage::smooth, BinaryStage::inputs, BinaryStage::full}) {
    BinarySageNet<> net({.in = data.num_features(),
                         .hidden = o.hidden,
                         .out = data.num_classes(),
                         .layers = o.layers,
                         .dropout = o.dropout,
                         .seed = seed,
                         .conv = {.stage = stage}});
    const tessera::Adam adam{.lr = o.lr, .weight_decay = stage == BinaryStage::full ? 0.0 : o.weight_decay};
    const tessera::FitOptions fit{.epochs = o.epochs, .seed = seed, .eval_every = o.eval_every};
    const examples::ChosenStopping rule{o.keep, o.patience == 0 ? tessera::kNoPatience : o.patience};
    tessera::FitReport result;
    if (stage == BinaryStage::real) {
      tessera::Trainer trainer{net, tessera::FullGraphSampler{}, tessera::CrossEntropy{}, adam};
      result = trainer.fit(data, fit, rule, ClampAfterSteps{});
    } else {
      // The real network only teaches the next; later stages go on from the weights before.
      if (stage != BinaryStage::smooth) {
        tessera::copy_parameters(std::as_const(before).parameters(), net.parameters());
      }
      tessera::Trainer trainer{net, tessera::FullGraphSampler{},
                               tessera::Distill{teacher, tessera::Logit{.alpha = 0.1, .temperature = 2}},
                               adam};
      result = trainer.fit(data, fit, rule, ClampAfterSteps{});
    }
    scores.push_back(result.evaluation.test.metric);
    teacher = tessera::teacher_outputs(net, data);
    before = std::move(net);
    if (stage == BinaryStage::full)
      report.runs.push_back({.seed = seed, .fit = std::move(result), .additions = {}});
  }
  return scores;
}

void cascades(const examples::Options& o, const DatasetView& data, tessera::Report& report) {
  const char* const names[] = {"real", "tanh", "binary rows", "binary"};
  std::vector<double> sum(4);
  std::vector<double> squares(4);
  const auto n = static_cast<double>(o.runs);
  report.runs.clear();
  for (std::size_t run = 0; run < o.runs; ++run) {
    const std::vector<double> scores = cascade(o, data, o.seed + run, report);
    for (std::size_t s = 0; s < 4; ++s) {
      sum[s] += scores[s] / n;
      squares[s] += scores[s] * scores[s] / n;
    }
  }
  for (std::size_t s = 0; s < 4; ++s) {
    const double spread = std::sqrt(std::max(0.0, squares[s] - sum[s] * sum[s]));
    std::printf("stage %zu, %-12s test %6.2f +- %5.2f\n", s, names[s], 100 * sum[s], 100 * spread);
    report.additions.push_back({"stage_" + std::to_string(s) + "_mean", sum[s]});
  }
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains networks whose products are of signs"};
  examples::Options options;
  options.without = examples::without_networks();
  options.features = "standard";
  options.hidden = 64;
  options.dropout = 0.4f;
  options.lr = 1e-3;
  options.epochs = 1000;
  std::string method = "both";
  app.add_option("--method", method)
      ->check(CLI::IsMember({"bi-gcn", "cascade", "both"}))
      ->capture_default_str();
  return examples::run_program(app, argc, argv, "binary_gnn", options,
                               [&](const DatasetView& data, tessera::Report& report) {
                                 if (method != "cascade") bi_gcn(options, data, report);
                                 if (method != "bi-gcn") cascades(options, data, report);
                               });
}
