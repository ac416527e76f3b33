// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

#include "tessera/core/ids.hpp"
#include "tessera/kernels/attention_codes.hpp"
#include "tessera/kernels/detail/attention_rows.hpp"
#include "tessera/kernels/detail/head_rows.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/detail/simd_math.hpp"
#include "tessera/kernels/fake_quantize.hpp"

// The loops of attention_rows.hpp with quantisers in them. A code of a share needs its row's largest score first, a
// rounded message the row's sum, so there are passes for both before anything is summed.

namespace tessera::detail {

/// What passes over the entries read of each row and head, side by side.
template <std::size_t kHeads>
struct QuantStateLayout {
  static constexpr std::size_t kTarget = 0;            ///< q
  static constexpr std::size_t kLargest = kHeads;      ///< m
  static constexpr std::size_t kInverse = 2 * kHeads;  ///< 1 / sum of exponentials
  static constexpr std::size_t kWeight = 3 * kHeads;   ///< 1 / sum of what messages are weighted with
  static constexpr std::size_t kInner = 4 * kHeads;    ///< c = sum of alpha times its gradient
  static constexpr std::size_t kStep = 5 * kHeads;
};

/// score becomes leaky(Q(score)), and steep, unless null, what of its gradient passes. `keep`, unless null, says which
/// sources are not rounded.
template <std::size_t W, std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void rectify_scores(const AttentionCodes<T>& codes, bool rounds,
                                          const std::uint8_t* keep, T slope, const HeadRun<T>& run,
                                          FlatRun<kHeads, T>& score, FlatRun<kHeads, T>* steep) noexcept {
  constexpr std::size_t kLanes = FlatVector<W, T>::kLanes;
  using Lanes = Simd<T, kLanes>;
  const std::size_t padded = FlatRun<kHeads, T>::padded(run.count);
  Lanes one;
  simd_fill<kLanes, T>(one, T{1});
  if (rounds) {
    FlatRun<kHeads, T> exact;
    if (keep != nullptr) std::copy_n(score.value, padded, exact.value);
    const bool clips = steep != nullptr && codes.clips();
    const bool inclusive = codes.inclusive();
    const T inverse = codes.score.inverse[0];
    const T scale = codes.score.scale[0];
    Lanes low, high;
    simd_fill<kLanes, T>(low, codes.score.low[0]);
    simd_fill<kLanes, T>(high, codes.score.high[0]);
    for_flat<W, T>(padded, [&](auto, std::size_t f) TESSERA_INLINE_LAMBDA {
      Lanes v, passes = one;
      simd_load<kLanes, T>(v, score.value + f);
      v *= inverse;
      if (clips) clip_gradient<T, kLanes>(passes, v, low, high, inclusive);
      round_clamp_lanes<T, kLanes>(v, low, high);
      v *= scale;
      simd_store<kLanes, T>(score.value + f, v);
      if (steep != nullptr) simd_store<kLanes, T>(steep->value + f, passes);
    });
    for (std::size_t k = 0; keep != nullptr && k < run.count; ++k) {
      if (keep[run.col[k]] == 0) continue;
      std::copy_n(exact.value + k * kHeads, kHeads, score.value + k * kHeads);
      if (steep != nullptr) std::fill_n(steep->value + k * kHeads, kHeads, T{1});
    }
  }
  for_flat<W, T>(padded, [&](auto, std::size_t f) TESSERA_INLINE_LAMBDA {
    Lanes r, s = one;
    simd_load<kLanes, T>(r, score.value + f);
    if (rounds && steep != nullptr) simd_load<kLanes, T>(s, steep->value + f);
    const auto positive = r > T{0};
    if (steep != nullptr) {
      s = positive ? s : s * slope;
      simd_store<kLanes, T>(steep->value + f, s);
    }
    r = positive ? r : r * slope;
    simd_store<kLanes, T>(score.value + f, r);
  });
}

/// The scores of a run of row i, rounded and rectified. What stands behind the last entry is meaningless.
template <std::size_t W, std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void row_scores(const AttentionInput<T>& in, const AttentionCodes<T>& codes,
                                      const T* source, const FlatVector<W, T>& target, const HeadRun<T>& run,
                                      FlatRun<kHeads, T>& score, FlatRun<kHeads, T>* steep) noexcept {
  constexpr std::size_t kLanes = FlatVector<W, T>::kLanes;
  gather_heads<kHeads>(run, source, kHeads, T{0}, score);
  for_flat<W, T>(FlatRun<kHeads, T>::padded(run.count), [&](auto c, std::size_t f) TESSERA_INLINE_LAMBDA {
    Simd<T, kLanes> r;
    simd_load<kLanes, T>(r, score.value + f);
    r += target.part[c];
    simd_store<kLanes, T>(score.value + f, r);
  });
  rectify_scores<W, kHeads, T>(codes, codes.rounds_scores(), codes.keep.empty() ? nullptr : codes.keep.data(),
                               in.slope, run, score, steep);
}

/// largest[h] = the largest score over entries [first, last).
template <std::size_t W, std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void largest_scores(const AttentionInput<T>& in, const AttentionCodes<T>& codes,
                                          const T* source, const T* target, std::size_t first,
                                          std::size_t last, T* largest) noexcept {
  constexpr std::size_t kLanes = FlatVector<W, T>::kLanes;
  FlatRun<kHeads, T> score;
  FlatVector<W, T> q, best;
  repeat_heads<kHeads>(q, target);
  std::fill_n(largest, kHeads, -std::numeric_limits<T>::infinity());
  repeat_heads<kHeads>(best, largest);
  for (std::size_t e = first; e < last; e += kAttentionRun) {
    const HeadRun<T> run = in.run(e, last);
    row_scores<W, kHeads, T>(in, codes, source, q, run, score, nullptr);
    score.fill_overhang(run.count, -std::numeric_limits<T>::infinity());
    for_flat<W, T>(FlatRun<kHeads, T>::padded(run.count), [&](auto c, std::size_t f) TESSERA_INLINE_LAMBDA {
      Simd<T, kLanes> s;
      simd_load<kLanes, T>(s, score.value + f);
      best.part[c] = s > best.part[c] ? s : best.part[c];
    });
  }
  T lanes[kFlat];
  store_flat(best, lanes);
  for (std::size_t h = 0; h < kHeads; ++h) {
    largest[h] = lanes[h];
    for (std::size_t l = h + kHeads; l < kFlat; l += kHeads) largest[h] = std::max(largest[h], lanes[l]);
  }
}

/// e becomes exp(score - largest); what messages are weighted with: e itself, or its code.
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void weigh_score(bool shares, const Simd<T, W>& largest, Simd<T, W>& e,
                                       Simd<T, W>& weight) noexcept {
  e -= largest;
  // Behind the last entry the exponent is anything, and a fused multiply-add may miss the largest by a rounding.
  e = e > T{0} ? Simd<T, W>{} : e;
  simd_exp_nonpositive<W, T>(e);
  weight = shares ? (e * static_cast<T>(kShareCodes) + kRounder<T>)-kRounder<T> : e;
}

/// sums[0] = the exponentials of entries [first, last), sums[1] = their weights, kHeads numbers each.
template <std::size_t W, std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void share_sums(const AttentionInput<T>& in, const AttentionCodes<T>& codes,
                                      const T* source, const T* target, const T* largest, std::size_t first,
                                      std::size_t last, T* sums) noexcept {
  constexpr std::size_t kLanes = FlatVector<W, T>::kLanes;
  FlatRun<kHeads, T> score;
  FlatVector<W, T> q, m, exponentials, weights;
  repeat_heads<kHeads>(q, target);
  repeat_heads<kHeads>(m, largest);
  for (std::size_t e = first; e < last; e += kAttentionRun) {
    const HeadRun<T> run = in.run(e, last);
    row_scores<W, kHeads, T>(in, codes, source, q, run, score, nullptr);
    score.fill_overhang(run.count, -std::numeric_limits<T>::infinity());
    for_flat<W, T>(FlatRun<kHeads, T>::padded(run.count), [&](auto c, std::size_t f) TESSERA_INLINE_LAMBDA {
      Simd<T, kLanes> s, weight;
      simd_load<kLanes, T>(s, score.value + f);
      weigh_score<kLanes, T>(codes.shares, m.part[c], s, weight);
      exponentials.part[c] += s;
      weights.part[c] += weight;
    });
  }
  fold_heads<kHeads>(exponentials, sums);
  fold_heads<kHeads>(weights, sums + kHeads);
}

/// What a row's passes need of its state, spread over the lanes.
template <std::size_t W, std::size_t kHeads, class T>
struct QuantRowState {
  FlatVector<W, T> target, largest, inverse, weight;

  TESSERA_ALWAYS_INLINE explicit QuantRowState(const T* state) noexcept {
    using Layout = QuantStateLayout<kHeads>;
    repeat_heads<kHeads>(target, state + Layout::kTarget);
    repeat_heads<kHeads>(largest, state + Layout::kLargest);
    repeat_heads<kHeads>(inverse, state + Layout::kInverse);
    repeat_heads<kHeads>(weight, state + Layout::kWeight);
  }

  /// score becomes alpha, factor what messages are multiplied with before dropout; 0 behind the last entry.
  TESSERA_ALWAYS_INLINE void shares(bool rounded, std::size_t entries, FlatRun<kHeads, T>& score,
                                    FlatRun<kHeads, T>& factor) const noexcept {
    constexpr std::size_t kLanes = FlatVector<W, T>::kLanes;
    for_flat<W, T>(FlatRun<kHeads, T>::padded(entries), [&](auto c, std::size_t f) TESSERA_INLINE_LAMBDA {
      Simd<T, kLanes> e, w;
      simd_load<kLanes, T>(e, score.value + f);
      weigh_score<kLanes, T>(rounded, largest.part[c], e, w);
      e *= inverse.part[c];
      w *= weight.part[c];
      simd_store<kLanes, T>(score.value + f, e);
      simd_store<kLanes, T>(factor.value + f, w);
    });
    score.fill_overhang(entries, T{0});
    factor.fill_overhang(entries, T{0});
  }
};

/// What the messages of a run of row i are multiplied with, dropout among it.
template <std::size_t W, std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void message_factors(const AttentionInput<T>& in, const AttentionCodes<T>& codes,
                                           const T* source, const QuantRowState<W, kHeads, T>& state,
                                           std::size_t i, const HeadRun<T>& run,
                                           FlatRun<kHeads, T>& factor) noexcept {
  FlatRun<kHeads, T> score;
  row_scores<W, kHeads, T>(in, codes, source, state.target, run, score, nullptr);
  state.shares(codes.shares, run.count, score, factor);
  if (in.mask.probability > 0) drop_entries<kHeads>(in, static_cast<NodeId>(i), run, false, factor);
}

/// to[j] += Q(w from[j]).
template <Real T>
TESSERA_ALWAYS_INLINE void add_rounded(const ScaleLanes<T>& one, T w, const T* from, std::size_t n,
                                       T* to) noexcept {
  for_vectors<T, kQuantBytes>(n, [&one, w, from, to]<std::size_t W>(std::size_t j) TESSERA_INLINE_LAMBDA {
    Simd<T, W> v, sum, inverse, scale, low, high;
    simd_load<W, T>(v, from + j);
    simd_load<W, T>(sum, to + j);
    one.template load<W>(inverse, low, high);
    simd_load<W, T>(scale, one.scale);
    v = (w * v) * inverse;
    round_clamp_lanes<T, W>(v, low, high);
    sum += v * scale;
    simd_store<W, T>(to + j, sum);
  });
}

/// to[j] += w from[j].
template <Real T>
TESSERA_ALWAYS_INLINE void add_exact(T w, const T* from, std::size_t n, T* to) noexcept {
  map_vectors(
      n, to, [w](auto& sum, const auto& old, const auto& v) TESSERA_INLINE_LAMBDA { sum = old + w * v; }, to,
      from);
}

/// to[f] += w grad[f] where w x[f] is not clamped.
template <class T>
TESSERA_ALWAYS_INLINE void add_passing(const ScaleLanes<T>& grid, bool inclusive, T w, const T* x,
                                       const T* grad, std::size_t n, T* to) noexcept {
  for_vectors<T, kQuantBytes>(n, [&]<std::size_t W>(std::size_t f) TESSERA_INLINE_LAMBDA {
    Simd<T, W> v, g, sum, inverse, low, high;
    simd_load<W, T>(v, x + f);
    simd_load<W, T>(g, grad + f);
    simd_load<W, T>(sum, to + f);
    grid.template load<W>(inverse, low, high);
    g *= w;
    clip_gradient<T, W>(g, (w * v) * inverse, low, high, inclusive);
    sum += g;
    simd_store<W, T>(to + f, sum);
  });
}

/// The sum of x[f] grad[f] where w x[f] is not clamped; what is clamped may be infinite.
template <class T>
TESSERA_ALWAYS_INLINE T passing_dot(const ScaleLanes<T>& grid, bool inclusive, T w, const T* x, const T* grad,
                                    std::size_t n) noexcept {
  constexpr std::size_t kLanes = kQuantBytes / sizeof(T);
  Simd<T, kLanes> sum{};
  T rest{0};
  for_vectors<T, kQuantBytes>(n, [&]<std::size_t W>(std::size_t f) TESSERA_INLINE_LAMBDA {
    Simd<T, W> v, product, inverse, low, high;
    simd_load<W, T>(v, x + f);
    simd_load<W, T>(product, grad + f);
    grid.template load<W>(inverse, low, high);
    product *= v;
    clip_gradient<T, W>(product, (w * v) * inverse, low, high, inclusive);
    if constexpr (W == 1) {
      rest += product;
    } else {
      sum += product;
    }
  });
  return simd_sum<kLanes, T>(sum) + rest;
}

/// y = sum over entries [first, last) of the messages, rounded where they are.
template <std::size_t W, std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void quant_messages(const AttentionInput<T>& in, const AttentionCodes<T>& codes,
                                          const T* source, const T* state_of_row, std::size_t i,
                                          std::size_t first, std::size_t last, T* y) noexcept {
  const QuantRowState<W, kHeads, T> state(state_of_row);
  FlatRun<kHeads, T> factor;
  for (std::size_t f = 0; f < in.heads * in.width; ++f) y[f] = T{0};
  for (std::size_t e = first; e < last; e += kAttentionRun) {
    const HeadRun<T> run = in.run(e, last);
    message_factors<W, kHeads, T>(in, codes, source, state, i, run, factor);
    if (!codes.rounds_messages()) {
      head_sum<W, kHeads>(run, factor.value, y);
      continue;
    }
    const ScaleLanes<T> grid(codes.message, T{1});
    for (std::size_t k = 0; k < run.count; ++k) {
      run.ask_ahead(k, in.heads * in.width * sizeof(T));
      const bool exact = codes.keeps(run.col[k]);
      for (std::size_t h = 0; h < in.heads; ++h) {
        const T w = factor.value[k * kHeads + h];
        const T* const from = run.row(k) + h * in.width;
        T* const to = y + h * in.width;
        if (exact) {
          add_exact(w, from, in.width, to);
        } else {
          add_rounded(grid, w, from, in.width, to);
        }
      }
    }
  }
}

/// Sums over entries [first, last) of row i, per head: sums[0] = alpha ga, sums[1] = s alpha ga, sums[2] = s alpha; ga is
/// the gradient of alpha before dropout, s that of the score by r.
template <std::size_t W, std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void quant_row_sums(const AttentionInput<T>& in, const AttentionCodes<T>& codes,
                                          const T* source, const T* state_of_row, const T* grad,
                                          std::size_t i, std::size_t first, std::size_t last,
                                          T* sums) noexcept {
  constexpr std::size_t kLanes = FlatVector<W, T>::kLanes;
  const QuantRowState<W, kHeads, T> state(state_of_row);
  FlatRun<kHeads, T> score, steep, factor, drop, dot;
  FlatVector<W, T> all, steep_all, steep_share;
  const bool drops = in.mask.probability > 0;
  const bool clips = codes.rounds_messages() && codes.clips();
  for (std::size_t e = first; e < last; e += kAttentionRun) {
    const HeadRun<T> run = in.run(e, last);
    row_scores<W, kHeads, T>(in, codes, source, state.target, run, score, &steep);
    state.shares(codes.shares, run.count, score, factor);
    steep.fill_overhang(run.count, T{0});
    if (!clips || !codes.keep.empty()) {
      head_reduce<W, kHeads>(run, DotTerm<T>{grad}, dot.value);
    } else {
      std::fill_n(dot.value, run.count * kHeads, T{0});
    }
    if (drops) draw_factors<kHeads>(in, static_cast<NodeId>(i), run, false, drop);
    if (clips) {
      if (drops) multiply_run<kHeads>(run.count, drop, factor);
      const ScaleLanes<T> grid(codes.message, T{1});
      for (std::size_t k = 0; k < run.count; ++k) {
        if (codes.keeps(run.col[k])) continue;
        run.ask_ahead(k, in.heads * in.width * sizeof(T));
        for (std::size_t h = 0; h < in.heads; ++h) {
          dot.value[k * kHeads + h] = passing_dot(grid, codes.inclusive(), factor.value[k * kHeads + h],
                                                  run.row(k) + h * in.width, grad + h * in.width, in.width);
        }
      }
    }
    dot.fill_overhang(run.count, T{0});
    if (drops) multiply_run<kHeads>(run.count, drop, dot);
    for_flat<W, T>(FlatRun<kHeads, T>::padded(run.count), [&](auto c, std::size_t f) TESSERA_INLINE_LAMBDA {
      Simd<T, kLanes> alpha, s, d;
      simd_load<kLanes, T>(alpha, score.value + f);
      simd_load<kLanes, T>(s, steep.value + f);
      simd_load<kLanes, T>(d, dot.value + f);
      d *= alpha;
      all.part[c] += d;
      steep_all.part[c] += s * d;
      steep_share.part[c] += s * alpha;
    });
  }
  fold_heads<kHeads>(all, sums);
  fold_heads<kHeads>(steep_all, sums + kHeads);
  fold_heads<kHeads>(steep_share, sums + 2 * kHeads);
}

/// Over entries [first, last) of row j of the transpose, whose `in.x` is the gradient of y: grad_x = sum of factors times
/// the gradient that passes, grad_source = sum of s alpha (ga - c).
template <std::size_t W, std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void quant_source_sums(const AttentionInput<T>& in, const AttentionCodes<T>& codes,
                                             const T* source, const T* states, const T* own_x, std::size_t j,
                                             std::size_t first, std::size_t last, T* grad_x,
                                             T* grad_source) noexcept {
  using Layout = QuantStateLayout<kHeads>;
  constexpr std::size_t kLanes = FlatVector<W, T>::kLanes;
  FlatRun<kHeads, T> score, steep, largest, inverse, weight, inner, dot, drop;
  const bool drops = in.mask.probability > 0;
  const bool exact = codes.keeps(static_cast<NodeId>(j));
  const bool clips = codes.rounds_messages() && codes.clips() && !exact;
  FlatVector<W, T> p, sum;
  repeat_heads<kHeads>(p, source);
  for (std::size_t f = 0; f < in.heads * in.width; ++f) grad_x[f] = T{0};
  for (std::size_t e = first; e < last; e += kAttentionRun) {
    const HeadRun<T> run = in.run(e, last);
    const std::size_t padded = FlatRun<kHeads, T>::padded(run.count);
    prefetch_states<Layout>(run, states);
    gather_heads<kHeads>(run, states + Layout::kTarget, Layout::kStep, T{0}, score);
    gather_heads<kHeads>(run, states + Layout::kLargest, Layout::kStep, T{0}, largest);
    gather_heads<kHeads>(run, states + Layout::kInverse, Layout::kStep, T{0}, inverse);
    gather_heads<kHeads>(run, states + Layout::kWeight, Layout::kStep, T{0}, weight);
    gather_heads<kHeads>(run, states + Layout::kInner, Layout::kStep, T{0}, inner);
    for_flat<W, T>(padded, [&](auto part, std::size_t f) TESSERA_INLINE_LAMBDA {
      Simd<T, kLanes> r;
      simd_load<kLanes, T>(r, score.value + f);
      r += p.part[part];
      simd_store<kLanes, T>(score.value + f, r);
    });
    rectify_scores<W, kHeads, T>(codes, codes.rounds_scores() && !exact, nullptr, in.slope, run, score,
                                 &steep);
    // score becomes alpha, weight the factor of messages. Behind the last entry 1 / sum is 0, so both are.
    for_flat<W, T>(padded, [&](auto, std::size_t f) TESSERA_INLINE_LAMBDA {
      Simd<T, kLanes> exponential, m, iz, w, iw;
      simd_load<kLanes, T>(exponential, score.value + f);
      simd_load<kLanes, T>(m, largest.value + f);
      simd_load<kLanes, T>(iz, inverse.value + f);
      simd_load<kLanes, T>(iw, weight.value + f);
      weigh_score<kLanes, T>(codes.shares, m, exponential, w);
      exponential *= iz;
      w *= iw;
      simd_store<kLanes, T>(score.value + f, exponential);
      simd_store<kLanes, T>(weight.value + f, w);
    });
    if (drops) {
      draw_factors<kHeads>(in, static_cast<NodeId>(j), run, true, drop);
      multiply_run<kHeads>(run.count, drop, weight);
    }
    if (clips) {
      const ScaleLanes<T> grid(codes.message, T{1});
      for (std::size_t k = 0; k < run.count; ++k) {
        for (std::size_t h = 0; h < in.heads; ++h) {
          const T w = weight.value[k * kHeads + h];
          const T* const x = own_x + h * in.width;
          const T* const g = run.row(k) + h * in.width;
          T* const to = grad_x + h * in.width;
          dot.value[k * kHeads + h] = passing_dot(grid, codes.inclusive(), w, x, g, in.width);
          add_passing(grid, codes.inclusive(), w, x, g, in.width, to);
        }
        for (std::size_t h = in.heads; h < kHeads; ++h) dot.value[k * kHeads + h] = T{0};
      }
    } else {
      head_reduce<W, kHeads>(run, DotTerm<T>{own_x}, dot.value);
      head_sum<W, kHeads>(run, weight.value, grad_x);
    }
    dot.fill_overhang(run.count, T{0});
    if (drops) multiply_run<kHeads>(run.count, drop, dot);
    for_flat<W, T>(padded, [&](auto part, std::size_t f) TESSERA_INLINE_LAMBDA {
      Simd<T, kLanes> alpha, s, c, d;
      simd_load<kLanes, T>(alpha, score.value + f);
      simd_load<kLanes, T>(s, steep.value + f);
      simd_load<kLanes, T>(c, inner.value + f);
      simd_load<kLanes, T>(d, dot.value + f);
      sum.part[part] += s * (alpha * (d - c));
    });
  }
  fold_heads<kHeads>(sum, grad_source);
}

}  // namespace tessera::detail
