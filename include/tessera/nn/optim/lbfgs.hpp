// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/nn/optim/detail/sweep.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// L-BFGS without a line search, for full-batch training of convex or nearly convex models.
///
/// One step is one of PyTorch's inner iterations: it reads one gradient and takes one step, so E epochs of full
/// batches are E iterations. After `tolerance` is met, steps change nothing.
/// Units    weight decay is not supported, as in PyTorch
/// Cost     4 history passes over the parameters per step; 2 history + 2 arrays of their size
/// Errors   ConfigError if a setting is outside its range
/// Source   Nocedal, Updating quasi-Newton matrices with limited storage, 1980; as torch.optim.LBFGS: H_0 =
///          y.s / y.y, pairs with y.s <= 1e-10 are skipped, first step min(1, 1 / |g|_1) lr
struct Lbfgs {
  double lr = 1;
  std::uint64_t history = 100;
  double tolerance = 1e-7;  ///< of the largest gradient entry: below it the run has converged

  template <Real T>
  struct State {
    Array<T> steps;           ///< s, [history, S] as a ring
    Array<T> changes;         ///< y, [history, S]
    Array<T> gradient;        ///< of the step before
    Array<T> direction;       ///< of the step before
    std::uint64_t pairs = 0;  ///< ever stored; the newest lies at (pairs - 1) % history
    std::uint64_t kept = 0;
    double length = 0;    ///< t of the step before
    double diagonal = 1;  ///< H_0
    std::uint64_t step = 0;

    /// Shows every field to f(name, span) or f(name, counter), for checkpoints.
    template <class F>
    void visit(F&& f) {
      f("steps", steps.span());
      f("changes", changes.span());
      f("gradient", gradient.span());
      f("direction", direction.span());
      f("pairs", pairs);
      f("kept", kept);
      f("length", length);
      f("diagonal", diagonal);
      f("step", step);
    }
  };

  template <Real T>
  State<T> start(const ParameterBlock<T>& block) const {
    constexpr double kInf = std::numeric_limits<double>::infinity();
    detail::check_range("Lbfgs", "lr", lr, 0, kInf);
    detail::check_range("Lbfgs", "tolerance", tolerance, 0, kInf);
    detail::check_range("Lbfgs", "history", static_cast<double>(history), 1, 1e6);
    const std::size_t size = block.values().size();
    return {Array<T>(history * size, T{0}), Array<T>(history * size, T{0}), Array<T>(size, T{0}),
            Array<T>(size, T{0})};
  }

  /// Takes one step along the direction the history suggests; lr_factor scales it.
  ///
  /// Errors   Error if a gradient is not finite (step and parameter named); then nothing is updated
  template <Real T>
  void step(State<T>& state, ParameterBlock<T>& block, double lr_factor) const {
    detail::check_finite_gradients(block, "Lbfgs", state.step + 1);
    const std::span<const T> g = block.grads();
    const std::size_t size = g.size();
    double largest = 0;
    for (const T v : g) largest = std::max(largest, std::abs(static_cast<double>(v)));
    if (largest <= tolerance) return;
    const bool first = state.step++ == 0;
    if (!first) remember(state, g);
    std::copy(g.begin(), g.end(), state.gradient.begin());

    const std::span<T> d = state.direction.span();
    for (std::size_t i = 0; i < size; ++i) d[i] = -g[i];
    two_loops(state, d);
    double taxi = 0;
    for (const T v : g) taxi += std::abs(static_cast<double>(v));
    state.length = (first ? std::min(1.0, 1 / taxi) : 1.0) * lr * lr_factor;
    if (dot<T>(g, d) > -1e-9) {  // hardly a way down: PyTorch's tolerance_change
      state.length = 0;
      return;
    }
    axpy(static_cast<T>(state.length), std::span<const T>(d), block.values());
  }

  /// Shows every setting to f(name, value), so that a resumed run can check it is the same.
  template <class F>
  void visit_options(F&& f) const {
    f("optimizer", "Lbfgs");
    f("lr", lr);
    f("history", static_cast<double>(history));
    f("tolerance", tolerance);
  }

 private:
  static constexpr std::size_t kGrain = 4096;

  template <Real T>
  static double dot(std::span<const T> a, std::span<const T> b) {
    return parallel_sum<double>(a.size(), kGrain, [&](std::size_t i, std::size_t end) {
      double sum = 0;
      for (; i < end; ++i) sum += static_cast<double>(a[i]) * static_cast<double>(b[i]);
      return sum;
    });
  }
  template <Real T>
  static void axpy(T alpha, std::span<const T> x, std::span<T> y) {
    for (std::size_t i = 0; i < x.size(); ++i) y[i] += alpha * x[i];
  }
  template <Real T>
  std::span<T> pair(Array<T>& ring, std::uint64_t number, std::size_t size) const {
    return ring.span().subspan(static_cast<std::size_t>(number % history) * size, size);
  }

  template <Real T>
  void remember(State<T>& state, std::span<const T> g) const {
    const std::size_t size = g.size();
    const std::span<T> s = pair(state.steps, state.pairs, size);
    const std::span<T> y = pair(state.changes, state.pairs, size);
    // The slot may hold the oldest pair; it is overwritten only by one that is kept.
    Array<T> new_y(size);
    Array<T> new_s(size);
    for (std::size_t i = 0; i < size; ++i) {
      new_y[i] = g[i] - state.gradient[i];
      new_s[i] = state.direction[i] * static_cast<T>(state.length);
    }
    const double product = dot<T>(new_y, new_s);
    if (!(product > 1e-10)) return;
    std::copy(new_s.begin(), new_s.end(), s.begin());
    std::copy(new_y.begin(), new_y.end(), y.begin());
    state.diagonal = product / dot<T>(new_y, new_y);
    ++state.pairs;
    state.kept = std::min(state.kept + 1, history);
  }

  template <Real T>
  void two_loops(State<T>& state, std::span<T> d) const {
    const std::size_t size = d.size();
    Array<double> alpha(static_cast<std::size_t>(state.kept));
    Array<double> rho(alpha.size());
    for (std::size_t k = alpha.size(); k-- > 0;) {
      const std::uint64_t number = state.pairs - state.kept + k;
      const std::span<const T> s = pair(state.steps, number, size);
      const std::span<const T> y = pair(state.changes, number, size);
      rho[k] = 1 / dot<T>(y, s);
      alpha[k] = rho[k] * dot<T>(s, d);
      axpy(static_cast<T>(-alpha[k]), y, d);
    }
    for (T& v : d) v *= static_cast<T>(state.diagonal);
    for (std::size_t k = 0; k < alpha.size(); ++k) {
      const std::uint64_t number = state.pairs - state.kept + k;
      const std::span<const T> s = pair(state.steps, number, size);
      const std::span<const T> y = pair(state.changes, number, size);
      const double beta = rho[k] * dot<T>(y, d);
      axpy(static_cast<T>(alpha[k] - beta), s, d);
    }
  }
};

}  // namespace tessera
