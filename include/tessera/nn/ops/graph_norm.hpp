// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/kernels/batch_norm.hpp"
#include "tessera/nn/ops/column_norm.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct GraphNormOp {
  static constexpr std::string_view kName = "graph_norm";
  Var x;
  Var gamma;
  Var beta;
  Var k;
  Array<T> mean;
  Array<T> center;  ///< k mean
  Array<T> inv;     ///< 1 / sqrt(mean((x - center)^2) + eps)

  std::array<Var, 4> inputs() const noexcept { return {x, gamma, beta, k}; }
  std::array<Var, 3> reads() const noexcept { return {x, gamma, k}; }
  bool reads_output() const noexcept { return false; }

  // With n = (x - k mean) inv: go = gamma inv (G - n mean(G n)), dx = go - k mean(go), dk = -mean sum(go),
  // dgamma = sum G n, dbeta = sum G; mean(n) = (1 - k) mean inv.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<T> g = tape.grad(self);
    const MatrixView<const T> value = tape.value(x);
    const std::size_t cols = value.cols();
    const ColumnMeans<T> means(g, value, center, inv);
    const MatrixView<const T> scale_row = tape.value(gamma), share = tape.value(k);
    Array<T> scale(cols), shift(cols), k_grad(cols);
    for (std::size_t j = 0; j < cols; ++j) {
      const T go = means.g[j] - mean_n(share, j) * means.gn[j];
      scale[j] = scale_row(0, j) * inv[j];
      shift[j] = share(0, j) * go;
      k_grad[j] = -mean[j] * scale[j] * go;
    }
    const T rows = static_cast<T>(value.rows());
    add_row_grad<T>(tape, gamma, means.gn, rows);
    add_row_grad<T>(tape, beta, means.g, rows);
    add_row_grad<T>(tape, k, k_grad, rows);
    if (!tape.needs_grad(x)) return;
    project_columns<T>(g, value, center, inv, scale, shift, means.gn);
    tape.add_grad(x, tape.take_grad(self));
  }

  // do = dx - k mean(dx) - dk mean, dn = inv (do - n mean(n do)), dy = gamma dn + dgamma n + dbeta.
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    const MatrixView<const T> value = tape.value(x);
    const std::size_t cols = value.cols();
    copy_or_zero(tape.tangent(x), t);
    const ColumnMeans<T> means(t, value, center, inv);
    const MatrixView<const T> scale_row = tape.value(gamma), share = tape.value(k);
    Array<T> scale(cols), shift(cols), along(cols);
    for (std::size_t j = 0; j < cols; ++j) {
      scale[j] = scale_row(0, j) * inv[j];
      shift[j] = share(0, j) * means.g[j];
      if (tape.has_tangent(k)) shift[j] += tape.tangent(k)(0, j) * mean[j];
      along[j] = means.gn[j] - shift[j] * mean_n(share, j);
    }
    project_columns<T>(t, value, center, inv, scale, shift, along);
    parallel_for(t.rows(), kRowGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
          if (tape.has_tangent(gamma))
            t(i, j) += tape.tangent(gamma)(0, j) * (value(i, j) - center[j]) * inv[j];
          if (tape.has_tangent(beta)) t(i, j) += tape.tangent(beta)(0, j);
        }
      }
    });
  }

 private:
  T mean_n(MatrixView<const T> share, std::size_t j) const { return (T{1} - share(0, j)) * mean[j] * inv[j]; }
};

}  // namespace detail

/// Columns less a learned share of their mean, brought to mean square 1, then scaled and shifted: with
/// o = x - k mean(x), y = gamma o / sqrt(mean(o^2) + eps) + beta; the rows of x are one graph.
///
/// Shapes   x [N, F]; gamma, beta and k [1, F] -> y [N, F]
/// Cost     O(N F), three passes; keeps x and three numbers per column
/// Errors   ShapeError if the shapes do not fit, ConfigError if eps is not positive
/// Source   Cai et al., GraphNorm: a principled approach to accelerating graph neural network training, ICML
///          2021, eq. (6); statistics of the whole batch
template <class Ctx>
Var graph_norm(Ctx& ctx, Var x, Var gamma, Var beta, Var k, double eps) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> value = ctx.value(x);
  const std::size_t cols = value.cols();
  for (const auto& [v, name] : {std::pair{gamma, "gamma"}, {beta, "beta"}, {k, "k"}}) {
    if (ctx.rows(v) == 1 && ctx.cols(v) == cols) continue;
    throw ShapeError(
        message("graph_norm: ", name, " is [", ctx.rows(v), ", ", ctx.cols(v), "], want [1, ", cols, "]"));
  }
  if (!(eps > 0)) throw ConfigError(message("graph_norm: eps is ", eps, ", want a number > 0"));
  Array<T> mean(cols), center(cols), inv(cols);
  column_statistics(value, mean.span(), inv.span());
  for (std::size_t j = 0; j < cols; ++j) {
    const T share = ctx.value(k)(0, j);
    const T left = (T{1} - share) * mean[j];  // the mean of o; o^2 has mean var + left^2
    center[j] = share * mean[j];
    inv[j] = T{1} / std::sqrt(inv[j] + left * left + static_cast<T>(eps));
  }
  Tensor<T> y(value.rows(), cols);
  batch_norm(value, ctx.value(gamma).row(0), ctx.value(beta).row(0), center, inv, y.view());
  return ctx.record(std::move(y), detail::GraphNormOp<T>{x, gamma, beta, k, std::move(mean),
                                                         std::move(center), std::move(inv)});
}

}  // namespace tessera
