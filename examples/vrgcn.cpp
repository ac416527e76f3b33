// SPDX-License-Identifier: MIT
//
// VR-GCN: each row computes a couple of its neighbours and takes all of them from a history, weighted so that the sum is
// unbiased. Chen, Zhu & Song, Stochastic training of graph convolutional networks with variance reduction, ICML 2018.
//
//     vrgcn                                                        trains on a generated graph
//     vrgcn --data cora/planetoid --batch-size 32 --fanout 2       prints about "test accuracy 81"

#include <string>
#include <utility>
#include <vector>

#include "support/models.hpp"
#include "support/program.hpp"
#include "tessera/history/history_key.hpp"
#include "tessera/history/history_model.hpp"
#include "tessera/sampling/control_variate_sampler.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"

int main(int argc, char** argv) {
  CLI::App app{"Trains a graph convolutional network on sampled neighbours with control variates"};
  examples::Options options;
  std::size_t fanout = 2;
  std::size_t batch_size = 512;
  bool history = true;
  bool cvd = false;
  app.add_option("--fanout", fanout, "Neighbours computed per node and layer")
      ->check(examples::kPositive)
      ->capture_default_str();
  app.add_option("--batch-size", batch_size, "Targets per batch")
      ->check(examples::kPositive)
      ->capture_default_str();
  app.add_flag("--history,!--no-history", history, "Control variates; without: plain neighbour sampling");
  app.add_flag("--cvd", cvd, "Weigh dropout's noise by itself (CVD), features undropped");
  return examples::run_program(
      app, argc, argv, "vrgcn", options, [&](const auto& data, tessera::Report& report) {
        report.additions = {{"fanout", static_cast<std::int64_t>(fanout)},
                            {"batch_size", static_cast<std::int64_t>(batch_size)},
                            {"history", history},
                            {"cvd", cvd}};
        const std::size_t layers =
            examples::make_model(options, data.num_features(), data.num_classes(), 0).num_layers();
        if (!history) {
          const tessera::AnySampler plain(
              tessera::NeighborSampler({.fanouts = std::vector<int>(layers, static_cast<int>(fanout)),
                                        .batches = {.batch_size = batch_size}}));
          examples::train_runs(
              options, data, [&] { return plain; }, report);
          return;
        }
        const tessera::AnySampler sampler(
            tessera::ControlVariateSampler({.layers = layers,
                                            .fanout = fanout,
                                            .noise_columns = cvd,
                                            .batches = {.batch_size = batch_size}}));
        const auto model = [&](std::uint64_t seed) -> tessera::AnyModel<> {
          examples::Options own = options;
          if (cvd) own.dropout = 0;  // the policy's
          tessera::AnyModel<> net = examples::make_model(own, data.num_features(), data.num_classes(), seed);
          const tessera::DatasetView view(data);
          const auto& graph = options.inductive ? view.train_graph : view.graph;
          const std::uint64_t key = history_key(graph.view(), view.features, net);
          const auto with = [&](auto policy) -> tessera::AnyModel<> {
            return tessera::HistoryModel<tessera::AnyModel<>, decltype(policy)>(
                std::move(net), data.num_nodes(), {.store = {.key = key}}, policy);
          };
          if (cvd) return with(tessera::ControlVariateDropout{options.dropout});
          return with(tessera::PullHistory{});
        };
        examples::train_runs(options, data, [&] { return sampler; }, report,
                             {.make_model = model, .refresh_history = true});
      });
}
