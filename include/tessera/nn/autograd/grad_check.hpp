// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "tessera/core/rng.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/nn/autograd/no_tape.hpp"
#include "tessera/nn/autograd/tape.hpp"

namespace tessera {

/// How far the derivatives of a function are from the truth; every figure is relative to the larger side.
struct GradCheck {
  double vjp_error = 0;      ///< reverse mode against central differences, worst entry over the largest one
  double jvp_error = 0;      ///< forward mode against central differences along one random direction
  double adjoint_error = 0;  ///< <J v, w> against <v, J^T w>, exact but for rounding
};

struct GradCheckOptions {
  double step = 1e-6;  ///< h of the central difference, times max(1, |x|)
  bool forward_mode = true;
  std::uint64_t seed = 1;
};

namespace detail {

/// Numbers uniform in [-1, 1), to stand for a cotangent or a direction.
inline Tensor<double> random_direction(std::size_t rows, std::size_t cols, std::uint64_t seed,
                                       std::size_t number) {
  Tensor<double> out(rows, cols);
  const RngKey key = make_key(seed, 0, Purpose::generic);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      CounterRng rng(key, static_cast<std::uint32_t>(number), i * cols + j);
      out(i, j) = 2.0 * rng.uniform() - 1.0;
    }
  }
  return out;
}

inline double inner(MatrixView<const double> a, MatrixView<const double> b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.rows(); ++i) {
    for (std::size_t j = 0; j < a.cols(); ++j) sum += a(i, j) * b(i, j);
  }
  return sum;
}

inline double largest(MatrixView<const double> a) {
  double out = 0;
  for (std::size_t i = 0; i < a.rows(); ++i) {
    for (std::size_t j = 0; j < a.cols(); ++j) out = std::max(out, std::abs(a(i, j)));
  }
  return out;
}

/// A difference over its scale, which counts as 1e-3 at least: below that, differences are rounding.
inline double relative(double difference, double scale) { return difference / std::max(scale, 1e-3); }

/// The largest |a - b| over the largest |a| or |b|; NaN if any difference is.
inline double worst_difference(MatrixView<const double> a, MatrixView<const double> b) {
  double worst = 0;
  for (std::size_t i = 0; i < a.rows(); ++i) {
    for (std::size_t j = 0; j < a.cols(); ++j) {
      const double difference = std::abs(a(i, j) - b(i, j));
      if (std::isnan(difference)) return difference;
      worst = std::max(worst, difference);
    }
  }
  return relative(worst, std::max(largest(a), largest(b)));
}

template <class F>
Tensor<double> evaluate(F& f, std::span<Tensor<double>> inputs) {
  NoTape<double> ctx;
  std::vector<Var> vars;
  for (const Tensor<double>& x : inputs) vars.push_back(ctx.input(x.view()));
  return Tensor<double>::copy_of(ctx.value(f(ctx, std::span<const Var>(vars))));
}

/// d <f, cotangent> / d inputs[k], one element at a time.
template <class F>
Tensor<double> numeric_gradient(F& f, std::span<Tensor<double>> inputs, std::size_t k,
                                MatrixView<const double> cotangent, double step) {
  Tensor<double>& x = inputs[k];
  Tensor<double> out(x.rows(), x.cols());
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) {
      const double at = x(i, j);
      const double high = at + step * std::max(1.0, std::abs(at));
      const double low = at - step * std::max(1.0, std::abs(at));
      x(i, j) = high;
      const double above = inner(evaluate(f, inputs).view(), cotangent);
      x(i, j) = low;
      const double below = inner(evaluate(f, inputs).view(), cotangent);
      x(i, j) = at;
      out(i, j) = (above - below) / (high - low);
    }
  }
  return out;
}

/// (f(x + h v) - f(x - h v)) / 2h.
template <class F>
Tensor<double> numeric_tangent(F& f, std::span<Tensor<double>> inputs,
                               std::span<const Tensor<double>> directions, double step) {
  const auto moved = [&](double amount) {
    std::vector<Tensor<double>> there;
    for (std::size_t k = 0; k < inputs.size(); ++k) {
      there.push_back(Tensor<double>::copy_of(std::as_const(inputs[k]).view()));
      for (std::size_t i = 0; i < there[k].rows(); ++i) {
        for (std::size_t j = 0; j < there[k].cols(); ++j) there[k](i, j) += amount * directions[k](i, j);
      }
    }
    return evaluate(f, there);
  };
  Tensor<double> out = moved(step);
  const Tensor<double> below = moved(-step);
  for (std::size_t i = 0; i < out.rows(); ++i) {
    for (std::size_t j = 0; j < out.cols(); ++j) out(i, j) = (out(i, j) - below(i, j)) / (2 * step);
  }
  return out;
}

}  // namespace detail

/// Compares the derivatives a tape computes with central differences, in double.
///
/// `f(ctx, vars)` builds an output of any shape from the Vars of `inputs` and must accept `Tape<double>` and
/// `NoTape<double>`; it is differentiated with respect to every input. `inputs` return unchanged.
/// Cost     two evaluations of f per element of the inputs
/// Errors   whatever f throws; ConfigError if forward mode is asked for and an operator lacks it
template <class F>
GradCheck grad_check(F&& f, std::span<Tensor<double>> inputs, const GradCheckOptions& options = {}) {
  using detail::inner;
  Tape<double> tape;
  std::vector<Tensor<double>> grads;
  std::vector<Tensor<double>> directions;
  std::vector<Var> vars;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    const Tensor<double>& x = inputs[k];
    grads.push_back(Tensor<double>::zeros(x.rows(), x.cols()));
    directions.push_back(detail::random_direction(x.rows(), x.cols(), options.seed, k + 1));
    vars.push_back(tape.parameter({x.view(), grads[k].view()}));
  }
  const Var y = f(tape, std::span<const Var>(vars));
  const auto shape = tape.value(y);
  const Tensor<double> cotangent = detail::random_direction(shape.rows(), shape.cols(), options.seed, 0);
  tape.backward(y, cotangent.view());

  GradCheck out;
  const auto keep_worst = [](double& worst, double error) {
    if (!(error <= worst)) worst = error;  // NaN is worst
  };
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    const Tensor<double> numeric = detail::numeric_gradient(f, inputs, k, cotangent.view(), options.step);
    keep_worst(out.vjp_error, detail::worst_difference(numeric.view(), std::as_const(grads[k]).view()));
  }
  if (!options.forward_mode) return out;

  for (std::size_t k = 0; k < inputs.size(); ++k) {
    tape.set_tangent(vars[k], std::as_const(directions[k]).view());
  }
  tape.jvp();
  const Tensor<double> tangent = tape.has_tangent(y) ? Tensor<double>::copy_of(tape.tangent(y))
                                                     : Tensor<double>::zeros(shape.rows(), shape.cols());
  const Tensor<double> numeric = detail::numeric_tangent(f, inputs, directions, options.step);
  keep_worst(out.jvp_error, detail::worst_difference(numeric.view(), tangent.view()));

  double reverse = 0;
  double scale = 0;
  for (std::size_t k = 0; k < inputs.size(); ++k) {
    reverse += inner(std::as_const(grads[k]).view(), std::as_const(directions[k]).view());
    scale += detail::largest(std::as_const(grads[k]).view()) * static_cast<double>(grads[k].size());
  }
  keep_worst(out.adjoint_error,
             detail::relative(std::abs(inner(tangent.view(), cotangent.view()) - reverse), scale));
  return out;
}

}  // namespace tessera
