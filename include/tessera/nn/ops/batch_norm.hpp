// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/kernels/batch_norm.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct BatchNormOp {
  static constexpr std::string_view kName = "batch_norm";
  Var x;
  Var gamma;
  Var beta;
  Array<T> mean;
  Array<T> inv_std;
  bool own_statistics;  ///< mean and inv_std are functions of x, else constants

  std::array<Var, 3> inputs() const noexcept { return {x, gamma, beta}; }
  std::array<Var, 2> reads() const noexcept { return {x, gamma}; }
  bool reads_output() const noexcept { return false; }

  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<T> g = tape.grad(self);
    const std::span<T> grad_gamma = row_grad(tape, gamma);
    const std::span<T> grad_beta = row_grad(tape, beta);
    const bool wanted = tape.needs_grad(x);
    batch_norm_backward(g, tape.value(x), tape.value(gamma).row(0), mean, inv_std,
                        wanted && own_statistics ? g : MatrixView<T>(), grad_gamma, grad_beta);
    if (!wanted) return;
    if (!own_statistics) {
      Array<T> zero(g.cols(), T{0});
      batch_norm(g, tape.value(gamma).row(0), {}, zero, inv_std, g);
    }
    tape.add_grad(x, tape.take_grad(self));
  }

  // The Jacobian of n in x is symmetric, so dn is the backward product without gamma; then
  // dy = gamma dn + dgamma n + dbeta.
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    const MatrixView<const T> value = tape.value(x);
    const MatrixView<const T> scale = tape.value(gamma);
    copy_or_zero(tape.tangent(x), t);
    if (own_statistics) {
      batch_norm_backward(t, value, {}, mean, inv_std, t);
    } else {
      Array<T> zero(t.cols(), T{0});
      batch_norm(t, {}, {}, zero, inv_std, t);
    }
    parallel_for(t.rows(), kRowGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        for (std::size_t j = 0; j < t.cols(); ++j) {
          t(i, j) *= scale(0, j);
          if (tape.has_tangent(gamma))
            t(i, j) += tape.tangent(gamma)(0, j) * (value(i, j) - mean[j]) * inv_std[j];
          if (tape.has_tangent(beta)) t(i, j) += tape.tangent(beta)(0, j);
        }
      }
    });
  }

 private:
  // The gradient of a [1, F] leaf, ready to be added to; empty where none is wanted.
  static std::span<T> row_grad(Tape<T>& tape, Var v) {
    if (!tape.needs_grad(v)) return {};
    const GradSlot<T> slot = tape.grad_slot(v);
    const std::span<T> row = slot.grad.row(0);
    if (!slot.add) std::fill(row.begin(), row.end(), T{0});
    return row;
  }
};

template <class Ctx>
void check_batch_norm(Ctx& ctx, Var x, Var gamma, Var beta, double eps) {
  const std::size_t cols = ctx.cols(x);
  for (const Var v : {gamma, beta}) {
    if (ctx.rows(v) == 1 && ctx.cols(v) == cols) continue;
    throw ShapeError(message("batch_norm: ", v == gamma ? "gamma" : "beta", " is [", ctx.rows(v), ", ",
                             ctx.cols(v), "], want [1, ", cols, "]"));
  }
  if (!(eps >= 0)) throw ConfigError(message("batch_norm: eps is ", eps, ", want a number >= 0"));
}

template <class Ctx>
Var record_batch_norm(Ctx& ctx, Var x, Var gamma, Var beta, Array<typename Ctx::Scalar> mean,
                      Array<typename Ctx::Scalar> variance, double eps, bool own_statistics) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> value = ctx.value(x);
  for (T& v : variance) v = T{1} / std::sqrt(v + static_cast<T>(eps));
  Tensor<T> y(value.rows(), value.cols());
  batch_norm(value, ctx.value(gamma).row(0), ctx.value(beta).row(0), mean, variance, y.view());
  return ctx.record(std::move(y),
                    BatchNormOp<T>{x, gamma, beta, std::move(mean), std::move(variance), own_statistics});
}

}  // namespace detail

/// Columns brought to mean 0 and variance 1 over the rows of x, then scaled and shifted: y = gamma (x - mean)
/// / sqrt(var + eps) + beta, with the variance divided by N.
///
/// Shapes   x [N, F], gamma and beta [1, F] -> y [N, F]; mean, variance [F], or empty: receive the statistics
/// Cost     O(N F), three passes; keeps x and two numbers per column
/// Errors   ShapeError if the shapes do not fit, ConfigError if eps is negative
/// Source   Ioffe & Szegedy, Batch normalization, 2015, algorithm 1
template <class Ctx>
Var batch_norm(Ctx& ctx, Var x, Var gamma, Var beta, double eps, std::span<typename Ctx::Scalar> mean = {},
               std::span<typename Ctx::Scalar> variance = {}) {
  using T = typename Ctx::Scalar;
  detail::check_batch_norm(ctx, x, gamma, beta, eps);
  Array<T> m(ctx.cols(x));
  Array<T> v(m.size());
  column_statistics(ctx.value(x), m.span(), v.span());
  std::copy_n(m.begin(), mean.size(), mean.begin());
  std::copy_n(v.begin(), variance.size(), variance.begin());
  return detail::record_batch_norm(ctx, x, gamma, beta, std::move(m), std::move(v), eps, true);
}

/// The same by statistics that are constants: inference.
///
/// Shapes   mean, variance [F]; otherwise as batch_norm
/// Errors   ShapeError if the shapes do not fit, ConfigError if eps is negative
template <class Ctx>
Var batch_norm_by(Ctx& ctx, Var x, Var gamma, Var beta, double eps,
                  std::span<const typename Ctx::Scalar> mean,
                  std::span<const typename Ctx::Scalar> variance) {
  using T = typename Ctx::Scalar;
  detail::check_batch_norm(ctx, x, gamma, beta, eps);
  detail::check_size("batch_norm_by", "mean", mean.size(), ctx.cols(x));
  detail::check_size("batch_norm_by", "variance", variance.size(), ctx.cols(x));
  return detail::record_batch_norm(ctx, x, gamma, beta, Array<T>::copy_of(mean), Array<T>::copy_of(variance),
                                   eps, false);
}

}  // namespace tessera
