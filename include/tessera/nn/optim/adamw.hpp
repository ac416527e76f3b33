// SPDX-License-Identifier: MIT
#pragma once

#include "tessera/nn/optim/adam.hpp"

namespace tessera {

/// Adam with decoupled decay: the weights shrink first, the moments see the raw gradient.
///
///     theta <- theta (1 - lr weight_decay);   then Adam's step with g
///
/// Units    a parameter decays by weight_decay times its own weight_decay_scale
/// Cost     as Adam
/// Source   Loshchilov and Hutter, Decoupled weight decay regularization, 2019, algorithm 2, as in PyTorch
struct AdamW {
  double lr = 1e-3;
  double beta1 = 0.9;
  double beta2 = 0.999;
  double eps = 1e-8;
  double weight_decay = 1e-2;

  template <Real T>
  using State = AdamState<T>;

  /// Fresh state for a block: moments zero, no step taken.
  ///
  /// Errors   ConfigError if a setting is outside its range
  template <Real T>
  State<T> start(const ParameterBlock<T>& block) const {
    return detail::start_adam(block, options(), "AdamW");
  }

  /// Takes one step along block.grads() at the rate lr * lr_factor.
  ///
  /// Errors   Error if a gradient is not finite (step and parameter named); then nothing is updated
  template <Real T>
  void step(State<T>& state, ParameterBlock<T>& block, double lr_factor) const {
    detail::step_adam(state, block, lr * lr_factor, options(), "AdamW");
  }

  /// Shows every setting to f(name, value), so that a resumed run can check it is the same.
  template <class F>
  void visit_options(F&& f) const {
    f("optimizer", "AdamW");
    f("lr", lr);
    f("beta1", beta1);
    f("beta2", beta2);
    f("eps", eps);
    f("weight_decay", weight_decay);
  }

 private:
  detail::AdamOptions options() const noexcept { return {lr, beta1, beta2, eps, weight_decay, true}; }
};

}  // namespace tessera
