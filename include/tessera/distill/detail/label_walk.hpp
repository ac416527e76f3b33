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
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/edge_dropout.hpp"
#include "tessera/nn/autograd/tape.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera::detail {

/// y_i = sum_e k_e w_e f_j over the entries e = (i, j) of a, with w the softmax of score_j over the row and k the
/// factors of dropout: attention that looks at the source alone.
template <Real T>
struct SourceAttentionOp {
  static constexpr std::string_view kName = "source_attention";
  Adjacency a;
  Var f;
  Var score;
  Array<T> share;     ///< w_e
  Array<float> keep;  ///< k_e, or empty for 1

  std::array<Var, 2> inputs() const noexcept { return {f, score}; }
  std::array<Var, 1> reads() const noexcept { return {f}; }
  bool reads_output() const noexcept { return false; }

  T kept(std::size_t e) const { return keep.empty() ? T{1} : static_cast<T>(keep[e]); }

  // df_j = sum_i k w g_i; with q_e = k_e <f_j, g_i>: ds_e = w_e (q_e - sum_row w q), dscore_j = sum_i ds_e.
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> g = tape.grad(self);
    const MatrixView<const T> value = tape.value(f);
    const CsrView<>& forward = a.forward;
    Array<T> slope(forward.num_edges());
    if (tape.needs_grad(score)) {
      parallel_for(forward.num_rows, 64, [&](std::size_t i, std::size_t end) {
        for (; i < end; ++i) {
          T mean{0};
          for (auto e = forward.begin(i); e < forward.end(i); ++e) {
            T dot{0};
            for (std::size_t c = 0; c < g.cols(); ++c) dot += value(forward.col[e], c) * g(i, c);
            slope[e] = kept(e) * dot;
            mean += share[e] * slope[e];
          }
          for (auto e = forward.begin(i); e < forward.end(i); ++e) slope[e] = share[e] * (slope[e] - mean);
        }
      });
    }
    const CsrView<>& back = a.transpose;
    Tensor<T> of_f(value.rows(), value.cols());
    Tensor<T> of_score(value.rows(), 1);
    parallel_for(back.num_rows, 64, [&](std::size_t j, std::size_t end) {
      for (; j < end; ++j) {
        T sum{0};
        std::fill(of_f.row(j).begin(), of_f.row(j).end(), T{0});
        for (auto b = back.begin(j); b < back.end(j); ++b) {
          const auto e = a.transpose_edge[b];
          const T w = kept(e) * share[e];
          for (std::size_t c = 0; c < g.cols(); ++c) of_f(j, c) += w * g(back.col[b], c);
          if (tape.needs_grad(score)) sum += slope[e];
        }
        of_score(j, 0) = sum;
      }
    });
    if (tape.needs_grad(f)) tape.add_grad(f, std::move(of_f));
    if (tape.needs_grad(score)) tape.add_grad(score, std::move(of_score));
  }
};

/// Shapes   a [N, N] with its transpose and transpose_edge, f [N, C], score [N, 1] -> [N, C]
template <class Ctx>
Var source_attention(Ctx& ctx, const Adjacency& a, Var f, Var score, const DropoutMask& mask) {
  using T = typename Ctx::Scalar;
  const CsrView<> pattern{a.forward.num_rows, a.forward.num_cols, a.forward.row_ptr, a.forward.col, {}};
  const MatrixView<const T> value = ctx.value(f);
  const MatrixView<const T> s = ctx.value(score);
  Array<T> share(pattern.num_edges());
  Array<float> keep;
  if (mask.probability > 0) {
    keep.resize(pattern.num_edges());
    edge_dropout(pattern, mask, false, keep.span());
  }
  Tensor<T> y(value.rows(), value.cols());
  parallel_for(pattern.num_rows, 64, [&](std::size_t i, std::size_t end) {
    for (; i < end; ++i) {
      T top = -std::numeric_limits<T>::infinity();
      for (const NodeId j : pattern.neighbors(i)) top = std::max(top, s(j, 0));
      T total{0};
      for (auto e = pattern.begin(i); e < pattern.end(i); ++e)
        total += share[e] = std::exp(s(pattern.col[e], 0) - top);
      std::fill(y.row(i).begin(), y.row(i).end(), T{0});
      for (auto e = pattern.begin(i); e < pattern.end(i); ++e) {
        share[e] /= total;
        const T w = keep.empty() ? share[e] : share[e] * static_cast<T>(keep[e]);
        for (std::size_t c = 0; c < value.cols(); ++c) y(i, c) += w * value(pattern.col[e], c);
      }
    }
  });
  return ctx.record(std::move(y), SourceAttentionOp<T>{a, f, score, std::move(share), std::move(keep)});
}

/// r = relu(sigmoid(alpha) g + sigmoid(-alpha) m), and the one-hot row of its class for every node that has one.
template <Real T>
struct LabelMixOp {
  static constexpr std::string_view kName = "label_mix";
  Var alpha;
  Var g;
  Var m;
  std::span<const std::int32_t> classes;

  std::array<Var, 3> inputs() const noexcept { return {alpha, g, m}; }
  std::array<Var, 3> reads() const noexcept { return {alpha, g, m}; }
  bool reads_output() const noexcept { return true; }

  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> y = tape.value(self);
    const MatrixView<const T> up = tape.grad(self);
    const MatrixView<const T> left = tape.value(g);
    const MatrixView<const T> right = tape.value(m);
    const MatrixView<const T> a = tape.value(alpha);
    const bool shared = a.rows() == 1;
    Tensor<T> of_alpha(y.rows(), 1);
    Tensor<T> of_g(y.rows(), y.cols());
    Tensor<T> of_m(y.rows(), y.cols());
    parallel_for(y.rows(), 256, [&](std::size_t v, std::size_t end) {
      for (; v < end; ++v) {
        const T s = T{1} / (T{1} + std::exp(-a(shared ? 0 : v, 0)));
        T sum{0};
        for (std::size_t c = 0; c < y.cols(); ++c) {
          const T r = classes[v] < 0 && y(v, c) > T{0} ? up(v, c) : T{0};
          sum += r * (left(v, c) - right(v, c));
          of_g(v, c) = s * r;
          of_m(v, c) = (T{1} - s) * r;
        }
        of_alpha(v, 0) = s * (T{1} - s) * sum;
      }
    });
    if (tape.needs_grad(alpha)) {
      if (shared) {
        const T sum =
            static_cast<T>(parallel_sum<double>(y.rows(), 4096, [&](std::size_t v, std::size_t end) {
              double part = 0;
              for (; v < end; ++v) part += static_cast<double>(of_alpha(v, 0));
              return part;
            }));
        tape.add_grad(alpha, Tensor<T>::filled(1, 1, sum));
      } else {
        tape.add_grad(alpha, std::move(of_alpha));
      }
    }
    if (tape.needs_grad(g)) tape.add_grad(g, std::move(of_g));
    if (tape.needs_grad(m)) tape.add_grad(m, std::move(of_m));
  }
};

/// Shapes   alpha [N, 1] or [1, 1], g and m [N, C], classes [N] -> [N, C]
template <class Ctx>
Var label_mix(Ctx& ctx, Var alpha, Var g, Var m, std::span<const std::int32_t> classes) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> left = ctx.value(g);
  const MatrixView<const T> right = ctx.value(m);
  const MatrixView<const T> a = ctx.value(alpha);
  Tensor<T> y(left.rows(), left.cols());
  parallel_for(y.rows(), 256, [&](std::size_t v, std::size_t end) {
    for (; v < end; ++v) {
      const T s = T{1} / (T{1} + std::exp(-a(a.rows() == 1 ? 0 : v, 0)));
      for (std::size_t c = 0; c < y.cols(); ++c) {
        const T mixed = s * left(v, c) + (T{1} - s) * right(v, c);
        y(v, c) = classes[v] < 0 ? std::max(mixed, T{0})
                                 : (static_cast<std::size_t>(classes[v]) == c ? T{1} : T{0});
      }
    }
  });
  return ctx.record(std::move(y), LabelMixOp<T>{alpha, g, m, classes});
}

}  // namespace tessera::detail
