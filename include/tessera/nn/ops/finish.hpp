// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/kernels/bf16_epilogue.hpp"
#include "tessera/kernels/epilogue.hpp"
#include "tessera/kernels/epilogue_apply.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

/// The last step of an operator, fused into the writing of its rows: y = dropout(activation(row + bias)).
struct Finish {
  Var bias{};  ///< [1, F], or absent
  Activation activation = Activation::none;
  DropoutMask dropout{};
  /// The caller's promise that only products and sums read the result, so that it may be kept as bf16 where the tape's
  /// precision says so. Results of an activation are kept that way without it.
  bool inner = false;
};

namespace detail {

/// Whether operators compute in bf16 here.
template <class Ctx>
bool narrows([[maybe_unused]] const Ctx& ctx) noexcept {
  if constexpr (kNarrows<Ctx>) return ctx.precision() == Precision::bf16;
  return false;
}

/// Whether a result is kept as bf16 where operators compute in it.
inline bool kept_narrow(const Finish& finish) noexcept {
  return finish.inner || finish.activation != Activation::none;
}

template <class Ctx>
Epilogue<typename Ctx::Scalar> epilogue_of(const Ctx& ctx, const Finish& finish) {
  Epilogue<typename Ctx::Scalar> out;
  if (finish.bias) out.bias = ctx.value(finish.bias).row(0);
  out.activation = finish.activation;
  out.dropout = finish.dropout;
  return out;
}

/// Errors   ShapeError unless the bias is [1, cols]
template <class Ctx>
void check_finish(const Ctx& ctx, const Finish& finish, std::size_t cols, std::string_view operation) {
  check_dropout(finish.dropout, operation);
  if (!finish.bias) return;
  const auto bias = ctx.value(finish.bias);
  if (bias.rows() != 1 || bias.cols() != cols) {
    throw ShapeError(
        message(operation, ": bias is [", bias.rows(), ", ", bias.cols(), "], want [1, ", cols, "]"));
  }
}

/// With D = diag(dropout mask * activation') the output is y = D (z + 1 b), so gz = D G and gb = sum of the
/// rows of gz. Replaces grad(self) by gz, adds gb to the bias and returns gz.
template <Real T>
MatrixView<const T> finish_vjp(Tape<T>& tape, Var self, const Finish& finish) {
  const MatrixView<T> grad = tape.grad(self);
  std::span<T> bias_grad;
  if (tape.needs_grad(finish.bias)) {
    const GradSlot<T> slot = tape.grad_slot(finish.bias);
    bias_grad = slot.grad.row(0);
    if (!slot.add) std::fill(bias_grad.begin(), bias_grad.end(), T{0});
  }
  if (finish.activation != Activation::none || finish.dropout.probability > 0 || !bias_grad.empty()) {
    epilogue_backward(tape.value(self), MatrixView<const T>(grad), epilogue_of(tape, finish), grad,
                      bias_grad);
  }
  return grad;
}

/// The same in bf16: makes grad(self) gz in bf16 and returns it.
inline MatrixView<const bf16> finish_vjp_narrow(Tape<float>& tape, Var self, const Finish& finish) {
  std::span<float> bias_grad;
  if (tape.needs_grad(finish.bias)) {
    const GradSlot<float> slot = tape.grad_slot(finish.bias);
    bias_grad = slot.grad.row(0);
    if (!slot.add) std::fill(bias_grad.begin(), bias_grad.end(), 0.0f);
  }
  const bool acts = finish.activation != Activation::none;
  if (!acts && !(finish.dropout.probability > 0) && bias_grad.empty()) return tape.narrow_grad(self);
  const MatrixView<const bf16> y = acts ? tape.narrow(self) : MatrixView<const bf16>();
  if (tape.has_narrow_grad(self)) {
    const MatrixView<bf16> g = tape.narrow_grad(self);
    bf16_epilogue_backward(y, MatrixView<const bf16>(g), epilogue_of(tape, finish), g, bias_grad);
    return g;
  }
  const MatrixView<const float> g = tape.grad(self);
  Tensor<bf16> gz(g.rows(), g.cols());
  bf16_epilogue_backward(y, g, epilogue_of(tape, finish), gz.view(), bias_grad);
  return tape.replace_grad(self, std::move(gz));
}

/// Appends a result in the storage that suits it where operators compute in bf16.
template <class Op>
Var record_narrow(Tape<float>& tape, Tensor<float>&& y, const Finish& finish, Op op) {
  if (!kept_narrow(finish)) return tape.record(std::move(y), std::move(op));
  Tensor<bf16> half(y.rows(), y.cols());
  convert_rows(std::as_const(y).view(), half.view());
  y = Tensor<float>();
  return tape.record(std::move(half), std::move(op));
}

/// dy = D (dz + 1 db): `tangent` holds dz and receives dy.
template <Real T>
void finish_jvp(Tape<T>& tape, Var self, const Finish& finish, MatrixView<T> tangent) {
  if (tape.has_tangent(finish.bias)) {
    Epilogue<T> shift;
    shift.bias = tape.tangent(finish.bias).row(0);
    apply_epilogue(tangent, shift);
  }
  if (finish.activation != Activation::none || finish.dropout.probability > 0) {
    epilogue_backward(tape.value(self), MatrixView<const T>(tangent), epilogue_of(tape, finish), tangent,
                      std::span<T>());
  }
}

template <Real T>
struct FinishOp {
  static constexpr std::string_view kName = "finish";
  Var x;
  Finish finish;

  std::array<Var, 2> inputs() const noexcept { return {x, finish.bias}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return finish.activation != Activation::none; }

  void vjp(Tape<T>& tape, Var self) const {
    finish_vjp(tape, self, finish);
    if (tape.needs_grad(x)) tape.add_grad(x, tape.take_grad(self));
  }
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    copy_or_zero(tape.tangent(x), t);
    finish_jvp(tape, self, finish, t);
  }
};

}  // namespace detail

/// y = dropout(activation(x + bias)) of the tensor that `x` gives up: no operator may read `x` afterwards.
///
/// Shapes   x [N, F], bias [1, F] -> y [N, F]
template <class Ctx>
Var finish_in_place(Ctx& ctx, Var x, const Finish& finish) {
  using T = typename Ctx::Scalar;
  detail::check_finish(ctx, finish, ctx.cols(x), "finish_in_place");
  Tensor<T> y = ctx.take(x);
  apply_epilogue(y.view(), detail::epilogue_of(ctx, finish));
  return ctx.record(std::move(y), detail::FinishOp<T>{x, finish});
}

/// y = max(x, 0); the derivative at 0 is 0.
///
/// Shapes   x [N, F] -> y [N, F]
template <class Ctx>
Var relu(Ctx& ctx, Var x) {
  using T = typename Ctx::Scalar;
  const Finish finish{.activation = Activation::relu};
  const MatrixView<const T> value = ctx.value(x);
  Tensor<T> y(value.rows(), value.cols());
  detail::copy_or_zero(value, y.view());
  apply_epilogue(y.view(), detail::epilogue_of(ctx, finish));
  return ctx.record(std::move(y), detail::FinishOp<T>{x, finish});
}

}  // namespace tessera
