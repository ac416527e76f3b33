// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/kernels/attention.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/aggregate.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct AttentionReadoutOp {
  static constexpr std::string_view kName = "attention_readout";
  Adjacency a;
  Var x;
  Var score;
  Tensor<T> norm;

  std::array<Var, 2> inputs() const noexcept { return {x, score}; }
  std::array<Var, 2> reads() const noexcept { return {x, score}; }
  bool reads_output() const noexcept { return false; }

  // dX = alpha G, ds = alpha (<G, x> - <G, y>): attention of one head whose targets score 0, without a bend.
  void vjp(Tape<T>& tape, Var self) const {
    const Tensor<T> target = Tensor<T>::zeros(a.num_dst(), 1);
    Tensor<T> of_x(tape.rows(x), tape.cols(x));
    Tensor<T> of_score(a.num_src(), 1);
    Tensor<T> of_target(a.num_dst(), 1);
    attention_sum_backward<T>(a.forward, a.transpose, tape.value(x), tape.value(score), target.view(),
                              {.heads = 1, .slope = 1.0, .dropout = {}}, norm.view(), tape.grad(self),
                              of_x.view(), of_score.view(), of_target.view());
    if (tape.needs_grad(score)) tape.add_grad(score, std::move(of_score));
    if (tape.needs_grad(x)) tape.add_grad(x, std::move(of_x));
  }
};

}  // namespace detail

/// y_g = the sum of the rows of each graph, weighted by the softmax of their scores over the graph. No rows give 0.
///
/// Shapes   a read-out [G, N], x [N, F], score [N, 1] -> y [G, F]
/// Cost     O(N F); keeps x and the scores
/// Errors   ShapeError if the shapes do not fit or a gradient is wanted and the transpose is missing
/// Source   Li et al., Gated graph sequence neural networks, ICLR 2016, eq. (7), with softmax for the gate as PyTorch
///          Geometric's AttentionalAggregation
template <class Ctx>
Var attention_readout(Ctx& ctx, const Adjacency& a, Var x, Var score) {
  using T = typename Ctx::Scalar;
  detail::check_aggregate(ctx, a, x, "attention_readout");
  const MatrixView<const T> s = ctx.value(score);
  if (s.rows() != a.num_src() || s.cols() != 1) {
    throw ShapeError(
        message("attention_readout: score is [", s.rows(), ", ", s.cols(), "], want [", a.num_src(), ", 1]"));
  }
  const Tensor<T> target = Tensor<T>::zeros(a.num_dst(), 1);
  Tensor<T> y(a.num_dst(), ctx.cols(x));
  Tensor<T> norm(a.num_dst(), 2);
  CsrView<> nodes = a.forward;
  attention_sum<T>(nodes, ctx.value(x), s, target.view(), {.heads = 1, .slope = 1.0, .dropout = {}}, y.view(),
                   norm.view());
  return ctx.record(std::move(y), detail::AttentionReadoutOp<T>{a, x, score, std::move(norm)});
}

}  // namespace tessera
