// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <type_traits>

#include "tessera/core/config.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/loss_sum.hpp"

namespace tessera {

/// Settings of binary_cross_entropy.
struct BinaryCrossEntropyOptions {
  std::span<const float> pos_weight{};  ///< [C] or empty (all 1): how much a positive target counts
  double divisor = 0;                   ///< gradients are divided by this; 0: by the weight sum
};

namespace detail {

/// One element: the loss (1 - t) z + (1 + (q - 1) t) softplus(-z), and its derivative
/// (1 - t) - (1 + (q - 1) t) sigmoid(-z); softplus(-z) = log(1 + exp(-|z|)) + max(-z, 0).
template <class T>
TESSERA_ALWAYS_INLINE double binary_cross_entropy_element(T z, T t, T q, T& derivative) noexcept {
  const T small = std::exp(-std::abs(z));  // in [0, 1]
  const T positive = T{1} + (q - T{1}) * t;
  const T sigmoid_minus = (z >= T{0} ? small : T{1}) / (T{1} + small);
  derivative = (T{1} - t) - positive * sigmoid_minus;
  const double wide = static_cast<double>(z);
  const double softplus_minus = static_cast<double>(std::log1p(small)) + std::max(-wide, 0.0);
  return static_cast<double>(T{1} - t) * wide + static_cast<double>(positive) * softplus_minus;
}

}  // namespace detail

/// The cross entropy of independent yes/no targets under the sigmoid of each logit, summed over the elements
/// that count, and its gradient divided by their total weight: the loss of multi-label classification.
///
/// Shapes   logits, targets [N, C]; row_weight [N], or empty for 1 (0 masks a row); grad [N, C] or empty (not
///          wanted); grad may be logits. NaN targets are skipped: gradient 0, not counted
/// Units    targets in [0, 1]; weight_sum counts elements times their row's weight
/// Cost     work O(N C); targets are read twice; one partial sum per block of rows from the pool
/// Errors   ShapeError if extents do not fit, ConfigError if the divisor is negative
/// Threads  safe to call concurrently on distinct grad; result independent of T
/// Source   the overflow-free form of torch.nn.functional.binary_cross_entropy_with_logits, with pos_weight
template <Real T>
LossSum binary_cross_entropy(std::type_identity_t<MatrixView<const T>> logits,
                             MatrixView<const float> targets, std::span<const float> row_weight,
                             MatrixView<T> grad, const BinaryCrossEntropyOptions& options = {}) {
  constexpr const char* kName = "binary_cross_entropy";
  const std::size_t rows = logits.rows();
  const std::size_t cols = logits.cols();
  detail::check_shape(kName, "targets", targets, rows, cols);
  detail::check_size_or_empty(kName, "row_weight", row_weight.size(), rows);
  detail::check_size_or_empty(kName, "pos_weight", options.pos_weight.size(), cols);
  if (!grad.empty()) detail::check_shape(kName, "grad", grad, rows, cols);
  if (!(options.divisor >= 0)) {
    throw ConfigError(message(kName, ": divisor is ", options.divisor, ", want a number >= 0"));
  }
  const KernelScope profile = detail::pass_scope(kName, logits, grad.empty() ? 2 : 3);
  const auto weight_of = [&](std::size_t i) {
    return row_weight.empty() ? 1.0 : static_cast<double>(row_weight[i]);
  };
  const std::size_t grain = detail::rows_per_block(4 * cols);
  const double weight_sum = parallel_sum<double>(rows, grain, [&](std::size_t begin, std::size_t end) {
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) {
      std::size_t counted = 0;
      for (const float t : targets.row(i)) counted += t == t;
      sum += weight_of(i) * static_cast<double>(counted);
    }
    return sum;
  });
  const double divisor = options.divisor > 0 ? options.divisor : weight_sum;
  const double factor = divisor == 0 ? 0 : 1 / divisor;
  const Isa isa = active_isa();
  const double loss_sum = parallel_sum<double>(rows, grain, [&](std::size_t begin, std::size_t end) {
    double sum = 0;
    dispatch(isa, [&](auto) TESSERA_INLINE_LAMBDA {
      for (std::size_t i = begin; i < end; ++i) {
        T* const to = grad.empty() ? nullptr : grad.data() + i * grad.stride();
        const double weight = weight_of(i);
        const T* const z = logits.data() + i * logits.stride();
        const float* const t = targets.data() + i * targets.stride();
        const T scale = static_cast<T>(weight * factor);
        double row_sum = 0;
        for (std::size_t j = 0; j < cols; ++j) {
          T derivative{0};
          if (t[j] == t[j] && weight != 0) {
            const T q = options.pos_weight.empty() ? T{1} : static_cast<T>(options.pos_weight[j]);
            row_sum += detail::binary_cross_entropy_element(z[j], static_cast<T>(t[j]), q, derivative);
          }
          if (to != nullptr) to[j] = derivative * scale;
        }
        sum += weight * row_sum;
      }
    });
    return sum;
  });
  return {loss_sum, weight_sum};
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE LossSum binary_cross_entropy<float>(MatrixView<const float>, MatrixView<const float>,
                                                        std::span<const float>, MatrixView<float>,
                                                        const BinaryCrossEntropyOptions&);
TESSERA_INSTANTIATE LossSum binary_cross_entropy<double>(MatrixView<const double>, MatrixView<const float>,
                                                         std::span<const float>, MatrixView<double>,
                                                         const BinaryCrossEntropyOptions&);
#endif

}  // namespace tessera
