// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/parallel.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/nn/ops/aggregate.hpp"

namespace tessera {

namespace detail {

/// y = (1 - alpha) A q + alpha h.
template <Real T>
void teleport_value(const Adjacency& a, MatrixView<const T> q, MatrixView<const T> h, T alpha,
                    MatrixView<T> y) {
  spmm_sum(a.forward, q, y);
  parallel_for(y.rows(), kRowGrain, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      const auto row = y.row(i);
      const auto back = h.row(i);
      for (std::size_t f = 0; f < row.size(); ++f) row[f] = (T{1} - alpha) * row[f] + alpha * back[f];
    }
  });
}

template <Real T>
struct TeleportOp {
  static constexpr std::string_view kName = "teleport";
  Adjacency a;
  Var q;
  Var h;
  T alpha;

  std::array<Var, 2> inputs() const noexcept { return {q, h}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }

  // dq = (1 - alpha) A^T G, dh = alpha G in the first N_dst rows.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> g = tape.grad(self);
    if (tape.needs_grad(q)) {
      Tensor<T> part = Tensor<T>::zeros(g.rows(), g.cols());
      axpy(T{1} - alpha, g, part.view());
      aggregate_vjp(tape, a, Reduce::sum, q, std::as_const(part).view());
    }
    if (tape.needs_grad(h)) {
      Tensor<T> part = Tensor<T>::zeros(g.rows(), g.cols());
      axpy(alpha, g, part.view());
      tape.add_grad(h, std::as_const(part).view());
    }
  }
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    copy_or_zero(MatrixView<const T>(), t);
    if (tape.has_tangent(q)) {
      Tensor<T> part(t.rows(), t.cols());
      spmm_sum(a.forward, tape.tangent(q), part.view());
      axpy(T{1} - alpha, std::as_const(part).view(), t);
    }
    if (tape.has_tangent(h)) axpy(alpha, tape.tangent(h).middle_rows(0, t.rows()), t);
  }
};

}  // namespace detail

/// One step of personalised PageRank on features: y = (1 - alpha) A q + alpha h_dst.
///
/// Shapes   a [N_dst, N_src], q [N_src, F], h [at least N_dst, F] -> y [N_dst, F]
/// Cost     2 E F flops; keeps nothing
/// Errors   ShapeError if the shapes do not fit
/// Source   Klicpera, Bojchevski & Guennemann, Predict then propagate, ICLR 2019, eq. (4)
template <class Ctx>
Var teleport(Ctx& ctx, const Adjacency& a, Var q, Var h, double alpha) {
  using T = typename Ctx::Scalar;
  detail::check_aggregate(ctx, a, q, "teleport");
  const MatrixView<const T> from = ctx.value(q);
  const MatrixView<const T> back = ctx.value(h);
  if (back.rows() < a.num_dst() || back.cols() != from.cols()) {
    throw ShapeError(message("teleport: h is [", back.rows(), ", ", back.cols(), "], want at least ",
                             a.num_dst(), " rows of ", from.cols()));
  }
  Tensor<T> y(a.num_dst(), from.cols());
  detail::teleport_value(a, from, back, static_cast<T>(alpha), y.view());
  return ctx.record(std::move(y), detail::TeleportOp<T>{a, q, h, static_cast<T>(alpha)});
}

}  // namespace tessera
