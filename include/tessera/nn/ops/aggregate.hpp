// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/kernels/column_tiles.hpp"
#include "tessera/kernels/spmm.hpp"
#include "tessera/kernels/spmm_max.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/finish.hpp"

namespace tessera {

/// How the rows of the neighbours become one row. An empty neighbourhood gives 0.
enum class Reduce {
  sum,   ///< weighted by the adjacency
  mean,  ///< sum over the entries divided by their number; weights are ignored
  max    ///< elementwise; weights are ignored; the first of equal entries gets the gradient
};

namespace detail {

template <class Ctx>
void check_aggregate(const Ctx& ctx, const Adjacency& a, Var x, std::string_view operation) {
  if (ctx.rows(x) != a.num_src()) {
    throw ShapeError(
        message(operation, ": x has ", ctx.rows(x), " rows, the adjacency has ", a.num_src(), " sources"));
  }
  if constexpr (Ctx::kRecords) {
    if (ctx.needs_grad(x) && (a.transpose.num_rows != a.num_src() || a.transpose.num_cols != a.num_dst())) {
      throw ShapeError(message(operation, ": the adjacency's transpose is [", a.transpose.num_rows, ", ",
                               a.transpose.num_cols, "], want [", a.num_src(), ", ", a.num_dst(),
                               "]; backward needs it"));
    }
  }
}

/// Z = A X, or D^(-1) A X: dX = A^T gz, or A^T D^(-1) gz, on the transposed matrix so that rows stay with one
/// writer.
template <Real T>
void aggregate_vjp(Tape<T>& tape, const Adjacency& a, Reduce reduce, Var x, MatrixView<const T> gz) {
  const auto into = [&](MatrixView<T> grad) {
    if (reduce == Reduce::sum) {
      spmm_sum(a.transpose, gz, grad);
    } else {
      spmm_mean_backward(a.transpose, a.forward, gz, grad);
    }
  };
  const GradSlot<T> slot = tape.grad_slot(x);
  if (!slot.add) return into(slot.grad);
  Tensor<T> part(slot.grad.rows(), slot.grad.cols());
  into(part.view());
  tape.add_grad(x, std::as_const(part).view());
}

template <Real T>
void aggregate_value(const Adjacency& a, Reduce reduce, MatrixView<const T> x, MatrixView<T> y,
                     const Epilogue<T>& epilogue = {}) {
  const auto product = [&](MatrixView<const T> in, MatrixView<T> out, const Epilogue<T>& finish) {
    if (reduce == Reduce::sum) {
      spmm_sum(a.forward, in, out, finish);
    } else {
      spmm_mean(a.forward, in, out, finish);
    }
  };
  // Masks of dropout count columns from the first.
  const std::size_t columns = epilogue.dropout.probability == 0 ? columns_at_once(x) : 0;
  if (columns == 0) return product(x, y, epilogue);
  in_column_tiles(x, y, epilogue, columns, product);
}

/// The same in bf16.
inline Tensor<bf16> aggregate_grad_narrow(const Adjacency& a, Reduce reduce, MatrixView<const bf16> gz) {
  Tensor<bf16> part(a.num_src(), gz.cols());
  if (reduce == Reduce::sum) {
    spmm_sum<bf16, bf16>(a.transpose, gz, part.view());
  } else {
    spmm_mean_backward<bf16>(a.transpose, a.forward, gz, part.view());
  }
  return part;
}
inline void aggregate_vjp_narrow(Tape<float>& tape, const Adjacency& a, Reduce reduce, Var x,
                                 MatrixView<const bf16> gz) {
  tape.add_grad(x, aggregate_grad_narrow(a, reduce, gz));
}

template <class Y>
void aggregate_value_narrow(const Adjacency& a, Reduce reduce, MatrixView<const bf16> x, MatrixView<Y> y,
                            const Epilogue<float>& epilogue) {
  if (reduce == Reduce::sum) {
    spmm_sum<bf16, Y>(a.forward, x, y, epilogue);
  } else {
    spmm_mean<bf16, Y>(a.forward, x, y, epilogue);
  }
}

template <Real T>
struct AggregateOp {
  static constexpr std::string_view kName = "aggregate";
  Adjacency a;
  Reduce reduce;
  Var x;
  Finish finish;
  bool narrow = false;  ///< computed in bf16

  std::array<Var, 2> inputs() const noexcept { return {x, finish.bias}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return finish.activation != Activation::none; }

  void vjp(Tape<T>& tape, Var self) const {
    if constexpr (kNarrows<Tape<T>>) {
      if (narrow) {
        const MatrixView<const bf16> gz = finish_vjp_narrow(tape, self, finish);
        if (tape.needs_grad(x)) aggregate_vjp_narrow(tape, a, reduce, x, gz);
        return;
      }
    }
    const MatrixView<const T> gz = finish_vjp(tape, self, finish);
    if (tape.needs_grad(x)) aggregate_vjp(tape, a, reduce, x, gz);
  }
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    if (tape.has_tangent(x)) {
      aggregate_value(a, reduce, tape.tangent(x), t);
    } else {
      copy_or_zero(MatrixView<const T>(), t);
    }
    finish_jvp(tape, self, finish, t);
  }
};

template <Real T>
struct AggregateMaxOp {
  static constexpr std::string_view kName = "aggregate(max)";
  Adjacency a;
  Var x;
  Finish finish;
  Tensor<std::int32_t> arg;

  std::array<Var, 2> inputs() const noexcept { return {x, finish.bias}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return finish.activation != Activation::none; }

  // dX[arg(i, f), f] += gz(i, f).
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> gz = finish_vjp(tape, self, finish);
    if (!tape.needs_grad(x)) return;
    const GradSlot<T> slot = tape.grad_slot(x);
    if (!slot.add) {
      spmm_max_backward(a.transpose, arg.view(), gz, slot.grad);
      return;
    }
    Tensor<T> part(slot.grad.rows(), slot.grad.cols());
    spmm_max_backward(a.transpose, arg.view(), gz, part.view());
    tape.add_grad(x, std::as_const(part).view());
  }
  void jvp(Tape<T>& tape, Var self) const {
    const MatrixView<T> t = tape.make_tangent(self);
    const MatrixView<const T> tx = tape.tangent(x);
    parallel_for(t.rows(), kRowGrain, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        for (std::size_t f = 0; f < t.cols(); ++f) {
          const std::int32_t from = arg(i, f);
          t(i, f) = from < 0 || tx.data() == nullptr ? T{0} : tx(static_cast<std::size_t>(from), f);
        }
      }
    });
    finish_jvp(tape, self, finish, t);
  }
};

}  // namespace detail

/// y = dropout(activation(A x + b)) with A x summed, averaged or maximised over the neighbours of each row.
///
/// Shapes   a [N_dst, N_src], x [N_src, F], finish.bias [1, F] -> y [N_dst, F]
/// Cost     2 E F flops, backward the same on the transpose. Keeps y under an activation, and 4 bytes per
///          element for max; the arrays behind `a` must live until the tape is rewound
/// Errors   ShapeError if the shapes do not fit, or a gradient is wanted and the transpose is missing
template <class Ctx>
Var aggregate(Ctx& ctx, const Adjacency& a, Var x, Reduce reduce = Reduce::sum, const Finish& finish = {}) {
  using T = typename Ctx::Scalar;
  detail::check_aggregate(ctx, a, x, "aggregate");
  detail::check_finish(ctx, finish, ctx.cols(x), "aggregate");
  if constexpr (kNarrows<Ctx>) {
    if (detail::narrows(ctx) && reduce != Reduce::max) {
      const auto run = [&](auto y) {
        detail::aggregate_value_narrow(a, reduce, ctx.narrow(x), y.view(), detail::epilogue_of(ctx, finish));
        return ctx.record(std::move(y), detail::AggregateOp<T>{a, reduce, x, finish, true});
      };
      return detail::kept_narrow(finish) ? run(Tensor<bf16>(a.num_dst(), ctx.cols(x)))
                                         : run(Tensor<T>(a.num_dst(), ctx.cols(x)));
    }
  }
  const MatrixView<const T> value = ctx.value(x);
  Tensor<T> y(a.num_dst(), value.cols());
  if (reduce != Reduce::max) {
    detail::aggregate_value(a, reduce, value, y.view(), detail::epilogue_of(ctx, finish));
    return ctx.record(std::move(y), detail::AggregateOp<T>{a, reduce, x, finish});
  }
  Tensor<std::int32_t> arg(a.num_dst(), value.cols());
  spmm_max(a.forward, value, y.view(), arg.view());
  apply_epilogue(y.view(), detail::epilogue_of(ctx, finish));
  return ctx.record(std::move(y), detail::AggregateMaxOp<T>{a, x, finish, std::move(arg)});
}

}  // namespace tessera
