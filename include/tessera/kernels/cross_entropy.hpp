// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <type_traits>

#include "tessera/core/config.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/loss_sum.hpp"
#include "tessera/kernels/softmax.hpp"

namespace tessera {

/// Settings of softmax_cross_entropy.
struct CrossEntropyOptions {
  double label_smoothing = 0;             ///< eta in [0, 1]: the target is (1 - eta) onehot + eta / C
  std::span<const float> class_weight{};  ///< [C] or empty (all 1); multiplies the row weight of the class
  double divisor = 0;                     ///< gradients are divided by this; 0: by the weight sum
};

namespace detail {

inline double label_weight(std::span<const std::int32_t> labels, std::span<const float> row_weight,
                           std::span<const float> class_weight, std::size_t i) noexcept {
  if (labels[i] == kUnlabelled) return 0;
  const double row = row_weight.empty() ? 1.0 : static_cast<double>(row_weight[i]);
  return class_weight.empty() ? row
                              : row * static_cast<double>(class_weight[static_cast<std::size_t>(labels[i])]);
}

/// The sum of the weights of labelled rows, after checking that every label is a class.
inline double checked_label_weights(std::span<const std::int32_t> labels, std::span<const float> row_weight,
                                    std::span<const float> class_weight, std::size_t classes) {
  return parallel_sum<double>(labels.size(), 4096, [&](std::size_t begin, std::size_t end) {
    double sum = 0;
    for (std::size_t i = begin; i < end; ++i) {
      if (labels[i] < kUnlabelled || (labels[i] >= 0 && static_cast<std::size_t>(labels[i]) >= classes)) {
        throw IndexError(message("softmax_cross_entropy: labels[", i, "] is ", labels[i], ", want -1 or [0, ",
                                 classes, ")"));
      }
      sum += label_weight(labels, row_weight, class_weight, i);
    }
    return sum;
  });
}

/// The target distribution's share outside the labelled class, ready for a row.
struct Smoothing {
  double eta = 0;
  std::span<const float> class_weight;
  double class_weight_sum = 0;  ///< sum of class weights

  double weight(std::size_t c) const noexcept {
    return class_weight.empty() ? 1.0 : static_cast<double>(class_weight[c]);
  }
};

/// The loss of one row of weight `row_weight` (class weight not included) and, where `grad` is given, its
/// gradient times `factor`.
///
/// With log p_c = z_c - log_sum: loss = (1 - eta) w_y (-log p_y) + eta / C sum_c w_c (-log p_c), hence
/// d loss / d z_c = (1 - eta) w_y (p_c - [c = y]) + eta / C (p_c sum_k w_k - w_c).
template <class T>
TESSERA_ALWAYS_INLINE double cross_entropy_row(const T* z, std::size_t classes, std::size_t label,
                                               double row_weight, const Smoothing& smooth, double factor,
                                               T* grad) noexcept {
  const T top = row_max(z, classes);
  const double to_label = static_cast<double>(top) - static_cast<double>(z[label]);
  const double hard = (1 - smooth.eta) * smooth.weight(label);
  const double soft = smooth.eta / static_cast<double>(classes);
  const bool keep = grad != nullptr && soft == 0;  // else z, which grad may be, is read again
  T exp_sum{0};
  for (std::size_t c = 0; c < classes; ++c) {
    const T e = std::exp(z[c] - top);
    if (keep) grad[c] = e;
    exp_sum += e;
  }
  const double log_sum = std::log(static_cast<double>(exp_sum));

  double loss = hard * (to_label + log_sum);
  if (soft != 0) {
    for (std::size_t c = 0; c < classes; ++c) {
      loss += soft * smooth.weight(c) * (static_cast<double>(top) - static_cast<double>(z[c]) + log_sum);
    }
  }
  if (grad != nullptr) {
    const T scale = static_cast<T>(factor * row_weight * (hard + soft * smooth.class_weight_sum)) / exp_sum;
    for (std::size_t c = 0; c < classes; ++c) grad[c] = (keep ? grad[c] : std::exp(z[c] - top)) * scale;
    if (soft != 0) {
      for (std::size_t c = 0; c < classes; ++c) {
        grad[c] -= static_cast<T>(factor * row_weight * soft * smooth.weight(c));
      }
    }
    grad[label] -= static_cast<T>(factor * row_weight * hard);
  }
  return row_weight * loss;
}

}  // namespace detail

/// The negative log-likelihood of the labels under the softmax of each row, summed over labelled rows, and
/// its gradient divided by their total weight.
///
/// Shapes   logits [N, C]; labels [N], -1 where there is none; row_weight [N], or empty for 1; grad [N, C] or
///          empty (not wanted); grad may be logits. Rows without label or weight get gradient 0
/// Cost     work O(N C), in rows that count; one partial sum per block of rows from the pool
/// Errors   ShapeError if extents do not fit; IndexError if a label is neither -1 nor a class; ConfigError if
/// an
///          option is out of range; all before grad is touched
/// Threads  safe to call concurrently on distinct grad; result independent of T
/// Source   log p = z - max - log sum exp(z - max); with class weights and smoothing as
///          torch.nn.functional.cross_entropy defines them, whose weighted mean divides by sum_i w_{y_i}
template <Real T>
LossSum softmax_cross_entropy(std::type_identity_t<MatrixView<const T>> logits,
                              std::span<const std::int32_t> labels, std::span<const float> row_weight,
                              MatrixView<T> grad, const CrossEntropyOptions& options = {}) {
  constexpr const char* kName = "softmax_cross_entropy";
  const std::size_t rows = logits.rows();
  const std::size_t classes = logits.cols();
  detail::check_size(kName, "labels", labels.size(), rows);
  detail::check_size_or_empty(kName, "row_weight", row_weight.size(), rows);
  detail::check_size_or_empty(kName, "class_weight", options.class_weight.size(), classes);
  if (!grad.empty()) detail::check_shape(kName, "grad", grad, rows, classes);
  if (!(options.label_smoothing >= 0 && options.label_smoothing <= 1)) {
    throw ConfigError(
        message(kName, ": label_smoothing is ", options.label_smoothing, ", want a number in [0, 1]"));
  }
  if (!(options.divisor >= 0)) {
    throw ConfigError(message(kName, ": divisor is ", options.divisor, ", want a number >= 0"));
  }

  const KernelScope profile = detail::pass_scope(kName, logits, grad.empty() ? 1 : 2);
  detail::Smoothing smooth{options.label_smoothing, options.class_weight, 0};
  for (std::size_t c = 0; c < classes; ++c) smooth.class_weight_sum += smooth.weight(c);
  const double weight_sum = detail::checked_label_weights(labels, row_weight, options.class_weight, classes);
  const double divisor = options.divisor > 0 ? options.divisor : weight_sum;
  const double factor = divisor == 0 ? 0 : 1 / divisor;
  const Isa isa = active_isa();
  const double loss_sum = parallel_sum<double>(
      rows, detail::rows_per_block(4 * classes), [&](std::size_t begin, std::size_t end) {
        double sum = 0;
        dispatch(isa, [&](auto) TESSERA_INLINE_LAMBDA {
          for (std::size_t i = begin; i < end; ++i) {
            T* const to = grad.empty() ? nullptr : grad.data() + i * grad.stride();
            const double weight = row_weight.empty() ? 1.0 : static_cast<double>(row_weight[i]);
            if (labels[i] == kUnlabelled || weight == 0) {
              if (to != nullptr) std::fill_n(to, classes, T{0});
              continue;
            }
            sum += detail::cross_entropy_row(logits.data() + i * logits.stride(), classes,
                                             static_cast<std::size_t>(labels[i]), weight, smooth, factor, to);
          }
        });
        return sum;
      });
  return {loss_sum, weight_sum};
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE LossSum softmax_cross_entropy<float>(MatrixView<const float>,
                                                         std::span<const std::int32_t>,
                                                         std::span<const float>, MatrixView<float>,
                                                         const CrossEntropyOptions&);
TESSERA_INSTANTIATE LossSum softmax_cross_entropy<double>(MatrixView<const double>,
                                                          std::span<const std::int32_t>,
                                                          std::span<const float>, MatrixView<double>,
                                                          const CrossEntropyOptions&);
#endif

}  // namespace tessera
