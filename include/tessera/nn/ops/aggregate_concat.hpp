// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/kernels/bf16_dropout.hpp"
#include "tessera/kernels/dropout.hpp"
#include "tessera/nn/ops/aggregate.hpp"

namespace tessera {

namespace detail {

/// Draws the mask over a whole row-major matrix in place.
template <Real T>
void dropout_in_place(MatrixView<T> x, const DropoutMask& mask) {
  if (mask.probability > 0.0f) dropout(MatrixView<const T>(x), x, mask);
}

/// The first rows of y += x.
inline void add_head_rows(MatrixView<const bf16> x, MatrixView<bf16> y) {
  const Isa isa = tessera::active_isa();
  parallel_for(x.rows(), rows_per_block(x.cols()), [&](std::size_t begin, std::size_t end) {
    dispatch(isa, [&](auto) TESSERA_INLINE_LAMBDA {
      for (std::size_t i = begin; i < end; ++i) {
        const bf16* const from = x.data() + i * x.stride();
        bf16* const to = y.data() + i * y.stride();
        for_vectors<float>(x.cols(), [=]<std::size_t W>(std::size_t j) TESSERA_INLINE_LAMBDA {
          Simd<float, W> sum, term;
          simd_load<W, float>(sum, to + j);
          simd_load<W, float>(term, from + j);
          sum += term;
          simd_store<W, float>(to + j, sum);
        });
      }
    });
  });
}

template <Real T>
struct AggregateConcatOp {
  static constexpr std::string_view kName = "aggregate_concat";
  Adjacency a;
  Reduce reduce;
  Var x;
  DropoutMask mask;
  bool narrow = false;   ///< computed in bf16
  Bf16DropoutBits bits;  ///< of `mask`, where narrow and dropping

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return false; }

  // With [g_1 | g_2] = G under the mask: dX = A^T g_1, plus g_2 in the first N_dst rows.
  void vjp(Tape<T>& tape, Var self) const {
    if constexpr (kNarrows<Tape<T>>) {
      if (narrow) {
        const MatrixView<bf16> g = tape.narrow_grad(self);
        if (mask.probability > 0.0f) bf16_dropout_backward(g, bits, mask);
        const std::size_t width = g.cols() / 2;
        Tensor<bf16> part = aggregate_grad_narrow(a, reduce, MatrixView<const bf16>(g.middle_cols(0, width)));
        add_head_rows(MatrixView<const bf16>(g.middle_cols(width, width)), part.view());
        return tape.add_grad(x, std::move(part));
      }
    }
    const MatrixView<T> g = tape.grad(self);
    dropout_in_place(g, mask);
    const std::size_t width = g.cols() / 2;
    aggregate_vjp(tape, a, reduce, x, MatrixView<const T>(g.middle_cols(0, width)));
    tape.add_grad(x, MatrixView<const T>(g.middle_cols(width, width)));
  }
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    const std::size_t width = t.cols() / 2;
    aggregate_value(a, reduce, tape.tangent(x), t.middle_cols(0, width));
    copy_or_zero(tape.tangent(x).middle_rows(0, t.rows()), t.middle_cols(width, width));
    dropout_in_place(t, mask);
  }
};

}  // namespace detail

/// y = dropout([A x | x_dst]): what is around a node beside what it is, x_dst being the first N_dst rows.
///
/// Shapes   a [N_dst, N_src], x [N_src, F] -> y [N_dst, 2 F]
/// Cost     2 E F flops, backward the same on the transpose; keeps nothing, or in bf16 a bit per element that dropout saw
/// Errors   ShapeError if the shapes do not fit; ConfigError if `reduce` is max
template <class Ctx>
Var aggregate_concat(Ctx& ctx, const Adjacency& a, Var x, Reduce reduce = Reduce::sum,
                     const DropoutMask& mask = {}) {
  using T = typename Ctx::Scalar;
  detail::check_aggregate(ctx, a, x, "aggregate_concat");
  check_dropout(mask, "aggregate_concat");
  if (reduce == Reduce::max) throw ConfigError("aggregate_concat: reduce is max, want sum or mean");
  if (a.num_dst() > ctx.rows(x)) {
    throw ShapeError(message("aggregate_concat: x has ", ctx.rows(x), " rows, want at least ", a.num_dst()));
  }
  const std::size_t width = ctx.cols(x);
  if constexpr (kNarrows<Ctx>) {
    if (detail::narrows(ctx)) {
      const MatrixView<const bf16> half = ctx.narrow(x);
      Tensor<bf16> y(a.num_dst(), 2 * width);
      detail::aggregate_value_narrow(a, reduce, half, y.view().middle_cols(0, width), {});
      convert_rows(half.middle_rows(0, a.num_dst()), y.view().middle_cols(width, width));
      Bf16DropoutBits bits;
      if (mask.probability > 0.0f) {
        if (ctx.needs_grad(x)) bits = Bf16DropoutBits(y.rows(), y.cols());
        bf16_dropout(std::as_const(y).view(), y.view(), mask, bits.empty() ? nullptr : &bits);
      }
      return ctx.record(std::move(y),
                        detail::AggregateConcatOp<T>{a, reduce, x, mask, true, std::move(bits)});
    }
  }
  const MatrixView<const T> value = ctx.value(x);
  Tensor<T> y(a.num_dst(), 2 * width);
  detail::aggregate_value(a, reduce, value, y.view().middle_cols(0, width));
  detail::copy_or_zero(value.middle_rows(0, a.num_dst()), y.view().middle_cols(width, width));
  detail::dropout_in_place(y.view(), mask);
  return ctx.record(std::move(y), detail::AggregateConcatOp<T>{a, reduce, x, mask, false, {}});
}

}  // namespace tessera
