// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/nn/autograd/tape.hpp"

namespace tessera {

namespace detail {

template <class T>
T logistic(T x) noexcept {
  const T e = std::exp(x < T{0} ? x : -x);
  return x < T{0} ? e / (T{1} + e) : T{1} / (T{1} + e);
}

template <Real T>
struct LstmCellOp {
  static constexpr std::string_view kName = "lstm_cell";
  Var z;
  Var before;

  std::array<Var, 2> inputs() const noexcept { return {z, before}; }
  std::array<Var, 2> reads() const noexcept { return {z, before}; }
  bool reads_output() const noexcept { return true; }

  // dc = gc' + gh' o (1 - tanh^2 c'); dz = [dc g i(1-i), dc c f(1-f), dc i (1-g^2), gh' tanh(c') o(1-o)], dc_prev =
  // dc f.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> gates = tape.value(z);
    const MatrixView<const T> state = tape.value(self);
    const MatrixView<const T> g = tape.grad(self);
    const std::size_t h = state.cols() / 2;
    Tensor<T> of_z(gates.rows(), gates.cols());
    Tensor<T> of_before = before ? Tensor<T>::zeros(g.rows(), 2 * h) : Tensor<T>();
    parallel_for(g.rows(), rows_per_block(4 * h), [&](std::size_t begin, std::size_t end) {
      for (std::size_t r = begin; r < end; ++r) {
        for (std::size_t k = 0; k < h; ++k) {
          const T i = logistic(gates(r, k)), f = logistic(gates(r, h + k));
          const T u = std::tanh(gates(r, 2 * h + k)), o = logistic(gates(r, 3 * h + k));
          const T bend = std::tanh(state(r, h + k));
          const T dc = g(r, h + k) + g(r, k) * o * (T{1} - bend * bend);
          of_z(r, k) = dc * u * i * (T{1} - i);
          of_z(r, h + k) = before ? dc * tape.value(before)(r, h + k) * f * (T{1} - f) : T{0};
          of_z(r, 2 * h + k) = dc * i * (T{1} - u * u);
          of_z(r, 3 * h + k) = g(r, k) * bend * o * (T{1} - o);
          if (before) of_before(r, h + k) = dc * f;
        }
      }
    });
    if (tape.needs_grad(z)) tape.add_grad(z, std::move(of_z));
    if (tape.needs_grad(before)) tape.add_grad(before, std::move(of_before));
  }
};

}  // namespace detail

/// One step of a long short-term memory: from z = x W_x + h W_h + b, the gates in the order input, forget, cell,
/// output, and the state before, c' = sigmoid(f) c + sigmoid(i) tanh(g) and h' = sigmoid(o) tanh(c').
///
/// Shapes   z [N, 4 H], before [N, 2 H] = [h | c] or absent (0) -> y [N, 2 H] = [h' | c']
/// Cost     5 N H exponentials, as many in backward; keeps z and both states
/// Errors   ShapeError if the shapes do not fit
/// Source   Hochreiter & Schmidhuber, Long short-term memory, 1997, with forget gates; order of the gates as
///          PyTorch's
template <class Ctx>
Var lstm_cell(Ctx& ctx, Var z, Var before = {}) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> gates = ctx.value(z);
  const std::size_t h = gates.cols() / 4;
  if (gates.cols() % 4 != 0)
    throw ShapeError(message("lstm_cell: z has ", gates.cols(), " columns, want 4 H"));
  if (before) detail::check_shape("lstm_cell", "before", ctx.value(before), gates.rows(), 2 * h);
  Tensor<T> y(gates.rows(), 2 * h);
  parallel_for(gates.rows(), detail::rows_per_block(4 * h), [&](std::size_t begin, std::size_t end) {
    for (std::size_t r = begin; r < end; ++r) {
      for (std::size_t k = 0; k < h; ++k) {
        T c = detail::logistic(gates(r, k)) * std::tanh(gates(r, 2 * h + k));
        if (before) c += detail::logistic(gates(r, h + k)) * ctx.value(before)(r, h + k);
        y(r, h + k) = c;
        y(r, k) = detail::logistic(gates(r, 3 * h + k)) * std::tanh(c);
      }
    }
  });
  return ctx.record(std::move(y), detail::LstmCellOp<T>{z, before});
}

}  // namespace tessera
