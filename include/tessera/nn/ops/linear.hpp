// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <string_view>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/kernels/bf16_gemm.hpp"
#include "tessera/kernels/gemm.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/add.hpp"
#include "tessera/nn/ops/aggregate_dropped.hpp"
#include "tessera/nn/ops/finish.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

namespace detail {

template <Real T>
Accumulate mode(const GradSlot<T>& slot) noexcept {
  return slot.add ? Accumulate::yes : Accumulate::no;
}

/// Z = X W: dW = X^T gz, dX = gz W^T.
template <Real T>
void product_vjp(Tape<T>& tape, Var x, Var weight, MatrixView<const T> gz) {
  if (tape.needs_grad(weight)) {
    const GradSlot<T> slot = tape.grad_slot(weight);
    gemm_tn(tape.value(x), gz, slot.grad, mode(slot));
  }
  if (tape.needs_grad(x)) {
    const GradSlot<T> slot = tape.grad_slot(x);
    gemm_nt(gz, tape.value(weight), slot.grad, mode(slot));
  }
}

/// Z = X W with operands in bf16, into Z or added to it; X is read as it is kept.
template <class C>
void product_narrow(const Tape<float>& tape, Var x, Var weight, MatrixView<C> z, Accumulate accumulate,
                    const Epilogue<float>& epilogue) {
  if (tape.has_narrow(x)) {
    bf16_gemm(tape.narrow(x), tape.value(weight), z, accumulate, epilogue);
  } else {
    bf16_gemm(tape.value(x), tape.value(weight), z, accumulate, epilogue);
  }
}

/// dW = X^T gz, dX = gz W^T in bf16; a gradient that nobody else adds to stays bf16.
inline void product_vjp_narrow(Tape<float>& tape, Var x, Var weight, MatrixView<const bf16> gz) {
  if (tape.needs_grad(weight)) {
    const GradSlot<float> slot = tape.grad_slot(weight);
    if (tape.has_narrow(x)) {
      bf16_gemm_tn(tape.narrow(x), gz, slot.grad, mode(slot));
    } else {
      bf16_gemm_tn(tape.value(x), gz, slot.grad, mode(slot));
    }
  }
  if (!tape.needs_grad(x)) return;
  Tensor<bf16> part(tape.rows(x), tape.cols(x));
  bf16_gemm_nt(gz, tape.value(weight), part.view());
  tape.add_grad(x, std::move(part));
}

/// The operands of products: which are read as bf16 in backward, and which as floats.
template <class Ctx>
bool reads_narrow(const Ctx& ctx, Var x) {
  if constexpr (kNarrows<Ctx>) return narrows(ctx) && ctx.has_narrow(x);
  return false;
}

/// dZ = dX W + X dW, added to `tangent` where `add` says it holds something; returns whether it does now.
template <Real T>
bool product_jvp(Tape<T>& tape, Var x, Var weight, MatrixView<T> tangent, bool add) {
  if (tape.has_tangent(x)) {
    gemm(tape.tangent(x), tape.value(weight), tangent, add ? Accumulate::yes : Accumulate::no);
    add = true;
  }
  if (tape.has_tangent(weight)) {
    gemm(tape.value(x), tape.tangent(weight), tangent, add ? Accumulate::yes : Accumulate::no);
    add = true;
  }
  return add;
}

template <class Ctx>
void check_product(const Ctx& ctx, Var x, Var weight, std::string_view operation) {
  if (ctx.cols(x) != ctx.rows(weight)) {
    throw ShapeError(message(operation, ": x is [", ctx.rows(x), ", ", ctx.cols(x), "], weight is [",
                             ctx.rows(weight), ", ", ctx.cols(weight),
                             "]; want as many columns in x as rows in weight"));
  }
}

template <Real T>
struct LinearOp {
  static constexpr std::string_view kName = "linear";
  Var x;
  Var weight;
  Var addend;
  Finish finish;
  bool narrow = false;    ///< computed in bf16
  bool narrow_x = false;  ///< reads x in bf16

  std::array<Var, 4> inputs() const noexcept { return {x, weight, addend, finish.bias}; }
  std::array<Var, 2> reads() const noexcept { return {narrow_x ? Var{} : x, weight}; }
  std::array<Var, 1> reads_narrow() const noexcept { return {narrow_x ? x : Var{}}; }
  bool reads_output() const noexcept { return finish.activation != Activation::none; }

  void vjp(Tape<T>& tape, Var self) const {
    if constexpr (kNarrows<Tape<T>>) {
      if (narrow) {
        const MatrixView<const bf16> gz = finish_vjp_narrow(tape, self, finish);
        product_vjp_narrow(tape, x, weight, gz);
        if (tape.needs_grad(addend)) tape.add_grad(addend, tape.take_narrow_grad(self));
        return;
      }
    }
    const MatrixView<const T> gz = finish_vjp(tape, self, finish);
    product_vjp(tape, x, weight, gz);
    if (tape.needs_grad(addend)) tape.add_grad(addend, tape.take_grad(self));
  }
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    bool add = tape.has_tangent(addend);
    if (add) copy_or_zero(tape.tangent(addend), t);
    if (!product_jvp(tape, x, weight, t, add)) copy_or_zero(MatrixView<const T>(), t);
    finish_jvp(tape, self, finish, t);
  }
};

template <Real T>
struct LinearPairOp {
  static constexpr std::string_view kName = "linear_pair";
  Var x;
  Var weight_x;
  Var y;
  Var weight_y;
  Finish finish;
  bool narrow = false;    ///< computed in bf16
  bool narrow_x = false;  ///< reads x in bf16
  bool narrow_y = false;

  std::array<Var, 5> inputs() const noexcept { return {x, weight_x, y, weight_y, finish.bias}; }
  std::array<Var, 4> reads() const noexcept {
    return {narrow_x ? Var{} : x, weight_x, narrow_y ? Var{} : y, weight_y};
  }
  std::array<Var, 2> reads_narrow() const noexcept { return {narrow_x ? x : Var{}, narrow_y ? y : Var{}}; }
  bool reads_output() const noexcept { return finish.activation != Activation::none; }

  void vjp(Tape<T>& tape, Var self) const {
    if constexpr (kNarrows<Tape<T>>) {
      if (narrow) {
        const MatrixView<const bf16> gz = finish_vjp_narrow(tape, self, finish);
        product_vjp_narrow(tape, x, weight_x, gz);
        product_vjp_narrow(tape, y, weight_y, gz);
        return;
      }
    }
    const MatrixView<const T> gz = finish_vjp(tape, self, finish);
    product_vjp(tape, x, weight_x, gz);
    product_vjp(tape, y, weight_y, gz);
  }
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    bool add = product_jvp(tape, x, weight_x, t, false);
    if (!product_jvp(tape, y, weight_y, t, add)) copy_or_zero(MatrixView<const T>(), t);
    finish_jvp(tape, self, finish, t);
  }
};

/// X W of a sparse input X: the columns of X are the sources, the rows of W their features. Rows beyond those meant are
/// computed too and not looked at.
template <class Ctx>
Var sparse_product(Ctx& ctx, const SparseInput& x, Var weight, const Finish& finish = {}) {
  const SparseInput input = x;
  const Var y = aggregate_dropped(ctx, input.entries, weight, Reduce::sum, finish, input.mask);
  return head_rows(ctx, y, input.rows);
}

}  // namespace detail

/// y = dropout(activation(x W + b)) in one pass over the output.
///
/// Shapes   x [N, F_in], weight [F_in, F_out], finish.bias [1, F_out] -> y [N, F_out]
/// Cost     2 N F_in F_out flops, backward twice that; no product is made for an x without gradient. Keeps x
///          and weight, and y under an activation. Of a sparse input with E entries: 2 E F_out flops
/// Errors   ShapeError if the shapes do not fit
template <class Ctx>
Var linear(Ctx& ctx, Var x, Var weight, const Finish& finish = {}) {
  using T = typename Ctx::Scalar;
  detail::check_product(ctx, x, weight, "linear");
  const MatrixView<const T> w = ctx.value(weight);
  detail::check_finish(ctx, finish, w.cols(), "linear");
  if (const SparseInput* sparse = ctx.sparse(x)) return detail::sparse_product(ctx, *sparse, weight, finish);
  if constexpr (kNarrows<Ctx>) {
    if (detail::narrows(ctx)) {
      const auto run = [&](auto y) {
        detail::product_narrow(ctx, x, weight, y.view(), Accumulate::no, detail::epilogue_of(ctx, finish));
        return ctx.record(std::move(y),
                          detail::LinearOp<T>{x, weight, Var{}, finish, true, detail::reads_narrow(ctx, x)});
      };
      return detail::kept_narrow(finish) ? run(Tensor<bf16>(ctx.rows(x), w.cols()))
                                         : run(Tensor<T>(ctx.rows(x), w.cols()));
    }
  }
  Tensor<T> y(ctx.rows(x), w.cols());
  gemm(ctx.value(x), w, y.view(), Accumulate::no, detail::epilogue_of(ctx, finish));
  return ctx.record(std::move(y), detail::LinearOp<T>{x, weight, Var{}, finish});
}

/// y = a B.
///
/// Shapes   a [N, K], b [K, M] -> y [N, M]
/// Errors   ShapeError if the shapes do not fit
template <class Ctx>
Var matmul(Ctx& ctx, Var a, Var b) {
  return linear(ctx, a, b);
}

/// y = dropout(activation(addend + x W + b)); takes the memory of `addend`, which no operator may read
/// afterwards.
///
/// Shapes   addend [N, F_out], x [N, F_in], weight [F_in, F_out], finish.bias [1, F_out] -> y [N, F_out]
/// Errors   ShapeError if the shapes do not fit
template <class Ctx>
Var add_linear(Ctx& ctx, Var addend, Var x, Var weight, const Finish& finish = {}) {
  using T = typename Ctx::Scalar;
  detail::check_product(ctx, x, weight, "add_linear");
  const MatrixView<const T> w = ctx.value(weight);
  detail::check_finish(ctx, finish, w.cols(), "add_linear");
  if (ctx.rows(addend) != ctx.rows(x) || ctx.cols(addend) != w.cols()) {
    throw ShapeError(message("add_linear: addend is [", ctx.rows(addend), ", ", ctx.cols(addend), "], want [",
                             ctx.rows(x), ", ", w.cols(), "]"));
  }
  if (const SparseInput* sparse = ctx.sparse(x)) {
    const Var product = detail::sparse_product(ctx, *sparse, weight);
    const Var sum = add(ctx, addend, product);
    ctx.forget(product);
    return finish_in_place(ctx, sum, finish);
  }
  Tensor<T> y = ctx.take(addend);
  if constexpr (kNarrows<Ctx>) {
    if (detail::narrows(ctx)) {
      detail::product_narrow(ctx, x, weight, y.view(), Accumulate::yes, detail::epilogue_of(ctx, finish));
      return detail::record_narrow(
          ctx, std::move(y), finish,
          detail::LinearOp<T>{x, weight, addend, finish, true, detail::reads_narrow(ctx, x)});
    }
  }
  gemm(ctx.value(x), w, y.view(), Accumulate::yes, detail::epilogue_of(ctx, finish));
  return ctx.record(std::move(y), detail::LinearOp<T>{x, weight, addend, finish});
}

/// z = dropout(activation(x W_x + y W_y + b)): the product of [x | y] with stacked weights, without the copy.
///
/// Only y may be a sparse input.
/// Shapes   x [N, F], weight_x [F, F_out], y [N, G], weight_y [G, F_out] -> z [N, F_out]
/// Errors   ShapeError if the shapes do not fit
template <class Ctx>
Var linear_pair(Ctx& ctx, Var x, Var weight_x, Var y, Var weight_y, const Finish& finish = {}) {
  using T = typename Ctx::Scalar;
  detail::check_product(ctx, x, weight_x, "linear_pair");
  detail::check_product(ctx, y, weight_y, "linear_pair");
  const MatrixView<const T> w = ctx.value(weight_x);
  detail::check_finish(ctx, finish, w.cols(), "linear_pair");
  if (ctx.rows(x) != ctx.rows(y) || ctx.cols(weight_y) != w.cols()) {
    throw ShapeError(message("linear_pair: y W_y is [", ctx.rows(y), ", ", ctx.cols(weight_y), "], want [",
                             ctx.rows(x), ", ", w.cols(), "]"));
  }
  if (ctx.sparse(y) != nullptr) return add_linear(ctx, linear(ctx, x, weight_x), y, weight_y, finish);
  Tensor<T> z(ctx.rows(x), w.cols());
  if constexpr (kNarrows<Ctx>) {
    if (detail::narrows(ctx)) {
      detail::product_narrow(ctx, x, weight_x, z.view(), Accumulate::no, {});
      detail::product_narrow(ctx, y, weight_y, z.view(), Accumulate::yes, detail::epilogue_of(ctx, finish));
      return detail::record_narrow(
          ctx, std::move(z), finish,
          detail::LinearPairOp<T>{x, weight_x, y, weight_y, finish, true, detail::reads_narrow(ctx, x),
                                  detail::reads_narrow(ctx, y)});
    }
  }
  gemm(ctx.value(x), w, z.view(), Accumulate::no);
  gemm(ctx.value(y), ctx.value(weight_y), z.view(), Accumulate::yes, detail::epilogue_of(ctx, finish));
  return ctx.record(std::move(z), detail::LinearPairOp<T>{x, weight_x, y, weight_y, finish});
}

}  // namespace tessera
