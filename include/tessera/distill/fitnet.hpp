// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <string>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/concepts.hpp"
#include "tessera/distill/detail/projection_head.hpp"
#include "tessera/distill/detail/two_sides.hpp"
#include "tessera/distill/detail/unit_rows.hpp"
#include "tessera/kernels/detail/dense_support.hpp"

namespace tessera {

/// weight times the mean of (a - b)^2 over all elements; gradients of both where they are wanted.
///
/// Shapes   a, b [n, d] -> [1, 1]; n = 0 gives 0
/// Errors   ShapeError if the shapes differ
template <class Ctx>
Var mean_squared_difference(Ctx& ctx, Var a, Var b, double weight = 1) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> x = ctx.value(a);
  const MatrixView<const T> y = ctx.value(b);
  detail::check_shape("mean_squared_difference", "b", y, x.rows(), x.cols());
  const double share = x.empty() ? 0 : weight / static_cast<double>(x.size());
  Tensor<T> grad_a(x.rows(), x.cols());
  Tensor<T> grad_b(x.rows(), x.cols());
  const double sum = detail::sum_elements(x.rows(), x.cols(), [&](std::size_t i, std::size_t j) {
    const double d = static_cast<double>(x(i, j)) - static_cast<double>(y(i, j));
    grad_a(i, j) = static_cast<T>(2 * share * d);
    grad_b(i, j) = -grad_a(i, j);
    return d * d;
  });
  return detail::record_pair_loss(ctx, share * sum, a, std::move(grad_a), b, std::move(grad_b));
}

/// FitNet: hidden rows of student and teacher, mapped by a head each to a common width and to length 1, should be
/// equal: beta mean (A - B)^2.
///
/// Cost     O(n (F_s + F_t) d)
/// Errors   ShapeError, IndexError if the teacher does not fit the batch
/// Source   Romero et al., FitNets, 2015; as in chaitjo/efficient-gnns, arxiv_pyg/criterion.py
struct FitNet {
  static constexpr bool kNeedsHidden = true;

  double beta = 1000;
  std::size_t width = 256;  ///< d, what the heads map to
  DistillOn on = DistillOn::all;
  bool train_teacher_head = true;  ///< false keeps it as drawn: with it, both heads may collapse to one point
  detail::ProjectionHead student_head = {};  ///< `bind` makes the heads
  detail::ProjectionHead teacher_head = {};

  template <Real T>
  void bind(ParameterBlock<T>& block, std::size_t student, std::size_t teacher, RngKey key) {
    student_head.bind(block, "distill.fitnet.student", student, width, key);
    teacher_head.bind(block, "distill.fitnet.teacher", teacher, width, key);
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const DistillStep& step) const {
    const auto [s, t] = detail::two_sides(ctx, step, "FitNet", *this, 0, 0);
    if (!s) return {};
    const Var a = detail::unit_rows(ctx, s);
    const Var b = detail::unit_rows(ctx, t);
    return mean_squared_difference(ctx, a, b, beta);
  }
};

}  // namespace tessera
