// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <string_view>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

namespace detail {

inline constexpr double kNormFloor = 1e-12;  // PyTorch's F.normalize

template <Real T>
struct NormalizeRowsOp {
  static constexpr std::string_view kName = "normalize_rows";
  Var x;
  Array<T> norm;  ///< before the floor, per row

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return true; }

  // y = x / |x|, so dy = (dx - y <y, dx>) / |x|: symmetric, and vjp and jvp are the same product. Under the
  // floor y = x / 1e-12 is linear.
  void apply(MatrixView<const T> y, MatrixView<const T> from, MatrixView<T> to) const {
    parallel_for(to.rows(), kRowGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        const bool floored = static_cast<double>(norm[i]) <= kNormFloor;
        T along{0};
        for (std::size_t j = 0; j < y.cols() && !floored; ++j) along += y(i, j) * from(i, j);
        const T scale = T{1} / (floored ? static_cast<T>(kNormFloor) : norm[i]);
        for (std::size_t j = 0; j < y.cols(); ++j) to(i, j) = (from(i, j) - y(i, j) * along) * scale;
      }
    });
  }
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<T> g = tape.grad(self);
    apply(tape.value(self), MatrixView<const T>(g), g);
    tape.add_grad(x, tape.take_grad(self));
  }
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    apply(tape.value(self), tape.tangent(x), t);
  }
};

}  // namespace detail

/// y_i = x_i / max(|x_i|_2, 1e-12): rows of length 1, or 0.
///
/// Shapes   x [N, F] -> y [N, F]
/// Source   Hamilton, Ying & Leskovec, Inductive representation learning on large graphs, 2017, algorithm 1,
///          line 7; the floor is PyTorch's
template <class Ctx>
Var normalize_rows(Ctx& ctx, Var x) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> value = ctx.value(x);
  Tensor<T> y(value.rows(), value.cols());
  Array<T> norm(value.rows());
  parallel_for(value.rows(), detail::kRowGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      T squares{0};
      for (const T element : value.row(i)) squares += element * element;
      norm[i] = std::sqrt(squares);
      const T scale = T{1} / std::max(norm[i], static_cast<T>(detail::kNormFloor));
      for (std::size_t j = 0; j < value.cols(); ++j) y(i, j) = value(i, j) * scale;
    }
  });
  return ctx.record(std::move(y), detail::NormalizeRowsOp<T>{x, std::move(norm)});
}

}  // namespace tessera
