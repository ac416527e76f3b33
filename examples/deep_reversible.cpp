// SPDX-License-Identifier: MIT
//
// Networks of a hundred and a thousand layers in the memory of ten: reversible blocks.
// Li et al., Training graph neural networks with 1000 layers, ICML 2021.
//
//     deep_reversible                                       trains 112 layers on a generated graph
//     deep_reversible --data amazon-computers/npz --split 20-30-rest-s0 --layers 112 --hidden 64
//     deep_reversible --depths 10,100,1000 --epochs 1       what a training step needs at each depth

#include <cstdio>
#include <vector>

#include "support/program.hpp"
#include "tessera/core/buffer_pool.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/rev_gnn_net.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"

namespace {

/// Bytes the buffer pool holds after a training step beyond what it held before: the step's peak.
std::size_t step_bytes(const tessera::RevSageNet<>& net, const tessera::Adjacency& a,
                       tessera::MatrixView<const float> x) {
  tessera::BufferPool& pool = tessera::BufferPool::global();
  pool.trim();
  const std::size_t before = pool.stats().held_bytes;
  tessera::Tape<float> tape;
  const tessera::Var y = net.forward(tape, tessera::AdjacencyStack({&a, 1}), tape.input(x), tessera::Pass{});
  tape.backward(y, std::as_const(tape).value(y));
  return pool.stats().held_bytes - before;
}

void print_depths(const examples::Options& o, const tessera::DatasetView& data,
                  const std::vector<std::size_t>& depths, tessera::Report& report) {
  std::printf("layers  parameters  MB of a training step beside them  seconds\n");
  for (const std::size_t layers : depths) {
    const tessera::RevSageNet<> net(
        {.in = data.num_features(), .hidden = o.hidden, .out = data.num_classes(), .layers = layers});
    const tessera::PreparedAdjacency prepared =
        tessera::prepare_adjacency(data.graph.view(), data.graph.symmetric, net.aggregation());
    const examples::Timer timer;
    const std::size_t bytes = step_bytes(net, prepared.adjacency(), data.features);
    std::printf("%6zu  %10zu  %33.1f  %7.2f\n", layers, net.parameters().num_parameters(),
                static_cast<double>(bytes) / 1e6, timer.seconds());
    report.additions.push_back({"step_bytes_" + std::to_string(layers), static_cast<std::int64_t>(bytes)});
  }
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains very deep reversible networks"};
  examples::Options options;
  options.model = "rev-sage";
  options.layers = 112;
  options.hidden = 64;
  options.dropout = 0.2f;
  options.lr = 0.003;
  options.weight_decay = 0;
  options.epochs = 100;
  options.keep = "best-metric";
  std::vector<std::size_t> depths;
  app.add_option("--depths", depths, "First measure one training step at these numbers of layers")
      ->delimiter(',');
  return examples::run_program(app, argc, argv, "deep_reversible", options,
                               [&](const tessera::DatasetView& data, tessera::Report& report) {
                                 if (!depths.empty()) print_depths(options, data, depths, report);
                                 examples::train_runs(
                                     options, data, [] { return tessera::FullGraphSampler{}; }, report);
                               });
}
