// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <type_traits>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/elementwise.hpp"
#include "tessera/kernels/spmm.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/aggregate.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

namespace detail {

/// y = A_1 x + own x_dst, A_1 the pattern of a.
template <Real T>
void sum_with_self(CsrView<> a, std::type_identity_t<MatrixView<const T>> x, T own, MatrixView<T> y) {
  a.weight = {};
  spmm_sum<T, T>(a, x, y);
  axpy(own, x.middle_rows(0, y.rows()), y);
}

template <Real T>
struct GinSumOp {
  static constexpr std::string_view kName = "gin_sum";
  Adjacency a;
  Var x;
  Var eps;

  std::array<Var, 2> inputs() const noexcept { return {x, eps}; }
  std::array<Var, 2> reads() const noexcept { return {x, eps}; }
  bool reads_output() const noexcept { return false; }

  // dX = A^T G + (1 + eps) G in the first N_dst rows, d eps = <G, X_dst>.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> g = tape.grad(self);
    const MatrixView<const T> value = tape.value(x);
    if (eps && tape.needs_grad(eps)) {
      const GradSlot<T> slot = tape.grad_slot(eps);
      const Isa isa = tessera::active_isa();
      const T inner = parallel_sum<T>(g.rows(), kRowGrain, [&](std::size_t begin, std::size_t end) {
        T sum{0};
        dispatch(isa, [&](auto) TESSERA_INLINE_LAMBDA {
          for (std::size_t i = begin; i < end; ++i) {
            sum += lane_sum<T>(
                g.cols(), [](auto& out, const auto& u, const auto& v) TESSERA_INLINE_LAMBDA { out = u * v; },
                g.data() + i * g.stride(), value.data() + i * value.stride());
          }
        });
        return sum;
      });
      slot.grad(0, 0) = slot.add ? slot.grad(0, 0) + inner : inner;
    }
    if (!tape.needs_grad(x)) return;
    Tensor<T> part(value.rows(), value.cols());
    CsrView<> transpose = a.transpose;
    transpose.weight = {};
    spmm_sum<T, T>(transpose, g, part.view());
    axpy(own(tape), g, part.view().middle_rows(0, g.rows()));
    tape.add_grad(x, std::move(part));
  }
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    if (tape.has_tangent(x)) {
      sum_with_self<T>(a.forward, tape.tangent(x), own(tape), t);
    } else {
      copy_or_zero(MatrixView<const T>(), t);
    }
    if (eps && tape.has_tangent(eps))
      axpy(tape.tangent(eps)(0, 0), tape.value(x).middle_rows(0, t.rows()), t);
  }

 private:
  T own(const Tape<T>& tape) const { return T{1} + (eps ? tape.value(eps)(0, 0) : T{0}); }
};

}  // namespace detail

/// y_i = (1 + eps) x_i + sum over the neighbours of x_j; weights are ignored.
///
/// Shapes   a [N_dst, N_src], x [N_src, F], eps [1, 1] or absent (0) -> y [N_dst, F]
/// Cost     E F + 2 N F flops, backward the same on the transpose; keeps x
/// Errors   ShapeError if the shapes do not fit or a gradient is wanted and the transpose is missing
/// Source   Xu et al., How powerful are graph neural networks?, ICLR 2019, eq. (4.1)
template <class Ctx>
Var gin_sum(Ctx& ctx, const Adjacency& a, Var x, Var eps = {}) {
  using T = typename Ctx::Scalar;
  detail::check_aggregate(ctx, a, x, "gin_sum");
  if (eps && ctx.value(eps).size() != 1) {
    throw ShapeError(message("gin_sum: eps has ", ctx.value(eps).size(), " elements, want 1"));
  }
  const T own = T{1} + (eps ? ctx.value(eps)(0, 0) : T{0});
  Tensor<T> y(a.num_dst(), ctx.cols(x));
  detail::sum_with_self<T>(a.forward, ctx.value(x), own, y.view());
  return ctx.record(std::move(y), detail::GinSumOp<T>{a, x, eps});
}

}  // namespace tessera
