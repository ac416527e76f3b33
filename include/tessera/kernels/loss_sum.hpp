// SPDX-License-Identifier: MIT
#pragma once

namespace tessera {

/// What a loss kernel adds up over the rows that count. Kept in double and summed in a fixed tree.
struct LossSum {
  double loss_sum = 0;    ///< weighted losses
  double weight_sum = 0;  ///< their weights

  /// The weighted mean; 0 if nothing counts.
  double mean() const noexcept { return weight_sum == 0 ? 0 : loss_sum / weight_sum; }

  friend LossSum operator+(const LossSum& a, const LossSum& b) noexcept {
    return {a.loss_sum + b.loss_sum, a.weight_sum + b.weight_sum};
  }
};

}  // namespace tessera
