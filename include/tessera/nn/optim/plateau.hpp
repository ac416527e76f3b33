// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstdint>
#include <limits>

#include "tessera/core/error.hpp"

namespace tessera {

/// Lowers the rate when a watched number has stopped getting better.
///
/// After each evaluation: better than best * (1 - threshold) (or above best * (1 + threshold) when larger is
/// better) becomes the new best; otherwise one bad evaluation is counted, none while cooling down. More than
/// `patience` bad ones multiply the rate by `gamma`, not below `floor`, and start a cooldown.
///
/// Units    floor and eps are fractions of the optimiser's rate; patience and cooldown count evaluations
/// Source   PyTorch's ReduceLROnPlateau with threshold_mode "rel"
struct ReduceOnPlateau {
  enum class Watch { val_loss, val_metric };

  Watch watch = Watch::val_loss;
  double gamma = 0.1;
  std::uint64_t patience = 10;
  double threshold = 1e-4;
  std::uint64_t cooldown = 0;
  double floor = 0;
  double eps = 1e-8;  ///< smaller changes of the rate are not made

  /// What one run remembers.
  struct State {
    double factor = 1;
    double best = 0;
    std::uint64_t num_bad = 0;
    std::uint64_t cooling = 0;
    std::uint64_t seen = 0;

    /// Shows every field to f(name, number), for checkpoints.
    template <class F>
    void visit(F&& f) {
      f("factor", factor);
      f("best", best);
      f("num_bad", num_bad);
      f("cooling", cooling);
      f("seen", seen);
    }
  };

  /// Errors   ConfigError if a setting is outside its range
  State start() const {
    if (!(gamma > 0 && gamma < 1)) {
      throw ConfigError(message("ReduceOnPlateau: gamma is ", gamma, ", want a number in (0, 1)"));
    }
    if (!(threshold >= 0 && threshold < 1)) {
      throw ConfigError(message("ReduceOnPlateau: threshold is ", threshold, ", want a number in [0, 1)"));
    }
    return {};
  }

  double factor(const State& state, std::uint64_t) const noexcept { return state.factor; }

  /// Takes in one evaluation.
  void observe(State& state, double val_loss, double val_metric) const noexcept {
    const bool minimise = watch == Watch::val_loss;
    const double now = minimise ? val_loss : val_metric;
    const bool better = state.seen++ == 0 ||
                        (minimise ? now < state.best * (1 - threshold) : now > state.best * (1 + threshold));
    if (better) {
      state.best = now;
      state.num_bad = 0;
    } else {
      ++state.num_bad;
    }
    if (state.cooling > 0) {
      --state.cooling;
      state.num_bad = 0;
    }
    if (state.num_bad <= patience) return;
    const double lower = std::max(state.factor * gamma, floor);
    if (state.factor - lower > eps) state.factor = lower;
    state.cooling = cooldown;
    state.num_bad = 0;
  }

  /// Shows every setting to f(name, value), so that a resumed run can check it is the same.
  template <class F>
  void visit_options(F&& f) const {
    f("schedule", "ReduceOnPlateau");
    f("watch", watch == Watch::val_loss ? "val_loss" : "val_metric");
    f("gamma", gamma);
    f("patience", static_cast<double>(patience));
    f("threshold", threshold);
    f("cooldown", static_cast<double>(cooldown));
    f("floor", floor);
    f("eps", eps);
  }
};

}  // namespace tessera
