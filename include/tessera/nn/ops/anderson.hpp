// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/detail/inner_product.hpp"
#include "tessera/kernels/elementwise.hpp"

namespace tessera {

struct AndersonOptions {
  std::size_t memory = 5;  ///< past values that are mixed, 1 to 8; 1 is plain iteration
  std::size_t max_steps = 50;
  double tolerance = 1e-4;  ///< of |g(z) - z| / |g(z)|
};

/// Where `anderson` ended: the iterate of the smallest residual.
template <Real T>
struct AndersonResult {
  Tensor<T> value;
  double residual = 0;    ///< |g(z) - z| / |g(z)|, Frobenius norms
  std::size_t steps = 0;  ///< values of g that were taken
};

namespace detail {

inline constexpr std::size_t kAndersonMemory = 8;

/// Weights w with sum 1 that make |sum w_i r_i| small, from the products <r_i, r_j>: (G + ridge) w ~ 1. False where
/// elimination breaks down.
inline bool mixing_weights(const std::array<std::array<double, kAndersonMemory>, kAndersonMemory>& gram,
                           std::size_t n, std::array<double, kAndersonMemory>& weight) {
  std::array<std::array<double, kAndersonMemory + 1>, kAndersonMemory> a{};
  double trace = 0;
  for (std::size_t i = 0; i < n; ++i) trace += gram[i][i];
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) a[i][j] = gram[i][j] + (i == j ? 1e-12 * trace : 0);
    a[i][n] = 1;
  }
  for (std::size_t k = 0; k < n; ++k) {  // symmetric positive definite: no pivoting
    if (!(a[k][k] > 0)) return false;
    for (std::size_t i = k + 1; i < n; ++i) {
      const double factor = a[i][k] / a[k][k];
      for (std::size_t j = k; j <= n; ++j) a[i][j] -= factor * a[k][j];
    }
  }
  double sum = 0;
  for (std::size_t k = n; k-- > 0;) {
    weight[k] = a[k][n];
    for (std::size_t j = k + 1; j < n; ++j) weight[k] -= a[k][j] * weight[j];
    weight[k] /= a[k][k];
    sum += weight[k];
  }
  if (!std::isfinite(sum) || sum == 0) return false;
  for (std::size_t k = 0; k < n; ++k) weight[k] /= sum;
  return true;
}

}  // namespace detail

/// Solves z = g(z) by Anderson's mixing of past values. `g(z, y)` writes g(z) to y.
///
/// Shapes   start [N, F]
/// Cost     up to max_steps values of g and O(memory N F) each; holds 2 memory + 2 matrices
/// Errors   ConfigError for a memory outside 1..8 or no steps
/// Threads  result independent of T
/// Source   Anderson, Iterative procedures for nonlinear integral equations, 1965; mixing as in Walker & Ni, 2011
template <Real T, class G>
AndersonResult<T> anderson(MatrixView<const T> start, const AndersonOptions& options, G&& g) {
  if (options.memory < 1 || options.memory > detail::kAndersonMemory || options.max_steps == 0) {
    throw ConfigError(message("anderson: memory is ", options.memory, " and max_steps ", options.max_steps,
                              ", want 1 to ", detail::kAndersonMemory, " and at least 1"));
  }
  const std::size_t rows = start.rows();
  const std::size_t cols = start.cols();
  std::array<Tensor<T>, detail::kAndersonMemory> value;     // g(z_k)
  std::array<Tensor<T>, detail::kAndersonMemory> residual;  // g(z_k) - z_k
  std::array<std::array<double, detail::kAndersonMemory>, detail::kAndersonMemory> gram{};
  std::array<double, detail::kAndersonMemory> weight{};
  Tensor<T> z = Tensor<T>::copy_of(start);
  AndersonResult<T> best;
  for (std::size_t step = 0; step < options.max_steps; ++step) {
    const std::size_t at = step % options.memory;
    const std::size_t filled = std::min(step + 1, options.memory);
    value[at].resize(rows, cols);
    residual[at].resize(rows, cols);
    g(std::as_const(z).view(), value[at].view());
    scale(T{-1}, std::as_const(z).view(), residual[at].view());
    axpy(T{1}, std::as_const(value[at]).view(), residual[at].view());
    for (std::size_t k = 0; k < filled; ++k) {
      gram[at][k] = gram[k][at] = detail::inner_product<T>(residual[at].view(), residual[k].view());
    }
    const double size = std::sqrt(detail::inner_product<T>(value[at].view(), value[at].view()));
    const double error = size > 0 ? std::sqrt(gram[at][at]) / size : std::sqrt(gram[at][at]);
    best.steps = step + 1;
    if (step == 0 || error < best.residual) {
      best.residual = error;
      best.value = Tensor<T>::copy_of(std::as_const(value[at]).view());
    }
    if (!(error > options.tolerance)) break;
    if (!detail::mixing_weights(gram, filled, weight)) {
      weight.fill(0);
      weight[at] = 1;
    }
    scale(static_cast<T>(weight[0]), std::as_const(value[0]).view(), z.view());
    for (std::size_t k = 1; k < filled; ++k) {
      axpy(static_cast<T>(weight[k]), std::as_const(value[k]).view(), z.view());
    }
  }
  return best;
}

}  // namespace tessera
