// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct MessageNormOp {
  static constexpr std::string_view kName = "message_norm";
  Var x;
  Var m;
  Var scale;
  Array<T> x_norm;
  Array<T> m_norm;

  std::array<Var, 3> inputs() const noexcept { return {x, m, scale}; }
  std::array<Var, 3> reads() const noexcept { return {x, m, scale}; }
  bool reads_output() const noexcept { return false; }

  // With u = m / |m|, v = x / |x| and p = <G, u>: dx = s p v, dm = s |x| / |m| (G - u p), ds = sum |x| p; a
  // direction of length 0 counts as 0.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> g = tape.grad(self);
    const MatrixView<const T> from = tape.value(x), to = tape.value(m);
    const T s = tape.value(scale)(0, 0);
    const bool wants_x = tape.needs_grad(x), wants_m = tape.needs_grad(m);
    Tensor<T> dx(wants_x ? g.rows() : 0, from.cols()), dm(wants_m ? g.rows() : 0, to.cols());
    const T scale_grad = parallel_sum<T>(g.rows(), kRowGrain, [&](std::size_t begin, std::size_t end) {
      T sum{0};
      for (std::size_t i = begin; i < end; ++i) {
        T p{0};
        for (std::size_t j = 0; j < to.cols(); ++j) p += g(i, j) * to(i, j);
        p *= inverse(m_norm[i]);
        sum += x_norm[i] * p;
        const T along_x = s * p * inverse(x_norm[i]);
        const T along_m = p * inverse(m_norm[i]);
        const T length = s * x_norm[i] * inverse(m_norm[i]);
        for (std::size_t j = 0; wants_x && j < from.cols(); ++j) dx(i, j) = along_x * from(i, j);
        for (std::size_t j = 0; wants_m && j < to.cols(); ++j)
          dm(i, j) = length * (g(i, j) - to(i, j) * along_m);
      }
      return sum;
    });
    if (wants_x) tape.add_grad(x, std::move(dx));
    if (wants_m) tape.add_grad(m, std::move(dm));
    if (!tape.needs_grad(scale)) return;
    const GradSlot<T> slot = tape.grad_slot(scale);
    slot.grad(0, 0) = (slot.add ? slot.grad(0, 0) : T{0}) + scale_grad;
  }

  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    const MatrixView<const T> from = tape.value(x), to = tape.value(m);
    const T s = tape.value(scale)(0, 0);
    const T ds = tape.has_tangent(scale) ? tape.tangent(scale)(0, 0) : T{0};
    const bool x_moves = tape.has_tangent(x);
    const MatrixView<const T> x_tangent = tape.tangent(x);
    copy_or_zero(tape.tangent(m), t);
    parallel_for(t.rows(), kRowGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        T across{0}, along{0};
        for (std::size_t j = 0; j < to.cols(); ++j) across += to(i, j) * t(i, j);
        for (std::size_t j = 0; x_moves && j < to.cols(); ++j) along += from(i, j) * x_tangent(i, j);
        const T inv = inverse(m_norm[i]);
        const T stretch = (ds * x_norm[i] + s * along * inverse(x_norm[i])) * inv;
        for (std::size_t j = 0; j < to.cols(); ++j) {
          t(i, j) = s * x_norm[i] * inv * (t(i, j) - to(i, j) * inv * inv * across) + stretch * to(i, j);
        }
      }
    });
  }

  static T inverse(T norm) noexcept { return norm > T{0} ? T{1} / norm : T{0}; }
};

}  // namespace detail

/// Messages brought to a learned multiple of the length of the rows they are for: y_i = s |x_i| m_i / |m_i|.
///
/// A row with m_i = 0 gives 0 and passes nothing back.
/// Shapes   x, m [N, F], scale [1, 1] -> y [N, F]
/// Cost     O(N F); keeps x and m
/// Errors   ShapeError if the shapes do not fit
/// Source   Li et al., DeeperGCN: all you need to train deeper GCNs, 2020, eq. (7)
template <class Ctx>
Var message_norm(Ctx& ctx, Var x, Var m, Var scale) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> from = ctx.value(x), to = ctx.value(m);
  if (from.rows() != to.rows() || from.cols() != to.cols()) {
    throw ShapeError(message("message_norm: m is [", to.rows(), ", ", to.cols(), "], want [", from.rows(),
                             ", ", from.cols(), "]"));
  }
  if (ctx.rows(scale) != 1 || ctx.cols(scale) != 1) {
    throw ShapeError(
        message("message_norm: scale is [", ctx.rows(scale), ", ", ctx.cols(scale), "], want [1, 1]"));
  }
  const T s = ctx.value(scale)(0, 0);
  Tensor<T> y(to.rows(), to.cols());
  Array<T> x_norm(to.rows()), m_norm(to.rows());
  parallel_for(to.rows(), detail::kRowGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      T x_squares{0}, m_squares{0};
      for (const T element : from.row(i)) x_squares += element * element;
      for (const T element : to.row(i)) m_squares += element * element;
      x_norm[i] = std::sqrt(x_squares);
      m_norm[i] = std::sqrt(m_squares);
      const T length = s * x_norm[i] * detail::MessageNormOp<T>::inverse(m_norm[i]);
      for (std::size_t j = 0; j < to.cols(); ++j) y(i, j) = length * to(i, j);
    }
  });
  return ctx.record(std::move(y),
                    detail::MessageNormOp<T>{x, m, scale, std::move(x_norm), std::move(m_norm)});
}

}  // namespace tessera
