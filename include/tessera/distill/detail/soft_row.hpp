// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/scalar.hpp"

namespace tessera::detail {

/// y = log softmax(x / tau), its maximum taken after the division: for tau < 0 that is the smallest x.
template <class X>
void log_softmax_row(std::span<const X> x, double tau, std::span<double> y) noexcept {
  double top = -INFINITY;
  for (std::size_t c = 0; c < x.size(); ++c) {
    y[c] = static_cast<double>(x[c]) / tau;
    top = std::max(top, y[c]);
  }
  double sum = 0;
  for (std::size_t c = 0; c < x.size(); ++c) sum += std::exp(y[c] - top);
  const double shift = top + std::log(sum);
  for (std::size_t c = 0; c < x.size(); ++c) y[c] -= shift;
}

/// Cov_q(a, b) in two passes; a and b are functions of the class.
template <class A, class B>
double covariance(std::span<const double> q, A&& a, B&& b) {
  double mean_a = 0;
  double mean_b = 0;
  for (std::size_t c = 0; c < q.size(); ++c) {
    mean_a += q[c] * a(c);
    mean_b += q[c] * b(c);
  }
  double sum = 0;
  for (std::size_t c = 0; c < q.size(); ++c) sum += q[c] * (a(c) - mean_a) * (b(c) - mean_b);
  return sum;
}

/// One node of a soft-target loss: log q = log softmax(t / tau), log s = log softmax(z / T).
///
/// With L = H(q, s): dL/dz = (s - q) / T, dL/dtau = Cov_q(t, log s) / tau^2; KL(q || s) = L - H(q) adds
/// -Var_q(t) / tau^3 to the slope. With eps: L = - sum (q + eps) log(s + eps).
template <Real T>
class SoftRow {
 public:
  explicit SoftRow(std::size_t classes) : log_q_(classes), log_s_(classes), q_(classes), s_(classes) {}

  void set(std::span<const T> z, std::span<const T> t, double tau, double student) {
    z_ = z;
    t_ = t;
    tau_ = tau;
    student_ = student;
    log_softmax_row(t, tau, log_q_.span());
    log_softmax_row(z, student, log_s_.span());
    for (std::size_t c = 0; c < z.size(); ++c) {
      q_[c] = std::exp(log_q_[c]);
      s_[c] = std::exp(log_s_[c]);
    }
  }

  double loss(bool kl, double epsilon) const {
    double sum = 0;
    for (std::size_t c = 0; c < q_.size(); ++c) {
      if (q_[c] + epsilon == 0) continue;  // 0 log 0
      sum += (q_[c] + epsilon) * ((kl ? log_q_[c] : 0) - log_student(c, epsilon));
    }
    return sum;
  }

  /// out = share dL/dz.
  void gradient(double epsilon, double share, std::span<T> out) const {
    const double scale = share / student_;
    if (epsilon == 0) {
      for (std::size_t c = 0; c < q_.size(); ++c) out[c] = static_cast<T>(scale * (s_[c] - q_[c]));
      return;
    }
    double total = 0;
    for (std::size_t c = 0; c < q_.size(); ++c) total += pull(c, epsilon);
    for (std::size_t c = 0; c < q_.size(); ++c) {
      out[c] = static_cast<T>(scale * (s_[c] * total - pull(c, epsilon)));
    }
  }

  /// dL/dtau.
  double slope(bool kl, double epsilon) const {
    const auto t = [&](std::size_t c) { return static_cast<double>(t_[c]); };
    const auto log_s = [&](std::size_t c) { return log_student(c, epsilon); };
    const double entropy = kl ? covariance(q_.span(), t, t) / tau_ : 0;
    return (covariance(q_.span(), t, log_s) - entropy) / (tau_ * tau_);
  }

  /// d T^2 KL / dT where both temperatures are the same T = tau.
  double common_slope() const {
    const auto t = [&](std::size_t c) { return static_cast<double>(t_[c]); };
    const auto z = [&](std::size_t c) { return static_cast<double>(z_[c]); };
    double teacher_mean = 0;
    double student_mean = 0;
    for (std::size_t c = 0; c < q_.size(); ++c) {
      teacher_mean += q_[c] * z(c);
      student_mean += s_[c] * z(c);
    }
    const double spread = (covariance(q_.span(), t, t) - covariance(q_.span(), t, z)) / tau_;
    return 2 * tau_ * loss(true, 0) + (teacher_mean - student_mean) - spread;
  }

  std::span<const double> q() const noexcept { return q_.span(); }
  std::span<const double> s() const noexcept { return s_.span(); }
  double log_student(std::size_t c, double epsilon) const {
    return epsilon == 0 ? log_s_[c] : std::log(s_[c] + epsilon);
  }

 private:
  double pull(std::size_t c, double epsilon) const { return (q_[c] + epsilon) * s_[c] / (s_[c] + epsilon); }

  Array<double> log_q_;
  Array<double> log_s_;
  Array<double> q_;
  Array<double> s_;
  std::span<const T> z_;
  std::span<const T> t_;
  double tau_ = 1;
  double student_ = 1;
};

}  // namespace tessera::detail
