// SPDX-License-Identifier: MIT
#pragma once

#include <span>
#include <string_view>
#include <utility>

#include "tessera/kernels/cross_entropy.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/losses/scalar_loss.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct CrossEntropyOp : ScalarLossOp<T, CrossEntropyOp<T>> {
  static constexpr std::string_view kName = "cross_entropy";
  Targets targets;
  CrossEntropyOptions options;

  LossSum operator()(MatrixView<const T> z, MatrixView<T> grad) const {
    return softmax_cross_entropy(z, targets.classes, targets.weights, grad, options);
  }
  double total(std::size_t) const noexcept { return targets.weight_total; }
};

}  // namespace detail

/// Softmax cross entropy: the weighted mean over the rows that have a class (their weighted sum over
/// targets.weight_total where it is set); 0 where no row counts.
///
/// Shapes   logits [N, C], targets.classes [N] of -1 or below C, targets.weights [N] or empty -> [1, 1]
/// Cost     O(N C), once more in backward; keeps the logits and nothing else
/// Errors   ShapeError if the targets do not fit the logits; IndexError if a class is not one; ConfigError if
///          the smoothing is outside [0, 1]
/// Source   torch.nn.functional.cross_entropy
struct CrossEntropy {
  double label_smoothing = 0;             ///< share of the target spread evenly over all classes
  std::span<const float> class_weight{};  ///< [C], or empty where every class weighs 1; borrowed

  template <class Ctx>
  Var operator()(Ctx& ctx, Var logits, const Targets& targets) const {
    detail::CrossEntropyOp<typename Ctx::Scalar> op;
    op.targets = targets;
    op.options = {label_smoothing, class_weight, 0};
    return detail::record_loss(ctx, logits, std::move(op));
  }
};

}  // namespace tessera
