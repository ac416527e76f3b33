// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct LinearCombinationOp {
  static constexpr std::string_view kName = "linear_combination";
  Var a;
  Var b;
  T alpha;
  T beta;

  std::array<Var, 2> inputs() const noexcept { return {a, b}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }

  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> g = tape.grad(self);
    const auto into = [&](Var v, T factor) {
      if (!v || !tape.needs_grad(v)) return;
      Tensor<T> part(g.rows(), g.cols());
      scale(factor, g, part.view());
      tape.add_grad(v, std::move(part));
    };
    into(a, alpha);
    into(b, beta);
  }
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    copy_or_zero(tape.tangent(a), t);
    scale(alpha, t, t);
    if (tape.has_tangent(b)) axpy(beta, tape.tangent(b), t);
  }
};

}  // namespace detail

/// y = alpha a + beta b; without b, alpha a.
///
/// Shapes   a, b [N, F] -> y [N, F]
/// Errors   ShapeError if the shapes differ
template <class Ctx>
Var linear_combination(Ctx& ctx, Var a, double alpha, Var b = {}, double beta = 0) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> x = ctx.value(a);
  Tensor<T> y(x.rows(), x.cols());
  scale(static_cast<T>(alpha), x, y.view());
  if (b) {
    const MatrixView<const T> z = ctx.value(b);
    if (z.rows() != x.rows() || z.cols() != x.cols()) {
      throw ShapeError(message("linear_combination: b is [", z.rows(), ", ", z.cols(), "], want [", x.rows(),
                               ", ", x.cols(), "]"));
    }
    axpy(static_cast<T>(beta), z, y.view());
  }
  return ctx.record(std::move(y),
                    detail::LinearCombinationOp<T>{a, b, static_cast<T>(alpha), static_cast<T>(beta)});
}

}  // namespace tessera
