// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/scalar.hpp"

namespace tessera {

/// How alike two hidden rows x and y are, as local structure is measured; delta = x - y.
enum class EdgeKernel {
  linear,             ///< <x, y>
  cosine,             ///< <x, y> / max(|x| |y|, 1e-8)
  cosine_polynomial,  ///< cosine^2 ("poly" of efficient-gnns)
  polynomial,         ///< (<x, y> + offset)^degree
  euclidean,          ///< |delta|^2, the paper's
  distance,           ///< |delta| ("l2" of efficient-gnns: farther neighbours get more)
  rbf,                ///< exp(-|delta|^2 / (2 sigma))
  laplacian           ///< exp(-|delta|_1 / sigma), the original repository's with sigma = 100
};

namespace detail {

struct EdgeKernelOptions {
  EdgeKernel kernel = EdgeKernel::cosine;
  double sigma = 100;
  int degree = 2;
  double offset = 0;
};

/// Values and gradients of a kernel between rows of one matrix.
template <Real T>
class EdgeKernelFunction {
 public:
  EdgeKernelFunction(MatrixView<const T> h, const EdgeKernelOptions& o) : h_(h), o_(o) {
    if (o.kernel != EdgeKernel::cosine && o.kernel != EdgeKernel::cosine_polynomial) return;
    length_.resize(h.rows());
    parallel_for(h.rows(), 256, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) length_[i] = std::sqrt(dot(i, i));
    });
  }

  double operator()(std::size_t i, std::size_t j) const {
    switch (o_.kernel) {
      case EdgeKernel::linear:
        return dot(i, j);
      case EdgeKernel::cosine:
        return cosine(i, j);
      case EdgeKernel::cosine_polynomial:
        return cosine(i, j) * cosine(i, j);
      case EdgeKernel::polynomial:
        return std::pow(dot(i, j) + o_.offset, o_.degree);
      case EdgeKernel::euclidean:
        return squared_distance(i, j);
      case EdgeKernel::distance:
        return std::sqrt(squared_distance(i, j));
      case EdgeKernel::rbf:
        return std::exp(-squared_distance(i, j) / (2 * o_.sigma));
      case EdgeKernel::laplacian:
        break;
    }
    return std::exp(-manhattan(i, j) / o_.sigma);
  }

  /// sums += g dk(x_v, x_u) / dx_v. Kernels are symmetric, so this serves both roles of v.
  void add_gradient(std::size_t v, std::size_t u, double g, std::span<double> sums) const {
    if (g == 0) return;
    const auto x = h_.row(v);
    const auto y = h_.row(u);
    const auto add = [&](double on_x, double on_y) {
      for (std::size_t j = 0; j < sums.size(); ++j)
        sums[j] += g * (on_x * static_cast<double>(x[j]) + on_y * static_cast<double>(y[j]));
    };
    switch (o_.kernel) {
      case EdgeKernel::linear:
        return add(0, 1);
      case EdgeKernel::cosine:
      case EdgeKernel::cosine_polynomial: {
        const double lengths = length_[v] * length_[u];
        if (lengths < 1e-8) return;  // a row of zeros has no direction
        const double c = dot(v, u) / lengths;
        const double outer = o_.kernel == EdgeKernel::cosine ? 1 : 2 * c;
        return add(-outer * c / (length_[v] * length_[v]), outer / lengths);
      }
      case EdgeKernel::polynomial:
        return add(0, o_.degree * std::pow(dot(v, u) + o_.offset, o_.degree - 1));
      case EdgeKernel::euclidean:
        return add(2, -2);
      case EdgeKernel::distance: {
        const double d = std::sqrt(squared_distance(v, u));
        return d == 0 ? void() : add(1 / d, -1 / d);
      }
      case EdgeKernel::rbf: {
        const double k = (*this)(v, u) / o_.sigma;
        return add(-k, k);
      }
      case EdgeKernel::laplacian:
        break;
    }
    const double k = g * (*this)(v, u) / o_.sigma;
    for (std::size_t j = 0; j < sums.size(); ++j) {
      if (x[j] != y[j]) sums[j] += x[j] > y[j] ? -k : k;
    }
  }

 private:
  template <class F>
  double sum(std::size_t i, std::size_t j, F&& f) const {
    const auto x = h_.row(i);
    const auto y = h_.row(j);
    double total = 0;
    for (std::size_t k = 0; k < x.size(); ++k)
      total += f(static_cast<double>(x[k]), static_cast<double>(y[k]));
    return total;
  }
  double dot(std::size_t i, std::size_t j) const {
    return sum(i, j, [](double x, double y) { return x * y; });
  }
  double squared_distance(std::size_t i, std::size_t j) const {
    return sum(i, j, [](double x, double y) { return (x - y) * (x - y); });
  }
  double manhattan(std::size_t i, std::size_t j) const {
    return sum(i, j, [](double x, double y) { return std::abs(x - y); });
  }
  double cosine(std::size_t i, std::size_t j) const {
    return dot(i, j) / std::max(length_[i] * length_[j], 1e-8);
  }

  MatrixView<const T> h_;
  EdgeKernelOptions o_;
  Array<double> length_;
};

}  // namespace detail
}  // namespace tessera
