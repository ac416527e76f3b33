// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/detail/rows.hpp"
#include "tessera/distill/detail/unit_rows.hpp"
#include "tessera/distill/fitnet.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/nn/ops/aggregate.hpp"
#include "tessera/nn/ops/constant.hpp"

namespace tessera {

namespace detail {

/// The gradients of S_i = 1 - cos(x_i, y_i) in both rows, per unit of dL/dS_i.
template <Real T>
struct RowDiscrepancyOp {
  static constexpr std::string_view kName = "row_discrepancy";
  Var x;
  Var y;

  std::array<Var, 2> inputs() const noexcept { return {x, y}; }
  std::array<Var, 2> reads() const noexcept { return {x, y}; }
  bool reads_output() const noexcept { return true; }

  // d cos / dx = y / (|x| |y|) - cos x / |x|^2
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> s = tape.value(self);
    const MatrixView<const T> g = tape.grad(self);
    const auto pass = [&](Var to, Var other) {
      if (!tape.needs_grad(to)) return;
      const MatrixView<const T> a = tape.value(to);
      const MatrixView<const T> b = tape.value(other);
      Tensor<T> grad(a.rows(), a.cols());
      parallel_for(a.rows(), 64, [&](std::size_t i, std::size_t end) {
        for (; i < end; ++i) {
          T aa{0};
          T bb{0};
          for (std::size_t j = 0; j < a.cols(); ++j) {
            aa += a(i, j) * a(i, j);
            bb += b(i, j) * b(i, j);
          }
          const T lengths = std::sqrt(aa * bb);
          const T cos = T{1} - s(i, 0);
          for (std::size_t j = 0; j < a.cols(); ++j)
            grad(i, j) = lengths > T{0} ? -g(i, 0) * (b(i, j) / lengths - cos * a(i, j) / aa) : T{0};
        }
      });
      tape.add_grad(to, std::move(grad));
    };
    pass(x, y);
    pass(y, x);
  }
};

}  // namespace detail

/// How far each row is from the mean of its neighbours: S_i = 1 - cos(x_i, (A x)_i), 0 where either is a row of zeros
/// (an isolated node, say).
///
/// Shapes   a [N, N] without diagonal, x [N, F] -> [N, 1]
/// Cost     O(E F)
/// Errors   ShapeError if the shapes do not fit
/// Threads  result independent of T
template <class Ctx>
Var neighbourhood_discrepancy(Ctx& ctx, const Adjacency& a, Var x) {
  using T = typename Ctx::Scalar;
  const Var around = aggregate(ctx, a, x, Reduce::mean);
  const MatrixView<const T> u = ctx.value(x);
  const MatrixView<const T> v = ctx.value(around);
  detail::check_shape("neighbourhood_discrepancy", "x", u, v.rows(), v.cols());
  Tensor<T> s(u.rows(), 1);
  parallel_for(u.rows(), 64, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      T dot{0};
      T uu{0};
      T vv{0};
      for (std::size_t j = 0; j < u.cols(); ++j) {
        dot += u(i, j) * v(i, j);
        uu += u(i, j) * u(i, j);
        vv += v(i, j) * v(i, j);
      }
      const T lengths = std::sqrt(uu * vv);
      s(i, 0) = lengths > T{0} ? T{1} - dot / lengths : T{0};
    }
  });
  return ctx.record(std::move(s), detail::RowDiscrepancyOp<T>{x, around});
}

/// GNN-SD: from the layer whose rows differ most from their neighbours on, every layer should keep the discrepancy of
/// the one before: weight sum_l |S^(l+1) - S^l|^2, the older side constant. One layer gives 0.
///
/// Shapes   layers: outputs [N, F_l], first to last -> [1, 1]
/// Cost     O(E sum of F_l)
/// Errors   ShapeError if the shapes do not fit
/// Source   Chen et al., On self-distilling graph neural network, IJCAI 2021; formulas from memory of the paper
template <class Ctx>
Var discrepancy_retaining_loss(Ctx& ctx, const Adjacency& a, std::span<const Var> layers, double weight = 1) {
  using T = typename Ctx::Scalar;
  std::vector<Var> s;
  std::size_t from = 0;
  double largest = -1;
  for (const Var x : layers) {
    s.push_back(neighbourhood_discrepancy(ctx, a, x));
    const MatrixView<const T> at = ctx.value(s.back());
    const double norm = detail::sum_elements(at.rows(), 1, [&](std::size_t i, std::size_t j) {
      return static_cast<double>(at(i, j)) * static_cast<double>(at(i, j));
    });
    if (norm > largest) {
      largest = norm;
      from = s.size() - 1;
    }
  }
  Var sum = constant(ctx, Tensor<T>::zeros(1, 1));
  for (std::size_t l = from; l + 1 < s.size(); ++l) {
    const Var before = constant(ctx, Tensor<T>::copy_of(ctx.value(s[l])));
    const double rows = static_cast<double>(ctx.value(before).rows());
    sum = detail::scalar_sum(ctx,
                             std::array{sum, mean_squared_difference(ctx, s[l + 1], before, weight * rows)});
  }
  return sum;
}

}  // namespace tessera
