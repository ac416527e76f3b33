// SPDX-License-Identifier: MIT
//
// Full-batch training: every step sees the whole graph.
// Kipf & Welling, Semi-supervised classification with graph convolutional networks, ICLR 2017; Hamilton et
// al., Inductive representation learning on large graphs, NIPS 2017.
//
//     full_graph                                  trains a GCN on a generated graph
//     full_graph --data cora/planetoid --runs 20  prints about "test accuracy 81.5 +- 0.8 over 20 runs"

#include "support/program.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"

int main(int argc, char** argv) {
  CLI::App app{"Trains a graph neural network with full-batch gradient descent"};
  examples::Options options;
  return examples::run_program(app, argc, argv, "full_graph", options,
                               [&](const tessera::DatasetView& data, tessera::Report& report) {
                                 examples::train_runs(
                                     options, data, [] { return tessera::FullGraphSampler{}; }, report);
                               });
}
