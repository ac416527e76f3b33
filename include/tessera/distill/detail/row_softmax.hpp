// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/tensor.hpp"
#include "tessera/distill/detail/unit_rows.hpp"
#include "tessera/kernels/softmax.hpp"
#include "tessera/nn/autograd/tape.hpp"

namespace tessera::detail {

template <Real T>
struct RowSoftmaxOp {
  static constexpr std::string_view kName = "row_softmax";
  Var x;

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return true; }

  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> y = tape.value(self);
    Tensor<T> grad(y.rows(), y.cols());
    softmax_backward<T>(y, tape.grad(self), grad.view());
    tape.add_grad(x, std::move(grad));
  }
};

/// y = softmax of each row of x.
template <class Ctx>
Var row_softmax(Ctx& ctx, Var x) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> value = ctx.value(x);
  Tensor<T> y(value.rows(), value.cols());
  softmax<T>(value, y.view());
  return ctx.record(std::move(y), RowSoftmaxOp<T>{x});
}

/// weight times the mean over rows of the entropy H of softmax(x): dH/dx_k = -p_k (log p_k + H).
template <class Ctx>
Var mean_row_entropy(Ctx& ctx, Var x, double weight) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> value = ctx.value(x);
  const double share = value.rows() == 0 ? 0 : weight / static_cast<double>(value.rows());
  Tensor<T> grad(value.rows(), value.cols());
  Tensor<T> log_p(value.rows(), value.cols());
  log_softmax<T>(value, log_p.view());
  double sum = 0;
  for (std::size_t i = 0; i < value.rows(); ++i) {
    double entropy = 0;
    for (const T l : log_p.row(i)) entropy -= std::exp(static_cast<double>(l)) * static_cast<double>(l);
    for (std::size_t k = 0; k < value.cols(); ++k) {
      const double l = static_cast<double>(log_p(i, k));
      grad(i, k) = static_cast<T>(-share * std::exp(l) * (l + entropy));
    }
    sum += entropy;
  }
  return record_pair_loss(ctx, share * sum, x, std::move(grad));
}

}  // namespace tessera::detail
