// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <vector>

#include "tessera/nn/parameter_block.hpp"

namespace tessera::testing {

/// How far recorded gradients are from central differences.
struct GradientError {
  double worst = 0;  ///< largest difference
  double size = 0;   ///< largest gradient
};

/// Compares about five entries of every trained parameter. loss(true) adds the gradients to `block`'s.
template <class Loss>
GradientError gradient_error(ParameterBlock<double>& block, Loss&& loss, double h = 1e-6) {
  block.zero_grads();
  loss(true);
  const std::span<double> values = block.values();
  const std::vector<double> grads(block.grads().begin(), block.grads().end());
  GradientError out;
  for (const ParameterInfo& p : block.parameters()) {
    if (!p.trained) continue;
    for (std::size_t k = p.offset; k < p.offset + p.size(); k += 1 + p.size() / 5) {
      const double before = values[k];
      values[k] = before + h;
      const double up = loss(false);
      values[k] = before - h;
      const double down = loss(false);
      values[k] = before;
      out.worst = std::max(out.worst, std::abs((up - down) / (2 * h) - grads[k]));
      out.size = std::max(out.size, std::abs(grads[k]));
    }
  }
  return out;
}

}  // namespace tessera::testing
