// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <utility>

#include "tessera/core/parallel.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/kernels/loss_sum.hpp"
#include "tessera/nn/autograd/tape.hpp"

namespace tessera::detail {

/// The operator of a loss: `op(z, grad)` returns the sums and, where `grad` is not empty, writes the gradient
/// of their quotient; `op.total(classes)` replaces the second sum where it is not 0. The gradient is computed
/// when it is asked for, straight into that of the logits, so that evaluation pays nothing and nothing is
/// stored.
template <Real T, class Op>
struct ScalarLossOp {
  Var logits;

  std::array<Var, 1> inputs() const noexcept { return {logits}; }
  std::array<Var, 1> reads() const noexcept { return {logits}; }
  bool reads_output() const noexcept { return false; }
  double total(std::size_t) const noexcept { return 0; }

  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> z = tape.value(logits);
    const T cotangent = tape.grad(self)(0, 0);
    const GradSlot<T> slot = tape.grad_slot(logits);
    if (!slot.add) {
      gradient(z, slot.grad);
      if (cotangent != T{1}) scale(cotangent, slot.grad, slot.grad);
      return;
    }
    Tensor<T> part(z.rows(), z.cols());
    gradient(z, part.view());
    axpy(cotangent, part.view(), slot.grad);
  }

  // d loss = <gradient, dz>.
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> dz = tape.tangent(logits);
    Tensor<T> part(dz.rows(), dz.cols());
    gradient(tape.value(logits), part.view());
    constexpr std::size_t kRows = 256;
    const double product = parallel_sum<double>(dz.rows(), kRows, [&](std::size_t begin, std::size_t end) {
      double sum = 0;
      for (std::size_t i = begin; i < end; ++i) {
        for (std::size_t j = 0; j < dz.cols(); ++j) {
          sum += static_cast<double>(part(i, j)) * static_cast<double>(dz(i, j));
        }
      }
      return sum;
    });
    tape.make_tangent(self)(0, 0) = static_cast<T>(product);
  }

 private:
  void gradient(MatrixView<const T> z, MatrixView<T> grad) const {
    if (z.empty()) return;
    const Op& op = static_cast<const Op&>(*this);
    const LossSum sums = op(z, grad);
    const double total = op.total(z.cols());
    if (total > 0) scale(static_cast<T>(sums.weight_sum / total), MatrixView<const T>(grad), grad);
  }
};

/// Evaluates the loss `op` of `logits` and puts it on the tape as a [1, 1] value.
template <class Ctx, class Op>
Var record_loss(Ctx& ctx, Var logits, Op op) {
  using T = typename Ctx::Scalar;
  op.logits = logits;
  const LossSum sums = op(ctx.value(logits), MatrixView<T>());
  const double total = op.total(ctx.cols(logits));
  const double value = total > 0 ? sums.loss_sum / total : sums.mean();
  return ctx.record(Tensor<T>::filled(1, 1, static_cast<T>(value)), std::move(op));
}

}  // namespace tessera::detail
