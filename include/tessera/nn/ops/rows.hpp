// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/nn/autograd/tape.hpp"

namespace tessera {

namespace detail {

inline constexpr std::size_t kRowGrain = 256;

/// to = from, or 0 where `from` is the empty view that stands for a zero tangent.
template <Real T>
void copy_or_zero(MatrixView<const T> from, MatrixView<T> to) {
  parallel_for(to.rows(), kRowGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const auto row = to.row(i);
      if (from.data() == nullptr) {
        std::fill(row.begin(), row.end(), T{0});
      } else {
        std::copy(from.row(i).begin(), from.row(i).end(), row.begin());
      }
    }
  });
}

template <Real T>
struct HeadRowsOp {
  static constexpr std::string_view kName = "head_rows";
  Var x;
  std::size_t rows;

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }

  void vjp(Tape<T>& tape, Var self) const { tape.add_grad(x, MatrixView<const T>(tape.grad(self))); }
  void jvp(Tape<T>& tape, Var self) const {
    copy_or_zero(tape.tangent(x).middle_rows(0, rows), tape.make_tangent(self));
  }
};

template <Real T>
struct ConcatColumnsOp {
  static constexpr std::string_view kName = "concat_columns";
  Var left;
  Var right;

  std::array<Var, 2> inputs() const noexcept { return {left, right}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }

  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> g = tape.grad(self);
    const std::size_t split = tape.cols(left);
    if (tape.needs_grad(left)) tape.add_grad(left, g.middle_cols(0, split));
    if (tape.needs_grad(right)) tape.add_grad(right, g.middle_cols(split, g.cols() - split));
  }
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    const std::size_t split = tape.cols(left);
    copy_or_zero(tape.tangent(left), t.middle_cols(0, split));
    copy_or_zero(tape.tangent(right), t.middle_cols(split, t.cols() - split));
  }
};

}  // namespace detail

/// The first `rows` rows of x, without a copy: the destinations of a bipartite block.
///
/// Shapes   x [N, F] -> y [rows, F]; all rows give x itself
/// Errors   ShapeError if x has fewer rows
template <class Ctx>
Var head_rows(Ctx& ctx, Var x, std::size_t rows) {
  if (ctx.rows(x) == rows) return x;
  if (ctx.rows(x) < rows) {
    throw ShapeError(message("head_rows: x has ", ctx.rows(x), " rows, want at least ", rows));
  }
  if (const SparseInput* sparse = ctx.sparse(x)) {
    SparseInput head = *sparse;
    head.rows = rows;
    return ctx.input(head);
  }
  return ctx.record_view(x, ctx.value(x).middle_rows(0, rows),
                         detail::HeadRowsOp<typename Ctx::Scalar>{x, rows});
}

/// y = [left | right].
///
/// Shapes   left [N, F], right [N, G] -> y [N, F + G]
/// Errors   ShapeError if the numbers of rows differ
template <class Ctx>
Var concat_columns(Ctx& ctx, Var left, Var right) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> a = ctx.value(left);
  const MatrixView<const T> b = ctx.value(right);
  if (a.rows() != b.rows()) {
    throw ShapeError(message("concat_columns: right has ", b.rows(), " rows, want ", a.rows()));
  }
  Tensor<T> y(a.rows(), a.cols() + b.cols());
  detail::copy_or_zero(a, y.view().middle_cols(0, a.cols()));
  detail::copy_or_zero(b, y.view().middle_cols(a.cols(), b.cols()));
  return ctx.record(std::move(y), detail::ConcatColumnsOp<T>{left, right});
}

}  // namespace tessera
