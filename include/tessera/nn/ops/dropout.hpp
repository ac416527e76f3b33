// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/kernels/bf16_dropout.hpp"
#include "tessera/kernels/dropout.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/finish.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct DropoutOp {
  static constexpr std::string_view kName = "dropout";
  Var x;
  DropoutMask mask;
  Bf16DropoutBits bits;  ///< empty where y was not made in bf16 or x needs no gradient

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }

  // The mask is drawn again, except in bf16, where a bit per element was kept.
  void vjp(Tape<T>& tape, Var self) const {
    if constexpr (kNarrows<Tape<T>>) {
      if (tape.has_narrow_grad(self)) {
        const MatrixView<bf16> g = tape.narrow_grad(self);
        if (!bits.empty()) {
          bf16_dropout_backward(g, bits, mask);
        } else {
          bf16_dropout(MatrixView<const bf16>(g), g, mask);
        }
        return tape.add_grad(x, tape.take_narrow_grad(self));
      }
    }
    const MatrixView<T> g = tape.grad(self);
    dropout_backward(g, g, mask);
    tape.add_grad(x, tape.take_grad(self));
  }
  void jvp(Tape<T>& tape, Var self) const {
    dropout_backward(tape.tangent(x), tape.make_tangent(self), mask);
  }
};

}  // namespace detail

/// Inverted dropout: element (i, j) is 0 with probability p and x / (1 - p) otherwise; p = 0 gives x itself.
///
/// Shapes   x [N, F] -> y [N, F]; where operators compute in bf16, y is kept that way if x is or if it is data
/// A sparse input's entries are drawn when a product reads them, by another rule than a dense matrix's elements.
/// Cost     keeps nothing for the gradient, in bf16 a bit per element
/// Errors   ConfigError unless p is in [0, 1], or for a sparse input that is dropped already
template <class Ctx>
Var dropout(Ctx& ctx, Var x, const DropoutMask& mask) {
  using T = typename Ctx::Scalar;
  check_dropout(mask, "dropout");
  if (mask.probability == 0.0f) return x;
  if (const SparseInput* sparse = ctx.sparse(x)) {
    if (sparse->mask.probability != 0.0f)
      throw ConfigError("dropout: x is a sparse input and dropped already");
    SparseInput dropped = *sparse;
    dropped.mask = mask;
    return ctx.input(dropped);
  }
  if constexpr (kNarrows<Ctx>) {
    if (detail::narrows(ctx) && (ctx.has_narrow(x) || !ctx.needs_grad(x))) {
      Tensor<bf16> half(ctx.rows(x), ctx.cols(x));
      Bf16DropoutBits bits;
      if (ctx.needs_grad(x)) bits = Bf16DropoutBits(half.rows(), half.cols());
      Bf16DropoutBits* const kept = bits.empty() ? nullptr : &bits;
      if (ctx.has_narrow(x)) {
        bf16_dropout(ctx.narrow(x), half.view(), mask, kept);
      } else {
        bf16_dropout(ctx.value(x), half.view(), mask, kept);
      }
      return ctx.record(std::move(half), detail::DropoutOp<T>{x, mask, std::move(bits)});
    }
  }
  const MatrixView<const T> value = ctx.value(x);
  Tensor<T> y(value.rows(), value.cols());
  dropout(value, y.view(), mask);
  return ctx.record(std::move(y), detail::DropoutOp<T>{x, mask, {}});
}

}  // namespace tessera
