// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/nn/autograd/no_tape.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/anderson.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// A tape for which parameters are constants: derivatives by what `variable` gives alone.
template <Real T>
class FrozenTape : public Tape<T> {
 public:
  Var parameter(ParameterView<T> p) { return this->input(p.value); }
  /// A leaf with a gradient.
  ///
  /// Errors   as Tape::parameter
  Var variable(ParameterView<T> p) { return Tape<T>::parameter(p); }
};

/// The map whose fixed point is wanted.
///
/// - `f(ctx, z, x)`  [N, F], [N, G] -> [N, F], on a tape, a frozen tape or none
/// - `f.anchor()`    any parameter that f reads: it tells the tape that there is something to train
///
/// Semantics no compiler can check: equal arguments give equal bits, dropout included.
template <class F, class T>
concept FixedPointMap = std::copy_constructible<F> &&
    requires(const F& f, Tape<T>& tape, FrozenTape<T>& frozen, NoTape<T>& no_tape, Var v) {
  { f(tape, v, v) } -> std::same_as<Var>;
  { f(frozen, v, v) } -> std::same_as<Var>;
  { f(no_tape, v, v) } -> std::same_as<Var>;
  { f.anchor() } -> std::same_as<ParameterView<T>>;
};

namespace detail {

template <Real T, class F>
struct FixedPointOp {
  static constexpr std::string_view kName = "fixed_point";
  Var x;
  Var anchor;
  F f;
  AndersonOptions options;

  std::array<Var, 2> inputs() const noexcept { return {x, anchor}; }
  std::array<Var, 1> reads() const noexcept { return {x}; }
  bool reads_output() const noexcept { return true; }

  // z = f(z, x): u = G + J^T u, then the gradients of f at z along u.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> z = tape.value(self);
    const Tensor<T> g = tape.take_grad(self);
    Tensor<T> grad_z(z.rows(), z.cols());
    Tensor<T> u;
    {
      FrozenTape<T> frozen;
      const Var leaf = frozen.variable({z, grad_z.view()});
      const Var y = f(frozen, leaf, frozen.input(tape.value(x)));
      u = anderson<T>(g.view(), options, [&](MatrixView<const T> at, MatrixView<T> to) {
            grad_z.fill(T{0});
            frozen.backward(y, at);
            add(g.view(), std::as_const(grad_z).view(), to);
          }).value;
    }
    Tape<T> last;
    const Var in = last.input(z);
    if (!tape.needs_grad(x)) {
      last.backward(f(last, in, last.input(tape.value(x))), std::as_const(u).view());
      return;
    }
    Tensor<T> grad_x = Tensor<T>::zeros(tape.rows(x), tape.cols(x));
    const Var leaf = last.parameter(ParameterView<T>{tape.value(x), grad_x.view()});
    last.backward(f(last, in, leaf), std::as_const(u).view());
    tape.add_grad(x, std::move(grad_x));
  }
};

}  // namespace detail

/// z with z = f(z, x): a network of endless equal layers. Backward differentiates the equation, not the iterations,
/// so memory does not depend on their number.
///
/// Shapes   x [N, G] -> z [N, width]
/// Cost     forward up to options.max_steps values of f, backward as many gradients; keeps z, x and, while solving,
///          2 options.memory matrices
/// Errors   whatever f throws. A residual above options.tolerance is no error: the best iterate is used, and
///          `residual`, where given, tells how far it is
/// Source   Bai, Kolter & Koltun, Deep equilibrium models, NeurIPS 2019
template <class Ctx, class F>
Var fixed_point(Ctx& ctx, Var x, std::size_t width, const F& f, const AndersonOptions& options = {},
                double* residual = nullptr) {
  using T = typename Ctx::Scalar;
  static_assert(FixedPointMap<F, T>);
  const MatrixView<const T> value = ctx.value(x);
  NoTape<T> inner;
  AndersonResult<T> solved = anderson<T>(Tensor<T>::zeros(value.rows(), width).view(), options,
                                         [&](MatrixView<const T> at, MatrixView<T> to) {
                                           const Var y = f(inner, inner.input(at), inner.input(value));
                                           scale(T{1}, inner.value(y), to);
                                           inner.rewind();
                                         });
  if (residual != nullptr) *residual = solved.residual;
  return ctx.record(std::move(solved.value),
                    detail::FixedPointOp<T, F>{x, ctx.parameter(f.anchor()), f, options});
}

}  // namespace tessera
