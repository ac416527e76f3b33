// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/losses/scalar_loss.hpp"

namespace tessera {

namespace detail {

/// Sums per element of `loss(z - y, slope)`, which sets the slope; NaN targets do not count.
template <Real T, class Element>
LossSum elementwise_error(std::string_view who, MatrixView<const T> z, const Targets& targets,
                          MatrixView<T> grad, Element&& loss) {
  const MatrixView<const float> y = targets.indicators;
  if (y.rows() != z.rows() || y.cols() != z.cols() ||
      (!targets.weights.empty() && targets.weights.size() != z.rows())) {
    throw ShapeError(message(who, ": targets are [", y.rows(), ", ", y.cols(), "] with ",
                             targets.weights.size(), " weights, want [", z.rows(), ", ", z.cols(), "]"));
  }
  const auto weight = [&](std::size_t i) {
    return targets.weights.empty() ? 1.0 : static_cast<double>(targets.weights[i]);
  };
  const auto each = [&](auto&& f) {
    return parallel_sum<double>(z.rows(), 256, [&](std::size_t i, std::size_t end) {
      double sum = 0;
      for (; i < end; ++i) {
        for (std::size_t j = 0; j < z.cols(); ++j) sum += f(i, j);
      }
      return sum;
    });
  };
  LossSum out;
  out.weight_sum = each([&](std::size_t i, std::size_t j) { return std::isnan(y(i, j)) ? 0 : weight(i); });
  const double share = out.weight_sum > 0 ? 1 / out.weight_sum : 0;
  out.loss_sum = each([&](std::size_t i, std::size_t j) {
    double slope = 0;
    double value = 0;
    if (!std::isnan(y(i, j))) {
      value = weight(i) * loss(static_cast<double>(z(i, j)) - static_cast<double>(y(i, j)), slope);
    }
    if (!grad.empty()) grad(i, j) = static_cast<T>(slope * weight(i) * share);
    return value;
  });
  return out;
}

template <Real T>
struct SquaredErrorOp : ScalarLossOp<T, SquaredErrorOp<T>> {
  static constexpr std::string_view kName = "squared_error";
  Targets targets;

  LossSum operator()(MatrixView<const T> z, MatrixView<T> grad) const {
    return elementwise_error<T>(kName, z, targets, grad, [](double d, double& slope) {
      slope = 2 * d;
      return d * d;
    });
  }
};

template <Real T>
struct AbsoluteErrorOp : ScalarLossOp<T, AbsoluteErrorOp<T>> {
  static constexpr std::string_view kName = "absolute_error";
  Targets targets;

  LossSum operator()(MatrixView<const T> z, MatrixView<T> grad) const {
    return elementwise_error<T>(kName, z, targets, grad, [](double d, double& slope) {
      slope = d > 0 ? 1 : d < 0 ? -1 : 0;
      return std::abs(d);
    });
  }
};

}  // namespace detail

/// The weighted mean of (z - y)^2 over the counted elements, of regression; its root is the RMSE.
///
/// Shapes   z [N, C], targets.indicators [N, C] of any numbers, NaN where there is none; targets.weights [N] or
///          empty -> [1, 1]
/// Cost     O(N C), once more in backward; keeps z and nothing else
/// Errors   ShapeError if the targets do not fit
struct SquaredError {
  template <class Ctx>
  Var operator()(Ctx& ctx, Var z, const Targets& targets) const {
    detail::SquaredErrorOp<typename Ctx::Scalar> op;
    op.targets = targets;
    return detail::record_loss(ctx, z, std::move(op));
  }
};

/// The weighted mean of |z - y| over the counted elements; the derivative at 0 is 0.
///
/// Shapes   as SquaredError
/// Cost     as SquaredError
/// Errors   as SquaredError
struct AbsoluteError {
  template <class Ctx>
  Var operator()(Ctx& ctx, Var z, const Targets& targets) const {
    detail::AbsoluteErrorOp<typename Ctx::Scalar> op;
    op.targets = targets;
    return detail::record_loss(ctx, z, std::move(op));
  }
};

}  // namespace tessera
