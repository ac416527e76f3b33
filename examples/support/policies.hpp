// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>

#include "tessera/distill/distill.hpp"
#include "tessera/distill/logit.hpp"
#include "tessera/distill/teacher_outputs.hpp"
#include "tessera/graph/concepts.hpp"
#include "tessera/nn/losses/binary_cross_entropy.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/optim/clip.hpp"
#include "tessera/train/early_stopping.hpp"
#include "tessera/train/records.hpp"

// The command line chooses when the program runs, policies are chosen when it is compiled. These three join
// the two at the edge, so that the trainer is compiled once per model and not once per combination.

namespace examples {

/// Softmax or sigmoid cross entropy, whichever the data's labels need; in training beside a teacher's soft targets,
/// where there is one.
struct ChosenLoss {
  bool multilabel = false;
  const tessera::TeacherOutputs* teacher = nullptr;

  template <class Ctx>
  tessera::Var operator()(Ctx& ctx, tessera::Var logits, const tessera::Targets& targets) const {
    if (teacher != nullptr) {
      return tessera::Distill{*teacher, tessera::Logit{.alpha = 0.9, .temperature = 4}}(ctx, logits, targets);
    }
    return multilabel ? tessera::BinaryCrossEntropy{}(ctx, logits, targets)
                      : tessera::CrossEntropy{}(ctx, logits, targets);
  }
  template <tessera::NodeData D>
  void check_data(const D& data) const {
    if (teacher != nullptr) teacher->check_data(data);
  }
};

/// Which epoch's weights stay, and when to stop.
struct ChosenStopping {
  static constexpr bool kKeepsBest = true;
  static constexpr bool kNeedsValidation = false;

  std::string keep = "best-loss";
  std::uint64_t patience = tessera::kNoPatience;

  tessera::Verdict judge(const tessera::StoppingView& view) const {
    if (keep == "best-loss") return tessera::BestLoss{patience}.judge(view);
    if (keep == "best-metric") return tessera::BestMetric{patience}.judge(view);
    if (keep == "best-both") return tessera::BestBoth{patience}.judge(view);
    if (keep == "best-ranked") return tessera::BestRanked{patience}.judge(view);
    return {.best = true};
  }
  template <class F>
  void visit_options(F&& f) const {
    f("keep", keep);
    f("patience", static_cast<double>(patience));
  }
};

/// Clips the gradient's norm, where a limit is given.
struct ChosenClip {
  double max_norm = 0;

  template <tessera::Real T>
  void operator()(tessera::ParameterBlock<T>& block) const {
    if (max_norm > 0) tessera::ClipNorm{max_norm}(block);
  }
};

/// A hook that may be absent.
template <class H>
struct Maybe {
  std::optional<H> hook;

  template <class Run>
  void on_restore(Run& run) requires requires(H& h) {
    h.on_restore(run);
  }
  {
    if (hook) hook->on_restore(run);
  }
  template <class Run>
  void on_fit_begin(Run& run) requires requires(H& h) {
    h.on_fit_begin(run);
  }
  {
    if (hook) hook->on_fit_begin(run);
  }
  template <class Run>
  void on_epoch_end(Run& run) requires requires(H& h) {
    h.on_epoch_end(run);
  }
  {
    if (hook) hook->on_epoch_end(run);
  }
  template <class Run>
  void on_fit_end(Run& run, const tessera::FitReport& report) requires requires(H& h) {
    h.on_fit_end(run, report);
  }
  {
    if (hook) hook->on_fit_end(run, report);
  }
};

}  // namespace examples
