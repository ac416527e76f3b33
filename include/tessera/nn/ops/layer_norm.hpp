// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/kernels/bf16_layer_norm.hpp"
#include "tessera/kernels/layer_norm.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/finish.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct LayerNormOp {
  static constexpr std::string_view kName = "layer_norm";
  Var x;
  Var gamma;
  Var beta;
  Finish finish;
  Array<T> mean;
  Array<T> inv_std;
  bool narrow = false;  ///< x and the result are kept as bf16

  std::array<Var, 3> inputs() const noexcept { return {x, gamma, beta}; }
  std::array<Var, 2> reads() const noexcept { return {narrow ? Var{} : x, gamma}; }
  std::array<Var, 1> reads_narrow() const noexcept { return {narrow ? x : Var{}}; }
  bool reads_output() const noexcept { return finish.activation != Activation::none; }

  // With n = (x - mean) inv_std, G what the finish lets pass and h = gamma G: dx = inv_std (h - mean(h) - n mean(h n)),
  // dgamma = sum G n, dbeta = sum G.
  void vjp(Tape<T>& tape, Var self) const {
    if constexpr (kNarrows<Tape<T>>) {
      if (narrow) return vjp_narrow(tape, self);
    }
    finish_vjp(tape, self, finish);
    const MatrixView<T> g = tape.grad(self);
    layer_norm_backward(g, tape.value(x), tape.value(gamma).row(0), mean, inv_std, g, row_grad(tape, gamma),
                        row_grad(tape, beta));
    if (tape.needs_grad(x)) tape.add_grad(x, tape.take_grad(self));
  }

  // The Jacobian of n in x is symmetric, so dn is the backward product without gamma; then
  // dy = gamma dn + dgamma n + dbeta.
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    const MatrixView<const T> value = tape.value(x);
    const MatrixView<const T> scale = tape.value(gamma);
    copy_or_zero(tape.tangent(x), t);
    layer_norm_backward(t, value, std::span<const T>(), mean, inv_std, t);
    parallel_for(t.rows(), kRowGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        for (std::size_t j = 0; j < t.cols(); ++j) {
          t(i, j) *= scale(0, j);
          if (tape.has_tangent(gamma))
            t(i, j) += tape.tangent(gamma)(0, j) * (value(i, j) - mean[i]) * inv_std[i];
          if (tape.has_tangent(beta)) t(i, j) += tape.tangent(beta)(0, j);
        }
      }
    });
    finish_jvp(tape, self, finish, t);
  }

 private:
  void vjp_narrow(Tape<float>& tape, Var self) const {
    const MatrixView<const bf16> y =
        finish.activation == Activation::none ? MatrixView<const bf16>() : tape.narrow(self);
    const auto run = [&](auto g, MatrixView<bf16> grad) {
      bf16_layer_norm_backward(y, g, tape.narrow(x), tape.value(gamma).row(0), mean, inv_std,
                               epilogue_of(tape, finish), grad, row_grad(tape, gamma), row_grad(tape, beta));
    };
    if (tape.has_narrow_grad(self)) {
      const MatrixView<bf16> g = tape.narrow_grad(self);
      run(MatrixView<const bf16>(g), g);
      if (tape.needs_grad(x)) tape.add_grad(x, tape.take_narrow_grad(self));
      return;
    }
    const MatrixView<const float> g = tape.grad(self);
    Tensor<bf16> grad(g.rows(), g.cols());
    run(g, grad.view());
    if (tape.needs_grad(x)) tape.add_grad(x, std::move(grad));
  }

  // The gradient of a [1, F] leaf, ready to be added to; empty where none is wanted.
  static std::span<T> row_grad(Tape<T>& tape, Var v) {
    if (!tape.needs_grad(v)) return {};
    const GradSlot<T> slot = tape.grad_slot(v);
    const std::span<T> row = slot.grad.row(0);
    if (!slot.add) std::fill(row.begin(), row.end(), T{0});
    return row;
  }
};

}  // namespace detail

/// Rows brought to mean 0 and variance 1, then scaled, shifted and finished: y = dropout(activation(gamma (x - mean) /
/// sqrt(var + eps) + beta)).
///
/// Shapes   x [N, F], gamma and beta [1, F] -> y [N, F]
/// Cost     O(N F); keeps x and two numbers per row, and y under an activation
/// Errors   ShapeError if the shapes do not fit, ConfigError if eps is negative or `finish` has a bias
/// Source   Ba, Kiros & Hinton, Layer normalization, 2016, eq. (4)
template <class Ctx>
Var layer_norm(Ctx& ctx, Var x, Var gamma, Var beta, double eps, const Finish& finish = {}) {
  using T = typename Ctx::Scalar;
  for (const Var v : {gamma, beta}) {
    if (ctx.rows(v) == 1 && ctx.cols(v) == ctx.cols(x)) continue;
    throw ShapeError(message("layer_norm: ", v == gamma ? "gamma" : "beta", " is [", ctx.rows(v), ", ",
                             ctx.cols(v), "], want [1, ", ctx.cols(x), "]"));
  }
  if (finish.bias) throw ConfigError("layer_norm: finish has a bias; beta is one");
  Array<T> mean(ctx.rows(x));
  Array<T> inv_std(ctx.rows(x));
  const LayerNormOptions options{eps};
  if constexpr (kNarrows<Ctx>) {
    if (detail::narrows(ctx) && ctx.has_narrow(x) && detail::kept_narrow(finish)) {
      Tensor<bf16> y(ctx.rows(x), ctx.cols(x));
      bf16_layer_norm(ctx.narrow(x), ctx.value(gamma).row(0), ctx.value(beta).row(0), y.view(), mean, inv_std,
                      options, detail::epilogue_of(ctx, finish));
      return ctx.record(std::move(y), detail::LayerNormOp<T>{x, gamma, beta, finish, std::move(mean),
                                                             std::move(inv_std), true});
    }
  }
  const MatrixView<const T> value = ctx.value(x);
  Tensor<T> y(value.rows(), value.cols());
  layer_norm(value, ctx.value(gamma).row(0), ctx.value(beta).row(0), y.view(), mean, inv_std, options);
  apply_epilogue(y.view(), detail::epilogue_of(ctx, finish));
  return ctx.record(std::move(y),
                    detail::LayerNormOp<T>{x, gamma, beta, finish, std::move(mean), std::move(inv_std)});
}

}  // namespace tessera
