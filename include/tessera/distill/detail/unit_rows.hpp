// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/nn/autograd/tape.hpp"

namespace tessera::detail {

inline constexpr double kUnitFloor = 1e-12;

/// As normalize_rows, but rows of length 1e-12 and less get no gradient instead of one a million million times
/// too large: after a ReLU whole rows are 0.
template <Real T>
struct UnitRowsOp {
  static constexpr std::string_view kName = "unit_rows";
  Var x;
  Array<T> norm;

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return true; }

  // dx = (g - y <y, g>) / |x|
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> y = tape.value(self);
    const MatrixView<T> g = tape.grad(self);
    parallel_for(y.rows(), 256, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        const bool gone = static_cast<double>(norm[i]) <= kUnitFloor;
        T along{0};
        for (std::size_t j = 0; j < y.cols() && !gone; ++j) along += y(i, j) * g(i, j);
        for (std::size_t j = 0; j < y.cols(); ++j)
          g(i, j) = gone ? T{0} : (g(i, j) - y(i, j) * along) / norm[i];
      }
    });
    tape.add_grad(x, tape.take_grad(self));
  }
};

/// y_i = x_i / max(|x_i|, 1e-12).
template <class Ctx>
Var unit_rows(Ctx& ctx, Var x) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> value = ctx.value(x);
  Tensor<T> y(value.rows(), value.cols());
  Array<T> norm(value.rows());
  parallel_for(value.rows(), 256, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      T squares{0};
      for (const T element : value.row(i)) squares += element * element;
      norm[i] = std::sqrt(squares);
      const T floor = static_cast<T>(kUnitFloor);
      const T scale = T{1} / (norm[i] > floor ? norm[i] : floor);
      for (std::size_t j = 0; j < value.cols(); ++j) y(i, j) = value(i, j) * scale;
    }
  });
  return ctx.record(std::move(y), UnitRowsOp<T>{x, std::move(norm)});
}

/// A [1, 1] loss of two matrices whose gradients were found with its value: backward multiplies them by the cotangent.
/// Gradients are those of the loss times its weight; an absent one is not asked for.
template <Real T>
struct PairLossOp {
  static constexpr std::string_view kName = "pair_loss";
  Var a;
  Var b;
  Tensor<T> grad_a;
  Tensor<T> grad_b;

  std::array<Var, 2> inputs() const noexcept { return {a, b}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }

  void vjp(Tape<T>& tape, Var self) const {
    const T cotangent = tape.grad(self)(0, 0);
    const auto pass = [&](Var v, const Tensor<T>& grad) {
      if (!tape.needs_grad(v)) return;
      Tensor<T> part(grad.rows(), grad.cols());
      scale(cotangent, grad.view(), part.view());
      tape.add_grad(v, std::move(part));
    };
    pass(a, grad_a);
    pass(b, grad_b);
  }
};

template <class Ctx>
Var record_pair_loss(Ctx& ctx, double value, Var a, Tensor<typename Ctx::Scalar> grad_a, Var b = {},
                     Tensor<typename Ctx::Scalar> grad_b = {}) {
  using T = typename Ctx::Scalar;
  return ctx.record(Tensor<T>::filled(1, 1, static_cast<T>(value)),
                    PairLossOp<T>{a, b, std::move(grad_a), std::move(grad_b)});
}

/// The sum of f(i, j) over all elements, in double, over fixed blocks of rows.
template <class F>
double sum_elements(std::size_t rows, std::size_t cols, F&& f) {
  return parallel_sum<double>(rows, 64, [&](std::size_t i, std::size_t end) {
    double sum = 0;
    for (; i < end; ++i) {
      for (std::size_t j = 0; j < cols; ++j) sum += f(i, j);
    }
    return sum;
  });
}

}  // namespace tessera::detail
