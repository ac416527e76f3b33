// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/nn/autograd/no_tape.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// The functions inside reversible blocks.
///
/// - `f(ctx, layer, group, u)`  [N, F / M] -> [N, F / M], on a tape or without one
/// - `f.anchor()`  any parameter that f reads: it tells the tape that there is something to train
/// - `f.tape()`    a tape of its own, on which backward evaluates f again
///
/// Semantics no compiler can check: equal arguments give equal bits, dropout included; nothing else changes
/// when f is evaluated twice (BatchNorm's running averages would).
template <class F, class T>
concept ReversibleFunctions = std::copy_constructible<F> &&
    requires(const F& f, Tape<T>& tape, NoTape<T>& no_tape, std::size_t layer, std::size_t group, Var u) {
  { f(tape, layer, group, u) } -> std::same_as<Var>;
  { f(no_tape, layer, group, u) } -> std::same_as<Var>;
  { f.anchor() } -> std::same_as<ParameterView<T>>;
  { f.tape() } -> std::same_as<Tape<T>&>;
};

/// Which blocks of a stack run: layers [first, last), the features in `groups` parts.
struct ReversibleRange {
  std::size_t first = 0;
  std::size_t last = 0;
  std::size_t groups = 2;
};

namespace detail {

/// The columns of group i of M.
template <class T>
MatrixView<T> group_of(MatrixView<T> x, std::size_t i, std::size_t groups) noexcept {
  const std::size_t width = x.cols() / groups;
  return {x.data() + i * width, x.rows(), width, x.stride()};
}

/// y_0 = x_2 + ... + x_M.
template <Real T>
void sum_of_others(MatrixView<const T> x, std::size_t groups, MatrixView<T> sum) {
  const MatrixView<const T> second = group_of(x, 1, groups);
  if (groups == 2) return scale(T{1}, second, sum);
  add(second, group_of(x, 2, groups), sum);
  for (std::size_t i = 3; i < groups; ++i) axpy(T{1}, group_of(x, i, groups), sum);
}

/// y_i = x_i + f_i(y_(i-1)) for i = 1..M, in place.
template <Real T, class F>
void reversible_forward(const F& f, const ReversibleRange& range, MatrixView<T> state) {
  const MatrixView<const T> read = state;
  Tensor<T> sum(state.rows(), state.cols() / range.groups);
  NoTape<T> ctx;
  for (std::size_t l = range.first; l < range.last; ++l) {
    sum_of_others(read, range.groups, sum.view());
    for (std::size_t i = 0; i < range.groups; ++i) {
      const MatrixView<const T> u = i == 0 ? std::as_const(sum).view() : group_of(read, i - 1, range.groups);
      const Var v = f(ctx, l, i, ctx.input(u));
      axpy(T{1}, ctx.value(v), group_of(state, i, range.groups));
      ctx.rewind();
    }
  }
}

/// From the output of the blocks to their input, and from the gradient of the one to that of the other, both in
/// place. Gradients of what f reads are added to theirs.
template <Real T, class F>
void reversible_backward(const F& f, const ReversibleRange& range, MatrixView<T> state, MatrixView<T> grad) {
  const MatrixView<const T> read = state;
  const MatrixView<const T> cotangent = grad;
  Tensor<T> sum(state.rows(), state.cols() / range.groups);
  Tensor<T> grad_sum(sum.rows(), sum.cols());
  Tape<T>& tape = f.tape();
  const auto undo = [&](std::size_t l, std::size_t i, MatrixView<const T> u, MatrixView<T> grad_u) {
    const Var v = f(tape, l, i, tape.parameter(ParameterView<T>{u, grad_u}));
    axpy(T{-1}, tape.value(v), group_of(state, i, range.groups));
    tape.backward(v, group_of(cotangent, i, range.groups));
    tape.rewind();
  };
  for (std::size_t l = range.last; l-- > range.first;) {
    // grad of group i - 1 must hold f_i's share before it is a cotangent itself.
    for (std::size_t i = range.groups; i-- > 1;) {
      undo(l, i, group_of(read, i - 1, range.groups), group_of(grad, i - 1, range.groups));
    }
    sum_of_others(read, range.groups, sum.view());
    grad_sum.fill(T{0});
    undo(l, 0, std::as_const(sum).view(), grad_sum.view());
    for (std::size_t j = 1; j < range.groups; ++j) {
      axpy(T{1}, std::as_const(grad_sum).view(), group_of(grad, j, range.groups));
    }
  }
}

template <Real T, class F>
struct ReversibleOp {
  static constexpr std::string_view kName = "reversible";
  Var x;
  Var anchor;
  F f;
  ReversibleRange range;

  std::array<Var, 2> inputs() const noexcept { return {x, anchor}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return true; }

  void vjp(Tape<T>& tape, Var self) const {
    Tensor<T> state = Tensor<T>::copy_of(tape.value(self));
    Tensor<T> grad = tape.take_grad(self);
    reversible_backward(f, range, state.view(), grad.view());
    if (tape.needs_grad(x)) tape.add_grad(x, std::move(grad));
  }
};

}  // namespace detail

/// y = the grouped reversible blocks range.first .. range.last - 1 applied to x = [x_1 | ... | x_M]:
/// y_0 = x_2 + ... + x_M, then y_i = x_i + f_i(y_(i-1)).
///
/// Backward recovers each block's input from its output, so nothing of the blocks is kept: memory does not grow
/// with their number. In float32 the recovered input differs from the true one by rounding that grows linearly
/// with depth, about 5e-6 relative at 112 layers.
/// Shapes   x [N, F] -> y [N, F], F divisible by the groups
/// Cost     forward the functions once, backward once more and their gradients; keeps y, and backward works on
///          a copy of it and one function's tape
/// Errors   ConfigError for fewer than two groups or a width they do not divide; whatever f throws
/// Source   Li, Mueller, Ghanem & Koltun, Training graph neural networks with 1000 layers, ICML 2021, section 3
template <class Ctx, class F>
Var reversible(Ctx& ctx, Var x, const F& f, const ReversibleRange& range) {
  using T = typename Ctx::Scalar;
  static_assert(ReversibleFunctions<F, T>);
  const MatrixView<const T> value = ctx.value(x);
  if (range.groups < 2 || value.cols() % range.groups != 0) {
    throw ConfigError(message("reversible: groups is ", range.groups,
                              ", want at least 2 that divide the width ", value.cols()));
  }
  Tensor<T> y = Tensor<T>::copy_of(value);
  detail::reversible_forward(f, range, y.view());
  return ctx.record(std::move(y), detail::ReversibleOp<T, F>{x, ctx.parameter(f.anchor()), f, range});
}

}  // namespace tessera
