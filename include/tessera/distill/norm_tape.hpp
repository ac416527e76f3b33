// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <concepts>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/batch_norm.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/batch_norm.hpp"

namespace tessera {

/// A tape that also watches the batch norms a model passes at inference: what entered each of them beside what it
/// remembers of its training. Data invented for a frozen teacher are made to look like what it has seen.
///
///     NormTape<float> tape;
///     const Var y = teacher.forward(tape, adjacencies, x, Pass{});
///     const Var strange = norm_distance(tape, 0.01);
///
/// Models whose type is erased (AnyModel) hand on a plain tape: nothing of theirs is seen.
/// Cost     the statistics of what enters each norm, two passes over it
/// Threads  as Tape
template <Real T>
class NormTape : public Tape<T> {
 public:
  /// One batch norm of the last pass; all arrays [F].
  struct Norm {
    Var x;
    Array<T> mean;
    Array<T> variance;  ///< divided by N
    Array<T> running_mean;
    Array<T> running_variance;
  };

  /// `eps` is that of the teacher's norms.
  explicit NormTape(double eps = 1e-5) : eps_(eps) {}

  template <class Op>
  Var record(Tensor<T> value, Op op) {
    if constexpr (std::same_as<Op, detail::BatchNormOp<T>>) {
      if (!op.own_statistics) watch(op);
    }
    return Tape<T>::record(std::move(value), std::move(op));
  }
  void rewind() noexcept {
    norms_.clear();
    Tape<T>::rewind();
  }
  std::span<const Norm> norms() const noexcept { return norms_; }

 private:
  void watch(const detail::BatchNormOp<T>& op) {
    Norm norm{op.x, Array<T>(op.mean.size()), Array<T>(op.mean.size()), Array<T>::copy_of(op.mean.span()),
              Array<T>(op.mean.size())};
    column_statistics(this->value(op.x), norm.mean.span(), norm.variance.span());
    for (std::size_t j = 0; j < op.inv_std.size(); ++j)
      norm.running_variance[j] = T{1} / (op.inv_std[j] * op.inv_std[j]) - static_cast<T>(eps_);
    norms_.push_back(std::move(norm));
  }

  double eps_;
  std::vector<Norm> norms_;
};

namespace detail {

/// |batch - running| of one statistic, Euclidean.
template <Real T>
double statistic_distance(std::span<const T> batch, std::span<const T> running) {
  double squares = 0;
  for (std::size_t j = 0; j < batch.size(); ++j) {
    const double d = static_cast<double>(batch[j]) - static_cast<double>(running[j]);
    squares += d * d;
  }
  return std::sqrt(squares);
}

/// Sum over norms of |var - running_var| + |mean - running_mean|: d/dx_ij = (a_j + 2 b_j (x_ij - mean_j)) / N, where a
/// and b are the directions of both differences (0 where there is none).
template <Real T>
struct NormDistanceOp {
  static constexpr std::string_view kName = "norm_distance";
  struct Part {
    Var x;
    Array<T> mean;
    Array<T> of_mean;      ///< weight a / N
    Array<T> of_variance;  ///< 2 weight b / N
  };
  Array<Var> x;
  std::vector<Part> parts;

  std::span<const Var> inputs() const noexcept { return x.span(); }
  std::span<const Var> reads() const noexcept { return x.span(); }
  bool reads_output() const noexcept { return false; }

  void vjp(Tape<T>& tape, Var self) const {
    const T cotangent = tape.grad(self)(0, 0);
    for (const Part& p : parts) {
      if (!tape.needs_grad(p.x)) continue;
      const MatrixView<const T> at = tape.value(p.x);
      Tensor<T> grad(at.rows(), at.cols());
      parallel_for(at.rows(), 256, [&](std::size_t i, std::size_t end) {
        for (; i < end; ++i) {
          for (std::size_t j = 0; j < at.cols(); ++j)
            grad(i, j) = cotangent * (p.of_mean[j] + p.of_variance[j] * (at(i, j) - p.mean[j]));
        }
      });
      tape.add_grad(p.x, std::move(grad));
    }
  }
};

}  // namespace detail

/// How far what a pass's batch norms were given is from what they remember: the weighted sum over them of
/// |var - running_var| + |mean - running_mean|.
///
/// Shapes   -> [1, 1]
/// Cost     O(N F) per norm in backward
/// Errors   ConfigError if the pass met no batch norm
/// Threads  result independent of T
/// Source   Yin et al., Dreaming to distill, CVPR 2020; as used by Deng & Zhang, GFKD, IJCAI 2021
template <Real T>
Var norm_distance(NormTape<T>& tape, double weight = 1) {
  if (tape.norms().empty()) {
    throw ConfigError(
        "norm_distance: the pass met no batch norm at inference, want a teacher that has one and whose type "
        "is "
        "not erased");
  }
  detail::NormDistanceOp<T> op;
  double sum = 0;
  for (const auto& norm : tape.norms()) {
    const double mean = detail::statistic_distance<T>(norm.mean.span(), norm.running_mean.span());
    const double variance = detail::statistic_distance<T>(norm.variance.span(), norm.running_variance.span());
    sum += mean + variance;
    const double rows = static_cast<double>(tape.rows(norm.x));
    const double share_mean = mean > 0 ? weight / (rows * mean) : 0;
    const double share_variance = variance > 0 ? 2 * weight / (rows * variance) : 0;
    typename detail::NormDistanceOp<T>::Part part{norm.x, Array<T>::copy_of(norm.mean.span()),
                                                  Array<T>(norm.mean.size()), Array<T>(norm.mean.size())};
    for (std::size_t j = 0; j < norm.mean.size(); ++j) {
      part.of_mean[j] = static_cast<T>(share_mean) * (norm.mean[j] - norm.running_mean[j]);
      part.of_variance[j] = static_cast<T>(share_variance) * (norm.variance[j] - norm.running_variance[j]);
    }
    op.x.push_back(norm.x);
    op.parts.push_back(std::move(part));
  }
  return tape.record(Tensor<T>::filled(1, 1, static_cast<T>(weight * sum)), std::move(op));
}

}  // namespace tessera
