// SPDX-License-Identifier: MIT
//
// shaDow-GNN: every target gets a small graph of its own, and a network deeper than that graph is wide. Training
// and evaluation see the same kind of graph.
// Zeng et al., Decoupling the depth and scope of graph neural networks, NeurIPS 2021.
//
//     shadow                                                           trains on a generated graph
//     shadow --data toy-ppi/graphsaint --scope ppr --pooling max --epochs 30

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "support/policies.hpp"
#include "support/program.hpp"
#include "tessera/graph/sparse_features.hpp"
#include "tessera/nn/nets/shadow_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/sampling/any_sampler.hpp"
#include "tessera/sampling/shadow_sampler.hpp"
#include "tessera/train/console_progress.hpp"
#include "tessera/train/evaluate.hpp"
#include "tessera/train/infer_targets.hpp"
#include "tessera/train/role_targets.hpp"
#include "tessera/train/trainer.hpp"

namespace {

struct ShadowOptions {
  std::string scope = "hops";
  tessera::ShadowHops hops;
  tessera::ShadowPpr ppr;
  double eps = 1e-5;
  std::string pooling = "center";
  std::size_t batch_size = 128;
};

const std::map<std::string, tessera::Pooling> kPoolings{{"center", tessera::Pooling::center},
                                                        {"sum", tessera::Pooling::sum},
                                                        {"mean", tessera::Pooling::mean},
                                                        {"max", tessera::Pooling::max}};

void add_options(CLI::App& app, ShadowOptions& s) {
  app.add_option("--scope", s.scope, "How a target's graph is found")
      ->check(CLI::IsMember({"hops", "ppr"}))
      ->capture_default_str();
  app.add_option("--depth", s.hops.depth, "Hops of a scope")->capture_default_str();
  app.add_option("--budget", s.hops.budget, "Neighbours per node and hop; -1 = all")->capture_default_str();
  app.add_option("--top-k", s.ppr.k, "Nodes of a PageRank scope")
      ->check(examples::kPositive)
      ->capture_default_str();
  app.add_option("--threshold", s.ppr.threshold, "Least score of a PageRank scope, relative")
      ->capture_default_str();
  app.add_option("--eps", s.eps, "What pushing leaves, per link of a node")
      ->check(examples::kPositive)
      ->capture_default_str();
  app.add_option("--pooling", s.pooling, "What a target is read from beside itself")
      ->check(CLI::IsMember({"center", "sum", "mean", "max"}))
      ->capture_default_str();
  app.add_option("--batch-size", s.batch_size, "Targets per batch")
      ->check(examples::kPositive)
      ->capture_default_str();
}

tessera::AnySampler make_sampler(const ShadowOptions& s, const tessera::GraphRef& graph,
                                 std::span<const tessera::NodeId> targets) {
  const tessera::TargetBatches batches{.batch_size = s.batch_size};
  if (s.scope == "hops") return tessera::ShadowSampler(s.hops, batches);
  const tessera::PprTableOptions table{.push = {tessera::ordinary_alpha(0.15), s.eps}, .k = s.ppr.k};
  return tessera::ShadowSampler(ppr_table(graph.view(), targets, table), graph.num_nodes(), s.ppr, batches);
}

/// Loss and metric of one role, on graphs cut out of the whole graph.
tessera::Score score(const tessera::ShadowNet<>& model, const ShadowOptions& s,
                     const tessera::DatasetView& data, const tessera::SparseFeatures* entries,
                     tessera::Role role, tessera::Metric metric) {
  const tessera::RoleTargets targets = tessera::targets_of(data, role);
  if (targets.rows.empty()) return {};
  const tessera::SampleSource source{data.graph.view(), data.graph.symmetric, targets.rows};
  const tessera::Tensor<float> logits =
      infer_targets(model, make_sampler(s, data.graph, targets.rows), source, data.features, 0, entries);
  tessera::Tensor<float> all = tessera::Tensor<float>::zeros(data.num_nodes(), data.num_classes());
  for (std::size_t t = 0; t < targets.rows.size(); ++t)
    std::copy(logits.row(t).begin(), logits.row(t).end(), all.row(targets.rows[t]).begin());
  return tessera::score(std::as_const(all).view(), data, targets, examples::ChosenLoss{data.multilabel()},
                        metric);
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Trains a deep graph neural network on shallow graphs"};
  examples::Options o;
  o.hidden = 128;
  o.layers = 3;
  o.dropout = 0.2f;
  o.lr = 0.002;
  o.weight_decay = 0;
  o.epochs = 20;
  o.without = examples::without_networks(
      {"--keep", "--patience", "--clip-norm", "--eval-every", "--log", "--plot", "--checkpoint", "--resume"});
  ShadowOptions s;
  add_options(app, s);
  return examples::run_program(
      app, argc, argv, "shadow", o, [&](const tessera::DatasetView& data, tessera::Report& report) {
        const tessera::GraphRef& graph = o.inductive ? data.train_graph : data.graph;
        const tessera::Array<tessera::NodeId> train = data.nodes(tessera::Role::train);
        const examples::Timer timer;
        const tessera::AnySampler sampler = make_sampler(s, graph, train);
        report.seconds.precompute = timer.seconds();
        report.additions = {{"scope", s.scope}, {"pooling", s.pooling}};
        std::optional<tessera::SparseFeatures> entries;
        if (estimated_density(data.features) < tessera::FitOptions{}.sparse_below)
          entries.emplace(data.features);
        for (std::size_t run = 0; run < o.runs; ++run) {
          const std::uint64_t seed = o.seed + run;
          tessera::ShadowNet<> model({.in = data.num_features(),
                                      .hidden = o.hidden,
                                      .out = data.num_classes(),
                                      .layers = o.layers,
                                      .dropout = o.dropout,
                                      .pooling = kPoolings.at(s.pooling),
                                      .seed = seed});
          tessera::Trainer trainer{model, sampler, examples::ChosenLoss{data.multilabel()},
                                   tessera::Adam{.lr = o.lr, .weight_decay = o.weight_decay}};
          examples::Maybe<tessera::ConsoleProgress> progress;
          if (!o.quiet) progress.hook.emplace(tessera::ConsoleProgressOptions{});
          tessera::FitReport fit = trainer.fit(tessera::DatasetView(data),
                                               {.epochs = o.epochs,
                                                .seed = seed,
                                                .inductive = o.inductive,
                                                .eval_every = 0,
                                                .precision = examples::precision_of(o)},
                                               progress);
          const examples::Timer inference;
          const tessera::Metric metric =
              data.multilabel() ? tessera::Metric::micro_f1 : tessera::Metric::accuracy;
          const tessera::SparseFeatures* const sparse = entries ? &*entries : nullptr;
          fit.evaluation.train = score(model, s, data, sparse, tessera::Role::train, metric);
          fit.evaluation.val = score(model, s, data, sparse, tessera::Role::val, metric);
          fit.evaluation.test = score(model, s, data, sparse, tessera::Role::test, metric);
          fit.metric = metric;
          report.seconds.train += fit.seconds_train;
          report.seconds.infer += inference.seconds();
          report.runs.push_back({.seed = seed, .fit = std::move(fit), .additions = {}});
        }
      });
}
