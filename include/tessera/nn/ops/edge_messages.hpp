// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <string_view>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/kernels/edge_sum.hpp"
#include "tessera/kernels/generalized_mean.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/aggregate.hpp"
#include "tessera/nn/ops/edge_features.hpp"

// Aggregation of messages that depend on their entry.

namespace tessera {

namespace detail {

/// A gradient for `v` where one is wanted, else nothing.
template <Real T>
Tensor<T> grad_buffer(Tape<T>& tape, Var v) {
  if (!tape.needs_grad(v)) return {};
  return Tensor<T>(tape.rows(v), tape.cols(v));
}

template <Real T>
MatrixView<T> view_or_none(Tensor<T>& t) noexcept {
  return t.empty() ? MatrixView<T>() : t.view();
}

template <Real T>
void give_grad(Tape<T>& tape, Var v, Tensor<T>&& part) {
  if (tape.needs_grad(v)) tape.add_grad(v, std::move(part));
}

template <class Ctx>
MatrixView<const typename Ctx::Scalar> value_or_none(const Ctx& ctx, Var v) {
  return v ? ctx.value(v) : MatrixView<const typename Ctx::Scalar>();
}

template <Real T>
struct EdgeSumOp {
  static constexpr std::string_view kName = "edge_sum";
  Adjacency a;
  Var x;
  Var z;

  std::array<Var, 2> inputs() const noexcept { return {x, z}; }
  std::array<Var, 2> reads() const noexcept { return {x, z}; }
  bool reads_output() const noexcept { return false; }

  void vjp(Tape<T>& tape, Var self) const {
    Tensor<T> of_x(tape.rows(x), tape.cols(x));
    Tensor<T> of_z = grad_buffer(tape, z);
    edge_sum_backward<T>(a.forward, a.transpose, EntryPositions(a).span(), tape.value(x), tape.value(z),
                         tape.grad(self), of_x.view(), view_or_none(of_z));
    give_grad(tape, z, std::move(of_z));
    give_grad(tape, x, std::move(of_x));
  }
};

template <Real T>
struct GatedSumOp {
  static constexpr std::string_view kName = "gated_sum";
  Adjacency a;
  Var target;
  Var source;
  Var value;
  Var entry_gate;
  Var entry_value;

  std::array<Var, 5> inputs() const noexcept { return {target, source, value, entry_gate, entry_value}; }
  std::array<Var, 5> reads() const noexcept { return inputs(); }
  bool reads_output() const noexcept { return false; }

  template <class Ctx>
  GatedInput<T> values(const Ctx& ctx) const {
    return {ctx.value(target), ctx.value(source), ctx.value(value), value_or_none(ctx, entry_gate),
            value_or_none(ctx, entry_value)};
  }
  void vjp(Tape<T>& tape, Var self) const {
    const auto like = [&](Var v) { return Tensor<T>(tape.rows(v), tape.cols(v)); };
    Tensor<T> of_target = like(target), of_source = like(source), of_value = like(value);
    Tensor<T> of_gate = grad_buffer(tape, entry_gate), of_entry = grad_buffer(tape, entry_value);
    gated_sum_backward<T>(
        a.forward, a.transpose, EntryPositions(a).span(), values(tape), tape.grad(self),
        {of_target.view(), of_source.view(), of_value.view(), view_or_none(of_gate), view_or_none(of_entry)});
    give_grad(tape, target, std::move(of_target));
    give_grad(tape, source, std::move(of_source));
    give_grad(tape, value, std::move(of_value));
    give_grad(tape, entry_gate, std::move(of_gate));
    give_grad(tape, entry_value, std::move(of_entry));
  }
};

template <Real T>
struct GeneralizedMeanOp {
  static constexpr std::string_view kName = "generalized_mean";
  Adjacency a;
  Var x;
  Var z;
  Var t;
  GeneralizedMean kind;
  Tensor<T> saved;

  std::array<Var, 3> inputs() const noexcept { return {x, z, t}; }
  std::array<Var, 3> reads() const noexcept { return {x, z, t}; }
  bool reads_output() const noexcept { return true; }

  void vjp(Tape<T>& tape, Var self) const {
    Tensor<T> of_x(tape.rows(x), tape.cols(x));
    Tensor<T> of_z = grad_buffer(tape, z);
    const T of_t =
        generalized_mean_backward<T>(a.forward, a.transpose, EntryPositions(a).span(), tape.value(x),
                                     value_or_none(tape, z), kind, tape.value(t)(0, 0), tape.value(self),
                                     saved.view(), tape.grad(self), of_x.view(), view_or_none(of_z));
    if (tape.needs_grad(t)) {
      const GradSlot<T> slot = tape.grad_slot(t);
      slot.grad(0, 0) = slot.add ? slot.grad(0, 0) + of_t : of_t;
    }
    give_grad(tape, z, std::move(of_z));
    give_grad(tape, x, std::move(of_x));
  }
};

}  // namespace detail

/// y_i = sum over the entries e = (i, j) of max(x_j + z_e, 0): GINE's messages.
///
/// Shapes   a [N_dst, N_src] with E entries, x [N_src, F], z [E, F] -> y [N_dst, F]
/// Cost     2 E F flops, backward as much; keeps x and z
/// Errors   ShapeError if the shapes do not fit or a gradient is wanted and the transpose is missing
template <class Ctx>
Var edge_sum(Ctx& ctx, const Adjacency& a, Var x, Var z) {
  using T = typename Ctx::Scalar;
  detail::check_aggregate(ctx, a, x, "edge_sum");
  Tensor<T> y(a.num_dst(), ctx.cols(x));
  edge_sum<T>(a.forward, ctx.value(x), ctx.value(z), y.view());
  return ctx.record(std::move(y), detail::EdgeSumOp<T>{a, x, z});
}

/// y_i = sum over the entries e = (i, j) of sigmoid(target_i + source_j + entry_gate_e) (value_j + entry_value_e).
///
/// Shapes   a [N_dst, N_src] with E entries; target [N_dst, F], source and value [N_src, F]; entry_gate and
///          entry_value [E, F] or absent -> y [N_dst, F]
/// Cost     E F exponentials, twice that in backward; keeps its inputs
/// Errors   ShapeError if the shapes do not fit or a gradient is wanted and the transpose is missing
template <class Ctx>
Var gated_sum(Ctx& ctx, const Adjacency& a, Var target, Var source, Var value, Var entry_gate = {},
              Var entry_value = {}) {
  using T = typename Ctx::Scalar;
  detail::check_aggregate(ctx, a, value, "gated_sum");
  detail::GatedSumOp<T> op{a, target, source, value, entry_gate, entry_value};
  Tensor<T> y(a.num_dst(), ctx.cols(value));
  gated_sum<T>(a.forward, op.values(ctx), y.view());
  return ctx.record(std::move(y), std::move(op));
}

/// y_i = the generalised mean of the messages max(x_j + z_e, 0) + 1e-7 of row i, its parameter t learned or not.
///
/// Shapes   a [N_dst, N_src] with E entries, x [N_src, F], z [E, F] or absent, t [1, 1] -> y [N_dst, F]
/// Cost     E F exponentials or powers, as many in backward; keeps x, z, y and as many numbers as y has
/// Errors   ShapeError if the shapes do not fit or a gradient is wanted and the transpose is missing
/// Source   Li et al., DeeperGCN, 2020, eq. (3) and (4)
template <class Ctx>
Var generalized_mean(Ctx& ctx, const Adjacency& a, Var x, Var z, Var t, GeneralizedMean kind) {
  using T = typename Ctx::Scalar;
  detail::check_aggregate(ctx, a, x, "generalized_mean");
  if (ctx.value(t).size() != 1) {
    throw ShapeError(message("generalized_mean: t has ", ctx.value(t).size(), " elements, want 1"));
  }
  const std::size_t cols = ctx.cols(x);
  Tensor<T> y(a.num_dst(), cols);
  Tensor<T> saved(a.num_dst(), cols);
  generalized_mean<T>(a.forward, ctx.value(x), detail::value_or_none(ctx, z), kind, ctx.value(t)(0, 0),
                      y.view(), saved.view());
  return ctx.record(std::move(y), detail::GeneralizedMeanOp<T>{a, x, z, t, kind, std::move(saved)});
}

}  // namespace tessera
