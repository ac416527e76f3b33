// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/detail/unit_rows.hpp"
#include "tessera/kernels/detail/dense_support.hpp"

// Distillation without the teacher's data: graphs are invented for which the teacher has something to say.

namespace tessera {

/// Two opposite draws of a graph whose links have the probabilities sigmoid(theta), and what they say about theta.
///
/// Shapes   u, first, second [n, n]; first = [u > sigmoid(-theta)], second = [u < sigmoid(theta)]
struct StructureDraw {
  Tensor<float> u;
  Tensor<float> first;
  Tensor<float> second;
};

/// Draws for one step of GFKD's structure inversion, keyed by (key, step).
///
/// Cost     n^2
inline StructureDraw draw_structure(MatrixView<const float> theta, RngKey key, std::uint32_t step) {
  const std::size_t n = theta.rows();
  StructureDraw out{Tensor<float>(n, theta.cols()), Tensor<float>(n, theta.cols()),
                    Tensor<float>(n, theta.cols())};
  for (std::size_t i = 0; i < n; ++i) {
    CounterRng rng(key, step, i);
    for (std::size_t j = 0; j < theta.cols(); ++j) {
      const double u = rng.uniform_open();
      const double p = 1 / (1 + std::exp(-static_cast<double>(theta(i, j))));
      out.u(i, j) = static_cast<float>(u);
      out.first(i, j) = u > 1 - p ? 1.0f : 0.0f;
      out.second(i, j) = u < p ? 1.0f : 0.0f;
    }
  }
  return out;
}

/// The gradient of E[loss(A)] in theta from the losses of both draws: (L_1 - L_2) (u - 1/2). No backward pass.
///
/// Shapes   grad [n, n]
/// Errors   ShapeError if extents differ
/// Source   Deng & Zhang, Graph-free knowledge distillation for graph neural networks, IJCAI 2021; the estimator is
///          that of Yin & Zhou, ARM, 2019
inline void structure_gradient(const StructureDraw& draw, double loss_first, double loss_second,
                               MatrixView<float> grad) {
  detail::check_shape("structure_gradient", "grad", grad, draw.u.rows(), draw.u.cols());
  for (std::size_t i = 0; i < grad.rows(); ++i) {
    for (std::size_t j = 0; j < grad.cols(); ++j)
      grad(i, j) = static_cast<float>((loss_first - loss_second) * (static_cast<double>(draw.u(i, j)) - 0.5));
  }
}

/// How far a batch's statistics are from those a batch norm remembers: |var - running_var| + |mean - running_mean|, the
/// term by which inverted data resembles the teacher's.
///
/// Shapes   all [F]
inline double batch_norm_distance(std::span<const float> mean, std::span<const float> variance,
                                  std::span<const float> running_mean,
                                  std::span<const float> running_variance) {
  detail::check_size("batch_norm_distance", "variance", variance.size(), mean.size());
  detail::check_size("batch_norm_distance", "running_mean", running_mean.size(), mean.size());
  detail::check_size("batch_norm_distance", "running_variance", running_variance.size(), mean.size());
  double of_mean = 0;
  double of_variance = 0;
  for (std::size_t f = 0; f < mean.size(); ++f) {
    const double m = static_cast<double>(mean[f]) - static_cast<double>(running_mean[f]);
    const double v = static_cast<double>(variance[f]) - static_cast<double>(running_variance[f]);
    of_mean += m * m;
    of_variance += v * v;
  }
  return std::sqrt(of_mean) + std::sqrt(of_variance);
}

/// DFAD-GNN's discrepancy d = mean over graphs and classes of |T - S|, which the student makes small.
///
/// Shapes   student, teacher [n, C] on the tape -> [1, 1]; the gradient of the student is sign(S - T) / (n C)
/// Errors   ShapeError if extents differ
/// Source   Zhuang et al., Data-free adversarial knowledge distillation for graph neural networks, IJCAI 2022; details
///          from memory of the paper
template <class Ctx>
Var absolute_discrepancy(Ctx& ctx, Var student, Var teacher, double weight = 1) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> s = ctx.value(student);
  const MatrixView<const T> t = ctx.value(teacher);
  detail::check_shape("absolute_discrepancy", "teacher", t, s.rows(), s.cols());
  const double share = s.empty() ? 0 : weight / static_cast<double>(s.size());
  Tensor<T> grad_s(s.rows(), s.cols());
  Tensor<T> grad_t(s.rows(), s.cols());
  const double sum = detail::sum_elements(s.rows(), s.cols(), [&](std::size_t i, std::size_t j) {
    const T d = s(i, j) - t(i, j);
    grad_s(i, j) = static_cast<T>(share) * static_cast<T>(d > T{0} ? 1 : d < T{0} ? -1 : 0);
    grad_t(i, j) = -grad_s(i, j);
    return static_cast<double>(std::abs(d));
  });
  return detail::record_pair_loss(ctx, share * sum, student, std::move(grad_s), teacher, std::move(grad_t));
}

/// What the generator makes small: -log(1 + d) of that discrepancy, so its gradient is -1 / (1 + d) times d's.
///
/// Shapes, Errors, Source   as absolute_discrepancy
template <class Ctx>
Var generator_loss(Ctx& ctx, Var student, Var teacher) {
  using T = typename Ctx::Scalar;
  const Var d = absolute_discrepancy(ctx, student, teacher);
  const double value = static_cast<double>(ctx.value(d)(0, 0));
  Tensor<T> grad = Tensor<T>::filled(1, 1, static_cast<T>(-1 / (1 + value)));
  return detail::record_pair_loss(ctx, -std::log1p(value), d, std::move(grad));
}

}  // namespace tessera
