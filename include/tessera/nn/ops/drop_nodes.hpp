// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/parallel.hpp"
#include "tessera/kernels/dropout.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

namespace detail {

/// to_i = from_i / (1 - p) where the draw of element (i, 0) keeps it, else 0; `to` may be `from`.
template <Real T>
void drop_rows(MatrixView<const T> from, MatrixView<T> to, const DropoutMask& mask) {
  const T scale = dropout_scale<T>(mask);
  parallel_for(to.rows(), kRowGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      const bool keeps = dropout_keeps(mask, i, 0);
      for (std::size_t j = 0; j < to.cols(); ++j) to(i, j) = keeps ? scale * from(i, j) : T{0};
    }
  });
}

template <Real T>
struct DropNodesOp {
  static constexpr std::string_view kName = "drop_nodes";
  Var x;
  DropoutMask mask;

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }

  // The mask is drawn again: nothing is stored.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<T> g = tape.grad(self);
    drop_rows<T>(g, g, mask);
    tape.add_grad(x, tape.take_grad(self));
  }
  void jvp(Tape<T>& tape, Var self) const { drop_rows<T>(tape.tangent(x), tape.make_tangent(self), mask); }
};

}  // namespace detail

/// Whole rows dropped: row i is 0 with probability p and x_i / (1 - p) otherwise; p = 0 gives x itself.
///
/// Shapes   x [N, F] -> y [N, F]
/// Cost     O(N F), one block of Philox per row
/// Errors   ConfigError unless p is in [0, 1]
/// Source   Feng et al., Graph random neural networks for semi-supervised learning on graphs, NeurIPS 2020,
///          section 3.1 (DropNode)
template <class Ctx>
Var drop_nodes(Ctx& ctx, Var x, const DropoutMask& mask) {
  using T = typename Ctx::Scalar;
  check_dropout(mask, "drop_nodes");
  if (mask.probability == 0.0f) return x;
  const MatrixView<const T> value = ctx.value(x);
  Tensor<T> y(value.rows(), value.cols());
  detail::drop_rows<T>(value, y.view(), mask);
  return ctx.record(std::move(y), detail::DropNodesOp<T>{x, mask});
}

}  // namespace tessera
