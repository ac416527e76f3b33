// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/kernels/dynamic_attention.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/aggregate.hpp"
#include "tessera/nn/ops/attention.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct DynamicAttentionOp {
  static constexpr std::string_view kName = "dynamic_attention";
  Adjacency a;
  Var left;
  Var right;
  Var weight;
  AttentionOptions options;
  Tensor<T> norm;

  std::array<Var, 3> inputs() const noexcept { return {left, right, weight}; }
  std::array<Var, 3> reads() const noexcept { return {left, right, weight}; }
  bool reads_output() const noexcept { return true; }

  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> l = tape.value(left);
    Tensor<T> grad_left(l.rows(), l.cols());
    Tensor<T> grad_right(a.num_dst(), l.cols());
    Array<T> grad_weight(l.cols(), T{0});
    dynamic_attention_sum_backward(a.forward, a.transpose, l, tape.value(right), tape.value(weight).row(0),
                                   options, tape.value(self), norm.view(), tape.grad(self), grad_left.view(),
                                   grad_right.view(), grad_weight.span());
    const std::span<T> row = row_slot(tape, weight);
    for (std::size_t f = 0; f < row.size(); ++f) row[f] += grad_weight[f];
    if (tape.needs_grad(left)) tape.add_grad(left, std::move(grad_left));
    if (tape.needs_grad(right)) tape.add_grad(right, std::move(grad_right));
  }
};

}  // namespace detail

/// The attention of GATv2 over the sources of each row: per head, scores <weight, leaky(left_j + right_i)>, their softmax
/// over the row, and the sum of the left_j with these shares, dropped out where options say so.
///
/// Shapes   a [N_dst, N_src], left [N_src, H D], right [N_dst, H D], weight [1, H D] -> y [N_dst, H D]
/// Cost     about 7 E H D flops, backward three times that. Keeps left, right, y and 2 H numbers per row
/// Errors   ShapeError if the shapes do not fit or a gradient is wanted and the transpose is missing; ConfigError for
///          options that cannot be
/// Source   Brody, Alon & Yahav, How attentive are graph attention networks?, ICLR 2022, eq. (7)
template <class Ctx>
Var dynamic_attention(Ctx& ctx, const Adjacency& a, Var left, Var right, Var weight,
                      const AttentionOptions& options) {
  using T = typename Ctx::Scalar;
  detail::check_aggregate(ctx, a, left, "dynamic_attention");
  Tensor<T> y(a.num_dst(), ctx.cols(left));
  Tensor<T> norm(a.num_dst(), 2 * options.heads);
  dynamic_attention_sum<T>(a.forward, ctx.value(left), ctx.value(right), ctx.value(weight).row(0), options,
                           y.view(), norm.view());
  return ctx.record(std::move(y),
                    detail::DynamicAttentionOp<T>{a, left, right, weight, options, std::move(norm)});
}

}  // namespace tessera
