// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct IdentityMappingOp {
  static constexpr std::string_view kName = "identity_mapping";
  Var weight;
  T factor;

  std::array<Var, 1> inputs() const noexcept { return {weight}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }

  void vjp(Tape<T>& tape, Var self) const {
    const GradSlot<T> slot = tape.grad_slot(weight);
    if (!slot.add) copy_or_zero(MatrixView<const T>(), slot.grad);
    axpy(factor, tape.grad(self), slot.grad);
  }
  void jvp(Tape<T>& tape, Var self) const { scale(factor, tape.tangent(weight), tape.make_tangent(self)); }
};

}  // namespace detail

/// diagonal I + factor W: a square weight that starts from a multiple of the identity, so that X (diagonal I + factor
/// W) is one product.
///
/// Shapes   weight [F, F] -> [F, F]
/// Errors   ShapeError if the weight is not square
/// Source   Chen et al., Simple and deep graph convolutional networks, ICML 2020, eq. (5)
template <class Ctx>
Var identity_mapping(Ctx& ctx, Var weight, double diagonal, double factor) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> w = ctx.value(weight);
  if (w.rows() != w.cols()) {
    throw ShapeError(
        message("identity_mapping: weight is [", w.rows(), ", ", w.cols(), "], want a square matrix"));
  }
  Tensor<T> y(w.rows(), w.cols());
  scale(static_cast<T>(factor), w, y.view());
  for (std::size_t i = 0; i < y.rows(); ++i) y(i, i) += static_cast<T>(diagonal);
  return ctx.record(std::move(y), detail::IdentityMappingOp<T>{weight, static_cast<T>(factor)});
}

}  // namespace tessera
