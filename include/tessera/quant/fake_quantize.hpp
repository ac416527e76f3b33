// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/kernels/dropout.hpp"
#include "tessera/kernels/fake_quantize.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/quant/observer.hpp"

namespace tessera {

namespace detail {

/// Rows with a treatment of their own, owned by the operator that needs them again in backward.
struct OwnedQuantRows {
  Array<std::uint8_t> keep;
  Array<float> row_factor;

  QuantRows view() const noexcept { return {keep.span(), row_factor.span()}; }
};

/// Puts the elements that a draw leaves out of quantisation back; `draw.probability` of them.
template <Real T>
void restore_elements(MatrixView<const T> from, const DropoutMask& draw, MatrixView<T> to) {
  if (draw.probability == 0.0f) return;
  parallel_for(to.rows(), 64, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      for (std::size_t j = 0; j < to.cols(); ++j) {
        if (!dropout_keeps(draw, i, j)) to(i, j) = from(i, j);
      }
    }
  });
}

template <Real T>
struct FakeQuantizeOp {
  static constexpr std::string_view kName = "fake_quantize";
  Var x;
  OwnedGrid<T> grid;
  OwnedQuantRows rows;
  QuantGradient gradient = QuantGradient::straight;
  DropoutMask exact{};  ///< elements that are not quantised

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 1> reads() const noexcept { return {gradient == QuantGradient::straight ? Var{} : x}; }
  bool reads_output() const noexcept { return false; }

  void vjp(Tape<T>& tape, Var self) const {
    if (gradient != QuantGradient::straight) {
      const MatrixView<T> g = tape.grad(self);
      if (exact.probability == 0.0f) {
        fake_quantize_backward<T>(tape.value(x), grid.view(), g, g, gradient, rows.view());
      } else {
        Tensor<T> passed(g.rows(), g.cols());
        fake_quantize_backward<T>(tape.value(x), grid.view(), g, passed.view(), gradient, rows.view());
        restore_elements<T>(g, exact, passed.view());
        return tape.add_grad(x, std::move(passed));
      }
    }
    tape.add_grad(x, tape.take_grad(self));
  }
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> from = tape.tangent(x);
    const MatrixView<T> t = tape.make_tangent(self);
    fake_quantize_backward<T>(gradient == QuantGradient::straight ? from : tape.value(x), grid.view(), from,
                              t, gradient, rows.view());
    restore_elements<T>(from, exact, t);
  }
};

}  // namespace detail

/// What else a fake quantiser may be told.
struct FakeQuantizeOptions {
  QuantGradient gradient = QuantGradient::straight;
  QuantRows rows{};     ///< copied
  DropoutMask exact{};  ///< elements that pass untouched, gradient and all: those this dropout would drop
};

/// y = dequantize(quantize(x)) with constant scales, differentiable straight through.
///
/// Shapes   x [N, F], grid of 1 or F channels -> y [N, F]
/// Cost     one pass; backward one pass, or none for QuantGradient::straight. Keeps x unless that
/// Errors   ShapeError if extents do not fit
/// Source   Bengio, Leonard & Courville, Estimating or propagating gradients through stochastic neurons, 2013
template <class Ctx>
Var fake_quantize(Ctx& ctx, Var x, OwnedGrid<typename Ctx::Scalar> grid,
                  const FakeQuantizeOptions& options = {}) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> value = ctx.value(x);
  Tensor<T> y(value.rows(), value.cols());
  fake_quantize<T>(value, grid.view(), y.view(), options.rows);
  detail::restore_elements<T>(value, options.exact, y.view());
  detail::FakeQuantizeOp<T> op{x, std::move(grid), {}, options.gradient, options.exact};
  if (ctx.needs_grad(x) && options.gradient != QuantGradient::straight) {
    op.rows.keep = Array<std::uint8_t>::copy_of(options.rows.keep);
    op.rows.row_factor = Array<float>::copy_of(options.rows.row_factor);
  }
  return ctx.record(std::move(y), std::move(op));
}

}  // namespace tessera
