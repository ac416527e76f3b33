// SPDX-License-Identifier: MIT
//
// Historical embeddings: each step sees a few parts of the graph with every link into them, and takes the rows of
// nodes outside from what earlier steps left behind.
// Fey et al., GNNAutoScale: scalable and expressive graph neural networks via historical embeddings, ICML 2021;
// Shi et al., LMC, ICLR 2023 (--method lmc); Yu et al., GraphFM, ICML 2022 (--method graphfm). docs/histories.md says
// what every option does.
//
//     gas                                                      trains on a generated graph
//     gas --data cora/planetoid --preset cora-gcn --runs 10        prints about "test accuracy 82"
//     gas --data toy-ppi/graphsaint --preset toy-ppi               trains 3 x 512 on toy-PPI

#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "support/history_options.hpp"
#include "support/models.hpp"
#include "support/program.hpp"
#include "tessera/history/history_key.hpp"
#include "tessera/history/history_model.hpp"
#include "tessera/nn/nets/appnp_net.hpp"
#include "tessera/partition/metrics.hpp"
#include "tessera/partition/multilevel.hpp"
#include "tessera/partition/partition_nodes.hpp"
#include "tessera/partition/random_partitioner.hpp"
#include "tessera/sampling/cluster_sampler.hpp"
#include "tessera/sampling/halo_sampler.hpp"

namespace {

using Store = tessera::HistoryStore<float>;

/// The parts of the nodes training sees, cut along few links.
template <class D>
tessera::Partition make_parts(const D& data, bool inductive, const examples::HistoryChoice& h) {
  const auto& graph = inductive ? data.train_graph : data.graph;
  const tessera::PartitionOptions options{.parts = h.parts, .seed = 1, .symmetrize = !graph.symmetric};
  tessera::Array<tessera::NodeId> nodes(data.num_nodes());
  std::iota(nodes.begin(), nodes.end(), tessera::NodeId{0});
  if (inductive) nodes = data.nodes(tessera::Role::train);
  if (h.partitioner == "random") return partition_nodes(tessera::RandomPartitioner{}, graph, nodes, options);
  return partition_nodes(tessera::MultilevelPartitioner{}, graph, nodes, options);
}

/// The options' network. APPNP drops no links unless told to: what a layer drops goes into its table and reaches every
/// node that pulls the row, and the paper's does not.
tessera::AnyModel<> make_net(const examples::Options& o, const examples::HistoryChoice& h,
                             const tessera::DatasetView& data, std::uint64_t seed) {
  if (o.model != "appnp") return examples::make_model(o, data.num_features(), data.num_classes(), seed);
  return tessera::AppnpNet<>({.in = data.num_features(),
                              .hidden = o.hidden,
                              .out = data.num_classes(),
                              .layers = o.layers,
                              .alpha = h.alpha,
                              .dropout = o.dropout,
                              .entry_dropout = h.entry_dropout,
                              .decay_first_layer_only = o.decay == "first",
                              .seed = seed});
}

/// The options' model with a history around it; `store` becomes its tables.
template <class P>
tessera::AnyModel<> with_history(const examples::Options& o, const examples::HistoryChoice& h,
                                 const tessera::DatasetView& data, std::uint64_t seed, P policy,
                                 Store*& store) {
  tessera::AnyModel<> net = make_net(o, h, data, seed);
  const auto& graph = o.inductive ? data.train_graph : data.graph;
  const std::uint64_t key = history_key(graph.view(), data.features, net);
  tessera::HistoryModel<tessera::AnyModel<>, P> model(
      std::move(net), data.num_nodes(), {.store = h.store(seed, key), .noise_penalty = h.noise_penalty},
      policy);
  store = &model.store();
  return model;
}

/// Ages, errors and traffic of the tables, over the whole run.
void add_staleness(Store& store, tessera::RunSummary& run) {
  const tessera::HistoryTimes times = store.times();
  for (const tessera::HistoryLayerReport& r : store.report()) {
    if (r.layer >= tessera::detail::kGradientSlots) continue;
    const std::string name = "history_" + std::to_string(r.layer);
    run.additions.push_back({name + "_age_mean", r.age.mean()});
    run.additions.push_back({name + "_age_p99", static_cast<std::int64_t>(r.age.quantile(0.99))});
    run.additions.push_back({name + "_age_max", static_cast<std::int64_t>(r.age.max())});
    run.additions.push_back({name + "_error", std::isfinite(r.error) ? r.error : 0.0});
    run.additions.push_back({name + "_pulled_bytes", static_cast<std::int64_t>(r.pulled_bytes)});
    run.additions.push_back({name + "_pushed_bytes", static_cast<std::int64_t>(r.pushed_bytes)});
  }
  run.additions.push_back({"history_bytes", static_cast<std::int64_t>(store.bytes())});
  run.additions.push_back({"history_pull_seconds", times.pull});
  run.additions.push_back({"history_push_seconds", times.push});
  run.additions.push_back({"history_wait_seconds", times.wait});
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains a graph neural network on parts of a graph with historical embeddings"};
  examples::Options options;
  options.decay = "all";
  examples::HistoryChoice history;
  examples::add_history_options(app, options, history);
  return examples::run_program(
      app, argc, argv, "gas", options, [&](const auto& data, tessera::Report& report) {
        const examples::Timer timer;
        const tessera::Partition parts = make_parts(data, options.inductive, history);
        report.seconds.partition = timer.seconds();
        report.additions = history.report_fields();
        const tessera::CsrView<> graph = options.inductive ? data.train_graph.view() : data.graph.view();
        report.additions.push_back({"edge_cut", tessera::edge_cut(graph, parts.part)});
        if (history.method == "cluster") {  // the same batches without histories, to compare
          const tessera::AnySampler plain(
              tessera::ClusterSampler(parts.part, {.clusters_per_batch = history.clusters_per_batch}));
          const auto net = [&](std::uint64_t seed) { return make_net(options, history, data, seed); };
          examples::train_runs(options, data, [&] { return plain; }, report, {.make_model = net});
          return;
        }
        const auto rows = history.method == "lmc"       ? tessera::HaloRows::all
                          : history.method == "graphfm" ? tessera::HaloRows::from_batch
                                                        : tessera::HaloRows::none;
        const tessera::AnySampler sampler(tessera::HaloSampler(
            parts.part, {.clusters_per_batch = history.clusters_per_batch, .halo_rows = rows}));
        Store* store = nullptr;
        const auto model = [&](std::uint64_t seed) {
          if (history.method == "lmc") {
            return with_history(options, history, data, seed,
                                tessera::MessageCompensation{history.beta, history.score()}, store);
          }
          if (history.method == "graphfm") {
            return with_history(options, history, data, seed, tessera::FeatureMomentum{history.gamma}, store);
          }
          return with_history(options, history, data, seed, tessera::PullHistory{}, store);
        };
        examples::train_runs(options, data, [&] { return sampler; }, report,
                             {.make_model = model,
                              .refresh_history = true,
                              .refresh_first = !history.warm_start,
                              .after = [&](const tessera::AnyModel<>&, tessera::RunSummary& run) {
                                add_staleness(*store, run);
                                store->save(run.fit.history.size());
                              }});
      });
}
