// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/kernels/gemm.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/finish.hpp"
#include "tessera/nn/ops/linear.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct GroupedLinearOp {
  static constexpr std::string_view kName = "grouped_linear";
  Var x;
  Var weight;
  std::size_t groups;
  Finish finish;

  std::array<Var, 3> inputs() const noexcept { return {x, weight, finish.bias}; }
  std::array<Var, 2> reads() const noexcept { return {x, weight}; }
  bool reads_output() const noexcept { return finish.activation != Activation::none; }

  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> gz = finish_vjp(tape, self, finish);
    const MatrixView<const T> value = tape.value(x);
    const MatrixView<const T> w = tape.value(weight);
    const std::size_t in = value.cols() / groups;
    const auto each = [&](auto&& body) {
      for (std::size_t g = 0; g < groups; ++g) body(g, gz.middle_cols(g * w.cols(), w.cols()));
    };
    if (tape.needs_grad(weight)) {
      const GradSlot<T> slot = tape.grad_slot(weight);
      each([&](std::size_t g, MatrixView<const T> part) {
        gemm_tn(value.middle_cols(g * in, in), part, slot.grad.middle_rows(g * in, in), mode(slot));
      });
    }
    if (tape.needs_grad(x)) {
      const GradSlot<T> slot = tape.grad_slot(x);
      each([&](std::size_t g, MatrixView<const T> part) {
        gemm_nt(part, w.middle_rows(g * in, in), slot.grad.middle_cols(g * in, in), mode(slot));
      });
    }
  }
};

}  // namespace detail

/// y = dropout(activation(x W + b)) with a block-diagonal W: the columns of x and y in groups, each with a map of its
/// own (grouped convolution).
///
/// Shapes   x [N, G F], weight [G F, D] with group g in rows [g F, (g + 1) F), finish.bias [1, G D] -> y [N, G D]
/// Cost     2 N G F D flops, backward twice that: a G-th of the dense map
/// Errors   ShapeError if the shapes do not fit; ConfigError if G is 0 or does not divide the columns of x
/// Source   Li, Muller, Ghanem & Koltun, Training graph neural networks with 1000 layers, ICML 2021, section 3.2
template <class Ctx>
Var grouped_linear(Ctx& ctx, Var x, Var weight, std::size_t groups, const Finish& finish = {}) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> value = ctx.value(x);
  const MatrixView<const T> w = ctx.value(weight);
  if (groups == 0 || value.cols() % groups != 0) {
    throw ConfigError(message("grouped_linear: groups is ", groups, ", want a divisor of the ", value.cols(),
                              " columns of x"));
  }
  detail::check_product(ctx, x, weight, "grouped_linear");
  detail::check_finish(ctx, finish, groups * w.cols(), "grouped_linear");
  Tensor<T> y(value.rows(), groups * w.cols());
  const std::size_t in = value.cols() / groups;
  for (std::size_t g = 0; g < groups; ++g) {
    gemm(value.middle_cols(g * in, in), w.middle_rows(g * in, in),
         y.view().middle_cols(g * w.cols(), w.cols()), Accumulate::no);
  }
  apply_epilogue(y.view(), detail::epilogue_of(ctx, finish));
  return ctx.record(std::move(y), detail::GroupedLinearOp<T>{x, weight, groups, finish});
}

}  // namespace tessera
