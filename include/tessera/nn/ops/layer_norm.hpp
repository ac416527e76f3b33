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
#include "tessera/kernels/layer_norm.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct LayerNormOp {
  static constexpr std::string_view kName = "layer_norm";
  Var x;
  Var gamma;
  Var beta;
  Array<T> mean;
  Array<T> inv_std;

  std::array<Var, 3> inputs() const noexcept { return {x, gamma, beta}; }
  std::array<Var, 2> reads() const noexcept { return {x, gamma}; }
  bool reads_output() const noexcept { return false; }

  // With n = (x - mean) inv_std and h = gamma G: dx = inv_std (h - mean(h) - n mean(h n)), dgamma = sum G n,
  // dbeta = sum G.
  void vjp(Tape<T>& tape, Var self) const {
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

}  // namespace detail

/// Rows brought to mean 0 and variance 1, then scaled and shifted: y = gamma (x - mean) / sqrt(var + eps) +
/// beta.
///
/// Shapes   x [N, F], gamma and beta [1, F] -> y [N, F]
/// Cost     O(N F); keeps x and two numbers per row
/// Errors   ShapeError if the shapes do not fit, ConfigError if eps is negative
/// Source   Ba, Kiros & Hinton, Layer normalization, 2016, eq. (4)
template <class Ctx>
Var layer_norm(Ctx& ctx, Var x, Var gamma, Var beta, double eps) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> value = ctx.value(x);
  for (const Var v : {gamma, beta}) {
    if (ctx.rows(v) == 1 && ctx.cols(v) == value.cols()) continue;
    throw ShapeError(message("layer_norm: ", v == gamma ? "gamma" : "beta", " is [", ctx.rows(v), ", ",
                             ctx.cols(v), "], want [1, ", value.cols(), "]"));
  }
  Tensor<T> y(value.rows(), value.cols());
  Array<T> mean(value.rows());
  Array<T> inv_std(value.rows());
  layer_norm(value, ctx.value(gamma).row(0), ctx.value(beta).row(0), y.view(), mean, inv_std,
             LayerNormOptions{eps});
  return ctx.record(std::move(y),
                    detail::LayerNormOp<T>{x, gamma, beta, std::move(mean), std::move(inv_std)});
}

}  // namespace tessera
