// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <type_traits>

#include "tessera/core/config.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/distill/detail/soft_row.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/loss_sum.hpp"

namespace tessera {

/// How losses of rows become one number.
enum class Reduction {
  node_mean,     ///< weighted mean over rows
  element_mean,  ///< the same divided by C: what `reduction="mean"` of PyTorch's kl_div does
  sum            ///< weighted sum over rows
};

/// What is measured between the teacher's q and the student's s; both have the same gradient in the student.
enum class SoftForm {
  kl,            ///< KL(q || s)
  cross_entropy  ///< H(q, s)
};

struct SoftTargetOptions {
  double teacher_temperature = 1;  ///< ignored where every row has its own
  double student_temperature = 1;
  double factor = 1;  ///< multiplies every row's loss; T^2 keeps gradients comparable for every T
  SoftForm form = SoftForm::kl;
  double epsilon = 0;  ///< cross_entropy only: - sum (q + eps) log(s + eps)
  Reduction reduction = Reduction::node_mean;
};

namespace detail {

inline constexpr std::size_t kSoftRows = 128;  // per parallel block

inline void check_soft_target(const SoftTargetOptions& o) {
  if (o.teacher_temperature == 0 || o.student_temperature == 0 || std::isnan(o.teacher_temperature) ||
      std::isnan(o.student_temperature)) {
    throw ConfigError(message("soft_target: temperatures are ", o.teacher_temperature, " (teacher) and ",
                              o.student_temperature, " (student), want numbers other than 0"));
  }
  if (!(o.epsilon >= 0) || (o.epsilon > 0 && o.form != SoftForm::cross_entropy)) {
    throw ConfigError(
        message("soft_target: epsilon is ", o.epsilon, ", want >= 0, and 0 unless form is cross_entropy"));
  }
}

template <Real T>
void check_temperatures(std::span<const T> tau) {
  const std::size_t zeros = parallel_sum<std::size_t>(tau.size(), 4096, [&](std::size_t i, std::size_t end) {
    std::size_t count = 0;
    for (; i < end; ++i) count += tau[i] == T{0} || std::isnan(tau[i]) ? 1u : 0u;
    return count;
  });
  if (zeros > 0) throw ConfigError(message("soft_target: ", zeros, " temperatures are 0 or NaN, want none"));
}

}  // namespace detail

/// The distance of softened predictions from a teacher's, row by row: q = softmax(t / T_t), s = softmax(z / T_s),
/// factor KL(q || s) or factor H(q, s).
///
/// Temperatures may be negative, which reverses the teacher's order. Rows of weight 0 cost nothing and may hold
/// anything.
/// Shapes   z, t [N, C]; tau [N], or empty for options.teacher_temperature; weight [N] or empty for 1 -> sums whose
///          mean() is the reduced loss; grad [N, C] and grad_tau [N], or empty: receive its gradients
/// Cost     work O(N C), two exponentials per element, in double; nothing is stored
/// Errors   ShapeError if extents differ; ConfigError for a temperature of 0 or a wrong epsilon
/// Threads  result independent of T
/// Source   Hinton, Vinyals & Dean, Distilling the knowledge in a neural network, 2015; teacher first
template <Real T>
LossSum soft_target(std::type_identity_t<MatrixView<const T>> z, std::type_identity_t<MatrixView<const T>> t,
                    std::type_identity_t<std::span<const T>> tau, std::span<const float> weight,
                    MatrixView<T> grad, std::type_identity_t<std::span<T>> grad_tau,
                    const SoftTargetOptions& options) {
  const std::size_t n = z.rows();
  const std::size_t classes = z.cols();
  detail::check_soft_target(options);
  detail::check_shape("soft_target", "t", t, n, classes);
  detail::check_size_or_empty("soft_target", "tau", tau.size(), n);
  detail::check_size_or_empty("soft_target", "weight", weight.size(), n);
  if (!grad.empty()) detail::check_shape("soft_target", "grad", grad, n, classes);
  detail::check_size_or_empty("soft_target", "grad_tau", grad_tau.size(), n);
  detail::check_temperatures(tau);

  const auto weight_of = [&](std::size_t i) { return weight.empty() ? 1.0 : static_cast<double>(weight[i]); };
  LossSum out;
  out.weight_sum = parallel_sum<double>(n, 4096, [&](std::size_t i, std::size_t end) {
    double sum = 0;
    for (; i < end; ++i) sum += weight_of(i);
    return sum;
  });
  if (options.reduction == Reduction::element_mean) out.weight_sum *= static_cast<double>(classes);
  if (options.reduction == Reduction::sum) out.weight_sum = n > 0 ? 1 : 0;
  const double share = out.weight_sum == 0 ? 0 : options.factor / out.weight_sum;
  const bool kl = options.form == SoftForm::kl;

  out.loss_sum = parallel_sum<double>(n, detail::kSoftRows, [&](std::size_t i, std::size_t end) {
    detail::SoftRow<T> row(classes);
    double sum = 0;
    for (; i < end; ++i) {
      const double w = weight_of(i);
      if (w == 0) {
        if (!grad.empty()) std::fill(grad.row(i).begin(), grad.row(i).end(), T{0});
        if (!grad_tau.empty()) grad_tau[i] = T{0};
        continue;
      }
      const double teacher_tau = tau.empty() ? options.teacher_temperature : static_cast<double>(tau[i]);
      row.set(z.row(i), t.row(i), teacher_tau, options.student_temperature);
      sum += w * row.loss(kl, options.epsilon);
      if (!grad.empty()) row.gradient(options.epsilon, w * share, grad.row(i));
      if (!grad_tau.empty()) grad_tau[i] = static_cast<T>(w * share * row.slope(kl, options.epsilon));
    }
    return sum;
  });
  out.loss_sum *= options.factor;
  return out;
}

/// The derivative of mean T^2 KL(softmax(t / T) || softmax(z / T)) in the temperature both share.
///
/// Shapes   z, t [N, C]
/// Errors   ShapeError if extents differ; ConfigError for T = 0
template <Real T>
double soft_target_temperature_slope(std::type_identity_t<MatrixView<const T>> z, MatrixView<const T> t,
                                     double temperature) {
  detail::check_shape("soft_target_temperature_slope", "t", t, z.rows(), z.cols());
  detail::check_soft_target({.teacher_temperature = temperature, .student_temperature = temperature});
  const double sum = parallel_sum<double>(z.rows(), detail::kSoftRows, [&](std::size_t i, std::size_t end) {
    detail::SoftRow<T> row(z.cols());
    double part = 0;
    for (; i < end; ++i) {
      row.set(z.row(i), t.row(i), temperature, temperature);
      part += row.common_slope();
    }
    return part;
  });
  return z.rows() == 0 ? 0 : sum / static_cast<double>(z.rows());
}

/// Sigmoid cross entropy of every element with a teacher's soft indicators, for several labels per row:
/// BCE(sigmoid(t), z), the mean over all C elements of the counted rows (their sum over rows for Reduction::sum).
///
/// Logits are not divided by the temperature: options.factor alone carries it.
/// Shapes   z, t [N, C]; weight [N] or empty -> sums whose mean() is the loss; grad [N, C] or empty
/// Errors   ShapeError if extents differ
/// Threads  result independent of T
/// Source   chaitjo/efficient-gnns, ppi_pyg/criterion.py
template <Real T>
LossSum soft_indicators(std::type_identity_t<MatrixView<const T>> z,
                        std::type_identity_t<MatrixView<const T>> t, std::span<const float> weight,
                        MatrixView<T> grad, const SoftTargetOptions& options) {
  const std::size_t n = z.rows();
  detail::check_shape("soft_indicators", "t", t, n, z.cols());
  detail::check_size_or_empty("soft_indicators", "weight", weight.size(), n);
  LossSum out;
  const auto weight_of = [&](std::size_t i) { return weight.empty() ? 1.0 : static_cast<double>(weight[i]); };
  out.weight_sum = parallel_sum<double>(n, 4096, [&](std::size_t i, std::size_t end) {
    double sum = 0;
    for (; i < end; ++i) sum += weight_of(i);
    return sum;
  });
  out.weight_sum *= static_cast<double>(z.cols());
  if (options.reduction == Reduction::sum) out.weight_sum = n > 0 ? 1 : 0;
  const double share = out.weight_sum == 0 ? 0 : options.factor / out.weight_sum;
  const auto sigmoid = [](double x) { return 1 / (1 + std::exp(-x)); };
  out.loss_sum =
      options.factor * parallel_sum<double>(n, detail::kSoftRows, [&](std::size_t i, std::size_t end) {
        double sum = 0;
        for (; i < end; ++i) {
          const double w = weight_of(i);
          for (std::size_t c = 0; c < z.cols(); ++c) {
            if (w == 0) {
              if (!grad.empty()) grad(i, c) = T{0};
              continue;
            }
            const double x = static_cast<double>(z(i, c));
            const double r = sigmoid(static_cast<double>(t(i, c)));
            sum += w * (std::max(x, 0.0) - x * r + std::log1p(std::exp(-std::abs(x))));
            if (!grad.empty()) grad(i, c) = static_cast<T>(w * share * (sigmoid(x) - r));
          }
        }
        return sum;
      });
  return out;
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE LossSum soft_target<float>(MatrixView<const float>, MatrixView<const float>,
                                               std::span<const float>, std::span<const float>,
                                               MatrixView<float>, std::span<float>, const SoftTargetOptions&);
TESSERA_INSTANTIATE LossSum soft_target<double>(MatrixView<const double>, MatrixView<const double>,
                                                std::span<const double>, std::span<const float>,
                                                MatrixView<double>, std::span<double>,
                                                const SoftTargetOptions&);
TESSERA_INSTANTIATE LossSum soft_indicators<float>(MatrixView<const float>, MatrixView<const float>,
                                                   std::span<const float>, MatrixView<float>,
                                                   const SoftTargetOptions&);
TESSERA_INSTANTIATE LossSum soft_indicators<double>(MatrixView<const double>, MatrixView<const double>,
                                                    std::span<const float>, MatrixView<double>,
                                                    const SoftTargetOptions&);
#endif

}  // namespace tessera
