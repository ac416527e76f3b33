// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <string>
#include <thread>
#include <utility>

#include "support/dataset.hpp"
#include "support/options.hpp"
#include "support/policies.hpp"
#include "tessera/io/checkpoint.hpp"
#include "tessera/nn/nets/cluster_gcn_net.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/mlp_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/sampling/prefetch_loader.hpp"
#include "tessera/train/console_progress.hpp"
#include "tessera/train/jsonl_log.hpp"
#include "tessera/train/report.hpp"
#include "tessera/train/svg_plot.hpp"
#include "tessera/train/trainer.hpp"

namespace examples {

/// Seconds since it was made.
class Timer {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// The epoch whose weights are kept, settled against the data: without validation nodes there is no best.
inline ChosenStopping stopping_rule(const Options& o, const tessera::Report& report) {
  ChosenStopping rule{o.keep, o.patience == 0 ? tessera::kNoPatience : o.patience};
  if (rule.keep != "last" && report.dataset.val == 0) {
    std::fprintf(stderr, "no validation nodes: reporting the last epoch instead of --keep %s\n",
                 o.keep.c_str());
    rule.keep = "last";
  }
  return rule;
}

/// One run: a fresh model, trained, its figures appended to the report.
template <class Net, class Sampler>
void train_once(const Options& o, std::size_t run, const tessera::Dataset& data, Sampler sampler,
                const ChosenStopping& rule, tessera::Report& report) {
  const std::uint64_t seed = o.seed + run;
  typename Net::Options net{.in = data.num_features(),
                            .hidden = o.hidden,
                            .out = data.num_classes(),
                            .layers = o.layers,
                            .dropout = o.dropout};
  net.layer_norm = net.layer_norm || o.layer_norm;
  net.residual = o.residual;
  net.seed = seed;
  net.decay_first_layer_only = o.decay == "first";
  if constexpr (requires { net.conv.diag_lambda; }) net.conv.diag_lambda = o.diag_lambda;
  Net model(net);

  tessera::Trainer trainer{model, std::move(sampler), ChosenLoss{data.multilabel()},
                           tessera::Adam{.lr = o.lr, .weight_decay = o.weight_decay},
                           tessera::PrefetchOptions{}};
  Maybe<tessera::ConsoleProgress> progress;
  Maybe<tessera::JsonlLog> log;
  Maybe<tessera::SvgPlot> plot;
  Maybe<tessera::io::Checkpoint> checkpoint;
  if (!o.quiet) {
    progress.hook.emplace(tessera::ConsoleProgressOptions{.label = "run " + std::to_string(run + 1) + "/" +
                                                                   std::to_string(o.runs)});
  }
  if (!o.log.empty()) log.hook.emplace(o.log, tessera::JsonlLogOptions{.append = run > 0});
  if (!o.plot.empty() && run == 0) plot.hook.emplace(o.plot, report.dataset.name);
  if (!o.checkpoint.empty()) {
    std::filesystem::create_directories(o.checkpoint);
    checkpoint.hook.emplace(o.checkpoint + "/run-" + std::to_string(seed) + ".safetensors",
                            tessera::io::CheckpointOptions{.resume = o.resume});
  }
  tessera::FitReport fit = trainer.fit(
      data, {.epochs = o.epochs, .seed = seed, .inductive = o.inductive, .eval_every = o.eval_every}, rule,
      checkpoint, progress, log, plot);
  report.seconds.train += fit.seconds_train;
  report.seconds.infer += fit.seconds_evaluate;
  report.runs.push_back({.seed = seed, .fit = std::move(fit), .additions = {}});
}

/// Trains `options.runs` times; make_sampler() gives each run its sampler.
template <class MakeSampler>
void train_runs(const Options& o, const tessera::Dataset& data, MakeSampler&& make_sampler,
                tessera::Report& report) {
  const ChosenStopping rule = stopping_rule(o, report);
  for (std::size_t run = 0; run < o.runs; ++run) {
    if (o.model == "gcn") train_once<tessera::GcnNet<>>(o, run, data, make_sampler(), rule, report);
    if (o.model == "sage") train_once<tessera::SageNet<>>(o, run, data, make_sampler(), rule, report);
    if (o.model == "mlp") train_once<tessera::MlpNet<>>(o, run, data, make_sampler(), rule, report);
    if (o.model == "cluster-gcn")
      train_once<tessera::ClusterGcnNet<>>(o, run, data, make_sampler(), rule, report);
  }
}

}  // namespace examples
