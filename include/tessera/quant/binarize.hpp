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
#include "tessera/core/parallel.hpp"
#include "tessera/kernels/column_sum.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/rows.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// +1 for x >= 0, else -1; so packed signs need one bit. NaN gives -1.
template <Real T>
constexpr T sign_of(T x) noexcept {
  return x >= T{0} ? T{1} : T{-1};
}

namespace detail {

/// Calls body(i, j) for every element, in parallel over rows.
template <class T, class Body>
void for_elements(MatrixView<T> y, Body&& body) {
  parallel_for(y.rows(), kRowGrain, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      for (std::size_t j = 0; j < y.cols(); ++j) body(i, j);
    }
  });
}

/// The mean magnitude of every row; 0 for a matrix without columns.
template <Real T>
void row_magnitudes(MatrixView<const T> x, std::span<T> out) {
  parallel_for(x.rows(), kRowGrain, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      T sum{0};
      for (const T v : x.row(i)) sum += std::abs(v);
      out[i] = x.cols() == 0 ? T{0} : sum / static_cast<T>(x.cols());
    }
  });
}

template <Real T>
struct SignOp {
  static constexpr std::string_view kName = "sign";
  Var x;

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 1> reads() const noexcept { return {x}; }
  bool reads_output() const noexcept { return false; }

  // The gradient of clamp(x, -1, 1) stands for that of the sign.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<T> g = tape.grad(self);
    const MatrixView<const T> value = tape.value(x);
    for_elements(g, [&](std::size_t i, std::size_t j) {
      if (!(std::abs(value(i, j)) <= T{1})) g(i, j) = T{0};
    });
    tape.add_grad(x, tape.take_grad(self));
  }
};

template <Real T>
struct BinarizeWeightOp {
  static constexpr std::string_view kName = "binarize_weight";
  Var w;
  Array<T> alpha;

  std::array<Var, 1> inputs() const noexcept { return {w}; }
  std::array<Var, 1> reads() const noexcept { return {w}; }
  bool reads_output() const noexcept { return false; }

  // dW = alpha [|W| <= 1] G + sgn(W) / n sum over inputs of sgn(W) G, per output.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<T> g = tape.grad(self);
    const MatrixView<const T> value = tape.value(w);
    Array<T> inner(g.cols(), T{0});
    for (std::size_t k = 0; k < g.rows(); ++k) {
      for (std::size_t o = 0; o < g.cols(); ++o) inner[o] += sign_of(value(k, o)) * g(k, o);
    }
    const T n = static_cast<T>(std::max<std::size_t>(1, g.rows()));
    for_elements(g, [&](std::size_t k, std::size_t o) {
      const T straight = std::abs(value(k, o)) <= T{1} ? alpha[o] * g(k, o) : T{0};
      g(k, o) = straight + sign_of(value(k, o)) / n * inner[o];
    });
    tape.add_grad(w, tape.take_grad(self));
  }
};

template <Real T>
struct ScaleColumnsOp {
  static constexpr std::string_view kName = "scale_columns";
  Var x;
  Var factor;

  std::array<Var, 2> inputs() const noexcept { return {x, factor}; }
  std::array<Var, 2> reads() const noexcept { return {x, factor}; }
  bool reads_output() const noexcept { return false; }

  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<T> g = tape.grad(self);
    const MatrixView<const T> value = tape.value(x);
    if (tape.needs_grad(factor)) {
      Tensor<T> product(g.rows(), g.cols());
      for_elements(g, [&](std::size_t i, std::size_t j) { product(i, j) = g(i, j) * value(i, j); });
      Tensor<T> sums(1, g.cols());
      column_sum(std::as_const(product).view(), sums.view().row(0));
      tape.add_grad(factor, std::move(sums));
    }
    if (!tape.needs_grad(x)) return;
    const MatrixView<const T> f = tape.value(factor);
    for_elements(g, [&](std::size_t i, std::size_t j) { g(i, j) *= f(0, j); });
    tape.add_grad(x, tape.take_grad(self));
  }
};

template <Real T>
struct TanhOp {
  static constexpr std::string_view kName = "tanh";
  Var x;

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return true; }

  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<T> g = tape.grad(self);
    const MatrixView<const T> y = tape.value(self);
    for_elements(g, [&](std::size_t i, std::size_t j) { g(i, j) *= T{1} - y(i, j) * y(i, j); });
    tape.add_grad(x, tape.take_grad(self));
  }
};

}  // namespace detail

/// y = sgn(x); the gradient passes where |x| <= 1.
///
/// Shapes   x [N, F] -> y [N, F] of -1 and +1
/// Source   Hubara et al., Binarized neural networks, NIPS 2016
template <class Ctx>
Var sign(Ctx& ctx, Var x) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> value = ctx.value(x);
  Tensor<T> y(value.rows(), value.cols());
  detail::for_elements(y.view(), [&](std::size_t i, std::size_t j) { y(i, j) = sign_of(value(i, j)); });
  return ctx.record(std::move(y), detail::SignOp<T>{x});
}

/// y_i = beta_i sgn(x_i) with beta_i the mean magnitude of row i, which is not differentiated.
///
/// Shapes   x [N, F] -> y [N, F]
/// Source   Wang et al., Bi-GCN: binary graph convolutional network, CVPR 2021, eq. (7) and the released code
template <class Ctx>
Var binarize_rows(Ctx& ctx, Var x) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> value = ctx.value(x);
  Array<T> beta(value.rows());
  detail::row_magnitudes(value, beta.span());
  Tensor<T> y(value.rows(), value.cols());
  detail::for_elements(y.view(),
                       [&](std::size_t i, std::size_t j) { y(i, j) = beta[i] * sign_of(value(i, j)); });
  return ctx.record(std::move(y), detail::SignOp<T>{x});
}

/// alpha_o sgn(W_o) with alpha_o the mean magnitude of column o.
///
/// Shapes   w [F_in, F_out] -> the same
/// Source   Wang et al., Bi-GCN, CVPR 2021, eq. (8) and (12)
template <class Ctx>
Var binarize_weight(Ctx& ctx, Var w) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> value = ctx.value(w);
  Array<T> alpha(value.cols(), T{0});
  for (std::size_t k = 0; k < value.rows(); ++k) {
    for (std::size_t o = 0; o < value.cols(); ++o) alpha[o] += std::abs(value(k, o));
  }
  for (T& a : alpha) a /= static_cast<T>(std::max<std::size_t>(1, value.rows()));
  Tensor<T> y(value.rows(), value.cols());
  detail::for_elements(y.view(),
                       [&](std::size_t k, std::size_t o) { y(k, o) = alpha[o] * sign_of(value(k, o)); });
  return ctx.record(std::move(y), detail::BinarizeWeightOp<T>{w, std::move(alpha)});
}

/// y_ij = factor_j x_ij.
///
/// Shapes   x [N, F], factor [1, F] -> y [N, F]
/// Errors   ShapeError if the widths differ
template <class Ctx>
Var scale_columns(Ctx& ctx, Var x, Var factor) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> value = ctx.value(x);
  const MatrixView<const T> f = ctx.value(factor);
  if (f.rows() != 1 || f.cols() != value.cols()) {
    throw ShapeError(
        message("scale_columns: factor is [", f.rows(), ", ", f.cols(), "], want [1, ", value.cols(), "]"));
  }
  Tensor<T> y(value.rows(), value.cols());
  detail::for_elements(y.view(), [&](std::size_t i, std::size_t j) { y(i, j) = f(0, j) * value(i, j); });
  return ctx.record(std::move(y), detail::ScaleColumnsOp<T>{x, factor});
}

/// y = tanh(x).
///
/// Shapes   x [N, F] -> y [N, F]
template <class Ctx>
Var tanh(Ctx& ctx, Var x) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> value = ctx.value(x);
  Tensor<T> y(value.rows(), value.cols());
  detail::for_elements(y.view(), [&](std::size_t i, std::size_t j) { y(i, j) = std::tanh(value(i, j)); });
  return ctx.record(std::move(y), detail::TanhOp<T>{x});
}

}  // namespace tessera
