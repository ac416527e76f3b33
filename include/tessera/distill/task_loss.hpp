// SPDX-License-Identifier: MIT
#pragma once

#include "tessera/distill/concepts.hpp"
#include "tessera/distill/soft_target.hpp"
#include "tessera/nn/losses/binary_cross_entropy.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/ops/linear_combination.hpp"

namespace tessera {

/// The loss of the labels themselves: cross entropy, of softmax or of sigmoids as the targets ask. `Distill` adds it
/// with the weight its terms leave; name it to set another.
struct TaskLoss {
  static constexpr bool kNeedsHidden = false;

  double weight = 1;
  Reduction reduction = Reduction::node_mean;  ///< element_mean is node_mean divided by C

  template <class Ctx>
  Var operator()(Ctx& ctx, Var logits, Targets targets) const {
    if (reduction == Reduction::sum) targets.weight_total = 1;
    const Var loss = targets.indicators.empty() ? CrossEntropy{}(ctx, logits, targets)
                                                : BinaryCrossEntropy{}(ctx, logits, targets);
    const bool divide = reduction == Reduction::element_mean && targets.indicators.empty();
    const double factor = divide ? weight / static_cast<double>(ctx.value(logits).cols()) : weight;
    return factor == 1 ? loss : linear_combination(ctx, loss, factor);
  }
  template <class Ctx>
  Var operator()(Ctx& ctx, const DistillStep& step) const {
    return weight == 0 ? Var{} : (*this)(ctx, step.logits, step.targets);
  }
};

}  // namespace tessera
