// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string_view>
#include <utility>

#include "tessera/kernels/binary_cross_entropy.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/losses/scalar_loss.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct BinaryCrossEntropyOp : ScalarLossOp<T, BinaryCrossEntropyOp<T>> {
  static constexpr std::string_view kName = "binary_cross_entropy";
  Targets targets;
  BinaryCrossEntropyOptions options;

  LossSum operator()(MatrixView<const T> z, MatrixView<T> grad) const {
    return binary_cross_entropy(z, targets.indicators, targets.weights, grad, options);
  }
  double total(std::size_t classes) const noexcept {
    return targets.weight_total * static_cast<double>(classes);
  }
};

}  // namespace detail

/// Sigmoid cross entropy for any subset of C classes per row: the weighted mean over all counted elements
/// (their weighted sum over C targets.weight_total where it is set); 0 where none counts.
///
/// Shapes   logits [N, C], targets.indicators [N, C] of 0, 1 or NaN (not counted), targets.weights [N] or
///          empty -> [1, 1]
/// Cost     O(N C), once more in backward; keeps the logits and nothing else
/// Errors   ShapeError if the targets do not fit the logits
/// Source   torch.nn.functional.binary_cross_entropy_with_logits
struct BinaryCrossEntropy {
  std::span<const float> pos_weight{};  ///< [C]: how much a 1 counts, or empty for 1; borrowed

  template <class Ctx>
  Var operator()(Ctx& ctx, Var logits, const Targets& targets) const {
    detail::BinaryCrossEntropyOp<typename Ctx::Scalar> op;
    op.targets = targets;
    op.options = {pos_weight, 0};
    return detail::record_loss(ctx, logits, std::move(op));
  }
};

}  // namespace tessera
