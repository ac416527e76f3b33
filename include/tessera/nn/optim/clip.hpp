// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/nn/optim/detail/sweep.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// The Euclidean norm of the whole gradient.
///
/// Cost     one pass, sums in double over fixed blocks
/// Threads  result independent of T
template <Real T>
double grad_norm(const ParameterBlock<T>& block) {
  const std::span<const T> grads = block.grads();
  return std::sqrt(
      parallel_sum<double>(grads.size(), detail::kSweepGrain, [&](std::size_t i, std::size_t end) {
        double sum[4] = {};
        for (; i + 4 <= end; i += 4) {
          for (std::size_t l = 0; l < 4; ++l) {
            const auto g = static_cast<double>(grads[i + l]);
            sum[l] += g * g;
          }
        }
        for (; i < end; ++i) sum[0] += static_cast<double>(grads[i]) * static_cast<double>(grads[i]);
        return (sum[0] + sum[1]) + (sum[2] + sum[3]);
      }));
}

/// No clipping; the default.
struct NoClip {
  /// Leaves the gradient as it is.
  template <Real T>
  void operator()(ParameterBlock<T>&) const noexcept {}
};

/// Scales the gradient so that its norm is at most `max_norm`: g <- g min(1, max_norm / (|g| + 1e-6)).
///
/// Source   Pascanu et al., On the difficulty of training recurrent neural networks, 2013, algorithm 1; the
/// 1e-6 is
///          PyTorch's
struct ClipNorm {
  double max_norm = 1;

  /// Returns the norm before clipping. A gradient that is not finite stays as it is, for the optimiser to
  /// refuse.
  ///
  /// Errors   ConfigError unless max_norm > 0
  template <Real T>
  double operator()(ParameterBlock<T>& block) const {
    if (!(max_norm > 0)) throw ConfigError(message("ClipNorm: max_norm is ", max_norm, ", want > 0"));
    const double norm = grad_norm(block);
    const double factor = max_norm / (norm + 1e-6);
    if (!std::isfinite(norm) || factor >= 1) return norm;
    const std::span<T> grads = block.grads();
    const T scale = static_cast<T>(factor);
    parallel_for(grads.size(), detail::kSweepGrain, [=](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) grads[i] *= scale;
    });
    return norm;
  }
};

/// Clamps every element of the gradient to [-max_value, max_value].
struct ClipValue {
  double max_value = 1;

  /// NaN stays NaN, for the optimiser to refuse.
  ///
  /// Errors   ConfigError unless max_value > 0
  template <Real T>
  void operator()(ParameterBlock<T>& block) const {
    if (!(max_value > 0)) throw ConfigError(message("ClipValue: max_value is ", max_value, ", want > 0"));
    const std::span<T> grads = block.grads();
    const T limit = static_cast<T>(max_value);
    parallel_for(grads.size(), detail::kSweepGrain, [=](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) grads[i] = std::clamp(grads[i], -limit, limit);
    });
  }
};

}  // namespace tessera
