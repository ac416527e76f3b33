// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <numbers>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"

// A schedule maps an epoch, counted from 0, to what the optimiser's learning rate is multiplied by. It is a
// pure function: a resumed run asks for the epoch it is at. ReduceOnPlateau (plateau.hpp) is the one that
// remembers.

namespace tessera {

/// The rate stays as it is; the default.
struct ConstantRate {
  double factor(std::uint64_t) const noexcept { return 1; }
};

/// gamma^(epoch / every), rounded down: a staircase.
///
/// Errors   ConfigError if every is 0
struct StepDecay {
  std::uint64_t every = 10;
  double gamma = 0.1;

  double factor(std::uint64_t epoch) const {
    if (every == 0) throw ConfigError("StepDecay: every is 0, want at least 1 epoch");
    return std::pow(gamma, static_cast<double>(epoch / every));
  }
  template <class F>
  void visit_options(F&& f) const {
    f("schedule", "StepDecay");
    f("every", static_cast<double>(every));
    f("gamma", gamma);
  }
};

/// Multiplies by gamma at each milestone; a milestone that is listed twice counts twice.
struct MultiStepDecay {
  std::vector<std::uint64_t> milestones = {};
  double gamma = 0.1;

  double factor(std::uint64_t epoch) const {
    std::size_t passed = 0;
    for (const std::uint64_t m : milestones) passed += epoch >= m ? 1u : 0u;
    return std::pow(gamma, static_cast<double>(passed));
  }
  template <class F>
  void visit_options(F&& f) const {
    f("schedule", "MultiStepDecay");
    for (const std::uint64_t m : milestones) f("milestone", static_cast<double>(m));
    f("gamma", gamma);
  }
};

/// gamma^epoch.
struct ExponentialDecay {
  double gamma = 0.99;

  double factor(std::uint64_t epoch) const { return std::pow(gamma, static_cast<double>(epoch)); }
  template <class F>
  void visit_options(F&& f) const {
    f("schedule", "ExponentialDecay");
    f("gamma", gamma);
  }
};

/// Half a cosine from 1 down to `floor` over `period` epochs; it rises again after them.
///
/// Units    floor is a fraction of the optimiser's rate: PyTorch's eta_min / lr
/// Errors   ConfigError if period is 0
/// Source   Loshchilov and Hutter, SGDR: stochastic gradient descent with warm restarts, 2017, eq. (5),
/// without restarts
struct CosineDecay {
  std::uint64_t period = 200;
  double floor = 0;

  double factor(std::uint64_t epoch) const {
    if (period == 0) throw ConfigError("CosineDecay: period is 0, want at least 1 epoch");
    const double turn = static_cast<double>(epoch) / static_cast<double>(period);
    return floor + 0.5 * (1 - floor) * (1 + std::cos(std::numbers::pi * turn));
  }
  template <class F>
  void visit_options(F&& f) const {
    f("schedule", "CosineDecay");
    f("period", static_cast<double>(period));
    f("floor", floor);
  }
};

/// Grows linearly to 1 over `warmup` epochs (1/warmup in the first), then falls as sqrt(warmup / (epoch +
/// 1)).
///
/// Source   Vaswani et al., Attention is all you need, 2017, section 5.3, with the peak scaled to 1
/// Errors   ConfigError if warmup is 0
struct InverseSqrtDecay {
  std::uint64_t warmup = 1;

  double factor(std::uint64_t epoch) const {
    if (warmup == 0) throw ConfigError("InverseSqrtDecay: warmup is 0, want at least 1 epoch");
    const auto t = static_cast<double>(epoch + 1);
    const auto w = static_cast<double>(warmup);
    return t < w ? t / w : std::sqrt(w / t);
  }
  template <class F>
  void visit_options(F&& f) const {
    f("schedule", "InverseSqrtDecay");
    f("warmup", static_cast<double>(warmup));
  }
};

/// Linear warm-up from `start` to 1 over `epochs` epochs, then `then` counted from its own epoch 0.
///
///     LinearWarmup{.epochs = 5, .then = CosineDecay{.period = 195}}
///
/// Units    start is a fraction of the rate that follows; epoch e runs at start + (1 - start) e / epochs, as
/// PyTorch's
///          LinearLR does
template <class Then = ConstantRate>
struct LinearWarmup {
  std::uint64_t epochs = 5;
  double start = 0.1;
  Then then = {};

  double factor(std::uint64_t epoch) const {
    if (epoch >= epochs) return then.factor(epoch - epochs);
    const double done = static_cast<double>(epoch) / static_cast<double>(epochs);
    return (start + (1 - start) * done) * then.factor(0);
  }
  template <class F>
  void visit_options(F&& f) const {
    f("schedule", "LinearWarmup");
    f("epochs", static_cast<double>(epochs));
    f("start", start);
    if constexpr (requires { then.visit_options(f); }) then.visit_options(f);
  }
};

}  // namespace tessera
