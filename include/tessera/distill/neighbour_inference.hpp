// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/detail/rows.hpp"
#include "tessera/distill/fitnet.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/softmax.hpp"
#include "tessera/nn/autograd/tape.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct SoftmaxRowsOp {
  static constexpr std::string_view kName = "softmax_rows";
  Var x;

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return true; }
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<T> g = tape.grad(self);
    softmax_backward(tape.value(self), MatrixView<const T>(g), g);
    tape.add_grad(x, tape.take_grad(self));
  }
};

template <class Ctx>
Var softmax_rows(Ctx& ctx, Var x) {
  using T = typename Ctx::Scalar;
  Tensor<T> p(ctx.value(x).rows(), ctx.value(x).cols());
  softmax(ctx.value(x), p.view());
  return ctx.record(std::move(p), SoftmaxRowsOp<T>{x});
}

template <Real T>
struct BlendRowsOp {
  static constexpr std::string_view kName = "blend_rows";
  Var beta;
  Var own;
  Var other;

  std::array<Var, 3> inputs() const noexcept { return {beta, own, other}; }
  std::array<Var, 3> reads() const noexcept { return {beta, own, other}; }
  bool reads_output() const noexcept { return false; }

  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> g = tape.grad(self);
    const MatrixView<const T> b = tape.value(beta);
    const MatrixView<const T> x = tape.value(own);
    const MatrixView<const T> y = tape.value(other);
    Tensor<T> of_b(g.rows(), 1);
    Tensor<T> of_x(g.rows(), g.cols());
    Tensor<T> of_y(g.rows(), g.cols());
    parallel_for(g.rows(), 64, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        T sum{0};
        for (std::size_t j = 0; j < g.cols(); ++j) {
          sum += g(i, j) * (x(i, j) - y(i, j));
          of_x(i, j) = b(i, 0) * g(i, j);
          of_y(i, j) = (T{1} - b(i, 0)) * g(i, j);
        }
        of_b(i, 0) = sum;
      }
    });
    if (tape.needs_grad(beta)) tape.add_grad(beta, std::move(of_b));
    if (tape.needs_grad(own)) tape.add_grad(own, std::move(of_x));
    if (tape.needs_grad(other)) tape.add_grad(other, std::move(of_y));
  }
};

}  // namespace detail

/// Rows on the way from a node to its neighbour: beta_i own_i + (1 - beta_i) other_i, with a learned share beta.
///
/// Shapes   beta [E, 1], own and other [E, F] -> [E, F]
/// Errors   ShapeError if the shapes do not fit
template <class Ctx>
Var blend_rows(Ctx& ctx, Var beta, Var own, Var other) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> b = ctx.value(beta);
  const MatrixView<const T> x = ctx.value(own);
  const MatrixView<const T> y = ctx.value(other);
  detail::check_shape("blend_rows", "other", y, x.rows(), x.cols());
  detail::check_shape("blend_rows", "beta", b, x.rows(), 1);
  Tensor<T> out(x.rows(), x.cols());
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) out(i, j) = b(i, 0) * x(i, j) + (T{1} - b(i, 0)) * y(i, j);
  }
  return ctx.record(std::move(out), detail::BlendRowsOp<T>{beta, own, other});
}

/// What one mini-batch of edges (i, j) says without a teacher: y is the prediction head, z the head that infers
/// neighbours, r a random node for each edge.
struct NeighbourInference {
  Var y_i;       ///< y(x_i)
  Var y_j;       ///< y(x_j)
  Var z_near_j;  ///< z of the blend that starts at j
  Var z_near_i;  ///< z of the blend that starts at i
  Var z_random;  ///< z(x_r)
};

/// TGS: predictions should agree with what a neighbour's neighbourhood infers, and not with a random node's:
/// mse(y_i, z~_j) + mse(y_j, z~_i) - mse(softmax y_i, softmax z_r) - mse(softmax y_j, softmax z_r).
///
/// Labels come in beside it: cross entropy of y and z for labelled ends, as for any model of rows.
/// Shapes   all [E, C] -> [1, 1]
/// Cost     O(E C)
/// Errors   ShapeError if the shapes differ
/// Source   Wu et al., TKDE 2024 (teacher-free graph self-distillation); LirongWu/TGS: positive terms on logits,
///          negative ones on probabilities
template <class Ctx>
Var neighbour_inference_loss(Ctx& ctx, const NeighbourInference& n, double weight = 1) {
  const Var random = detail::softmax_rows(ctx, n.z_random);
  return detail::scalar_sum(
      ctx, std::array{mean_squared_difference(ctx, n.y_i, n.z_near_j, weight),
                      mean_squared_difference(ctx, n.y_j, n.z_near_i, weight),
                      mean_squared_difference(ctx, detail::softmax_rows(ctx, n.y_i), random, -weight),
                      mean_squared_difference(ctx, detail::softmax_rows(ctx, n.y_j), random, -weight)});
}

}  // namespace tessera
