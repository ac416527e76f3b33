// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string_view>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/kernels/attention.hpp"
#include "tessera/kernels/edge_dropout.hpp"
#include "tessera/kernels/head_dots.hpp"
#include "tessera/nn/ops/attention.hpp"
#include "tessera/nn/ops/edge_features.hpp"
#include "tessera/quant/quant_ops.hpp"

namespace tessera {

namespace detail {

/// Code of a share of attention: 255ths of the row's largest share, so that a hub's small shares keep their digits.
inline constexpr double kShareCodes = 255;

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
  Tensor<T> score;   ///< [E, H]: before rounding and rectifier
  Tensor<T> share;   ///< [E, H]: softmax, before dropout and rounding
  Tensor<T> factor;  ///< [E, H]: what messages are multiplied with
  OwnedGrid<T> score_grid;
  OwnedGrid<T> message_grid;
  bool rounds_scores = false;
  bool rounds_messages = false;
  Array<std::uint8_t> keep;
  Array<std::uint8_t> alive;  ///< [E H]: shares that dropout left; empty without it

  std::array<Var, 3> inputs() const noexcept { return {z, source_weight, target_weight}; }
  std::array<Var, 3> reads() const noexcept { return inputs(); }
  bool reads_output() const noexcept { return false; }

  bool kept(NodeId j) const noexcept { return !keep.empty() && keep[j] != 0; }
  T dropout_factor(std::size_t e, std::size_t h) const noexcept {
    if (alive.empty()) return T{1};
    return alive[e * options.heads + h] != 0 ? dropout_scale<T>(options.dropout) : T{0};
  }
  T rounded_score(std::size_t e, NodeId j, std::size_t h) const noexcept {
    if (!rounds_scores || kept(j)) return score(e, h);
    const QuantGrid<T> g = score_grid.view();
    return round_clamped(score(e, h) * g.inverse[0], g.low[0], g.high[0]) * g.scale[0];
  }

  /// Which shares dropout leaves (kernels/edge_dropout.hpp), eight heads from one draw.
  void draw_shares() {
    if (options.dropout.probability == 0.0f) return;
    const std::size_t heads = options.heads;
    const std::uint32_t threshold = dropout_threshold(options.dropout);
    alive.resize(a.forward.num_edges() * heads);
    parallel_for(a.num_dst(), 64, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        for (std::size_t e = a.forward.begin(i); e < a.forward.end(i); ++e) {
          for (std::size_t first = 0; first < heads; first += 8) {
            const auto words = philox4x32({a.forward.col[e], options.dropout.call,
                                           static_cast<std::uint32_t>(first / 8), static_cast<NodeId>(i)},
                                          options.dropout.key);
            for (std::size_t h = first; h < std::min(heads, first + 8); ++h) {
              const std::uint32_t bits = (words[h % 8 / 2] >> (h % 2 == 0 ? 0 : 16)) & 0xffffu;
              alive[e * heads + h] = bits >= threshold ? 1 : 0;
            }
          }
        }
      }
    });
  }

  /// share and factor from score.
  void fill_shares(bool rounds_shares) {
    const T slope = static_cast<T>(options.slope);
    draw_shares();
    parallel_for(a.num_dst(), 64, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        const std::size_t first = a.forward.begin(i);
        const std::size_t last = a.forward.end(i);
        for (std::size_t h = 0; h < options.heads; ++h) {
          T top = -std::numeric_limits<T>::infinity();
          for (std::size_t e = first; e < last; ++e) {
            const T r = rounded_score(e, a.forward.col[e], h);
            share(e, h) = r > T{0} ? r : slope * r;
            top = std::max(top, share(e, h));
          }
          T total{0};
          for (std::size_t e = first; e < last; ++e) total += share(e, h) = std::exp(share(e, h) - top);
          T codes{0};
          for (std::size_t e = first; e < last; ++e) {
            // The largest share is exp(0) = 1 before the division.
            const T code = (share(e, h) * static_cast<T>(kShareCodes) + kRounder<T>)-kRounder<T>;
            factor(e, h) = code;
            codes += code;
            share(e, h) /= total;
          }
          for (std::size_t e = first; e < last; ++e) {
            const T used = rounds_shares ? factor(e, h) / codes : share(e, h);
            factor(e, h) = used * dropout_factor(e, h);
          }
        }
      }
    });
  }

  void sum_messages(MatrixView<const T> value, MatrixView<T> y) const {
    const std::size_t heads = options.heads;
    const std::size_t width = value.cols() / heads;
    const T* const factors = factor.data();
    const QuantGrid<T> g = rounds_messages ? message_grid.view() : QuantGrid<T>{};
    for_rows(y, [&](T* to, std::size_t i) TESSERA_INLINE_LAMBDA {
      std::fill_n(to, heads * width, T{0});
      for (auto e = a.forward.begin(i); e < a.forward.end(i); ++e) {
        const NodeId j = a.forward.col[e];
        const T* const from = value.data() + j * value.stride();
        const bool exact = !rounds_messages || (!keep.empty() && keep[j] != 0);
        for (std::size_t h = 0; h < heads; ++h) {
          const T w = factors[e * heads + h];
          T* const out = to + h * width;
          const T* const in = from + h * width;
          if (exact) {
            for (std::size_t f = 0; f < width; ++f) out[f] += w * in[f];
          } else {
            const T inverse = g.inverse[0];
            const T scale = g.scale[0];
            const T low = g.low[0];
            const T high = g.high[0];
            for (std::size_t f = 0; f < width; ++f) {
              out[f] += round_clamped((w * in[f]) * inverse, low, high) * scale;
            }
          }
        }
      }
    });
  }

  // A rounded share passes its gradient to the share; otherwise as AttentionOp: d score = leaky' share (d share - sum of
  // share d share), where the quantisers let it pass.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> value = tape.value(z);
    const MatrixView<const T> g = tape.grad(self);
    const std::size_t heads = options.heads;
    const std::size_t width = value.cols() / heads;
    const bool all_pass = !rounds_messages || gradient == QuantGradient::straight;
    Tensor<T> d_score(score.rows(), heads);
    Tensor<T> d_target(a.num_dst(), heads);
    parallel_for(a.num_dst(), 64, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) {
        for (std::size_t h = 0; h < heads; ++h) {
          T mean{0};
          for (auto e = a.forward.begin(i); e < a.forward.end(i); ++e) {
            const NodeId j = a.forward.col[e];
            const T inner = all_pass
                                ? dot(g.row(i).data() + h * width, value.row(j).data() + h * width, width)
                                : passing_dot(g.row(i).data() + h * width, value.row(j).data() + h * width,
                                              width, factor(e, h), j);
            d_score(e, h) = inner * dropout_factor(e, h);
            mean += share(e, h) * d_score(e, h);
          }
          T sum{0};
          for (auto e = a.forward.begin(i); e < a.forward.end(i); ++e) {
            const NodeId j = a.forward.col[e];
            const T steep = rounded_score(e, j, h) > T{0} ? T{1} : static_cast<T>(options.slope);
            T d = steep * share(e, h) * (d_score(e, h) - mean);
            if (rounds_scores && !kept(j) && gradient != QuantGradient::straight) {
              const QuantGrid<T> grid = score_grid.view();
              if (!passes_gradient(score(e, h) * grid.inverse[0], grid.low[0], grid.high[0], inclusive()))
                d = 0;
            }
            d_score(e, h) = d;
            sum += d;
          }
          d_target(i, h) = sum;
        }
      }
    });
    Tensor<T> d_source(a.num_src(), heads);
    Tensor<T> grad_z(value.rows(), value.cols());
    const EntryPositions positions(a);
    for_rows(grad_z.view(), [&](T* to, std::size_t j) TESSERA_INLINE_LAMBDA {
      std::fill_n(to, heads * width, T{0});
      T* const of_source = d_source.data() + j * heads;
      std::fill_n(of_source, heads, T{0});
      const T* const own = value.data() + j * value.stride();
      for (auto k = a.transpose.begin(j); k < a.transpose.end(j); ++k) {
        const std::size_t e = positions.span()[k];
        const T* const from = g.data() + a.transpose.col[k] * g.stride();
        for (std::size_t h = 0; h < heads; ++h) {
          of_source[h] += d_score(e, h);
          const T w = factor(e, h);
          if (all_pass) {
            for (std::size_t f = h * width; f < (h + 1) * width; ++f) to[f] += w * from[f];
          } else {
            for (std::size_t f = h * width; f < (h + 1) * width; ++f) {
              if (message_passes(w * own[f], static_cast<NodeId>(j))) to[f] += w * from[f];
            }
          }
        }
      }
    });
    const bool wants_z = tape.needs_grad(z);
    const auto slot = [&](std::size_t rows) {
      return wants_z ? grad_z.view().middle_rows(0, rows) : MatrixView<T>();
    };
    head_dots_backward<T>(value, tape.value(source_weight).row(0), std::as_const(d_source).view(),
                          slot(a.num_src()), row_slot(tape, source_weight));
    head_dots_backward<T>(value.middle_rows(0, a.num_dst()), tape.value(target_weight).row(0),
                          std::as_const(d_target).view(), slot(a.num_dst()), row_slot(tape, target_weight));
    if (wants_z) tape.add_grad(z, std::move(grad_z));
  }

 private:
  /// Sixteen sums side by side, so that the compiler may use vectors.
  static T dot(const T* p, const T* q, std::size_t n) noexcept {
    T lanes[16] = {};
    std::size_t f = 0;
    for (; f + 16 <= n; f += 16) {
      for (std::size_t l = 0; l < 16; ++l) lanes[l] += p[f + l] * q[f + l];
    }
    for (std::size_t l = 0; f < n; ++f, ++l) lanes[l] += p[f] * q[f];
    for (std::size_t half = 8; half > 0; half /= 2) {
      for (std::size_t l = 0; l < half; ++l) lanes[l] += lanes[l + half];
    }
    return lanes[0];
  }
  T passing_dot(const T* grad, const T* row, std::size_t n, T w, NodeId j) const noexcept {
    T sum{0};
    for (std::size_t f = 0; f < n; ++f) {
      if (message_passes(w * row[f], j)) sum += grad[f] * row[f];
    }
    return sum;
  }
  bool inclusive() const noexcept { return gradient == QuantGradient::clipped_inclusive; }
  bool message_passes(T m, NodeId j) const noexcept {
    if (!rounds_messages || gradient == QuantGradient::straight || kept(j)) return true;
    const QuantGrid<T> g = message_grid.view();
    return passes_gradient(m * g.inverse[0], g.low[0], g.high[0], inclusive());
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
};

template <Real T>
void observe_head_messages(ObserverState<T> state, const HeadMessages<T>& messages,
                           const QuantSettings& settings) {
  ValueRange<T> seen;
  if (settings.range == RangeRule::percentile) {
    const ValueRange<float> found = percentile_range(messages, settings.percentile);
    seen = {static_cast<T>(found.min), static_cast<T>(found.max)};
  } else {
    seen = parallel_reduce(
        messages.num_blocks(), 1, ValueRange<T>{},
        [&](std::size_t block, std::size_t) {
          ValueRange<T> part;
          messages.for_block(block, [&](T v) { part = join(part, ValueRange<T>{v, v}); });
          return part;
        },
        [](const ValueRange<T>& p, const ValueRange<T>& q) { return join(p, q); });
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
  op.score = Tensor<T>(edges, heads);
  op.share = Tensor<T>(edges, heads);
  op.factor = Tensor<T>(edges, heads);
  op.keep =
      Array<std::uint8_t>::copy_of(scores.masked ? s.keep(a.num_src()) : std::span<const std::uint8_t>{});
  Tensor<T> of_source(a.num_src(), heads);
  Tensor<T> of_target(a.num_dst(), heads);
  head_dots<T>(value, base.value(source).row(0), of_source.view());
  head_dots<T>(value.middle_rows(0, a.num_dst()), base.value(target).row(0), of_target.view());
  Array<std::uint8_t> keep_entry(op.keep.empty() ? 0 : edges);
  parallel_for(a.num_dst(), 256, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      for (auto e = a.forward.begin(i); e < a.forward.end(i); ++e) {
        for (std::size_t h = 0; h < heads; ++h)
          op.score(e, h) = of_source(a.forward.col[e], h) + of_target(i, h);
        if (!keep_entry.empty()) keep_entry[e] = op.keep[a.forward.col[e]];
      }
    }
  });
  if (needs_ranges && scores.active && s.observes()) {
    observe<T>(s.state(scores), std::as_const(op.score).view(), {keep_entry.span(), {}}, s.settings(),
               s.run().key, s.point_number());
  }
  if (needs_ranges && acts && scores.active && !s.nothing_seen(scores)) {
    op.rounds_scores = true;
    op.score_grid = s.grid(scores);
  }
  op.fill_shares(s.fused() && acts);
  if (needs_ranges && rounds_messages) {
    if (s.observes()) {
      const detail::HeadMessages<T> all{
          a.forward,
          value,
          std::as_const(op.factor).view(),
          op.keep.span(),
          {edges * value.cols(), s.settings().sample, s.run().key, s.point_number()}};
      detail::observe_head_messages<T>(s.state(*messages), all, s.settings());
    }
    if (acts && !s.nothing_seen(*messages)) {
      op.rounds_messages = true;
      op.message_grid = s.grid(*messages);
    }
  }
  Tensor<T> y(a.num_dst(), value.cols());
  op.sum_messages(value, y.view());
  const Var sum = base.record(std::move(y), std::move(op));
  if (z != x) base.forget(z);
  if (s.fused()) return sum;
  const Var q = s.quantize(sum, QuantRole::aggregate);
  if (q != sum) base.forget(sum);
  return q;
}

}  // namespace tessera
