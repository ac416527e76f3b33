// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/distill/detail/soft_row.hpp"
#include "tessera/kernels/detail/dense_support.hpp"

namespace tessera {

/// Weights of the rule below; published runs search {0.01, ..., 10} for each.
struct HeuristicOptions {
  double mu = 0.5;      ///< of a small logit
  double nu = 0.5;      ///< of a mixed neighbourhood
  double gamma = 0.5;   ///< of an undecided student
  double k = 1;         ///< temperatures lie in (-0.2 k, 0.8 k)
  double median = 0.3;  ///< the median temperature, cut to that range
};

/// Temperatures by rule instead of by gradient: tau = k (sigmoid(mu a + nu b + gamma c + d) - 0.2) with a, b, c the
/// standardised smallness of |z|, neighbour entropy and student entropy of the node, d chosen for the median.
///
/// Shapes   z [N, C], entropy [N] -> tau [N]
/// Cost     O(N C + N log N)
/// Errors   ShapeError if extents differ; ConfigError unless k > 0
/// Threads  result independent of T
/// Source   none published: a design that follows the observations of Yang et al., WSDM 2023 (undecided nodes and mixed
///          neighbourhoods want high temperatures); not the LTD+ of that paper
template <Real T>
void heuristic_temperatures(MatrixView<const T> z, std::span<const T> entropy, const HeuristicOptions& o,
                            std::span<T> tau) {
  const std::size_t n = z.rows();
  detail::check_size("heuristic_temperatures", "entropy", entropy.size(), n);
  detail::check_size("heuristic_temperatures", "tau", tau.size(), n);
  if (!(o.k > 0)) throw ConfigError(message("heuristic_temperatures: k is ", o.k, ", want a number above 0"));
  if (n == 0) return;
  Array<double> small(n);
  Array<double> mixed(n);
  Array<double> undecided(n);
  parallel_for(n, 256, [&](std::size_t i, std::size_t end) {
    Array<double> log_p(z.cols());
    for (; i < end; ++i) {
      double squares = 0;
      for (const T x : z.row(i)) squares += static_cast<double>(x) * static_cast<double>(x);
      detail::log_softmax_row(z.row(i), 1.0, log_p.span());
      small[i] = -std::sqrt(squares);
      mixed[i] = static_cast<double>(entropy[i]);
      undecided[i] = 0;
      for (const double l : log_p) undecided[i] -= std::exp(l) * l;
    }
  });
  const auto standardise = [&](Array<double>& x) {
    const auto mean_of = [&](auto&& f) {
      return parallel_sum<double>(n, 4096,
                                  [&](std::size_t i, std::size_t end) {
                                    double sum = 0;
                                    for (; i < end; ++i) sum += f(x[i]);
                                    return sum;
                                  }) /
             static_cast<double>(n);
    };
    const double mean = mean_of([](double v) { return v; });
    const double spread = std::sqrt(mean_of([&](double v) { return (v - mean) * (v - mean); }));
    for (double& v : x) v = spread > 0 ? (v - mean) / spread : 0;
  };
  for (Array<double>* x : {&small, &mixed, &undecided}) standardise(*x);
  for (std::size_t i = 0; i < n; ++i) small[i] = o.mu * small[i] + o.nu * mixed[i] + o.gamma * undecided[i];
  mixed = Array<double>::copy_of(small.span());
  std::nth_element(mixed.begin(), mixed.begin() + n / 2, mixed.end());
  const double share = std::clamp(o.median / o.k + 0.2, 0.01, 0.99);
  const double shift = std::log(share / (1 - share)) - mixed[n / 2];
  for (std::size_t i = 0; i < n; ++i) {
    const double value = o.k * (1 / (1 + std::exp(-small[i] - shift)) - 0.2);
    tau[i] = static_cast<T>(std::abs(value) < 1e-4 ? 1e-4 : value);
  }
}

}  // namespace tessera
