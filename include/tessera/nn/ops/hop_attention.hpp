// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <limits>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/kernels/accumulate.hpp"
#include "tessera/kernels/column_sum.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/kernels/dropout.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct HopAttentionOp {
  static constexpr std::string_view kName = "hop_attention";
  std::vector<Var> all;  ///< hops, then reference, to_hop, to_reference
  std::size_t heads;
  T slope;
  DropoutMask mask;
  Tensor<T> weight;   ///< [N, heads hops] before dropout
  Tensor<T> dropped;  ///< after; empty without dropout
  Tensor<T> bend;     ///< derivative of the leaky ReLU at each score

  std::span<const Var> inputs() const noexcept { return all; }
  std::span<const Var> reads() const noexcept { return all; }
  bool reads_output() const noexcept { return false; }

  std::size_t hops() const noexcept { return all.size() - 3; }
  Var reference() const noexcept { return all[hops()]; }
  Var to_hop() const noexcept { return all[hops() + 1]; }
  Var to_reference() const noexcept { return all[hops() + 2]; }

  // With w' the dropped weights and G the gradient of the mean over heads: q_k = mask_k <G, H_k>,
  // gs_k = w_k (q_k - sum_m w_m q_m), gr_k = gs_k bend_k; dH_k = w'_k G + gr_k a_hop, dref = sum_k gr_k a_ref,
  // da_hop = sum gr_k H_k, da_ref = sum (sum_k gr_k) ref.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<T> g = tape.grad(self);
    const std::size_t n = g.rows();
    const std::size_t d = g.cols();
    const T share = T{1} / static_cast<T>(heads);
    Tensor<T> score(n, heads * hops());
    parallel_for(n, rows_per_block(heads * hops() * d), [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        for (std::size_t h = 0; h < heads; ++h) {
          for (std::size_t k = 0; k < hops(); ++k) {
            const T* const hop = tape.value(all[k]).row(i).data() + h * d;
            T q = 0;
            for (std::size_t f = 0; f < d; ++f) q += g(i, f) * hop[f];
            score(i, h * hops() + k) = q * share;
          }
        }
      }
    });
    if (mask.probability > 0) dropout_backward(std::as_const(score).view(), score.view(), mask);
    parallel_for(n, 512, [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        for (std::size_t h = 0; h < heads; ++h) {
          T mean = 0;
          for (std::size_t k = h * hops(); k < (h + 1) * hops(); ++k) mean += weight(i, k) * score(i, k);
          for (std::size_t k = h * hops(); k < (h + 1) * hops(); ++k) {
            score(i, k) = weight(i, k) * (score(i, k) - mean) * bend(i, k);
          }
        }
      }
    });
    const Tensor<T>& mixed = dropped.empty() ? weight : dropped;
    for (std::size_t k = 0; k < hops(); ++k) {
      if (tape.needs_grad(all[k])) add_hop_grad(tape, k, g, mixed, score, share);
      if (tape.needs_grad(to_hop())) add_vector_grad(tape, to_hop(), all[k], score, k, k + 1);
    }
    if (tape.needs_grad(reference())) add_reference_grad(tape, score);
    if (tape.needs_grad(to_reference())) add_vector_grad(tape, to_reference(), reference(), score, 0, hops());
  }

 private:
  void add_hop_grad(Tape<T>& tape, std::size_t k, MatrixView<const T> g, const Tensor<T>& mixed,
                    const Tensor<T>& score, T share) const {
    const GradSlot<T> slot = tape.grad_slot(all[k]);
    const MatrixView<const T> a = tape.value(to_hop());
    const std::size_t d = g.cols();
    parallel_for(g.rows(), rows_per_block(heads * d), [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        for (std::size_t h = 0; h < heads; ++h) {
          T* const to = slot.grad.row(i).data() + h * d;
          const T w = mixed(i, h * hops() + k) * share;
          const T r = score(i, h * hops() + k);
          for (std::size_t f = 0; f < d; ++f) {
            const T value = w * g(i, f) + r * a(h, f);
            to[f] = slot.add ? to[f] + value : value;
          }
        }
      }
    });
  }
  void add_reference_grad(Tape<T>& tape, const Tensor<T>& score) const {
    const GradSlot<T> slot = tape.grad_slot(reference());
    const MatrixView<const T> a = tape.value(to_reference());
    const std::size_t d = a.cols();
    parallel_for(score.rows(), rows_per_block(heads * d), [&](std::size_t begin, std::size_t end) {
      for (std::size_t i = begin; i < end; ++i) {
        for (std::size_t h = 0; h < heads; ++h) {
          T* const to = slot.grad.row(i).data() + h * d;
          T r = 0;
          for (std::size_t k = 0; k < hops(); ++k) r += score(i, h * hops() + k);
          for (std::size_t f = 0; f < d; ++f) to[f] = slot.add ? to[f] + r * a(h, f) : r * a(h, f);
        }
      }
    });
  }
  // grad(h, f) += sum over rows of (scores of hops [first, last)) x(i, h d + f)
  void add_vector_grad(Tape<T>& tape, Var vector, Var x, const Tensor<T>& score, std::size_t first,
                       std::size_t last) const {
    const MatrixView<const T> value = tape.value(x);
    const std::size_t width = value.cols();
    const std::size_t d = width / heads;
    Array<T> sums(width);
    sum_row_blocks(value.rows(), width, column_sum_rows(width), sums.span(), Accumulate::no,
                   [&](std::size_t begin, std::size_t end, T* partial) {
                     for (std::size_t i = begin; i < end; ++i) {
                       for (std::size_t h = 0; h < heads; ++h) {
                         T r = 0;
                         for (std::size_t k = first; k < last; ++k) r += score(i, h * hops() + k);
                         for (std::size_t f = 0; f < d; ++f) partial[h * d + f] += r * value(i, h * d + f);
                       }
                     }
                   });
    const GradSlot<T> slot = tape.grad_slot(vector);
    for (std::size_t h = 0; h < heads; ++h) {
      for (std::size_t f = 0; f < d; ++f) {
        slot.grad(h, f) = slot.add ? slot.grad(h, f) + sums[h * d + f] : sums[h * d + f];
      }
    }
  }
};

/// <row h of a, block h of x_i> for every head.
template <Real T>
T head_score(MatrixView<const T> x, MatrixView<const T> a, std::size_t i, std::size_t h) noexcept {
  const std::size_t d = a.cols();
  T sum = 0;
  for (std::size_t f = 0; f < d; ++f) sum += a(h, f) * x(i, h * d + f);
  return sum;
}

}  // namespace detail

/// A mixture of hops chosen by every node for itself: s_k = LeakyReLU(<a_hop, H_k> + <a_ref, R>), w = softmax
/// over k of s, y = mean over heads of sum_k dropout(w_k) H_k.
///
/// Shapes   hops K+1 matrices [N, heads d], reference [N, heads e], to_hop [heads, d], to_reference [heads, e]
///          -> y [N, d]
/// Cost     O(N K heads d), three times in backward; keeps the hops and 3 values per row, head and hop
/// Errors   ShapeError if the shapes do not fit, ConfigError for no hops
/// Source   Sun et al., Scalable and adaptive graph neural networks with self-label-enhanced training, 2021,
///          section 3.2 (R = H_0); Zhang et al., Graph attention multi-layer perceptron, KDD 2022, JK attention
template <class Ctx>
Var hop_attention(Ctx& ctx, std::span<const Var> hops, Var reference, Var to_hop, Var to_reference,
                  double slope = 0.2, const DropoutMask& mask = {}) {
  using T = typename Ctx::Scalar;
  check_dropout(mask, "hop_attention");
  if (hops.empty()) throw ConfigError("hop_attention: no hops, want at least one");
  const MatrixView<const T> a = ctx.value(to_hop);
  const MatrixView<const T> b = ctx.value(to_reference);
  const MatrixView<const T> r = ctx.value(reference);
  const std::size_t n = r.rows();
  const std::size_t heads = a.rows();
  const std::size_t d = a.cols();
  const std::size_t count = hops.size();
  detail::check_shape("hop_attention", "to_reference", b, heads, b.cols());
  detail::check_shape("hop_attention", "reference", r, n, heads * b.cols());
  for (const Var hop : hops) detail::check_shape("hop_attention", "hop", ctx.value(hop), n, heads * d);

  Tensor<T> weight(n, heads * count);
  Tensor<T> bend(n, heads * count);
  std::vector<MatrixView<const T>> value;
  for (const Var hop : hops) value.push_back(ctx.value(hop));
  parallel_for(n, detail::rows_per_block(heads * count * d), [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      for (std::size_t h = 0; h < heads; ++h) {
        const T shared = detail::head_score(r, b, i, h);
        T* const w = weight.row(i).data() + h * count;
        T top = -std::numeric_limits<T>::infinity();
        for (std::size_t k = 0; k < count; ++k) {
          const T raw = shared + detail::head_score(value[k], a, i, h);
          const T by = raw < T{0} ? static_cast<T>(slope) : T{1};
          bend(i, h * count + k) = by;
          w[k] = raw * by;
          top = std::max(top, w[k]);
        }
        T sum = 0;
        for (std::size_t k = 0; k < count; ++k) sum += w[k] = std::exp(w[k] - top);
        for (std::size_t k = 0; k < count; ++k) w[k] /= sum;
      }
    }
  });
  Tensor<T> dropped;
  if (mask.probability > 0) {
    dropped.resize(n, heads * count);
    dropout(std::as_const(weight).view(), dropped.view(), mask);
  }
  const Tensor<T>& mixed = dropped.empty() ? weight : dropped;
  Tensor<T> y(n, d);
  const T share = T{1} / static_cast<T>(heads);
  parallel_for(n, detail::rows_per_block(heads * count * d), [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      T* const to = y.row(i).data();
      std::fill_n(to, d, T{0});
      for (std::size_t h = 0; h < heads; ++h) {
        for (std::size_t k = 0; k < count; ++k) {
          const T w = mixed(i, h * count + k) * share;
          const T* const from = value[k].row(i).data() + h * d;
          for (std::size_t f = 0; f < d; ++f) to[f] += w * from[f];
        }
      }
    }
  });
  std::vector<Var> all(hops.begin(), hops.end());
  for (const Var v : {reference, to_hop, to_reference}) all.push_back(v);
  return ctx.record(std::move(y),
                    detail::HopAttentionOp<T>{std::move(all), heads, static_cast<T>(slope), mask,
                                              std::move(weight), std::move(dropped), std::move(bend)});
}

}  // namespace tessera
