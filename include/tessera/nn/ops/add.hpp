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
struct AddOp {
  static constexpr std::string_view kName = "add";
  Var a;
  Var b;

  std::array<Var, 2> inputs() const noexcept { return {a, b}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }

  void vjp(Tape<T>& tape, Var self) const {
    if (tape.needs_grad(a)) tape.add_grad(a, MatrixView<const T>(tape.grad(self)));
    if (tape.needs_grad(b)) tape.add_grad(b, tape.take_grad(self));
  }
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    copy_or_zero(tape.tangent(a), t);
    if (tape.has_tangent(b)) axpy(T{1}, tape.tangent(b), t);
  }
};

}  // namespace detail

/// y = a + b, the residual connection.
///
/// Shapes   a, b [N, F] -> y [N, F]
/// Errors   ShapeError if the shapes differ
template <class Ctx>
Var add(Ctx& ctx, Var a, Var b) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> x = ctx.value(a);
  const MatrixView<const T> y = ctx.value(b);
  if (x.rows() != y.rows() || x.cols() != y.cols()) {
    throw ShapeError(
        message("add: b is [", y.rows(), ", ", y.cols(), "], want [", x.rows(), ", ", x.cols(), "]"));
  }
  Tensor<T> sum(x.rows(), x.cols());
  add(x, y, sum.view());
  return ctx.record(std::move(sum), detail::AddOp<T>{a, b});
}

}  // namespace tessera
