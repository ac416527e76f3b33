// SPDX-License-Identifier: MIT
//
// Layer-wise training: features are propagated once per layer, the layer's weights learn from rows alone and are
// frozen, the next layer gets their output. L propagations in all instead of L per epoch.
// You et al., L2-GCN: Layer-wise and learned efficient training of graph convolutional networks, CVPR 2020.
//
//     layer_wise                                                       trains on a generated graph
//     layer_wise --data amazon-computers/npz --hidden 64 --runs 5

#include <cstddef>
#include <cstdint>
#include <utility>

#include "support/policies.hpp"
#include "support/program.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/nn/nets/mlp_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"
#include "tessera/train/layer_wise.hpp"

int main(int argc, char** argv) {
  CLI::App app{"Trains a graph neural network one layer at a time"};
  examples::Options o;
  o.hidden = 64;
  o.epochs = 80;
  o.dropout = 0.1f;
  o.lr = 0.005;
  o.weight_decay = 0;
  o.without = examples::without_networks(
      {"--keep", "--patience", "--clip-norm", "--eval-every", "--log", "--plot", "--checkpoint", "--resume"});
  std::size_t batch_size = 256;
  app.add_option("--batch-size", batch_size, "Rows per step")
      ->check(examples::kPositive)
      ->capture_default_str();
  return examples::run_program(
      app, argc, argv, "layer_wise", o, [&](const tessera::DatasetView& data, tessera::Report& report) {
        const tessera::NeighborSampler rows({.fanouts = {0, 0}, .batches = {.batch_size = batch_size}});
        for (std::size_t run = 0; run < o.runs; ++run) {
          const std::uint64_t seed = o.seed + run;
          const auto make_model = [&](std::size_t in, std::size_t layer) -> tessera::AnyModel<> {
            return tessera::MlpNet<>({.in = in,
                                      .hidden = o.hidden,
                                      .out = data.num_classes(),
                                      .layers = 2,
                                      .dropout = o.dropout,
                                      .seed = seed + 1000 * layer});
          };
          const tessera::LayerWiseOptions options{.layers = o.layers,
                                                  .fit = {.epochs = o.epochs,
                                                          .seed = seed,
                                                          .inductive = o.inductive,
                                                          .eval_every = o.epochs,
                                                          .precision = examples::precision_of(o)}};
          auto made = fit_layer_wise(tessera::DatasetView(data), options, make_model, rows,
                                     examples::ChosenLoss{data.multilabel()},
                                     tessera::Adam{.lr = o.lr, .weight_decay = o.weight_decay});
          tessera::FitReport whole = made.reports.back();  // the deepest network, with the time of all layers
          for (std::size_t l = 0; l + 1 < o.layers; ++l) {
            whole.seconds_train += made.reports[l].seconds_train;
            whole.seconds_evaluate += made.reports[l].seconds_evaluate;
            whole.epochs += made.reports[l].epochs;
            whole.profile += made.reports[l].profile;
          }
          report.seconds.train += whole.seconds_train;
          report.seconds.infer += whole.seconds_evaluate;
          report.runs.push_back({.seed = seed, .fit = std::move(whole), .additions = {}});
        }
      });
}
