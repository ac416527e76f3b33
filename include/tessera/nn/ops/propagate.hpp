// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/edge_dropout.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/kernels/spmm.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/aggregate.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

namespace detail {

/// y = A x with entries dropped by `mask`; `transposed` says that a is the transpose of what the mask is for.
template <Real T>
void dropped_product(CsrView<> a, std::type_identity_t<MatrixView<const T>> x, MatrixView<T> y,
                     const DropoutMask& mask, bool transposed) {
  Array<float> weight;
  if (mask.probability > 0) {
    weight.resize(a.num_edges());
    edge_dropout(a, mask, transposed, weight.span());
    a.weight = weight.span();
  }
  spmm_sum<T, T>(a, x, y);
}

/// y = alpha y + beta x.
template <Real T>
void blend(T alpha, MatrixView<T> y, T beta, std::type_identity_t<MatrixView<const T>> x) {
  for_rows(y, [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
    const T* const from = x.data() + i * x.stride();
    for_vectors<T>(y.cols(), [=]<std::size_t W>(std::size_t j) TESSERA_INLINE_LAMBDA {
      Simd<T, W> own, other;
      simd_load<W, T>(own, to + j);
      simd_load<W, T>(other, from + j);
      own = alpha * own + beta * other;
      simd_store<W, T>(to + j, own);
    });
  });
}

/// What blend does backward, in one pass over g: to = beta g, or more by it, and g = alpha g.
template <Real T>
void blend_backward(T alpha, MatrixView<T> g, T beta, MatrixView<T> to, bool add) {
  for_rows(g, [&](T* grad, std::size_t i) TESSERA_INLINE_LAMBDA {
    T* const other = to.data() + i * to.stride();
    for_vectors<T>(g.cols(), [=]<std::size_t W>(std::size_t j) TESSERA_INLINE_LAMBDA {
      Simd<T, W> own, sum{};
      simd_load<W, T>(own, grad + j);
      if (add) simd_load<W, T>(sum, other + j);
      sum += beta * own;
      own *= alpha;
      simd_store<W, T>(other + j, sum);
      simd_store<W, T>(grad + j, own);
    });
  });
}

template <Real T>
struct PropagateOp {
  static constexpr std::string_view kName = "propagate";
  Adjacency a;
  Var h;
  Var start;
  T alpha;
  DropoutMask mask;

  std::array<Var, 2> inputs() const noexcept { return {h, start}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }

  // dH = (1 - alpha) S^T G, dH0 = alpha G in the first N_dst rows.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<T> g = tape.grad(self);
    if (tape.needs_grad(start)) {
      const GradSlot<T> slot = tape.grad_slot(start);
      if (!slot.add && slot.grad.rows() > g.rows()) {
        copy_or_zero(MatrixView<const T>(), slot.grad.middle_rows(g.rows(), slot.grad.rows() - g.rows()));
      }
      blend_backward(T{1} - alpha, g, alpha, slot.grad.middle_rows(0, g.rows()), slot.add);
    } else {
      scale(T{1} - alpha, g, g);
    }
    if (!tape.needs_grad(h)) return;
    Tensor<T> part(a.num_src(), g.cols());
    dropped_product(a.transpose, g, part.view(), mask, true);
    tape.add_grad(h, std::move(part));
  }
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    if (tape.has_tangent(h)) {
      dropped_product(a.forward, tape.tangent(h), t, mask, false);
    } else {
      copy_or_zero(MatrixView<const T>(), t);
    }
    scale(T{1} - alpha, t, t);
    if (tape.has_tangent(start)) axpy(alpha, tape.tangent(start).middle_rows(0, t.rows()), t);
  }
};

}  // namespace detail

/// One step of a random walk that returns to where it started: y = (1 - alpha) S h + alpha h0_dst, h0_dst being the
/// first N_dst rows of `start`. `mask` drops entries of S.
///
/// Shapes   a [N_dst, N_src], h [N_src, F], start [at least N_dst, F] -> y [N_dst, F]
/// Cost     2 E F + 3 N F flops, backward the same on the transpose; keeps nothing, the mask is drawn again
/// Errors   ShapeError if the shapes do not fit, ConfigError for a probability outside [0, 1]
/// Source   Gasteiger et al., Predict then propagate, ICLR 2019, eq. (4)
template <class Ctx>
Var propagate(Ctx& ctx, const Adjacency& a, Var h, Var start, double alpha, const DropoutMask& mask = {}) {
  using T = typename Ctx::Scalar;
  detail::check_aggregate(ctx, a, h, "propagate");
  check_dropout(mask, "propagate");
  const MatrixView<const T> value = ctx.value(h);
  const MatrixView<const T> first = ctx.value(start);
  if (first.rows() < a.num_dst() || first.cols() != value.cols()) {
    throw ShapeError(message("propagate: start is [", first.rows(), ", ", first.cols(), "], want at least ",
                             a.num_dst(), " rows of ", value.cols()));
  }
  Tensor<T> y(a.num_dst(), value.cols());
  detail::dropped_product(a.forward, value, y.view(), mask, false);
  const T back = static_cast<T>(alpha);
  detail::blend(T{1} - back, y.view(), back, first);
  return ctx.record(std::move(y), detail::PropagateOp<T>{a, h, start, back, mask});
}

}  // namespace tessera
