// SPDX-License-Identifier: MIT
#include "support/train.hpp"

#include <cstddef>
#include <cstdio>
#include <filesystem>
#include <string>
#include <utility>

#include "support/models.hpp"
#include "support/policies.hpp"
#include "tessera/history/refresh.hpp"
#include "tessera/io/checkpoint.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/sampling/prefetch_loader.hpp"
#include "tessera/train/console_progress.hpp"
#include "tessera/train/jsonl_log.hpp"
#include "tessera/train/svg_plot.hpp"
#include "tessera/train/trainer.hpp"

namespace examples {
namespace {

/// The epoch whose weights are kept, settled against the data: without validation nodes there is no best.
ChosenStopping stopping_rule(const Options& o, const tessera::Report& report) {
  ChosenStopping rule{o.keep, o.patience == 0 ? tessera::kNoPatience : o.patience};
  if (rule.keep != "last" && report.dataset.val == 0) {
    std::fprintf(stderr, "no validation nodes: reporting the last epoch instead of --keep %s\n",
                 o.keep.c_str());
    rule.keep = "last";
  }
  return rule;
}

/// One run: a fresh model, trained, its figures appended to the report.
void train_once(const Options& o, std::size_t run, const tessera::DatasetView& data,
                tessera::AnySampler sampler, const ChosenStopping& rule, tessera::Report& report,
                const RunExtras& extras) {
  const std::uint64_t seed = o.seed + run;
  tessera::AnyModel<> model = extras.make_model
                                  ? extras.make_model(seed)
                                  : make_model(o, data.num_features(), data.num_classes(), seed);
  const ChosenLoss loss{data.multilabel(), extras.teachers.empty() ? nullptr : &extras.teachers[run]};
  tessera::Trainer trainer{model, std::move(sampler), loss,
                           tessera::Adam{.lr = o.lr, .weight_decay = o.weight_decay},
                           tessera::PrefetchOptions{}};
  Maybe<tessera::ConsoleProgress> progress;
  Maybe<tessera::JsonlLog> log;
  Maybe<tessera::SvgPlot> plot;
  Maybe<tessera::io::Checkpoint> checkpoint;
  Maybe<tessera::RefreshHistory> refresh;
  if (extras.refresh_history) {
    refresh.hook.emplace(tessera::RefreshHistory::Options{.before_first = extras.refresh_first});
  }
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
  tessera::FitReport fit =
      trainer.fit(data,
                  {.epochs = o.epochs,
                   .seed = seed,
                   .inductive = o.inductive,
                   .eval_every = o.eval_every,
                   .precision = precision_of(o)},
                  rule, ChosenClip{o.clip_norm}, checkpoint, refresh, progress, log, plot);
  report.seconds.train += fit.seconds_train;
  report.seconds.infer += fit.seconds_evaluate;
  report.runs.push_back({.seed = seed, .fit = std::move(fit), .additions = {}});
  if (extras.after) extras.after(model, report.runs.back());
}

}  // namespace

void train_runs(const Options& o, const tessera::DatasetView& data,
                const std::function<tessera::AnySampler()>& make_sampler, tessera::Report& report,
                const RunExtras& extras) {
  const ChosenStopping rule = stopping_rule(o, report);
  for (std::size_t run = 0; run < o.runs; ++run)
    train_once(o, run, data, make_sampler(), rule, report, extras);
}

}  // namespace examples
