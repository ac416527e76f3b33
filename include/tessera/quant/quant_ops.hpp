// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/kernels/quantized_messages.hpp"
#include "tessera/nn/ops/add_own.hpp"
#include "tessera/nn/ops/aggregate.hpp"
#include "tessera/nn/ops/aggregate_dropped.hpp"
#include "tessera/nn/ops/finish.hpp"
#include "tessera/nn/ops/gin_sum.hpp"
#include "tessera/nn/ops/linear.hpp"
#include "tessera/nn/ops/multi_aggregate.hpp"
#include "tessera/nn/ops/rows.hpp"
#include "tessera/quant/quant_scope.hpp"

// The operators of layers as quantised models run them. Each is an overload, more special than the operator itself, for
// the context QuantScope; layers find it by the type of their context.

namespace tessera {

namespace detail {

/// What of `finish` remains once its bias is added.
inline Finish after_bias(const Finish& finish) noexcept {
  return {.bias = {}, .activation = finish.activation, .dropout = finish.dropout};
}
inline bool does_something(const Finish& finish) noexcept {
  return finish.bias || finish.activation != Activation::none || finish.dropout.probability > 0;
}

/// The end of an operator whose result y lacks `finish`: quantises the sum with its bias where codes are wanted there.
template <class C>
Var finish_quantized(QuantScope<C>& s, Var y, QuantRole role, const Finish& finish) {
  const Var q = s.quantize(y, role);
  if (q != y) s.base().forget(y);
  const Finish rest = after_bias(finish);
  if (does_something(rest)) return finish_in_place(s.base(), q, rest);
  s.mark_quantized(q);
  return q;
}

/// A product with weights: fused it writes its finished rows, faithful its result becomes codes before the activation.
template <class C, class Product>
Var quantized_product(QuantScope<C>& s, const Finish& finish, Product&& product) {
  if (s.fused() || !finish.bias) return product(finish);
  return finish_quantized(s, product(Finish{.bias = finish.bias}), QuantRole::product, finish);
}

/// The factors r with a_ij = r_i r_j of a symmetric normalisation, from its entries: the square root of a node's loop,
/// and for sources that are no destinations the first entry they have over its destination's factor. 1 where nothing is
/// known. In blocks whose sampler rescales entries they are estimates, which moves codes and nothing else.
inline void symmetric_factors(const Adjacency& a, Array<float>& factor) {
  factor.resize(a.num_src());
  parallel_for(a.num_src(), 1024, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) factor[i] = 0;
  });
  parallel_for(a.num_dst(), 256, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      for (auto e = a.forward.begin(i); e < a.forward.end(i); ++e) {
        if (a.forward.col[e] == i) factor[i] = std::sqrt(a.forward.weight[e]);
      }
    }
  });
  // One thread, in the order of entries: a source takes the first entry that knows.
  for (std::size_t i = 0; a.num_src() > a.num_dst() && i < a.num_dst(); ++i) {
    for (auto e = a.forward.begin(i); e < a.forward.end(i) && factor[i] > 0; ++e) {
      const std::size_t j = a.forward.col[e];
      if (j >= a.num_dst() && factor[j] == 0.0f) factor[j] = a.forward.weight[e] / factor[i];
    }
  }
  parallel_for(a.num_src(), 1024, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      if (!(factor[i] > 0) || !std::isfinite(factor[i])) factor[i] = 1;
    }
  });
}

template <Real T>
struct QuantizedMessagesOp {
  static constexpr std::string_view kName = "quantized_messages";
  Adjacency a;
  Var x;
  OwnedGrid<T> grid;
  QuantGradient gradient;
  Array<std::uint8_t> keep;

  std::array<Var, 1> inputs() const noexcept { return {x}; }
  std::array<Var, 1> reads() const noexcept { return {x}; }
  bool reads_output() const noexcept { return false; }

  void vjp(Tape<T>& tape, Var self) const {
    Tensor<T> part(tape.rows(x), tape.cols(x));
    quantized_messages_backward<T>(a.transpose, tape.value(x), grid.view(), keep.span(), tape.grad(self),
                                   gradient, part.view());
    tape.add_grad(x, std::move(part));
  }
};

/// The weights of a matrix as a quantiser leaves them.
template <Real T>
void round_weights(const CsrView<>& a, const QuantGrid<T>& grid, Array<float>& out) {
  out.resize(a.num_edges());
  parallel_for(a.num_edges(), 4096, [&](std::size_t e, std::size_t end) {
    for (; e < end; ++e) {
      out[e] = static_cast<float>(
          round_clamped(static_cast<T>(a.weight[e]) * grid.inverse[0], grid.low[0], grid.high[0]) *
          grid.scale[0]);
    }
  });
}

/// Errors   ConfigError where the network wants coefficients and the adjacency has none
template <class C>
void check_coefficients(const QuantScope<C>& s, const Adjacency& a) {
  if (!s.plans() && s.plan().normalized && !a.forward.weighted() && a.forward.num_edges() > 0) {
    throw ConfigError(
        "QuantScope: the adjacency has no coefficients, want those of the model's aggregation()");
  }
}

/// The sum of Q(Q(norm_e) x_j): graph convolution as Degree-Quant places its quantisers.
template <class C>
Var normed_messages(QuantScope<C>& s, const Adjacency& a, Var x) {
  using T = typename C::Scalar;
  const QuantPoint& norm = s.take_point(QuantRole::norm, 0, 1);
  check_coefficients(s, a);
  Adjacency rounded = a;
  Array<float> weight;
  Array<float> transpose_weight;
  const std::size_t edges = a.forward.num_edges();
  if (!s.plans() && norm.active) {
    if (s.observes()) {
      const ValueRange<float> seen = value_range(MatrixView<const float>(a.forward.weight.data(), 1, edges));
      follow<T>(s.state(norm), 0, static_cast<T>(seen.min), static_cast<T>(seen.max), RangeRule::absolute, 0);
    }
    if (s.run().mode != QuantMode::calibrate && edges > 0) {
      const OwnedGrid<T> grid = s.grid(norm);
      round_weights(a.forward, grid.view(), weight);
      rounded.forward.weight = weight.span();
      if (s.needs_grad(x)) {
        round_weights(a.transpose, grid.view(), transpose_weight);
        rounded.transpose.weight = transpose_weight.span();
      }
      if constexpr (C::kRecords) {  // backward reads them
        s.workspace().entry_codes.push_back(std::move(weight));
        s.workspace().entry_codes.push_back(std::move(transpose_weight));
      }
    }
  }
  const QuantPoint& message = s.take_point(QuantRole::message, s.rows(x), s.cols(x));
  if (s.plans() || !message.active || edges == 0) return aggregate(s.base(), rounded, x);
  const std::span<const std::uint8_t> keep =
      message.masked ? s.keep(a.num_src()) : std::span<const std::uint8_t>{};
  if (s.observes()) {
    observe_messages<T>(s.state(message), rounded.forward, s.value(x), keep, s.settings(), s.run().key,
                        s.point_number());
  }
  if (s.run().mode == QuantMode::calibrate || s.nothing_seen(message)) {
    return aggregate(s.base(), rounded, x);
  }
  check_aggregate(s.base(), a, x, "quantized_messages");
  QuantizedMessagesOp<T> op{rounded, x, s.grid(message), s.settings().gradient, {}};
  Tensor<T> y(a.num_dst(), s.cols(x));
  quantized_messages<T>(rounded.forward, s.value(x), op.grid.view(), keep, y.view());
  if (s.needs_grad(x)) op.keep = Array<std::uint8_t>::copy_of(keep);
  return s.base().record(std::move(y), std::move(op));
}

/// The sum, mean or maximum over neighbours of rows that are codes.
template <class C>
Var quantized_aggregate(QuantScope<C>& s, const Adjacency& a, Var x, Reduce reduce, const Finish& finish,
                        const DropoutMask& entries, Dropped dropped) {
  C& base = s.base();
  if (s.reads_out(a)) return aggregate_dropped(base, a, x, reduce, finish, entries, dropped);
  const bool weighted = reduce == Reduce::sum && s.plan().normalized;
  if (s.fused()) {
    Array<float> factor;
    if (weighted) check_coefficients(s, a);
    if (weighted && s.plan().symmetric && !s.plans()) symmetric_factors(a, factor);
    const Var q = weighted ? s.quantize(x, QuantRole::features, factor.span()) : s.twin(x, QuantRole::input);
    const Var y = aggregate_dropped(base, a, q, reduce, finish, entries, dropped);
    if (weighted && q != x) base.forget(q);
    return y;
  }
  Var y;
  if (weighted) {
    if (entries.probability > 0)
      throw ConfigError("QuantScope: entry_dropout is over 0 in the faithful placement, want 0");
    const Var q = s.quantize(x, QuantRole::features);
    y = normed_messages(s, a, q);
    if (q != x) base.forget(q);
  } else {
    y = aggregate_dropped(base, a, s.twin(x, QuantRole::message), reduce, {}, entries, dropped);
  }
  const Var sum = s.quantize(y, QuantRole::aggregate);
  if (sum != y) base.forget(y);
  if (!finish.bias) {
    if (does_something(finish)) return finish_in_place(base, sum, finish);
    s.mark_quantized(sum);
    return sum;
  }
  return finish_quantized(s, finish_in_place(base, sum, {.bias = finish.bias}), QuantRole::update, finish);
}

}  // namespace detail

template <class C>
Var linear(QuantScope<C>& s, Var x, Var weight, const Finish& finish = {}) {
  const Var q = s.twin(x, QuantRole::input);
  const Var w = s.quantize(weight, QuantRole::weight);
  return detail::quantized_product(s, finish, [&](const Finish& end) { return linear(s.base(), q, w, end); });
}

template <class C>
Var add_linear(QuantScope<C>& s, Var addend, Var x, Var weight, const Finish& finish = {}) {
  const Var q = s.twin(x, QuantRole::input);
  const Var w = s.quantize(weight, QuantRole::weight);
  return detail::quantized_product(
      s, finish, [&](const Finish& end) { return add_linear(s.base(), addend, q, w, end); });
}

template <class C>
Var linear_pair(QuantScope<C>& s, Var x, Var weight_x, Var y, Var weight_y, const Finish& finish = {}) {
  const Var q = s.twin(x, QuantRole::input);
  const Var w = s.quantize(weight_x, QuantRole::weight);
  const Var r = s.twin(y, QuantRole::input);
  const Var v = s.quantize(weight_y, QuantRole::weight);
  return detail::quantized_product(s, finish,
                                   [&](const Finish& end) { return linear_pair(s.base(), q, w, r, v, end); });
}

template <class C>
Var aggregate(QuantScope<C>& s, const Adjacency& a, Var x, Reduce reduce = Reduce::sum,
              const Finish& finish = {}) {
  return detail::quantized_aggregate(s, a, x, reduce, finish, {}, Dropped::entries);
}

template <class C>
Var aggregate_dropped(QuantScope<C>& s, const Adjacency& a, Var x, Reduce reduce, const Finish& finish,
                      const DropoutMask& entries, Dropped dropped = Dropped::entries) {
  return detail::quantized_aggregate(s, a, x, reduce, finish, entries, dropped);
}

/// Fused, a node's own row and its neighbours' are the same codes; faithful, messages and sums are codes of their own and
/// the own row is not.
template <class C>
Var gin_sum(QuantScope<C>& s, const Adjacency& a, Var x, Var eps = {}) {
  C& base = s.base();
  s.leave_masks(false);
  if (s.fused()) {
    const Var y = gin_sum(base, a, s.twin(x, QuantRole::input), eps);
    s.leave_masks(true);
    return y;
  }
  Adjacency pattern = a;
  pattern.forward.weight = {};
  pattern.transpose.weight = {};
  const Var m = s.quantize(x, QuantRole::message);
  const Var sum = aggregate(base, pattern, m);
  if (m != x) base.forget(m);
  const Var q = s.quantize(sum, QuantRole::aggregate);
  if (q != sum) base.forget(sum);
  s.leave_masks(true);
  const Var y = add_own(base, q, head_rows(base, x, a.num_dst()), eps);
  base.forget(q);
  return y;
}

template <class C>
Var multi_aggregate_combine(QuantScope<C>& s, const Adjacency& a, Var u, Var weight, std::size_t heads,
                            const Aggregators& kinds) {
  const Var q = s.quantize(u, QuantRole::features);
  const Var w = s.quantize(weight, QuantRole::features);
  const Var y = multi_aggregate_combine(s.base(), a, q, w, heads, kinds);
  if (q != u) s.base().forget(q);
  if (w != weight) s.base().forget(w);
  if (s.fused()) return y;
  const Var sum = s.quantize(y, QuantRole::aggregate);
  if (sum != y) s.base().forget(y);
  return sum;
}

/// A bias that is added by itself ends a sum over neighbours.
template <class C>
Var finish_in_place(QuantScope<C>& s, Var x, const Finish& finish) {
  if (s.fused() || !finish.bias) return finish_in_place(s.base(), x, finish);
  return detail::finish_quantized(s, finish_in_place(s.base(), x, {.bias = finish.bias}), QuantRole::update,
                                  finish);
}

/// The first rows of x; their codes are the first rows of x's.
template <class C>
Var head_rows(QuantScope<C>& s, Var x, std::size_t rows) {
  const Var y = head_rows(s.base(), x, rows);
  if (y == x) return x;
  const Var q = s.find_twin(x);
  if (q == x) s.mark_quantized(y);
  if (q && q != x) s.set_twin(y, head_rows(s.base(), q, rows));
  return y;
}

}  // namespace tessera
