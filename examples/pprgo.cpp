// SPDX-License-Identifier: MIT
//
// PPRGo: no message passing in training. A perceptron looks at each node alone, and a target's logits are those
// of the nodes that matter most to it by personalised PageRank; inference propagates over the graph.
// Bojchevski et al., Scaling graph neural networks with approximate PageRank, KDD 2020.
//
//     pprgo                                                     trains on a generated graph
//     pprgo --data amazon-computers/npz --split 20-30-rest-s0 --weight-decay 1e-4 --lr 0.005

#include <cstdio>
#include <string>
#include <utility>

#include "support/program.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/nn/nets/pprgo_net.hpp"
#include "tessera/sampling/any_sampler.hpp"
#include "tessera/sampling/pprgo_sampler.hpp"

namespace {

struct PprOptions {
  tessera::PprTableOptions table;
  std::size_t batch_size = 512;
  std::size_t power_steps = 2;
  bool symmetric = false;
};

void add_options(CLI::App& app, PprOptions& p) {
  app.add_option("--alpha", p.table.push.alpha, "Probability of going back to the target")
      ->check(CLI::Range(0.001, 1.0))
      ->capture_default_str();
  app.add_option("--eps", p.table.push.eps, "What pushing leaves, per link of a node")
      ->check(examples::kPositive)
      ->capture_default_str();
  app.add_option("--top-k", p.table.k, "Scores kept per target")
      ->check(examples::kPositive)
      ->capture_default_str();
  app.add_option("--batch-size", p.batch_size, "Targets per batch")
      ->check(examples::kPositive)
      ->capture_default_str();
  app.add_option("--power-steps", p.power_steps, "Propagation steps of inference")->capture_default_str();
  app.add_flag("--symmetric", p.symmetric, "Scale scores by the square roots of the degrees");
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains a perceptron mixed by personalised PageRank"};
  examples::Options o;
  o.hidden = 32;
  o.dropout = 0.1f;
  o.lr = 0.005;
  o.weight_decay = 1e-4;
  o.keep = "best-metric";
  o.without = examples::without_networks();
  PprOptions p;
  add_options(app, p);
  return examples::run_program(
      app, argc, argv, "pprgo", o, [&](const tessera::DatasetView& data, tessera::Report& report) {
        const tessera::GraphRef& graph = o.inductive ? data.train_graph : data.graph;
        p.table.scale = p.symmetric ? tessera::PprScale::symmetric : tessera::PprScale::row;
        const examples::Timer timer;
        const tessera::AnySampler sampler =
            tessera::PprgoSampler(ppr_table(graph.view(), data.nodes(tessera::Role::train), p.table),
                                  data.num_nodes(), {.batch_size = p.batch_size});
        report.seconds.precompute = timer.seconds();
        report.additions = {{"top_k", static_cast<std::int64_t>(p.table.k)}};
        const auto make_model = [&](std::uint64_t seed) -> tessera::AnyModel<> {
          return tessera::PprgoNet<>(
              {.in = data.num_features(),
               .hidden = o.hidden,
               .out = data.num_classes(),
               .layers = o.layers,
               .dropout = o.dropout,
               .alpha = p.table.push.alpha,
               .power_steps = p.power_steps,
               .normalization = p.symmetric ? tessera::Normalization::symmetric : tessera::Normalization::row,
               .seed = seed});
        };
        examples::train_runs(o, data, [&] { return sampler; }, report, {.make_model = make_model});
      });
}
