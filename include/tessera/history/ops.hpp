// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/dropout.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/rows.hpp"

// What stands between two layers of a batch whose halo comes from a history.

namespace tessera {

namespace detail {

template <Real T>
struct JoinRowsOp {
  static constexpr std::string_view kName = "join_rows";
  Var top;
  std::size_t rows;

  std::array<Var, 1> inputs() const noexcept { return {top}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }
  void vjp(Tape<T>& tape, Var self) const {
    tape.add_grad(top, MatrixView<const T>(tape.grad(self)).middle_rows(0, rows));
  }
};

template <Real T>
struct JoinNoiseOp {
  static constexpr std::string_view kName = "join_noise";
  Var top;
  std::size_t rows;
  DropoutMask mask;

  std::array<Var, 1> inputs() const noexcept { return {top}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }

  // d (x_ij (m_ij - 1)) / d x_ij = m_ij - 1
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> g = tape.grad(self);
    const MatrixView<const T> noise = g.middle_rows(rows, rows);
    Tensor<T> sum(rows, g.cols());
    dropout_backward(noise, sum.view(), mask);
    parallel_for(rows, kRowGrain, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        for (std::size_t j = 0; j < g.cols(); ++j) sum(i, j) += g(i, j) - noise(i, j);
      }
    });
    tape.add_grad(top, std::move(sum));
  }
};

/// Rows [first, rows) of x, then rows [0, first).
template <Real T>
struct RotateRowsOp {
  static constexpr std::string_view kName = "rotate_rows";
  Var x;
  std::size_t first;

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> g = tape.grad(self);
    const std::size_t tail = g.rows() - first;
    Tensor<T> back(g.rows(), g.cols());
    copy_or_zero(g.middle_rows(tail, first), back.view().middle_rows(0, first));
    copy_or_zero(g.middle_rows(0, tail), back.view().middle_rows(first, tail));
    tape.add_grad(x, std::move(back));
  }
};

template <Real T>
struct AddNoiseOp {
  static constexpr std::string_view kName = "add_noise";
  Var x;

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }
  void vjp(Tape<T>& tape, Var self) const { tape.add_grad(x, tape.take_grad(self)); }
};

template <Real T>
struct MeanRowDistanceOp {
  static constexpr std::string_view kName = "mean_row_distance";
  Var a, b;

  std::array<Var, 2> inputs() const noexcept { return {a, b}; }
  std::array<Var, 2> reads() const noexcept { return {a, b}; }
  bool reads_output() const noexcept { return false; }

  // d |a_i - b_i| / d a_i = (a_i - b_i) / |a_i - b_i|, 0 where both are equal.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> x = tape.value(a);
    const MatrixView<const T> y = tape.value(b);
    const T g = tape.grad(self)(0, 0) / static_cast<T>(std::max<std::size_t>(1, x.rows()));
    for (const bool first : {true, false}) {
      if (!tape.needs_grad(first ? a : b)) continue;
      Tensor<T> d(x.rows(), x.cols());
      parallel_for(x.rows(), kRowGrain, [&](std::size_t i, std::size_t end) {
        for (; i < end; ++i) {
          const T norm = distance(x.row(i), y.row(i));
          const T scale = norm > 0 ? (first ? g : -g) / norm : T{0};
          for (std::size_t j = 0; j < x.cols(); ++j) d(i, j) = scale * (x(i, j) - y(i, j));
        }
      });
      tape.add_grad(first ? a : b, std::move(d));
    }
  }

  static T distance(std::span<const T> x, std::span<const T> y) noexcept {
    T sum = 0;
    for (std::size_t j = 0; j < x.size(); ++j) sum += (x[j] - y[j]) * (x[j] - y[j]);
    return std::sqrt(sum);
  }
};

template <Real T>
struct WithPenaltyOp {
  static constexpr std::string_view kName = "with_penalty";
  Var x, penalty;
  T weight;

  std::array<Var, 2> inputs() const noexcept { return {x, penalty}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }
  void vjp(Tape<T>& tape, Var self) const {
    if (tape.needs_grad(penalty)) {
      const Tensor<T> one = Tensor<T>::filled(1, 1, weight);
      tape.add_grad(penalty, one.view());
    }
    if (tape.needs_grad(x)) tape.add_grad(x, tape.take_grad(self));
  }
};

}  // namespace detail

/// x, below it what dropout would add to it, x (m - 1), below that the rows that `below` holds there.
///
/// Shapes   x [B, F], below [2 B + H, F], its last H rows filled -> [2 B + H, F]
/// Errors   ShapeError if the extents do not fit
template <class Ctx>
Var join_noise(Ctx& ctx, Var x, Tensor<typename Ctx::Scalar> below, const DropoutMask& mask) {
  using T = typename Ctx::Scalar;
  check_dropout(mask, "join_noise");
  const MatrixView<const T> value = ctx.value(x);
  const std::size_t rows = value.rows();
  if (below.rows() < 2 * rows || below.cols() != value.cols()) {
    throw ShapeError(message("join_noise: below is [", below.rows(), ", ", below.cols(), "], want at least [",
                             2 * rows, ", ", value.cols(), "]"));
  }
  const MatrixView<T> noise = below.view().middle_rows(rows, rows);
  dropout(value, noise, mask);
  parallel_for(rows, detail::kRowGrain, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      for (std::size_t j = 0; j < value.cols(); ++j) {
        noise(i, j) -= value(i, j);
        below(i, j) = value(i, j);
      }
    }
  });
  return ctx.record(std::move(below), detail::JoinNoiseOp<T>{x, rows, mask});
}

/// `joined`, whose first rows are to be y and whose last rows are constants; copies y into it.
///
/// Shapes   y [B, F], joined [B + H, F] -> joined
/// Errors   ShapeError if y has more rows or another width
template <class Ctx>
Var join_rows(Ctx& ctx, Var y, Tensor<typename Ctx::Scalar> joined) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> top = ctx.value(y);
  if (top.cols() != joined.cols() || top.rows() > joined.rows()) {
    throw ShapeError(message("join_rows: y is [", top.rows(), ", ", top.cols(), "], joined is [",
                             joined.rows(), ", ", joined.cols(), "]"));
  }
  detail::copy_or_zero(top, joined.view().middle_rows(0, top.rows()));
  return ctx.record(std::move(joined), detail::JoinRowsOp<T>{y, top.rows()});
}

/// The rows from `first` on come first, then those before.
///
/// Shapes   x [N, F] -> y [N, F]
/// Errors   ShapeError if x has fewer rows than `first`
template <class Ctx>
Var rotate_rows(Ctx& ctx, Var x, std::size_t first) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> value = ctx.value(x);
  if (first > value.rows()) {
    throw ShapeError(message("rotate_rows: first is ", first, ", x has ", value.rows(), " rows"));
  }
  const std::size_t tail = value.rows() - first;
  Tensor<T> y(value.rows(), value.cols());
  detail::copy_or_zero(value.middle_rows(first, tail), y.view().middle_rows(0, tail));
  detail::copy_or_zero(value.middle_rows(0, first), y.view().middle_rows(tail, first));
  return ctx.record(std::move(y), detail::RotateRowsOp<T>{x, first});
}

/// y = x + sigma xi, xi standard normal, a pure function of the key.
///
/// Shapes   x [N, F] -> y [N, F]
template <class Ctx>
Var add_noise(Ctx& ctx, Var x, double sigma, RngKey key, std::uint32_t call) {
  using T = typename Ctx::Scalar;
  Tensor<T> y = Tensor<T>::copy_of(ctx.value(x));
  parallel_for(y.rows(), 64, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      CounterRng rng(key, call, i);
      for (T& v : y.row(i)) v += static_cast<T>(sigma * rng.normal());
    }
  });
  return ctx.record(std::move(y), detail::AddNoiseOp<T>{x});
}

/// The mean over rows of |a_i - b_i|.
///
/// Shapes   a [N, F], b [N, F] -> [1, 1]
/// Errors   ShapeError if the shapes differ
template <class Ctx>
Var mean_row_distance(Ctx& ctx, Var a, Var b) {
  using T = typename Ctx::Scalar;
  using Op = detail::MeanRowDistanceOp<T>;
  const MatrixView<const T> x = ctx.value(a);
  const MatrixView<const T> y = ctx.value(b);
  if (x.rows() != y.rows() || x.cols() != y.cols()) {
    throw ShapeError(message("mean_row_distance: a is [", x.rows(), ", ", x.cols(), "], b is [", y.rows(),
                             ", ", y.cols(), "]"));
  }
  const T sum = parallel_sum<T>(x.rows(), detail::kRowGrain, [&](std::size_t i, std::size_t end) {
    T part = 0;
    for (; i < end; ++i) part += Op::distance(x.row(i), y.row(i));
    return part;
  });
  Tensor<T> mean = Tensor<T>::filled(1, 1, sum / static_cast<T>(std::max<std::size_t>(1, x.rows())));
  return ctx.record(std::move(mean), Op{a, b});
}

/// x itself; backward as if weight times the penalty had been added to the loss.
///
/// Shapes   x [N, F], penalty [1, 1] -> x, whose memory it takes
template <class Ctx>
Var with_penalty(Ctx& ctx, Var x, Var penalty, double weight) {
  using T = typename Ctx::Scalar;
  Tensor<T> y = ctx.take(x);
  return ctx.record(std::move(y), detail::WithPenaltyOp<T>{x, penalty, static_cast<T>(weight)});
}

}  // namespace tessera
