// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/attention.hpp"
#include "tessera/kernels/attention_codes.hpp"
#include "tessera/kernels/fake_quantize.hpp"
#include "tessera/kernels/head_dots.hpp"
#include "tessera/kernels/quant_attention.hpp"
#include "tessera/kernels/quantized_messages.hpp"
#include "tessera/nn/ops/attention.hpp"
#include "tessera/quant/observer.hpp"
#include "tessera/quant/quant_ops.hpp"

namespace tessera {

namespace detail {

/// Attention with what is rounded inside of it: scores (faithful), shares (fused), messages (faithful).
template <Real T>
struct QuantAttentionOp {
  static constexpr std::string_view kName = "quantized_attention";
  Adjacency a;
  Var z;
  Var source_weight;
  Var target_weight;
  AttentionOptions options;
  QuantGradient gradient = QuantGradient::straight;
  bool rounds_shares = false;
  Tensor<T> source;
  Tensor<T> target;
  Tensor<T> norm;
  OwnedGrid<T> score_grid;    ///< no scales: exact
  OwnedGrid<T> message_grid;  ///< no scales: exact
  Array<std::uint8_t> keep;

  std::array<Var, 3> inputs() const noexcept { return {z, source_weight, target_weight}; }
  std::array<Var, 3> reads() const noexcept { return inputs(); }
  bool reads_output() const noexcept { return false; }

  AttentionCodes<T> codes() const noexcept {
    return {score_grid.view(), message_grid.view(), rounds_shares, keep.span(), gradient};
  }

  // As AttentionOp.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> value = tape.value(z);
    Tensor<T> grad_z(value.rows(), value.cols());
    Tensor<T> grad_source(source.rows(), source.cols());
    Tensor<T> grad_target(target.rows(), target.cols());
    quant_attention_backward<T>(a.forward, a.transpose, value, source.view(), target.view(), options, codes(),
                                norm.view(), tape.grad(self), grad_z.view(), grad_source.view(),
                                grad_target.view());
    const bool wants_z = tape.needs_grad(z);
    const auto slot = [&](std::size_t rows) {
      return wants_z ? grad_z.view().middle_rows(0, rows) : MatrixView<T>();
    };
    head_dots_backward<T>(value, tape.value(source_weight).row(0), grad_source.view(), slot(a.num_src()),
                          row_slot(tape, source_weight));
    head_dots_backward<T>(value.middle_rows(0, a.num_dst()), tape.value(target_weight).row(0),
                          grad_target.view(), slot(a.num_dst()), row_slot(tape, target_weight));
    if (wants_z) tape.add_grad(z, std::move(grad_z));
  }
};

/// factor_eh x_jh of every entry and head whose source is not kept.
template <Real T>
struct HeadMessages {
  static constexpr std::size_t kRows = 1024;
  const CsrView<>& a;
  MatrixView<const T> x;
  MatrixView<const T> factor;
  std::span<const std::uint8_t> keep;
  RowSample sample;

  std::size_t num_blocks() const noexcept { return (a.num_rows + kRows - 1) / kRows; }
  template <class Visit>
  void for_block(std::size_t block, Visit&& visit) const {
    const std::size_t last = std::min(a.num_rows, (block + 1) * kRows);
    const std::size_t width = x.cols() / factor.cols();
    for (auto e = a.begin(block * kRows); e < a.end(last - 1); ++e) {
      if ((!keep.empty() && keep[a.col[e]] != 0) || !sample.takes(e)) continue;
      for (std::size_t f = 0; f < x.cols(); ++f) visit(factor(e, f / width) * x(a.col[e], f));
    }
  }

  ValueRange<T> range() const {
    const std::size_t heads = factor.cols();
    const Array<ValueRange<T>> source = source_ranges(x, heads);
    return parallel_reduce(
        a.num_rows, 256, ValueRange<T>{},
        [&](std::size_t begin, std::size_t end) {
          ValueRange<T> all;
          for (auto e = a.begin(begin); e < a.end(end - 1); ++e) {
            if ((!keep.empty() && keep[a.col[e]] != 0) || !sample.takes(e)) continue;
            for (std::size_t h = 0; h < heads; ++h)
              all = join(all, scaled_range(source[a.col[e] * heads + h], factor(e, h)));
          }
          return all;
        },
        [](const ValueRange<T>& p, const ValueRange<T>& q) { return join(p, q); });
  }
};

/// Takes in the scores source_j + target_i of entries whose source is not kept.
template <Real T>
void observe_scores(ObserverState<T> state, const CsrView<>& a, MatrixView<const T> source,
                    MatrixView<const T> target, std::span<const std::uint8_t> keep,
                    const QuantSettings& settings, RngKey key, std::uint32_t tensor) {
  Tensor<T> score(a.num_edges(), source.cols());
  Array<std::uint8_t> keep_entry(keep.empty() ? 0 : a.num_edges());
  parallel_for(a.num_rows, 256, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      for (auto e = a.begin(i); e < a.end(i); ++e) {
        for (std::size_t h = 0; h < source.cols(); ++h) score(e, h) = source(a.col[e], h) + target(i, h);
        if (!keep_entry.empty()) keep_entry[e] = keep[a.col[e]];
      }
    }
  });
  observe<T>(state, std::as_const(score).view(), {keep_entry.span(), {}}, settings, key, tensor);
}

template <Real T>
void observe_head_messages(ObserverState<T> state, const HeadMessages<T>& messages,
                           const QuantSettings& settings) {
  ValueRange<T> seen;
  if (settings.range == RangeRule::percentile) {
    const ValueRange<float> found = covered_range(messages, settings.percentile);
    seen = {static_cast<T>(found.min), static_cast<T>(found.max)};
  } else {
    seen = messages.range();
  }
  follow<T>(state, 0, seen.min, seen.max, settings.range, settings.momentum);
}

}  // namespace detail

/// Rows and attention vectors are codes; softmax is not. Faithful, scores and messages are codes too, the sums after them;
/// fused, shares are, in 255ths of a row's largest.
template <class C>
Var attention(QuantScope<C>& s, const Adjacency& a, Var x, Var source_weight, Var target_weight,
              const AttentionOptions& options) {
  using T = typename C::Scalar;
  C& base = s.base();
  const Var z = s.quantize(x, QuantRole::features);
  const Var source = s.quantize(source_weight, QuantRole::attention);
  const Var target = s.quantize(target_weight, QuantRole::attention);
  const QuantRole inside = s.fused() ? QuantRole::share : QuantRole::logit;
  const QuantPoint& scores = s.take_point(inside, a.num_src(), options.heads);
  const QuantPoint* const messages =
      s.fused() ? nullptr : &s.take_point(QuantRole::message, a.num_src(), s.cols(x));
  const bool rounds_messages = messages != nullptr && messages->active;
  const bool any = !s.plans() && (scores.active || rounds_messages);
  const bool acts = any && s.run().mode != QuantMode::calibrate;
  const bool needs_ranges = any && !s.fused() && a.forward.num_edges() > 0;
  if (!acts && !needs_ranges) {
    const Var y = attention(base, a, z, source, target, options);
    if (z != x) base.forget(z);
    return s.fused() ? y : s.quantize(y, QuantRole::aggregate);
  }
  detail::check_aggregate(base, a, z, "quantized_attention");
  const MatrixView<const T> value = s.value(z);
  detail::check_attention<T>("quantized_attention", a.forward, value, options);
  const std::size_t heads = options.heads;
  const std::size_t edges = a.forward.num_edges();
  detail::QuantAttentionOp<T> op;
  op.a = a;
  op.z = z;
  op.source_weight = source;
  op.target_weight = target;
  op.options = options;
  op.gradient = s.settings().gradient;
  op.rounds_shares = s.fused() && acts;
  op.keep =
      Array<std::uint8_t>::copy_of(scores.masked ? s.keep(a.num_src()) : std::span<const std::uint8_t>{});
  op.source = Tensor<T>(a.num_src(), heads);
  op.target = Tensor<T>(a.num_dst(), heads);
  op.norm = Tensor<T>(a.num_dst(), 3 * heads);
  head_dots<T>(value, base.value(source).row(0), op.source.view());
  head_dots<T>(value.middle_rows(0, a.num_dst()), base.value(target).row(0), op.target.view());
  if (needs_ranges && scores.active) {
    if (s.observes()) {
      detail::observe_scores<T>(s.state(scores), a.forward, op.source.view(), op.target.view(),
                                op.keep.span(), s.settings(), s.run().key, s.point_number());
    }
    if (acts && !s.nothing_seen(scores)) op.score_grid = s.grid(scores);
  }
  quant_attention_norm<T>(a.forward, op.source.view(), op.target.view(), options, op.codes(), op.norm.view());
  if (needs_ranges && rounds_messages) {
    if (s.observes()) {
      Tensor<T> factor(edges, heads);
      quant_attention_factors<T>(a.forward, op.source.view(), op.target.view(), options, op.codes(),
                                 op.norm.view(), factor.view());
      const bool ranks = s.settings().range == RangeRule::percentile;
      const detail::HeadMessages<T> all{
          a.forward, value, std::as_const(factor).view(), op.keep.span(),
          ranks ? detail::RowSample(edges * value.cols(), s.settings().sample, s.run().key, s.point_number())
                : detail::RowSample()};
      detail::observe_head_messages<T>(s.state(*messages), all, s.settings());
    }
    if (acts && !s.nothing_seen(*messages)) op.message_grid = s.grid(*messages);
  }
  Tensor<T> y(a.num_dst(), value.cols());
  quant_attention_sum<T>(a.forward, value, op.source.view(), op.target.view(), options, op.codes(),
                         op.norm.view(), y.view());
  const Var sum = base.record(std::move(y), std::move(op));
  if (z != x) base.forget(z);
  if (s.fused()) return sum;
  const Var q = s.quantize(sum, QuantRole::aggregate);
  if (q != sum) base.forget(sum);
  return q;
}

}  // namespace tessera
