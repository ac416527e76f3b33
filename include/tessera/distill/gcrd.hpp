// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/concepts.hpp"
#include "tessera/distill/detail/projection_head.hpp"
#include "tessera/distill/detail/two_sides.hpp"
#include "tessera/distill/detail/unit_rows.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/gemm.hpp"

namespace tessera {

/// weight (1/n) sum_i (logsumexp_j l_ij - l_ii) with l_ij = <a_i, b_j> / tau: row i of a should be nearer to row i of b
/// than to the others.
///
/// Computed in blocks of rows, value and gradients in one sweep: l is never whole.
/// Shapes   a, b [n, d] -> [1, 1]; n = 0 gives 0
/// Cost     work 6 n^2 d flops; memory of two gradients [n, d] and one block [`block`, n]
/// Errors   ShapeError if the shapes differ; ConfigError unless tau > 0
/// Threads  result independent of T
/// Source   Joshi et al., On representation knowledge distillation for graph neural networks, 2021 (G-CRD)
template <class Ctx>
Var contrast_rows(Ctx& ctx, Var a, Var b, double tau, double weight = 1, std::size_t block = 256) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> x = ctx.value(a);
  const MatrixView<const T> y = ctx.value(b);
  const std::size_t n = x.rows();
  detail::check_shape("contrast_rows", "b", y, n, x.cols());
  if (!(tau > 0)) throw ConfigError(message("contrast_rows: tau is ", tau, ", want a number above 0"));
  Tensor<T> grad_a(n, x.cols());
  Tensor<T> grad_b = Tensor<T>::zeros(n, x.cols());
  Tensor<T> p;
  const double share = n == 0 ? 0 : weight / static_cast<double>(n);
  double loss = 0;
  for (std::size_t first = 0; first < n; first += block) {
    const std::size_t rows = std::min(block, n - first);
    p.resize(rows, n);
    gemm_nt(x.middle_rows(first, rows), y, p.view());
    // p becomes share / tau (softmax(l) - I).
    loss += parallel_sum<double>(rows, 4, [&](std::size_t i, std::size_t end) {
      double sum = 0;
      for (; i < end; ++i) {
        const std::span<T> l = p.row(i);
        const double own = static_cast<double>(l[first + i]);
        const double top = static_cast<double>(*std::max_element(l.begin(), l.end()));
        double total = 0;
        for (T& e : l) {
          e = std::exp(static_cast<T>((static_cast<double>(e) - top) / tau));
          total += static_cast<double>(e);
        }
        sum += std::log(total) + (top - own) / tau;
        const T scale = static_cast<T>(share / (tau * total));
        for (T& e : l) e *= scale;
        l[first + i] -= static_cast<T>(share / tau);
      }
      return sum;
    });
    const MatrixView<const T> block_p = std::as_const(p).view();
    gemm(block_p, y, grad_a.view().middle_rows(first, rows));
    gemm_tn(block_p, x.middle_rows(first, rows), grad_b.view(), Accumulate::yes);
  }
  return detail::record_pair_loss(ctx, share * loss, a, std::move(grad_a), b, std::move(grad_b));
}

/// G-CRD: a node's hidden row should be nearer to the teacher's row of that node than to the teacher's rows of others,
/// both mapped by heads to a common width and to length 1.
///
/// Cost     `contrast_rows` of min(max_samples, rows) rows; a new sample every step
/// Errors   ShapeError, IndexError if the teacher does not fit the batch
/// Source   Joshi et al. 2021; chaitjo/efficient-gnns, arxiv_pyg/criterion.py
struct Gcrd {
  static constexpr bool kNeedsHidden = true;

  double beta = 0.1;
  double tau = 0.075;
  std::size_t width = 256;  ///< what the heads map to
  std::size_t max_samples = 16384;
  DistillOn on = DistillOn::all;
  bool train_teacher_head = true;
  detail::ProjectionHead student_head = {};  ///< `bind` makes the heads
  detail::ProjectionHead teacher_head = {};

  template <Real T>
  void bind(ParameterBlock<T>& block, std::size_t student, std::size_t teacher, RngKey key) {
    student_head.bind(block, "distill.gcrd.student", student, width, key);
    teacher_head.bind(block, "distill.gcrd.teacher", teacher, width, key);
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const DistillStep& step) const {
    const auto [s, t] = detail::two_sides(ctx, step, "Gcrd", *this, max_samples, 2);
    if (!s) return {};
    const Var a = detail::unit_rows(ctx, s);
    const Var b = detail::unit_rows(ctx, t);
    return contrast_rows(ctx, a, b, tau, beta);
  }
};

}  // namespace tessera
