// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/distill/detail/soft_row.hpp"

namespace tessera::detail {

/// Adds weight dL/dz of L = - sum_v sum_c (y_vc + eps) log(p_vc + eps) over the rows with a class; returns weight L.
template <Real T>
double add_label_gradient(MatrixView<const T> z, std::span<const std::int32_t> classes, double weight,
                          double epsilon, MatrixView<T> grad) {
  return weight * parallel_sum<double>(z.rows(), 128, [&](std::size_t v, std::size_t end) {
           Array<double> log_p(z.cols());
           double sum = 0;
           for (; v < end; ++v) {
             if (classes[v] < 0) continue;
             const auto y = static_cast<std::size_t>(classes[v]);
             log_softmax_row(z.row(v), 1.0, log_p.span());
             double total = 0;
             for (std::size_t c = 0; c < z.cols(); ++c) {
               const double p = std::exp(log_p[c]);
               const double target = (c == y ? 1 : 0) + epsilon;
               if (target > 0) sum -= target * (epsilon > 0 ? std::log(p + epsilon) : log_p[c]);
               total += epsilon > 0 ? target * p / (p + epsilon) : target;
             }
             for (std::size_t c = 0; c < z.cols(); ++c) {
               const double p = std::exp(log_p[c]);
               const double target = (c == y ? 1 : 0) + epsilon;
               const double pull = epsilon > 0 ? target * p / (p + epsilon) : target;
               grad(v, c) += static_cast<T>(weight * (p * total - pull));
             }
           }
           return sum;
         });
}

/// The derivatives of one node's soft loss that learning to distil needs, in its own temperature.
template <Real T>
class LtdRow {
 public:
  explicit LtdRow(std::size_t classes) : row_(classes) {}

  void set(std::span<const T> z, std::span<const T> t, double tau, double epsilon) {
    row_.set(z, t, tau, 1);
    t_ = t;
    tau_ = tau;
    epsilon_ = epsilon;
  }

  /// c = d<zeta, dL/dz>/dtau = Cov_q(t, rho (zeta - <p, zeta>)) / tau^2, rho = p / (p + eps).
  double pull(std::span<const T> zeta) const {
    double mean = 0;
    for (std::size_t c = 0; c < zeta.size(); ++c) mean += row_.s()[c] * static_cast<double>(zeta[c]);
    const auto moved = [&](std::size_t c) {
      const double rho = epsilon_ == 0 ? 1 : row_.s()[c] / (row_.s()[c] + epsilon_);
      return rho * (static_cast<double>(zeta[c]) - mean);
    };
    return covariance(
               row_.q(), [&](std::size_t c) { return t(c); }, moved) /
           (tau_ * tau_);
  }

  /// h' = d2L/dtau2 = -2 Cov_q(t, log p) / tau^3 - k3_q(t, t, log p) / tau^4.
  double curvature() const {
    const auto log_p = [&](std::size_t c) { return row_.log_student(c, epsilon_); };
    const auto logit = [&](std::size_t c) { return t(c); };
    double mean_t = 0;
    double mean_l = 0;
    for (std::size_t c = 0; c < t_.size(); ++c) {
      mean_t += row_.q()[c] * t(c);
      mean_l += row_.q()[c] * log_p(c);
    }
    double third = 0;
    for (std::size_t c = 0; c < t_.size(); ++c)
      third += row_.q()[c] * (t(c) - mean_t) * (t(c) - mean_t) * (log_p(c) - mean_l);
    return (-2 * covariance(row_.q(), logit, log_p) - third / tau_) / (tau_ * tau_ * tau_);
  }

 private:
  double t(std::size_t c) const { return static_cast<double>(t_[c]); }

  SoftRow<T> row_;
  std::span<const T> t_;
  double tau_ = 1;
  double epsilon_ = 0;
};

}  // namespace tessera::detail
