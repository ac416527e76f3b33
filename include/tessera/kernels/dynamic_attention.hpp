// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>
#include <type_traits>

#include "tessera/core/array.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/attention.hpp"
#include "tessera/kernels/detail/attention_rows.hpp"
#include "tessera/kernels/detail/kernel_scopes.hpp"
#include "tessera/kernels/dispatch.hpp"
#include "tessera/kernels/edge_ranges.hpp"

namespace tessera {

namespace detail {

/// For every entry k of a run and every head, with z = own + row(k) and ge = gradient[k * kHeads + h]: to += ge weight
/// (1 where z > 0, slope elsewhere), and to_weight (unless null) += ge leaky(z).
template <std::size_t W, std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void leaky_backward(const HeadRun<T>& run, const T* own, const T* weight, T slope,
                                          const T* gradient, T* to, T* to_weight) noexcept {
  for (std::size_t k = 0; k < run.count; ++k) {
    const T* const row = run.row(k);
    for (std::size_t h = 0; h < run.heads; ++h) {
      const T g = gradient[k * kHeads + h];
      std::size_t f = h * run.width;
      const std::size_t end = f + run.width;
      for (; f + W <= end; f += W) {
        Simd<T, W> z, r, w, sum;
        simd_load<W, T>(z, own + f);
        simd_load<W, T>(r, row + f);
        simd_load<W, T>(w, weight + f);
        simd_load<W, T>(sum, to + f);
        z += r;
        w *= g;
        sum += z > T{0} ? w : w * slope;
        simd_store<W, T>(to + f, sum);
        if (to_weight == nullptr) continue;
        simd_load<W, T>(sum, to_weight + f);
        sum += g * (z > T{0} ? z : z * slope);
        simd_store<W, T>(to_weight + f, sum);
      }
      for (; f < end; ++f) {
        const T z = own[f] + row[f];
        to[f] += g * weight[f] * (z > T{0} ? T{1} : slope);
        if (to_weight != nullptr) to_weight[f] += g * (z > T{0} ? z : z * slope);
      }
    }
  }
}

/// Shares and gradients of the scores of a run from scores, dots and what is known of the rows: score becomes the share
/// alpha, dot the gradient alpha (ga - c).
template <std::size_t W, std::size_t kHeads, class T, class RowNumbers>
TESSERA_ALWAYS_INLINE void shares_and_gradients(std::size_t count, RowNumbers&& numbers,
                                                FlatRun<kHeads, T>& score, FlatRun<kHeads, T>& dot) noexcept {
  const std::size_t padded = FlatRun<kHeads, T>::padded(count);
  score.fill_overhang(count, -std::numeric_limits<T>::infinity());
  constexpr std::size_t kLanes = FlatVector<W, T>::kLanes;
  for_flat<W, T>(padded, [&](auto part, std::size_t f) TESSERA_INLINE_LAMBDA {
    Simd<T, kLanes> alpha, d, m, inverse, c;
    simd_load<kLanes, T>(alpha, score.value + f);
    simd_load<kLanes, T>(d, dot.value + f);
    numbers(part, f, m, inverse, c);
    alpha -= m;
    simd_exp_nonpositive<kLanes, T>(alpha);
    alpha *= inverse;
    d = alpha * (d - c);
    simd_store<kLanes, T>(score.value + f, alpha);
    simd_store<kLanes, T>(dot.value + f, d);
  });
}

/// Row i: grad_right_i and its part of the weight's gradient.
template <std::size_t W, std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void dynamic_row_backward(const AttentionInput<T>& in,
                                                const DynamicScore<kHeads, T>& score_of, const T* state,
                                                const T* grad, std::size_t i, std::size_t first,
                                                std::size_t last, T* grad_right, T* grad_weight) noexcept {
  using Layout = RowStateLayout<kHeads>;
  FlatRun<kHeads, T> score, dot;
  FlatVector<W, T> largest, inv, inner;
  repeat_heads<kHeads>(largest, state + Layout::kLargest);
  repeat_heads<kHeads>(inv, state + Layout::kInverse);
  repeat_heads<kHeads>(inner, state + Layout::kInner);
  for (std::size_t f = 0; f < in.heads * in.width; ++f) grad_right[f] = T{0};
  for (std::size_t e = first; e < last; e += kAttentionRun) {
    const HeadRun<T> run = in.run(e, last);
    score_of.template operator()<W>(in, run, i, score);
    head_reduce<W, kHeads>(run, DotTerm<T>{grad}, dot.value);
    dot.fill_overhang(run.count, T{0});
    if (in.mask.probability > 0) drop_entries<kHeads>(in, static_cast<NodeId>(i), run, false, dot);
    shares_and_gradients<W, kHeads>(
        run.count,
        [&](auto part, std::size_t, auto& m, auto& z, auto& c) TESSERA_INLINE_LAMBDA {
          m = largest.part[part];
          z = inv.part[part];
          c = inner.part[part];
        },
        score, dot);
    leaky_backward<W, kHeads>(run, score_of.right + i * score_of.right_stride, score_of.weight, in.slope,
                              dot.value, grad_right, grad_weight);
  }
}

/// Row j of the transpose: grad_left_j = sum of alpha' G_i + ge weight leaky'(z). `in` gathers the rows of `right`,
/// `grads` those of G.
template <std::size_t W, std::size_t kHeads, class T>
TESSERA_ALWAYS_INLINE void dynamic_source_backward(const AttentionInput<T>& in,
                                                   const AttentionInput<T>& grads, const T* weight,
                                                   const T* states, const T* own, std::size_t j,
                                                   std::size_t first, std::size_t last,
                                                   T* grad_left) noexcept {
  using Layout = RowStateLayout<kHeads>;
  FlatRun<kHeads, T> score, dot, largest, inverse, inner, factor;
  const bool drops = in.mask.probability > 0;
  for (std::size_t f = 0; f < in.heads * in.width; ++f) grad_left[f] = T{0};
  for (std::size_t e = first; e < last; e += kAttentionRun) {
    const HeadRun<T> run = in.run(e, last);
    const HeadRun<T> grad_run = grads.run(e, last);
    head_reduce<W, kHeads>(run, LeakyTerm<T>{own, weight, in.slope}, score.value);
    head_reduce<W, kHeads>(grad_run, DotTerm<T>{own}, dot.value);
    dot.fill_overhang(run.count, T{0});
    if (drops) {
      draw_factors<kHeads>(in, static_cast<NodeId>(j), run, true, factor);
      multiply_run<kHeads>(run.count, factor, dot);
    }
    prefetch_states<Layout>(run, states);
    gather_heads<kHeads>(run, states + Layout::kLargest, Layout::kStep, T{0}, largest);
    gather_heads<kHeads>(run, states + Layout::kInverse, Layout::kStep, T{0}, inverse);
    gather_heads<kHeads>(run, states + Layout::kInner, Layout::kStep, T{0}, inner);
    shares_and_gradients<W, kHeads>(
        run.count,
        [&](auto, std::size_t f, auto& m, auto& z, auto& c) TESSERA_INLINE_LAMBDA {
          constexpr std::size_t kLanes = FlatVector<W, T>::kLanes;
          simd_load<kLanes, T>(m, largest.value + f);
          simd_load<kLanes, T>(z, inverse.value + f);
          simd_load<kLanes, T>(c, inner.value + f);
        },
        score, dot);
    if (drops) multiply_run<kHeads>(run.count, factor, score);
    head_sum<W, kHeads>(grad_run, score.value, grad_left);
    leaky_backward<W, kHeads>(run, own, weight, in.slope, dot.value, grad_left, static_cast<T*>(nullptr));
  }
}

template <class T>
void check_dynamic(std::string_view operation, const CsrView<>& a, MatrixView<const T> left,
                   MatrixView<const T> right, std::span<const T> weight, const AttentionOptions& options) {
  check_attention<T>(operation, a, left, options);
  check_shape(operation, "right", right, a.num_rows, left.cols());
  check_size(operation, "weight", weight.size(), left.cols());
}

}  // namespace detail

/// Attention with scores that look at source and target together (GATv2): per head,
///
///     alpha = softmax over row i of <weight, leaky(left_j + right_i)>,   y_i = sum over row i of alpha'_e left_j
///
/// with alpha' = alpha after dropout. Nothing of size E is stored: the rows of 64 entries at a time are scored, and added
/// up while they are in cache. Weights of the matrix are ignored. A row without entries gives 0.
///
/// Shapes   a CSR [N, M] with E stored; left [M, H D], right [N, H D], weight [H D] -> y [N, H D], norm [N, 2 H]
/// Cost     work O(E H D), about 7 flops per entry and column; gathers each row of left once per entry
/// Errors   ShapeError if the extents do not fit; ConfigError as attention_sum
/// Threads  safe to call concurrently on distinct outputs; a row's bits depend on its own entries only
/// Source   Brody, Alon & Yahav, How attentive are graph attention networks?, ICLR 2022, eq. (7)
template <Real T>
void dynamic_attention_sum(CsrView<> a, std::type_identity_t<MatrixView<const T>> left,
                           std::type_identity_t<MatrixView<const T>> right,
                           std::type_identity_t<std::span<const T>> weight, const AttentionOptions& options,
                           MatrixView<T> y, MatrixView<T> norm) {
  detail::check_dynamic<T>("dynamic_attention_sum", a, left, right, weight, options);
  detail::check_spmm<T, T>("dynamic_attention_sum", a, left, y);
  detail::check_shape("dynamic_attention_sum", "norm", norm, a.num_rows, 2 * options.heads);
  if (y.empty()) return;
  const KernelScope profile =
      detail::entry_scope("dynamic_attention_sum", a, left.cols(),
                          detail::dense_bytes(left, right, y, norm) + detail::entry_bytes(a), 7);
  detail::for_each_head_group(
      options.heads, [&](auto k, std::size_t group, std::size_t first, std::size_t heads) {
        constexpr std::size_t kHeads = k();
        const auto in = detail::attention_input<T>(a, left, options, group, first, heads);
        const detail::DynamicScore<kHeads, T> score{right.data() + first * in.width, right.stride(),
                                                    weight.data() + first * in.width};
        detail::attention_forward<kHeads, T>(a, in, score, first, y, norm);
      });
}

/// The gradients of dynamic_attention_sum; scores and shares are computed again. With z_e = left_j + right_i and ge =
/// alpha (ga - <G_i, y_i>):
///
///     gz_e = ge weight leaky'(z_e),   grad_weight = sum over entries of ge leaky(z_e)
///     grad_right_i = sum over row i of gz,   grad_left_j = sum over entries of source j of gz + alpha' G_i
///
/// Shapes   as dynamic_attention_sum with y and norm as it wrote them, transpose [M, N] -> grad_left [M, H D], grad_right
///          [N, H D], both overwritten; grad_weight [H D], added to
/// Cost     two passes over the entries that gather one and two rows per entry; long rows are not split
/// Errors   as dynamic_attention_sum
/// Threads  as dynamic_attention_sum
template <Real T>
void dynamic_attention_sum_backward(
    CsrView<> a, CsrView<> transpose, std::type_identity_t<MatrixView<const T>> left,
    std::type_identity_t<MatrixView<const T>> right, std::type_identity_t<std::span<const T>> weight,
    const AttentionOptions& options, std::type_identity_t<MatrixView<const T>> y,
    std::type_identity_t<MatrixView<const T>> norm, std::type_identity_t<MatrixView<const T>> grad_y,
    MatrixView<T> grad_left, MatrixView<T> grad_right, std::type_identity_t<std::span<T>> grad_weight) {
  constexpr std::string_view kName = "dynamic_attention_sum_backward";
  detail::check_dynamic<T>(kName, a, left, right, weight, options);
  detail::check_spmm<T, T>(kName, transpose, grad_y, grad_left);
  detail::check_shape(kName, "y", y, a.num_rows, left.cols());
  detail::check_shape(kName, "norm", norm, a.num_rows, 2 * options.heads);
  detail::check_shape(kName, "grad_right", grad_right, a.num_rows, left.cols());
  detail::check_size(kName, "grad_weight", grad_weight.size(), left.cols());
  const KernelScope profile =
      detail::entry_scope(kName, a, left.cols(),
                          detail::dense_bytes(left, right, y, norm, grad_y, grad_left, grad_right) +
                              detail::entry_bytes(a) + detail::entry_bytes(transpose),
                          14);
  const Isa isa = active_isa();
  const std::size_t width = left.cols() / options.heads;
  detail::for_each_head_group(
      options.heads, [&](auto k, std::size_t group, std::size_t first, std::size_t heads) {
        constexpr std::size_t kHeads = k();
        using Layout = detail::RowStateLayout<kHeads>;
        const std::size_t at = first * width;
        Array<T> states = detail::attention_states<Layout, kHeads, T>(nullptr, norm, first, heads);
        const auto in = detail::attention_input<T>(a, left, options, group, first, heads);
        const detail::DynamicScore<kHeads, T> score{right.data() + at, right.stride(), weight.data() + at};
        const EdgeRanges rows(a.row_ptr);
        Tensor<T> part_weight = Tensor<T>::zeros(rows.num_chunks(), heads * width);
        parallel_blocks(rows.num_chunks(), [&](std::size_t chunk) {
          dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
            constexpr std::size_t W = decltype(level)::template lanes<T>();
            for (std::size_t i = rows.chunk(chunk).first; i < rows.chunk(chunk).last; ++i) {
              T* const state = states.data() + i * Layout::kStep;
              const T* const g = grad_y.data() + i * grad_y.stride() + at;
              const T* const out = y.data() + i * y.stride() + at;
              for (std::size_t h = 0; h < heads; ++h) {
                state[Layout::kInner + h] = detail::dot<W, T>(g + h * width, out + h * width, width);
              }
              detail::dynamic_row_backward<W, kHeads>(
                  in, score, state, g, i, static_cast<std::size_t>(a.begin(i)),
                  static_cast<std::size_t>(a.end(i)), grad_right.data() + i * grad_right.stride() + at,
                  part_weight.row(chunk).data());
            }
          });
        });
        for (std::size_t chunk = 0; chunk < rows.num_chunks(); ++chunk) {
          for (std::size_t f = 0; f < heads * width; ++f) grad_weight[at + f] += part_weight(chunk, f);
        }
        const auto rights = detail::attention_input<T>(transpose, right, options, group, first, heads);
        const auto grads = detail::attention_input<T>(transpose, grad_y, options, group, first, heads);
        const EdgeRanges columns(transpose.row_ptr);
        parallel_blocks(columns.num_chunks(), [&](std::size_t chunk) {
          dispatch(isa, [&](auto level) TESSERA_INLINE_LAMBDA {
            constexpr std::size_t W = decltype(level)::template lanes<T>();
            for (std::size_t j = columns.chunk(chunk).first; j < columns.chunk(chunk).last; ++j) {
              detail::dynamic_source_backward<W, kHeads>(
                  rights, grads, weight.data() + at, states.data(), left.data() + j * left.stride() + at, j,
                  static_cast<std::size_t>(transpose.begin(j)), static_cast<std::size_t>(transpose.end(j)),
                  grad_left.data() + j * grad_left.stride() + at);
            }
          });
        });
      });
}

#if defined(TESSERA_COMPILED)
TESSERA_INSTANTIATE void dynamic_attention_sum<float>(CsrView<>, MatrixView<const float>,
                                                      MatrixView<const float>, std::span<const float>,
                                                      const AttentionOptions&, MatrixView<float>,
                                                      MatrixView<float>);
TESSERA_INSTANTIATE void dynamic_attention_sum<double>(CsrView<>, MatrixView<const double>,
                                                       MatrixView<const double>, std::span<const double>,
                                                       const AttentionOptions&, MatrixView<double>,
                                                       MatrixView<double>);
TESSERA_INSTANTIATE void dynamic_attention_sum_backward<float>(
    CsrView<>, CsrView<>, MatrixView<const float>, MatrixView<const float>, std::span<const float>,
    const AttentionOptions&, MatrixView<const float>, MatrixView<const float>, MatrixView<const float>,
    MatrixView<float>, MatrixView<float>, std::span<float>);
TESSERA_INSTANTIATE void dynamic_attention_sum_backward<double>(
    CsrView<>, CsrView<>, MatrixView<const double>, MatrixView<const double>, std::span<const double>,
    const AttentionOptions&, MatrixView<const double>, MatrixView<const double>, MatrixView<const double>,
    MatrixView<double>, MatrixView<double>, std::span<double>);
#endif

}  // namespace tessera
