// SPDX-License-Identifier: MIT
//
// Efficient graph convolutions in the network of the paper: Linear, three layers with BatchNorm, ReLU, dropout and
// residual, Linear. `--model egc-m` has the aggregators symmetric, max and mean; gcn, gat and the others compare.
// Tailor et al., Do we need anisotropic graph neural networks?, ICLR 2022.
//
//     egc                                           trains EGC-S on a generated graph
//     egc --model egc-m --hidden 136 --data FOLDER  trains EGC-M

#include "support/program.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"

int main(int argc, char** argv) {
  CLI::App app{"Trains a network of efficient graph convolutions"};
  examples::Options options;
  options.model = "egc-s";
  options.hidden = 184;
  options.layers = 3;
  options.dropout = 0.2f;
  options.lr = 0.0057;
  options.weight_decay = 1e-3;
  options.decay = "all";
  options.keep = "best-metric";
  return examples::run_program(app, argc, argv, "egc", options,
                               [&](const tessera::DatasetView& data, tessera::Report& report) {
                                 examples::train_runs(
                                     options, data, [] { return tessera::FullGraphSampler{}; }, report);
                               });
}
