// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct AddOwnOp {
  static constexpr std::string_view kName = "add_own";
  Var sum;
  Var x;
  Var eps;

  std::array<Var, 3> inputs() const noexcept { return {sum, x, eps}; }
  std::array<Var, 2> reads() const noexcept { return {x, eps}; }
  bool reads_output() const noexcept { return false; }

  // d sum = G, dX = (1 + eps) G, d eps = <G, X>.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> g = tape.grad(self);
    const MatrixView<const T> value = tape.value(x);
    if (eps && tape.needs_grad(eps)) {
      const GradSlot<T> slot = tape.grad_slot(eps);
      const T inner = parallel_sum<T>(g.rows(), 256, [&](std::size_t begin, std::size_t end) {
        T total{0};
        for (std::size_t i = begin; i < end; ++i) {
          for (std::size_t j = 0; j < g.cols(); ++j) total += g(i, j) * value(i, j);
        }
        return total;
      });
      slot.grad(0, 0) = slot.add ? slot.grad(0, 0) + inner : inner;
    }
    if (tape.needs_grad(x)) {
      Tensor<T> part(g.rows(), g.cols());
      scale(T{1} + (eps ? tape.value(eps)(0, 0) : T{0}), g, part.view());
      tape.add_grad(x, std::move(part));
    }
    if (tape.needs_grad(sum)) tape.add_grad(sum, tape.take_grad(self));
  }
};

}  // namespace detail

/// y = sum + (1 + eps) x: what a node keeps of itself in graph isomorphism layers.
///
/// Shapes   sum, x [N, F], eps [1, 1] or absent (0) -> y [N, F]
/// Errors   ShapeError if the shapes differ
/// Source   Xu et al., How powerful are graph neural networks?, ICLR 2019, eq. (4.1)
template <class Ctx>
Var add_own(Ctx& ctx, Var sum, Var x, Var eps = {}) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> own = ctx.value(x);
  detail::check_shape("add_own", "sum", ctx.value(sum), own.rows(), own.cols());
  Tensor<T> y = Tensor<T>::copy_of(ctx.value(sum));
  axpy(T{1} + (eps ? ctx.value(eps)(0, 0) : T{0}), own, y.view());
  return ctx.record(std::move(y), detail::AddOwnOp<T>{sum, x, eps});
}

}  // namespace tessera
