// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>

#include "tessera/core/ids.hpp"
#include "tessera/kernels/detail/head_rows.hpp"
#include "tessera/kernels/detail/simd.hpp"
#include "tessera/kernels/detail/simd_math.hpp"
#include "tessera/kernels/edge_dropout.hpp"
#include "tessera/kernels/epilogue.hpp"

// Attention over the entries of a row, in runs of entries whose scores, shares and dots stay in the nearest
// cache. Numbers per entry and head are combined in flat vectors of sixteen: kHeads is 1, 4 or 8, so lane l
// belongs to head l mod kHeads whatever the instruction set. They are worked on in parts of the target's width W:
// compilers take wider comparisons apart, lane by lane.

namespace tessera::detail {

inline constexpr std::size_t kAttentionRun = 64;  // entries; 64 rows of 128 floats are 32 KiB
inline constexpr std::size_t kFlat = 16;

/// Numbers per entry and head of one run, with room for the last vector's overhang.
template <std::size_t kHeads, class T>
struct FlatRun {
  alignas(64) T value[kAttentionRun * kHeads + kFlat];

  static std::size_t padded(std::size_t entries) noexcept {
    return (entries * kHeads + kFlat - 1) / kFlat * kFlat;
  }
  /// What stands behind the last entry, in its vector, becomes `filler`.
  TESSERA_ALWAYS_INLINE void fill_overhang(std::size_t entries, T filler) noexcept {
    for (std::size_t f = entries * kHeads; f < padded(entries); ++f) value[f] = filler;
  }
};

/// What every pass over a group of heads reads.
template <class T>
struct AttentionInput {
  const NodeId* col = nullptr;
  std::size_t num_entries = 0;
  const T* x = nullptr;  ///< gathered rows, at the group's first head
  std::size_t stride = 0;
  std::size_t heads = 0;  ///< real ones of the group
  std::size_t width = 0;
  T slope{};
  DropoutMask mask;
  std::size_t group = 0;
  bool far = false;  ///< see lies_far

  TESSERA_ALWAYS_INLINE HeadRun<T> run(std::size_t first, std::size_t last) const noexcept {
    return {col + first, std::min(kAttentionRun, last - first), num_entries - first, x, stride, heads, width,
            far};
  }
};

/// One number per lane of a flat vector.
template <std::size_t W, class T>
struct FlatVector {
  static constexpr std::size_t kLanes = std::min(W, kFlat);
  static constexpr std::size_t kParts = kFlat / kLanes;
  Simd<T, kLanes> part[kParts] = {};
};

/// Calls body(integral_constant<c>, f) for part c of every flat vector of `padded` numbers; f is its first number.
template <std::size_t W, class T, class Body>
TESSERA_ALWAYS_INLINE void for_flat(std::size_t padded, Body&& body) {
  using Flat = FlatVector<W, T>;
  for (std::size_t f = 0; f < padded; f += kFlat)
    unroll<Flat::kParts>([&](auto c) TESSERA_INLINE_LAMBDA { body(c, f + c * Flat::kLanes); });
}

/// Lane l of `out` becomes lanes[l].
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void load_flat(FlatVector<W, T>& out, const T* lanes) noexcept {
  constexpr std::size_t kLanes = FlatVector<W, T>::kLanes;
  unroll<FlatVector<W, T>::kParts>(
      [&](auto c) TESSERA_INLINE_LAMBDA { simd_load<kLanes, T>(out.part[c], lanes + c * kLanes); });
}
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void store_flat(const FlatVector<W, T>& from, T* lanes) noexcept {
  constexpr std::size_t kLanes = FlatVector<W, T>::kLanes;
  unroll<FlatVector<W, T>::kParts>(
      [&](auto c) TESSERA_INLINE_LAMBDA { simd_store<kLanes, T>(lanes + c * kLanes, from.part[c]); });
}

/// The same number for every entry: lane l holds from[l mod kHeads].
template <std::size_t kHeads, std::size_t W, class T>
TESSERA_ALWAYS_INLINE void repeat_heads(FlatVector<W, T>& out, const T* from) noexcept {
  T lanes[kFlat];
  for (std::size_t l = 0; l < kFlat; ++l) lanes[l] = from[l % kHeads];
  load_flat(out, lanes);
}

/// to[h] = the sum of the lanes of head h.
template <std::size_t kHeads, std::size_t W, class T>
TESSERA_ALWAYS_INLINE void fold_heads(const FlatVector<W, T>& sum, T* to) noexcept {
  T lanes[kFlat];
  store_flat(sum, lanes);
  for (std::size_t h = 0; h < kHeads; ++h) {
    T total{0};
    for (std::size_t l = h; l < kFlat; l += kHeads) total += lanes[l];
    to[h] = total;
  }
}

/// value[k] = the kHeads numbers at from + col[k] * step. The last vector is filled up with `fill`.
template <std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void gather_heads(const HeadRun<T>& run, const T* from, std::size_t step, T fill,
                                        FlatRun<kHeads, T>& out) noexcept {
  for (std::size_t k = 0; k < run.count; ++k) {
    __builtin_memcpy(out.value + k * kHeads, from + std::size_t{run.col[k]} * step, kHeads * sizeof(T));
  }
  out.fill_overhang(run.count, fill);
}

/// The running maximum and sum of a softmax over the entries seen so far.
template <std::size_t kHeads, std::size_t W, class T>
struct SoftmaxState {
  using Flat = FlatVector<W, T>;
  static constexpr std::size_t kLanes = Flat::kLanes;
  static constexpr T kMasked = -std::numeric_limits<T>::infinity();
  Flat largest;
  Flat sum;

  TESSERA_ALWAYS_INLINE void clear() noexcept {
    unroll<Flat::kParts>([&](auto c) TESSERA_INLINE_LAMBDA {
      simd_fill<kLanes, T>(largest.part[c], kMasked);
      sum.part[c] = Simd<T, kLanes>{};
    });
  }

  /// Takes in the scores of a run: they become exp(score - largest); y is scaled if the maximum rose.
  TESSERA_ALWAYS_INLINE void add(std::size_t padded, T* score, bool first, std::size_t heads,
                                 std::size_t width, T* y) noexcept {
    Flat best = largest;
    for_flat<W, T>(padded, [&](auto c, std::size_t f) TESSERA_INLINE_LAMBDA {
      Simd<T, kLanes> s;
      simd_load<kLanes, T>(s, score + f);
      best.part[c] = s > best.part[c] ? s : best.part[c];
    });
    T lanes[kFlat];
    store_flat(best, lanes);
    T top[kHeads];
    for (std::size_t h = 0; h < kHeads; ++h) {
      top[h] = lanes[h];
      for (std::size_t l = h + kHeads; l < kFlat; l += kHeads) top[h] = std::max(top[h], lanes[l]);
    }
    repeat_heads<kHeads>(best, top);
    Flat shift;  // 0 where only masked scores have been seen: -inf - 0 still gives 0
    unroll<Flat::kParts>([&](auto c) TESSERA_INLINE_LAMBDA {
      shift.part[c] = best.part[c] == kMasked ? Simd<T, kLanes>{} : best.part[c];
    });
    if (!first) {
      unroll<Flat::kParts>([&](auto c) TESSERA_INLINE_LAMBDA {
        Simd<T, kLanes> factor = largest.part[c] - shift.part[c];
        simd_exp_nonpositive<kLanes, T>(factor);
        sum.part[c] *= factor;
        simd_store<kLanes, T>(lanes + c * kLanes, factor);
      });
      for (std::size_t h = 0; h < heads; ++h) {
        if (lanes[h] == T{1}) continue;
        for (std::size_t f = 0; f < width; ++f) y[h * width + f] *= lanes[h];
      }
    }
    largest = best;
    for_flat<W, T>(padded, [&](auto c, std::size_t f) TESSERA_INLINE_LAMBDA {
      Simd<T, kLanes> s;
      simd_load<kLanes, T>(s, score + f);
      s -= shift.part[c];
      simd_exp_nonpositive<kLanes, T>(s);
      sum.part[c] += s;
      simd_store<kLanes, T>(score + f, s);
    });
  }

  /// largest[h] (0 where all was masked) and one over the sum (0 for a sum of 0).
  TESSERA_ALWAYS_INLINE void store(T* to_largest, T* to_sum) const noexcept {
    T lanes[kFlat];
    store_flat(largest, lanes);
    for (std::size_t h = 0; h < kHeads; ++h) {
      to_largest[h] = lanes[h];
    }
    fold_heads<kHeads>(sum, to_sum);
  }
};

/// The dropout factors of a run, 0 behind its last entry.
template <std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void draw_factors(const AttentionInput<T>& in, NodeId own, const HeadRun<T>& run,
                                        bool transposed, FlatRun<kHeads, T>& factor) noexcept {
  edge_dropout_factors<kHeads>(in.mask, in.group, own, run.col, run.count, transposed, factor.value);
  factor.fill_overhang(run.count, T{0});
}

/// value *= factor, element by element.
template <std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void multiply_run(std::size_t entries, const FlatRun<kHeads, T>& factor,
                                        FlatRun<kHeads, T>& value) noexcept {
  for (std::size_t f = 0; f < FlatRun<kHeads, T>::padded(entries); f += kFlat) {
    Simd<T, kFlat> v, by;
    simd_load<kFlat, T>(v, value.value + f);
    simd_load<kFlat, T>(by, factor.value + f);
    v *= by;
    simd_store<kFlat, T>(value.value + f, v);
  }
}

/// value[f] *= the dropout factor of its entry and head.
template <std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void drop_entries(const AttentionInput<T>& in, NodeId own, const HeadRun<T>& run,
                                        bool transposed, FlatRun<kHeads, T>& value) noexcept {
  FlatRun<kHeads, T> factor;
  draw_factors<kHeads>(in, own, run, transposed, factor);
  multiply_run<kHeads>(run.count, factor, value);
}

/// Scores of GAT: leaky(p_j + q_i), p [M, kHeads] packed.
template <std::size_t kHeads, class T>
struct AdditiveScore {
  const T* source = nullptr;
  const T* target = nullptr;

  template <std::size_t W>
  TESSERA_ALWAYS_INLINE void operator()(const AttentionInput<T>& in, const HeadRun<T>& run, std::size_t i,
                                        FlatRun<kHeads, T>& score) const noexcept {
    constexpr T kMasked = -std::numeric_limits<T>::infinity();
    gather_heads<kHeads>(run, source, kHeads, T{0}, score);
    constexpr std::size_t kLanes = FlatVector<W, T>::kLanes;
    FlatVector<W, T> q;
    repeat_heads<kHeads>(q, target + i * kHeads);
    const std::size_t padded = FlatRun<kHeads, T>::padded(run.count);
    for_flat<W, T>(padded, [&](auto c, std::size_t f) TESSERA_INLINE_LAMBDA {
      Simd<T, kLanes> r;
      simd_load<kLanes, T>(r, score.value + f);
      r += q.part[c];
      r = r > T{0} ? r : r * in.slope;
      simd_store<kLanes, T>(score.value + f, r);
    });
    score.fill_overhang(run.count, kMasked);
  }
};

/// Scores of GATv2: <weight, leaky(x_j + r_i)> with r_i = right + i * right_stride.
template <std::size_t kHeads, class T>
struct DynamicScore {
  const T* right = nullptr;
  std::size_t right_stride = 0;
  const T* weight = nullptr;

  template <std::size_t W>
  TESSERA_ALWAYS_INLINE void operator()(const AttentionInput<T>& in, const HeadRun<T>& run, std::size_t i,
                                        FlatRun<kHeads, T>& score) const noexcept {
    constexpr T kMasked = -std::numeric_limits<T>::infinity();
    head_reduce<W, kHeads>(run, LeakyTerm<T>{right + i * right_stride, weight, in.slope}, score.value);
    score.fill_overhang(run.count, kMasked);
  }
};

/// y = sum over entries [first, last) of exp(score - largest) x_j under dropout, not divided by the sum yet.
template <std::size_t W, std::size_t kHeads, class T, class Score>
TESSERA_ALWAYS_INLINE void attention_part(const AttentionInput<T>& in, const Score& score_of, std::size_t i,
                                          std::size_t first, std::size_t last, T* y, T* largest,
                                          T* sum) noexcept {
  FlatRun<kHeads, T> score;
  SoftmaxState<kHeads, W, T> state;
  state.clear();
  for (std::size_t f = 0; f < in.heads * in.width; ++f) y[f] = T{0};
  for (std::size_t e = first; e < last; e += kAttentionRun) {
    const HeadRun<T> run = in.run(e, last);
    score_of.template operator()<W>(in, run, i, score);
    state.add(FlatRun<kHeads, T>::padded(run.count), score.value, e == first, in.heads, in.width, y);
    if (in.mask.probability > 0) drop_entries<kHeads>(in, static_cast<NodeId>(i), run, false, score);
    head_sum<W, kHeads>(run, score.value, y);
  }
  state.store(largest, sum);
}

/// One part's contribution after all parts of a row are known: y_h *= factor_h.
template <class T>
TESSERA_ALWAYS_INLINE void scale_heads(T* y, std::size_t heads, std::size_t width, const T* factor) noexcept {
  for (std::size_t h = 0; h < heads; ++h) {
    const T by = factor[h];
    for (std::size_t f = 0; f < width; ++f) y[h * width + f] *= by;
  }
}

/// What backward keeps of each row and head, side by side because the transposed pass gathers all of it.
template <std::size_t kHeads>
struct RowStateLayout {
  static constexpr std::size_t kTarget = 0;            ///< q (GAT only)
  static constexpr std::size_t kLargest = kHeads;      ///< m
  static constexpr std::size_t kInverse = 2 * kHeads;  ///< 1 / sum
  static constexpr std::size_t kInner = 3 * kHeads;    ///< c = sum of alpha times its gradient
  static constexpr std::size_t kStep = 4 * kHeads;
};

/// Asks for the states of the rows that a run's worth of entries later point at.
template <class Layout, class T>
TESSERA_ALWAYS_INLINE void prefetch_states(const HeadRun<T>& run, const T* states) noexcept {
  constexpr std::size_t kStep = Layout::kStep;
  for (std::size_t k = 0; k < run.count; ++k) {
    const std::size_t ahead = run.col[std::min(k + kAttentionRun, run.readable - 1)];
    prefetch_bytes(states + ahead * kStep, kStep * sizeof(T));
  }
}

/// Over entries [first, last) of row i of GAT: sums[0] += alpha ga, sums[1] += alpha ga where r > 0, sums[2] +=
/// alpha where r > 0, per head; ga is the gradient of alpha before dropout.
template <std::size_t W, std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void attention_row_sums(const AttentionInput<T>& in, const T* source, const T* state,
                                              const T* grad, std::size_t i, std::size_t first,
                                              std::size_t last, T* sums) noexcept {
  using Layout = RowStateLayout<kHeads>;
  FlatRun<kHeads, T> score;
  FlatRun<kHeads, T> dot;
  using Flat = FlatVector<W, T>;
  constexpr std::size_t kLanes = Flat::kLanes;
  Flat q, m, inverse;
  repeat_heads<kHeads>(q, state + Layout::kTarget);
  repeat_heads<kHeads>(m, state + Layout::kLargest);
  repeat_heads<kHeads>(inverse, state + Layout::kInverse);
  Flat all, above, share;
  for (std::size_t e = first; e < last; e += kAttentionRun) {
    const HeadRun<T> run = in.run(e, last);
    gather_heads<kHeads>(run, source, kHeads, -std::numeric_limits<T>::infinity(), score);
    head_reduce<W, kHeads>(run, DotTerm<T>{grad}, dot.value);
    dot.fill_overhang(run.count, T{0});
    if (in.mask.probability > 0) drop_entries<kHeads>(in, static_cast<NodeId>(i), run, false, dot);
    const std::size_t padded = FlatRun<kHeads, T>::padded(run.count);
    for_flat<W, T>(padded, [&](auto c, std::size_t f) TESSERA_INLINE_LAMBDA {
      Simd<T, kLanes> r, d;
      simd_load<kLanes, T>(r, score.value + f);
      simd_load<kLanes, T>(d, dot.value + f);
      r += q.part[c];
      const auto positive = r > T{0};
      Simd<T, kLanes> alpha = (positive ? r : r * in.slope) - m.part[c];
      simd_exp_nonpositive<kLanes, T>(alpha);
      alpha *= inverse.part[c];
      d *= alpha;
      all.part[c] += d;
      above.part[c] += positive ? d : Simd<T, kLanes>{};
      share.part[c] += positive ? alpha : Simd<T, kLanes>{};
    });
  }
  fold_heads<kHeads>(all, sums);
  fold_heads<kHeads>(above, sums + kHeads);
  fold_heads<kHeads>(share, sums + 2 * kHeads);
}

/// Over entries [first, last) of row j of the transpose: grad_x = sum of alpha' G_i, grad_source = sum of gr.
template <std::size_t W, std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void attention_source_sums(const AttentionInput<T>& in, const T* source,
                                                 const T* states, const T* own_x, std::size_t j,
                                                 std::size_t first, std::size_t last, T* grad_x,
                                                 T* grad_source) noexcept {
  using Layout = RowStateLayout<kHeads>;
  FlatRun<kHeads, T> target, largest, inverse, inner, dot, factor;
  const bool drops = in.mask.probability > 0;
  constexpr std::size_t kLanes = FlatVector<W, T>::kLanes;
  FlatVector<W, T> p, sum;
  repeat_heads<kHeads>(p, source);
  for (std::size_t f = 0; f < in.heads * in.width; ++f) grad_x[f] = T{0};
  for (std::size_t e = first; e < last; e += kAttentionRun) {
    const HeadRun<T> run = in.run(e, last);
    prefetch_states<Layout>(run, states);
    gather_heads<kHeads>(run, states + Layout::kTarget, Layout::kStep, T{0}, target);
    gather_heads<kHeads>(run, states + Layout::kLargest, Layout::kStep, T{0}, largest);
    gather_heads<kHeads>(run, states + Layout::kInverse, Layout::kStep, T{0}, inverse);
    gather_heads<kHeads>(run, states + Layout::kInner, Layout::kStep, T{0}, inner);
    head_reduce<W, kHeads>(run, DotTerm<T>{own_x}, dot.value);
    dot.fill_overhang(run.count, T{0});
    if (drops) {
      draw_factors<kHeads>(in, static_cast<NodeId>(j), run, true, factor);
      multiply_run<kHeads>(run.count, factor, dot);
    }
    const std::size_t padded = FlatRun<kHeads, T>::padded(run.count);
    for_flat<W, T>(padded, [&](auto part, std::size_t f) TESSERA_INLINE_LAMBDA {
      Simd<T, kLanes> r, m, iz, c, d;
      simd_load<kLanes, T>(r, target.value + f);
      simd_load<kLanes, T>(m, largest.value + f);
      simd_load<kLanes, T>(iz, inverse.value + f);
      simd_load<kLanes, T>(c, inner.value + f);
      simd_load<kLanes, T>(d, dot.value + f);
      r += p.part[part];
      const auto positive = r > T{0};
      Simd<T, kLanes> alpha = (positive ? r : r * in.slope) - m;
      // The overhang has no row: its exponent is anything, its share 0.
      alpha = alpha > T{0} ? Simd<T, kLanes>{} : alpha;
      simd_exp_nonpositive<kLanes, T>(alpha);
      alpha *= iz;
      const Simd<T, kLanes> ge = alpha * (d - c);
      sum.part[part] += positive ? ge : ge * in.slope;
      simd_store<kLanes, T>(target.value + f, alpha);
    });
    if (drops) multiply_run<kHeads>(run.count, factor, target);
    head_sum<W, kHeads>(run, target.value, grad_x);
  }
  fold_heads<kHeads>(sum, grad_source);
}

}  // namespace tessera::detail
