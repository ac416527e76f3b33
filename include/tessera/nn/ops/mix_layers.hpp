// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/detail/dense_support.hpp"
#include "tessera/nn/autograd/tape.hpp"

namespace tessera {

namespace detail {

template <Real T>
struct MixLayersOp {
  static constexpr std::string_view kName = "mix_layers";
  std::vector<Var> all;  // L layers, L scores
  Tensor<T> share;

  const std::vector<Var>& inputs() const noexcept { return all; }
  const std::vector<Var>& reads() const noexcept { return all; }
  bool reads_output() const noexcept { return true; }

  // dH_l = a_l G, ds_l = a_l (<G, H_l> - <G, y>).
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> g = tape.grad(self);
    const MatrixView<const T> y = tape.value(self);
    const std::size_t layers = all.size() / 2;
    for (std::size_t l = 0; l < layers; ++l) {
      const MatrixView<const T> h = tape.value(all[l]);
      Tensor<T> of_h(g.rows(), g.cols());
      Tensor<T> of_score(g.rows(), 1);
      parallel_for(g.rows(), rows_per_block(g.cols()), [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i) {
          T inner{0};
          for (std::size_t f = 0; f < g.cols(); ++f) {
            of_h(i, f) = share(i, l) * g(i, f);
            inner += g(i, f) * (h(i, f) - y(i, f));
          }
          of_score(i, 0) = share(i, l) * inner;
        }
      });
      if (tape.needs_grad(all[layers + l])) tape.add_grad(all[layers + l], std::move(of_score));
      if (tape.needs_grad(all[l])) tape.add_grad(all[l], std::move(of_h));
    }
  }
};

}  // namespace detail

/// y_i = sum over l of softmax over l of (score_l)_i times row i of layer l.
///
/// Shapes   L layers [N, F], L scores [N, 1] -> y [N, F]
/// Cost     O(N L F); keeps the layers and N L numbers
/// Errors   ShapeError if the shapes differ; ConfigError for no layers or another number of scores
template <class Ctx>
Var mix_layers(Ctx& ctx, std::span<const Var> layers, std::span<const Var> scores) {
  using T = typename Ctx::Scalar;
  if (layers.empty() || scores.size() != layers.size()) {
    throw ConfigError(message("mix_layers: got ", scores.size(), " scores of ", layers.size(),
                              " layers, want one each and at least one"));
  }
  const std::size_t rows = ctx.value(layers[0]).rows();
  const std::size_t cols = ctx.value(layers[0]).cols();
  std::vector<Var> all(layers.begin(), layers.end());
  all.insert(all.end(), scores.begin(), scores.end());
  for (std::size_t k = 0; k < all.size(); ++k) {
    detail::check_shape("mix_layers", k < layers.size() ? "a layer" : "a score", ctx.value(all[k]), rows,
                        k < layers.size() ? cols : 1);
  }
  Tensor<T> share(rows, layers.size());
  Tensor<T> y(rows, cols);
  parallel_for(rows, detail::rows_per_block(cols), [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      T top = ctx.value(scores[0])(i, 0);
      for (const Var s : scores) top = std::max(top, ctx.value(s)(i, 0));
      T total{0};
      for (std::size_t l = 0; l < layers.size(); ++l) {
        total += share(i, l) = std::exp(ctx.value(scores[l])(i, 0) - top);
      }
      std::fill_n(y.row(i).data(), cols, T{0});
      for (std::size_t l = 0; l < layers.size(); ++l) {
        share(i, l) /= total;
        const MatrixView<const T> h = ctx.value(layers[l]);
        for (std::size_t f = 0; f < cols; ++f) y(i, f) += share(i, l) * h(i, f);
      }
    }
  });
  return ctx.record(std::move(y), detail::MixLayersOp<T>{std::move(all), std::move(share)});
}

}  // namespace tessera
