// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/kernels/attention.hpp"
#include "tessera/kernels/edge_dropout.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/kernels/head_dots.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/aggregate.hpp"

namespace tessera {

namespace detail {

/// The gradient row of a parameter, zeroed if nothing is there yet.
template <Real T>
std::span<T> row_slot(Tape<T>& tape, Var v) {
  if (!tape.needs_grad(v)) return {};
  const GradSlot<T> slot = tape.grad_slot(v);
  const std::span<T> row = slot.grad.row(0);
  if (!slot.add) std::fill(row.begin(), row.end(), T{0});
  return row;
}

template <Real T>
struct AttentionOp {
  static constexpr std::string_view kName = "attention";
  Adjacency a;
  Var z;
  Var source_weight;
  Var target_weight;
  AttentionOptions options;
  Tensor<T> source;
  Tensor<T> target;
  Tensor<T> norm;

  std::array<Var, 3> inputs() const noexcept { return {z, source_weight, target_weight}; }
  std::array<Var, 3> reads() const noexcept { return {z, source_weight, target_weight}; }
  bool reads_output() const noexcept { return false; }

  // gZ_j = sum over targets of alpha' G_i + gp_j a_src + gq_j a_dst; da_src = sum of gp_j Z_j, da_dst = sum of gq_i
  // Z_i.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> value = tape.value(z);
    Tensor<T> grad_z(value.rows(), value.cols());
    Tensor<T> grad_source(source.rows(), source.cols());
    Tensor<T> grad_target(target.rows(), target.cols());
    attention_sum_backward(a.forward, a.transpose, value, source.view(), target.view(), options, norm.view(),
                           tape.grad(self), grad_z.view(), grad_source.view(), grad_target.view());
    const bool wants_z = tape.needs_grad(z);
    head_dots_backward<T>(value, tape.value(source_weight).row(0), grad_source.view(),
                          wants_z ? grad_z.view() : MatrixView<T>(), row_slot(tape, source_weight));
    head_dots_backward<T>(
        value.middle_rows(0, a.num_dst()), tape.value(target_weight).row(0), grad_target.view(),
        wants_z ? grad_z.view().middle_rows(0, a.num_dst()) : MatrixView<T>(), row_slot(tape, target_weight));
    if (wants_z) tape.add_grad(z, std::move(grad_z));
  }

  // With r_ij the score before the rectifier: dr_ij = dp_j + dq_i, de = leaky'(r) dr, d alpha = alpha (de - sum alpha de),
  // dy_i = sum of k (d alpha z_j + alpha dz_j), k the dropout factor. Shares are computed again, row by row.
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> value = tape.value(z);
    const MatrixView<T> t = tape.make_tangent(self);
    const std::size_t heads = options.heads;
    const std::size_t width = value.cols() / heads;
    Tensor<T> d_source = dot_tangents(tape, a.num_src(), source_weight);
    Tensor<T> d_target = dot_tangents(tape, a.num_dst(), target_weight);
    const bool moves = tape.has_tangent(z);
    const T keep = dropout_scale<T>(options.dropout);
    parallel_for(a.num_dst(), 64, [&](std::size_t i, std::size_t end) {
      Array<T> share;
      Array<T> slope;
      for (; i < end; ++i) {
        std::fill(t.row(i).begin(), t.row(i).end(), T{0});
        const std::span<const NodeId> row = a.forward.neighbors(i);
        share.resize(row.size());
        slope.resize(row.size());
        for (std::size_t h = 0; h < heads; ++h) {
          T top = -std::numeric_limits<T>::infinity();
          for (std::size_t e = 0; e < row.size(); ++e) {
            const T r = source(row[e], h) + target(i, h);
            const T steep = r > T{0} ? T{1} : static_cast<T>(options.slope);
            share[e] = steep * r;
            slope[e] = steep * (d_source(row[e], h) + d_target(i, h));
            top = std::max(top, share[e]);
          }
          T total{0};
          for (T& s : share) total += s = std::exp(s - top);
          T mean{0};
          for (std::size_t e = 0; e < row.size(); ++e) mean += (share[e] /= total) * slope[e];
          for (std::size_t e = 0; e < row.size(); ++e) {
            if (!edge_dropout_keeps(options.dropout, static_cast<NodeId>(i), row[e], h)) continue;
            const T moved = keep * share[e] * (slope[e] - mean);
            for (std::size_t f = h * width; f < (h + 1) * width; ++f) {
              t(i, f) += moved * value(row[e], f);
              if (moves) t(i, f) += keep * share[e] * tape.tangent(z)(row[e], f);
            }
          }
        }
      }
    });
  }

 private:
  // d <z_j, w> = <dz_j, w> + <z_j, dw> per head.
  Tensor<T> dot_tangents(const Tape<T>& tape, std::size_t rows, Var weight) const {
    Tensor<T> out = Tensor<T>::zeros(rows, options.heads);
    Tensor<T> part(rows, options.heads);
    if (tape.has_tangent(z)) {
      head_dots<T>(tape.tangent(z).middle_rows(0, rows), tape.value(weight).row(0), part.view());
      axpy(T{1}, part.view(), out.view());
    }
    if (tape.has_tangent(weight)) {
      head_dots<T>(tape.value(z).middle_rows(0, rows), tape.tangent(weight).row(0), part.view());
      axpy(T{1}, part.view(), out.view());
    }
    return out;
  }
};

/// y = the mean over heads of the columns of x.
template <Real T>
void mean_of_heads(MatrixView<const T> x, std::size_t heads, MatrixView<T> y) {
  const T factor = T{1} / static_cast<T>(heads);
  scale(factor, x.middle_cols(0, y.cols()), y);
  for (std::size_t h = 1; h < heads; ++h) axpy(factor, x.middle_cols(h * y.cols(), y.cols()), y);
}

template <Real T>
struct HeadMeanOp {
  static constexpr std::string_view kName = "head_mean";
  Var x;
  std::size_t heads;

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }

  static void spread(MatrixView<const T> from, std::size_t heads, MatrixView<T> to) {
    for (std::size_t h = 0; h < heads; ++h) {
      scale(T{1} / static_cast<T>(heads), from, to.middle_cols(h * from.cols(), from.cols()));
    }
  }
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> g = tape.grad(self);
    Tensor<T> part(g.rows(), g.cols() * heads);
    spread(g, heads, part.view());
    tape.add_grad(x, std::move(part));
  }
  void jvp(Tape<T>& tape, Var self) const {
    mean_of_heads<T>(tape.tangent(x), heads, tape.make_tangent(self));
  }
};

}  // namespace detail

/// The attention of GAT over the sources of each row: per head, scores leaky(<z_j, a_src> + <z_i, a_dst>), their
/// softmax over the row, and the sum of the z_j with these shares, dropped out where options say so.
///
/// Shapes   a [N_dst, N_src], z [N_src, H D], source_weight and target_weight [1, H D] -> y [N_dst, H D]
/// Cost     E H (2 D + 8) flops, backward about twice that. Keeps z and 4 H numbers per row, nothing per entry
/// Errors   ShapeError if the shapes do not fit or a gradient is wanted and the transpose is missing; ConfigError
///          for options that cannot be
/// Source   Velickovic et al., Graph attention networks, ICLR 2018, eq. (3) to (5)
template <class Ctx>
Var attention(Ctx& ctx, const Adjacency& a, Var z, Var source_weight, Var target_weight,
              const AttentionOptions& options) {
  using T = typename Ctx::Scalar;
  detail::check_aggregate(ctx, a, z, "attention");
  const MatrixView<const T> value = ctx.value(z);
  detail::check_attention<T>("attention", a.forward, value, options);
  Tensor<T> source(a.num_src(), options.heads);
  Tensor<T> target(a.num_dst(), options.heads);
  Tensor<T> norm(a.num_dst(), 2 * options.heads);
  Tensor<T> y(a.num_dst(), value.cols());
  head_dots<T>(value, ctx.value(source_weight).row(0), source.view());
  head_dots<T>(value.middle_rows(0, a.num_dst()), ctx.value(target_weight).row(0), target.view());
  attention_sum<T>(a.forward, value, source.view(), target.view(), options, y.view(), norm.view());
  return ctx.record(std::move(y),
                    detail::AttentionOp<T>{a, z, source_weight, target_weight, options, std::move(source),
                                           std::move(target), std::move(norm)});
}

/// y = the mean of the heads of x.
///
/// Shapes   x [N, H D] -> y [N, D]; one head gives x itself
/// Errors   ConfigError if `heads` does not divide the columns
template <class Ctx>
Var head_mean(Ctx& ctx, Var x, std::size_t heads) {
  using T = typename Ctx::Scalar;
  if (heads == 1) return x;
  const MatrixView<const T> value = ctx.value(x);
  if (heads == 0 || value.cols() % heads != 0) {
    throw ConfigError(
        message("head_mean: heads is ", heads, ", want a divisor of the ", value.cols(), " columns"));
  }
  Tensor<T> y(value.rows(), value.cols() / heads);
  detail::mean_of_heads<T>(value, heads, y.view());
  return ctx.record(std::move(y), detail::HeadMeanOp<T>{x, heads});
}

}  // namespace tessera
