// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <utility>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/concepts.hpp"
#include "tessera/distill/detail/projection_head.hpp"
#include "tessera/distill/detail/two_sides.hpp"
#include "tessera/distill/detail/unit_rows.hpp"
#include "tessera/kernels/gemm.hpp"

namespace tessera {

/// How alike two rows are.
enum class PairKernel {
  cosine,      ///< <x, y> / (|x| |y|)
  polynomial,  ///< its square
  rbf,         ///< exp(-|x - y|^2 / 2)
  distance     ///< |x - y|
};

namespace detail {

/// One side of a pairwise comparison: kernel values of blocks of rows against all, and what they mean for gradients.
///
/// Cosine kernels work on rows that are of length 1 already. The others use |x|^2 + |y|^2 - 2 <x, y>.
template <Real T>
class PairSide {
 public:
  PairSide(MatrixView<const T> x, PairKernel kernel) : x_(x), kernel_(kernel), square_(x.rows()) {
    for (std::size_t i = 0; i < x.rows(); ++i) {
      double sum = 0;
      for (const T e : x.row(i)) sum += static_cast<double>(e) * static_cast<double>(e);
      square_[i] = static_cast<T>(sum);
    }
  }

  /// What `of` turns into kernel values of rows [first, first + k.rows()) against all rows.
  void values(std::size_t first, Tensor<T>& k) const {
    gemm_nt(x_.middle_rows(first, k.rows()), x_, k.view());
    if (!centred()) return;
    parallel_for(k.rows(), 8, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        for (std::size_t j = 0; j < k.cols(); ++j) k(i, j) = value(first + i, j, k(i, j));
      }
    });
  }

  /// The polynomial kernel is left as its signed root, which the gradient needs.
  T of(T k) const noexcept { return kernel_ == PairKernel::polynomial ? k * k : k; }

  /// Turns R = K_own - K_other into W so that the gradient of sum R^2 in row i is 4 sum_j W_ij x_j (cosine kernels) or
  /// 4 sum_j W_ij (x_i - x_j).
  T pull(T r, T k) const noexcept {
    switch (kernel_) {
      case PairKernel::cosine:
        return r;
      case PairKernel::polynomial:
        return 2 * r * k;
      case PairKernel::rbf:
        return -r * k;
      case PairKernel::distance:
        break;
    }
    return k > T{0} ? r / k : T{0};
  }
  bool centred() const noexcept { return kernel_ == PairKernel::rbf || kernel_ == PairKernel::distance; }
  MatrixView<const T> rows() const noexcept { return x_; }

 private:
  T value(std::size_t i, std::size_t j, T dot) const noexcept {
    const T square = i == j ? T{0} : std::max(T{0}, square_[i] + square_[j] - 2 * dot);
    return kernel_ == PairKernel::rbf ? std::exp(-square / 2) : std::sqrt(square);
  }

  MatrixView<const T> x_;
  PairKernel kernel_;
  Array<T> square_;
};

/// grad_i = factor sum_j W_ij x_j, or factor (x_i sum_j W_ij - sum_j W_ij x_j), for a block of rows.
template <Real T>
void apply_pull(const PairSide<T>& side, std::size_t first, MatrixView<const T> w, T factor,
                MatrixView<T> grad) {
  gemm(w, side.rows(), grad);
  parallel_for(grad.rows(), 8, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      double total = 0;
      for (const T e : w.row(i)) total += static_cast<double>(e);
      const auto x = side.rows().row(first + i);
      for (std::size_t j = 0; j < grad.cols(); ++j) {
        grad(i, j) = factor * (side.centred() ? static_cast<T>(total) * x[j] - grad(i, j) : grad(i, j));
      }
    }
  });
}

}  // namespace detail

/// weight (1/n^2) sum_ij (k(a_i, a_j) - k(b_i, b_j))^2 over all ordered pairs, the diagonal included. For the cosine
/// kernels rows must have length 1 (or 0).
///
/// Computed in blocks of rows: no [n, n] matrix.
/// Shapes   a [n, F_a], b [n, F_b] -> [1, 1]; n = 0 gives 0
/// Cost     work O(n^2 F), memory of three blocks [`block`, n] and the gradients
/// Errors   ShapeError if the rows differ
/// Threads  result independent of T
/// Source   Joshi et al. 2021 (GSP); Park et al., Relational knowledge distillation, 2019
template <class Ctx>
Var match_pairs(Ctx& ctx, Var a, Var b, PairKernel kernel, double weight = 1, std::size_t block = 256) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> x = ctx.value(a);
  const MatrixView<const T> y = ctx.value(b);
  const std::size_t n = x.rows();
  if (y.rows() != n) throw ShapeError(message("match_pairs: b has ", y.rows(), " rows, want ", n));
  const detail::PairSide<T> student(x, kernel);
  const detail::PairSide<T> teacher(y, kernel);
  const bool both = ctx.needs_grad(b);
  Tensor<T> grad_a(n, x.cols());
  Tensor<T> grad_b(both ? n : 0, y.cols());
  const double share = n == 0 ? 0 : weight / (static_cast<double>(n) * static_cast<double>(n));
  // Cosine of unit rows: d/dA sum R^2 = 4 R A; the polynomial's 8 (R o C) A has its 2 C in pull().
  const T factor = static_cast<T>(4 * share);
  Tensor<T> ks;
  Tensor<T> kt;
  Tensor<T> w;
  double loss = 0;
  for (std::size_t first = 0; first < n; first += block) {
    const std::size_t rows = std::min(block, n - first);
    for (Tensor<T>* t : {&ks, &kt, &w}) t->resize(rows, n);
    student.values(first, ks);
    teacher.values(first, kt);
    loss += detail::sum_elements(rows, n, [&](std::size_t i, std::size_t j) {
      const T r = student.of(ks(i, j)) - teacher.of(kt(i, j));
      w(i, j) = student.pull(r, ks(i, j));
      if (both) kt(i, j) = teacher.pull(-r, kt(i, j));
      return static_cast<double>(r) * static_cast<double>(r);
    });
    detail::apply_pull(student, first, std::as_const(w).view(), factor,
                       grad_a.view().middle_rows(first, rows));
    if (both)
      detail::apply_pull(teacher, first, std::as_const(kt).view(), factor,
                         grad_b.view().middle_rows(first, rows));
  }
  return detail::record_pair_loss(ctx, share * loss, a, std::move(grad_a), b, std::move(grad_b));
}

/// GSP: pairs of nodes should be as alike in the student's hidden rows as in the teacher's, over all pairs of a sample.
///
/// Cost     `match_pairs` of min(max_samples, rows) rows; a new sample every step
/// Errors   ShapeError, IndexError if the teacher does not fit the batch
/// Source   Joshi et al. 2021; chaitjo/efficient-gnns, arxiv_pyg/criterion.py
struct Gsp {
  static constexpr bool kNeedsHidden = true;

  double beta = 10;
  PairKernel kernel = PairKernel::cosine;
  std::size_t width = 128;  ///< what heads map both sides to first; 0 compares the rows as they are
  std::size_t max_samples = 4096;
  DistillOn on = DistillOn::all;
  bool train_teacher_head = true;
  detail::ProjectionHead student_head = {};  ///< `bind` makes the heads
  detail::ProjectionHead teacher_head = {};

  template <Real T>
  void bind(ParameterBlock<T>& block, std::size_t student, std::size_t teacher, RngKey key) {
    if (width == 0) return;
    student_head.bind(block, "distill.gsp.student", student, width, key);
    teacher_head.bind(block, "distill.gsp.teacher", teacher, width, key);
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const DistillStep& step) const {
    auto [a, b] = detail::two_sides(ctx, step, "Gsp", *this, max_samples, 1, width != 0);
    if (!a) return {};
    if (kernel == PairKernel::cosine || kernel == PairKernel::polynomial) {
      a = detail::unit_rows(ctx, a);
      b = detail::unit_rows(ctx, b);
    }
    return match_pairs(ctx, a, b, kernel, beta);
  }
};

}  // namespace tessera
