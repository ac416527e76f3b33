// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string_view>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/kernels/combine_heads.hpp"
#include "tessera/kernels/spmm_multi.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/aggregate.hpp"

namespace tessera {

/// A list of aggregators as a value: at most one of each kind.
class Aggregators {
 public:
  Aggregators() = default;
  /// Errors   ConfigError for a kind that comes twice
  Aggregators(std::initializer_list<Aggregator> kinds) {
    for (const Aggregator kind : kinds) push_back(kind);
  }
  void push_back(Aggregator kind) {
    if (has(kind)) throw ConfigError("Aggregators: an aggregator is listed twice, want each at most once");
    kinds_[size_++] = kind;
  }
  bool has(Aggregator kind) const noexcept {
    return std::find(kinds_.begin(), kinds_.begin() + static_cast<std::ptrdiff_t>(size_), kind) !=
           kinds_.begin() + static_cast<std::ptrdiff_t>(size_);
  }
  std::size_t size() const noexcept { return size_; }
  std::span<const Aggregator> span() const noexcept { return {kinds_.data(), size_}; }

 private:
  std::array<Aggregator, 7> kinds_{};
  std::size_t size_ = 0;
};

namespace detail {

/// What backward needs besides the aggregates, allocated as the kinds ask.
template <Real T>
struct MultiStore {
  Tensor<T> mean;
  Tensor<std::int32_t> arg_max;
  Tensor<std::int32_t> arg_min;

  MultiStore() = default;
  MultiStore(const Aggregators& kinds, std::size_t rows, std::size_t cols) {
    if (kinds.has(Aggregator::var) || kinds.has(Aggregator::std)) mean.resize(rows, cols);
    if (kinds.has(Aggregator::max)) arg_max.resize(rows, cols);
    if (kinds.has(Aggregator::min)) arg_min.resize(rows, cols);
  }
  MultiSaved<T> views() noexcept { return {view_of(mean), view_of(arg_max), view_of(arg_min)}; }

 private:
  template <class V>
  static MatrixView<V> view_of(Tensor<V>& t) noexcept {
    return t.empty() ? MatrixView<V>() : t.view();
  }
};

/// Adds the gradient of aggregates to their input.
template <Real T>
void multi_vjp(Tape<T>& tape, const Adjacency& a, const Aggregators& kinds, Var x, MatrixView<const T> y,
               MultiSaved<T> saved, MatrixView<const T> g) {
  Tensor<T> part(a.num_src(), tape.cols(x));
  spmm_multi_backward<T>(a.transpose, a.forward, tape.value(x), kinds.span(), y, saved, g, part.view());
  tape.add_grad(x, std::move(part));
}

template <Real T>
struct MultiAggregateOp {
  static constexpr std::string_view kName = "multi_aggregate";
  Adjacency a;
  Aggregators kinds;
  Var x;
  mutable MultiStore<T> store;

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 1> reads() const noexcept { return {x}; }
  bool reads_output() const noexcept { return kinds.has(Aggregator::std); }

  void vjp(Tape<T>& tape, Var self) const {
    multi_vjp<T>(tape, a, kinds, x, tape.value(self), store.views(), tape.grad(self));
  }
};

template <Real T>
struct CombineOp {
  static constexpr std::string_view kName = "multi_aggregate_combine";
  Adjacency a;
  Aggregators kinds;
  std::size_t heads;
  Var u;
  Var weight;
  Tensor<T> aggregates;
  mutable MultiStore<T> store;

  std::array<Var, 2> inputs() const noexcept { return {u, weight}; }
  std::array<Var, 2> reads() const noexcept { return {u, weight}; }
  bool reads_output() const noexcept { return false; }

  void vjp(Tape<T>& tape, Var self) const {
    Tensor<T> grad_weight(aggregates.rows(), tape.cols(weight));
    Tensor<T> grad_aggregates(aggregates.rows(), aggregates.cols());
    combine_heads_backward<T>(heads, tape.value(weight), aggregates.view(), tape.grad(self),
                              grad_weight.view(), grad_aggregates.view());
    if (tape.needs_grad(weight)) tape.add_grad(weight, std::move(grad_weight));
    if (!tape.needs_grad(u)) return;
    multi_vjp<T>(tape, a, kinds, u, aggregates.view(), store.views(), std::as_const(grad_aggregates).view());
  }
};

}  // namespace detail

/// y = [agg_1 | agg_2 | ...] of the neighbours of each row, from one reading of them.
///
/// Shapes   a [N_dst, N_src], x [N_src, F] -> y [N_dst, A F] for A aggregators
/// Cost     as spmm_multi; keeps x, the mean for var and std (and y for std), 4 bytes per element for max and min
/// Errors   ShapeError if the shapes do not fit or a gradient is wanted and the transpose is missing; ConfigError for
///          no aggregator
template <class Ctx>
Var multi_aggregate(Ctx& ctx, const Adjacency& a, Var x, const Aggregators& kinds) {
  using T = typename Ctx::Scalar;
  detail::check_aggregate(ctx, a, x, "multi_aggregate");
  const MatrixView<const T> value = ctx.value(x);
  Tensor<T> y(a.num_dst(), kinds.size() * value.cols());
  if (!ctx.needs_grad(x)) {
    spmm_multi<T>(a.forward, value, kinds.span(), y.view());
    return ctx.record(std::move(y), detail::MultiAggregateOp<T>{a, kinds, x, {}});
  }
  detail::MultiStore<T> store(kinds, a.num_dst(), value.cols());
  spmm_multi<T>(a.forward, value, kinds.span(), y.view(), store.views());
  return ctx.record(std::move(y), detail::MultiAggregateOp<T>{a, kinds, x, std::move(store)});
}

/// y_ih = sum over aggregators s and bases q of weight_i[h, s, q] s({u_jq}): the combination of EGC. Without gradients
/// the aggregates are never stored.
///
/// Shapes   a [N_dst, N_src], u [N_src, Q D], weight [N_dst, H A Q] -> y [N_dst, H D]
/// Cost     as spmm_multi_combine; keeps u, weight, the aggregates [N_dst, A Q D] and what multi_aggregate keeps
/// Errors   as multi_aggregate
/// Source   Tailor et al., Do we need anisotropic graph neural networks?, ICLR 2022, eq. (4)
template <class Ctx>
Var multi_aggregate_combine(Ctx& ctx, const Adjacency& a, Var u, Var weight, std::size_t heads,
                            const Aggregators& kinds) {
  using T = typename Ctx::Scalar;
  detail::check_aggregate(ctx, a, u, "multi_aggregate_combine");
  const MatrixView<const T> value = ctx.value(u);
  const MatrixView<const T> w = ctx.value(weight);
  const std::size_t pieces = heads == 0 ? 0 : w.cols() / heads;
  const std::size_t columns = kinds.size() * value.cols();
  if (pieces == 0 || columns % pieces != 0) {
    throw ShapeError(message("multi_aggregate_combine: weight has ", w.cols(), " columns for ", heads,
                             " heads and ", columns, " columns of aggregates"));
  }
  Tensor<T> y(a.num_dst(), heads * (columns / pieces));
  if (!ctx.needs_grad(u) && !ctx.needs_grad(weight)) {
    spmm_multi_combine<T>(a.forward, value, w, heads, kinds.span(), y.view());
    return ctx.record(std::move(y), detail::CombineOp<T>{a, kinds, heads, u, weight, {}, {}});
  }
  Tensor<T> aggregates(a.num_dst(), columns);
  detail::MultiStore<T> store(kinds, a.num_dst(), value.cols());
  spmm_multi_combine<T>(a.forward, value, w, heads, kinds.span(), y.view(), aggregates.view(), store.views());
  return ctx.record(std::move(y), detail::CombineOp<T>{a, kinds, heads, u, weight, std::move(aggregates),
                                                       std::move(store)});
}

}  // namespace tessera
