// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>

#include "tessera/core/array.hpp"
#include "tessera/nn/optim/detail/sweep.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// Running moments of one Adam or AdamW run.
///
/// Shapes   both arrays lie parallel to the parameter block's values
template <Real T>
struct AdamState {
  Array<T> exp_avg;     ///< m
  Array<T> exp_avg_sq;  ///< v
  std::uint64_t step = 0;

  /// Shows every field to f(name, span) or f(name, counter), for checkpoints.
  template <class F>
  void visit(F&& f) {
    f("exp_avg", exp_avg.span());
    f("exp_avg_sq", exp_avg_sq.span());
    f("step", step);
  }
};

namespace detail {

struct AdamOptions {
  double lr, beta1, beta2, eps, weight_decay;
  bool decoupled;
};

template <Real T>
AdamState<T> start_adam(const ParameterBlock<T>& block, const AdamOptions& o, std::string_view who) {
  constexpr double kInf = std::numeric_limits<double>::infinity();
  check_range(who, "lr", o.lr, 0, kInf);
  check_range(who, "beta1", o.beta1, 0, 1);
  check_range(who, "beta2", o.beta2, 0, 1);
  check_range(who, "eps", o.eps, 0, kInf);
  check_range(who, "weight_decay", o.weight_decay, 0, kInf);
  const std::size_t count = block.values().size();
  return {Array<T>(count, T{0}), Array<T>(count, T{0}), 0};
}

/// One step of both variants; they differ in where the decay enters.
template <Real T>
void step_adam(AdamState<T>& state, ParameterBlock<T>& block, double lr, const AdamOptions& o,
               std::string_view who) {
  check_finite_gradients(block, who, state.step + 1);
  const auto t = static_cast<double>(++state.step);
  const T step_size = static_cast<T>(lr / (1 - std::pow(o.beta1, t)));
  const T root_correction2 = static_cast<T>(std::sqrt(1 - std::pow(o.beta2, t)));
  const T beta2 = static_cast<T>(o.beta2);
  const T one_minus_beta1 = static_cast<T>(1 - o.beta1);
  const T one_minus_beta2 = static_cast<T>(1 - o.beta2);
  const T eps = static_cast<T>(o.eps);
  T* const theta = block.values().data();
  const T* const grad = block.grads().data();
  T* const m = state.exp_avg.data();
  T* const v = state.exp_avg_sq.data();

  sweep_parameters(block, [=, &o](std::size_t begin, std::size_t end, float decay_scale) {
    const double decay = o.weight_decay * static_cast<double>(decay_scale);
    const T coupled = static_cast<T>(o.decoupled ? 0 : decay);
    const T shrink = static_cast<T>(o.decoupled ? 1 - lr * decay : 1);
    for_lanes<T>(begin, end, [=]<std::size_t W>(std::size_t i) TESSERA_INLINE_LAMBDA {
      Simd<T, W> x, g, mean, square;
      simd_load<W, T>(x, theta + i);
      simd_load<W, T>(g, grad + i);
      simd_load<W, T>(mean, m + i);
      simd_load<W, T>(square, v + i);
      if (coupled != T{0}) g = g + coupled * x;
      x = x * shrink;
      mean = mean + one_minus_beta1 * (g - mean);
      square = square * beta2 + one_minus_beta2 * (g * g);
      simd_store<W, T>(m + i, mean);
      simd_store<W, T>(v + i, square);
      sqrt_lanes<W, T>(square);
      x = x - step_size * (mean / (square / root_correction2 + eps));
      simd_store<W, T>(theta + i, x);
    });
  });
}

}  // namespace detail

/// Adam with the decay added to the gradient (an L2 penalty), PyTorch's definition:
///
///     g <- g + weight_decay theta
///     m <- beta1 m + (1 - beta1) g;   v <- beta2 v + (1 - beta2) g^2
///     theta <- theta - lr / (1 - beta1^t) * m / (sqrt(v) / sqrt(1 - beta2^t) + eps)
///
/// The object holds settings only and may serve any number of runs; `start` makes the state of one.
/// Units    a parameter decays by weight_decay times its own weight_decay_scale
/// Cost     one pass over gradients to check them, one over gradients, values and both moments
/// Source   Kingma and Ba, Adam: a method for stochastic optimization, 2015, algorithm 1; eps as in PyTorch
struct Adam {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 0;

  template <Real T>
  using State = AdamState<T>;

  /// Fresh state for a block: moments zero, no step taken.
  ///
  /// Errors   ConfigError if a setting is outside its range
  template <Real T>
  State<T> start(const ParameterBlock<T>& block) const {
    return detail::start_adam(block, options(), "Adam");
  }

  /// Takes one step along block.grads() at the rate lr * lr_factor.
  ///
  /// Errors   Error if a gradient is not finite (step and parameter named); then nothing is updated
  template <Real T>
  void step(State<T>& state, ParameterBlock<T>& block, double lr_factor) const {
    detail::step_adam(state, block, lr * lr_factor, options(), "Adam");
  }

  /// Shows every setting to f(name, value), so that a resumed run can check it is the same.
  template <class F>
  void visit_options(F&& f) const {
    f("optimizer", "Adam");
    f("lr", lr);
    f("beta1", beta1);
    f("beta2", beta2);
    f("eps", eps);
    f("weight_decay", weight_decay);
  }

 private:
  detail::AdamOptions options() const noexcept { return {lr, beta1, beta2, eps, weight_decay, false}; }
};

}  // namespace tessera
