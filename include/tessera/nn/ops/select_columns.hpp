// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>

#include "tessera/core/error.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct SelectColumnsOp {
  static constexpr std::string_view kName = "select_columns";
  Var x;
  std::size_t first;
  std::size_t count;

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }

  void vjp(Tape<T>& tape, Var self) const {
    const GradSlot<T> slot = tape.grad_slot(x);
    if (!slot.add) copy_or_zero(MatrixView<const T>(), slot.grad);
    axpy(T{1}, MatrixView<const T>(tape.grad(self)), slot.grad.middle_cols(first, count));
  }
  void jvp(Tape<T>& tape, Var self) const {
    copy_or_zero(tape.tangent(x).middle_cols(first, count), tape.make_tangent(self));
  }
};

}  // namespace detail

/// Columns [first, first + count) of x, without a copy.
///
/// Shapes   x [N, F] -> y [N, count]; all columns give x itself
/// Errors   ShapeError if x has fewer columns
template <class Ctx>
Var select_columns(Ctx& ctx, Var x, std::size_t first, std::size_t count) {
  const auto value = ctx.value(x);
  if (first > value.cols() || count > value.cols() - first) {
    throw ShapeError(
        message("select_columns: x has ", value.cols(), " columns, want ", first, " to ", first + count));
  }
  if (count == value.cols()) return x;
  return ctx.record_view(x, value.middle_cols(first, count),
                         detail::SelectColumnsOp<typename Ctx::Scalar>{x, first, count});
}

}  // namespace tessera
