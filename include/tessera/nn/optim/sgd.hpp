// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <limits>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/nn/optim/detail/sweep.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// Stochastic gradient descent with momentum, PyTorch's definition:
///
///     g <- g + weight_decay theta
///     b <- g at the first step, else momentum b + (1 - dampening) g
///     theta <- theta - lr (nesterov ? g + momentum b : b)         (momentum 0: theta - lr g)
///
/// The object holds settings only and may serve any number of runs; `start` makes the state of one.
/// Units    a parameter decays by weight_decay times its own weight_decay_scale
/// Cost     one pass over gradients to check them, one over gradients, values and momentum
/// Source   Sutskever et al., On the importance of initialization and momentum, 2013; differs: PyTorch scales
/// the
///          whole direction by lr, not the gradient alone
struct Sgd {
  double lr = 1e-3;
  double momentum = 0;
  double dampening = 0;
  double weight_decay = 0;
  bool nesterov = false;

  /// Momentum of one run; no array while momentum is 0.
  template <Real T>
  struct State {
    Array<T> momentum_buffer;  ///< b, parallel to the parameter block's values
    std::uint64_t step = 0;

    /// Shows every field to f(name, span) or f(name, counter), for checkpoints.
    template <class F>
    void visit(F&& f) {
      if (!momentum_buffer.empty()) f("momentum_buffer", momentum_buffer.span());
      f("step", step);
    }
  };

  /// Fresh state for a block.
  ///
  /// Errors   ConfigError if a setting is outside its range, or nesterov without momentum or with dampening
  template <Real T>
  State<T> start(const ParameterBlock<T>& block) const {
    constexpr double kInf = std::numeric_limits<double>::infinity();
    detail::check_range("Sgd", "lr", lr, 0, kInf);
    detail::check_range("Sgd", "momentum", momentum, 0, kInf);
    detail::check_range("Sgd", "dampening", dampening, -kInf, kInf);
    detail::check_range("Sgd", "weight_decay", weight_decay, 0, kInf);
    if (nesterov && (momentum == 0 || dampening != 0)) {
      throw ConfigError(message("Sgd: nesterov with momentum ", momentum, " and dampening ", dampening,
                                ", want a momentum above 0 and no dampening"));
    }
    return {Array<T>(momentum == 0 ? 0 : block.values().size(), T{0}), 0};
  }

  /// Takes one step along block.grads() at the rate lr * lr_factor.
  ///
  /// Errors   Error if a gradient is not finite (step and parameter named); then nothing is updated
  template <Real T>
  void step(State<T>& state, ParameterBlock<T>& block, double lr_factor) const {
    detail::check_finite_gradients(block, "Sgd", state.step + 1);
    const bool first = state.step++ == 0;
    const T rate = static_cast<T>(lr * lr_factor);
    const T mu = static_cast<T>(momentum);
    const T keep = first ? T{0} : mu;
    const T take = first ? T{1} : static_cast<T>(1 - dampening);
    T* const theta = block.values().data();
    const T* const grad = block.grads().data();
    T* const b = state.momentum_buffer.data();

    detail::sweep_parameters(block, [=, this](std::size_t begin, std::size_t end, float decay_scale) {
      const T decay = static_cast<T>(weight_decay * static_cast<double>(decay_scale));
      const bool look_ahead = nesterov;
      detail::for_lanes<T>(begin, end, [=]<std::size_t W>(std::size_t i) TESSERA_INLINE_LAMBDA {
        detail::Simd<T, W> x, g, velocity;
        detail::simd_load<W, T>(x, theta + i);
        detail::simd_load<W, T>(g, grad + i);
        if (decay != T{0}) g = g + decay * x;
        if (mu != T{0}) {
          detail::simd_load<W, T>(velocity, b + i);
          velocity = keep * velocity + take * g;
          detail::simd_store<W, T>(b + i, velocity);
          g = look_ahead ? g + mu * velocity : velocity;
        }
        x = x - rate * g;
        detail::simd_store<W, T>(theta + i, x);
      });
    });
  }

  /// Shows every setting to f(name, value), so that a resumed run can check it is the same.
  template <class F>
  void visit_options(F&& f) const {
    f("optimizer", "Sgd");
    f("lr", lr);
    f("momentum", momentum);
    f("dampening", dampening);
    f("weight_decay", weight_decay);
    f("nesterov", nesterov ? 1.0 : 0.0);
  }
};

}  // namespace tessera
