// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/nn/autograd/tape.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct MaximumOp {
  static constexpr std::string_view kName = "maximum";
  Var a;
  Var b;

  std::array<Var, 2> inputs() const noexcept { return {a, b}; }
  std::array<Var, 2> reads() const noexcept { return {a, b}; }
  bool reads_output() const noexcept { return false; }

  // Everything goes to the one that is larger, to a where they are equal.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> g = tape.grad(self);
    const MatrixView<const T> x = tape.value(a);
    const MatrixView<const T> y = tape.value(b);
    const auto into = [&](Var v, bool first) {
      if (!tape.needs_grad(v)) return;
      Tensor<T> part(g.rows(), g.cols());
      for_rows(part.view(), [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
        for (std::size_t j = 0; j < g.cols(); ++j) to[j] = (y(i, j) > x(i, j)) != first ? g(i, j) : T{0};
      });
      tape.add_grad(v, std::move(part));
    };
    into(a, true);
    into(b, false);
  }
};

}  // namespace detail

/// y = max(a, b), element by element; the gradient goes to a where they are equal.
///
/// Shapes   a, b [N, F] -> y [N, F]
/// Errors   ShapeError if the shapes differ
template <class Ctx>
Var maximum(Ctx& ctx, Var a, Var b) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> x = ctx.value(a);
  const MatrixView<const T> z = ctx.value(b);
  if (z.rows() != x.rows() || z.cols() != x.cols()) {
    throw ShapeError(
        message("maximum: b is [", z.rows(), ", ", z.cols(), "], want [", x.rows(), ", ", x.cols(), "]"));
  }
  Tensor<T> y(x.rows(), x.cols());
  detail::for_rows(y.view(), [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    for (std::size_t j = 0; j < x.cols(); ++j) to[j] = z(i, j) > x(i, j) ? z(i, j) : x(i, j);
  });
  return ctx.record(std::move(y), detail::MaximumOp<T>{a, b});
}

}  // namespace tessera
