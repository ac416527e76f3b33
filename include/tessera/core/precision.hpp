// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

namespace tessera {

/// What a training pass keeps and multiplies its matrices in.
enum class Precision {
  fp32,
  /// Activations, messages, their gradients and the operands of products are bf16; sums, weights as the optimiser sees
  /// them, losses and the optimiser stay float
  bf16
};

constexpr std::string_view name(Precision precision) noexcept {
  return precision == Precision::bf16 ? "bf16" : "fp32";
}

}  // namespace tessera
