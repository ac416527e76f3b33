// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/kernels/column_sum.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct PreluOp {
  static constexpr std::string_view kName = "prelu";
  Var x;
  Var slope;

  std::array<Var, 2> inputs() const noexcept { return {x, slope}; }
  std::array<Var, 2> reads() const noexcept { return {x, slope}; }
  bool reads_output() const noexcept { return false; }

  // With m = [x < 0]: dx = G (1 - m + a m), da = sum G m x.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<T> g = tape.grad(self);
    const MatrixView<const T> value = tape.value(x);
    const MatrixView<const T> a = tape.value(slope);
    if (tape.needs_grad(slope)) add_slope_grad(tape, g, value);
    if (!tape.needs_grad(x)) return;
    const bool one = a.cols() == 1;
    for_rows(g, [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
      const T* const from = value.data() + i * value.stride();
      const T* const by = a.data();
      for (std::size_t j = 0, n = g.cols(); j < n; ++j)
        to[j] = from[j] < T{0} ? to[j] * by[one ? 0 : j] : to[j];
    });
    tape.add_grad(x, tape.take_grad(self));
  }
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    const MatrixView<const T> value = tape.value(x);
    const MatrixView<const T> a = tape.value(slope);
    copy_or_zero(tape.tangent(x), t);
    for (std::size_t i = 0; i < t.rows(); ++i) {
      for (std::size_t j = 0; j < t.cols(); ++j) {
        if (!(value(i, j) < T{0})) continue;
        const std::size_t c = a.cols() == 1 ? 0 : j;
        t(i, j) *= a(0, c);
        if (tape.has_tangent(slope)) t(i, j) += tape.tangent(slope)(0, c) * value(i, j);
      }
    }
  }

 private:
  void add_slope_grad(Tape<T>& tape, MatrixView<const T> g, MatrixView<const T> value) const {
    const std::size_t cols = value.cols();
    Array<T> sums(cols);
    const Isa isa = tessera::active_isa();
    sum_row_blocks(value.rows(), cols, column_sum_rows(cols), sums.span(), Accumulate::no,
                   [&](std::size_t begin, std::size_t end, T* partial) {
                     dispatch(isa, [&](auto) TESSERA_INLINE_LAMBDA {
                       for (std::size_t i = begin; i < end; ++i) {
                         const T* const u = g.data() + i * g.stride();
                         const T* const v = value.data() + i * value.stride();
                         for (std::size_t j = 0; j < cols; ++j) partial[j] += u[j] * std::min(v[j], T{0});
                       }
                     });
                   });
    const GradSlot<T> slot = tape.grad_slot(slope);
    const auto row = slot.grad.row(0);
    if (!slot.add) std::fill(row.begin(), row.end(), T{0});
    for (std::size_t j = 0; j < cols; ++j) row[row.size() == 1 ? 0 : j] += sums[j];
  }
};

}  // namespace detail

/// y = max(x, 0) + a min(x, 0) with a learned slope: one for all, or one per column.
///
/// Shapes   x [N, F], slope [1, 1] or [1, F] -> y [N, F]
/// Cost     O(N F); keeps x
/// Errors   ShapeError if the slope fits neither way
/// Source   He et al., Delving deep into rectifiers, 2015, eq. (1)
template <class Ctx>
Var prelu(Ctx& ctx, Var x, Var slope) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> value = ctx.value(x);
  const MatrixView<const T> a = ctx.value(slope);
  if (a.rows() != 1 || (a.cols() != 1 && a.cols() != value.cols())) {
    throw ShapeError(
        message("prelu: slope is [", a.rows(), ", ", a.cols(), "], want [1, 1] or [1, ", value.cols(), "]"));
  }
  Tensor<T> y(value.rows(), value.cols());
  const bool one = a.cols() == 1;
  detail::for_rows(y.view(), [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const T* const from = value.data() + i * value.stride();
    const T* const by = a.data();
    for (std::size_t j = 0, n = value.cols(); j < n; ++j) {
      to[j] = from[j] < T{0} ? from[j] * by[one ? 0 : j] : from[j];
    }
  });
  return ctx.record(std::move(y), detail::PreluOp<T>{x, slope});
}

}  // namespace tessera
