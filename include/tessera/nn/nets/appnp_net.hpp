// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/nn/init/glorot.hpp"
#include "tessera/nn/layers/linear.hpp"
#include "tessera/nn/nets/carrying_stack.hpp"
#include "tessera/nn/ops/dropout.hpp"
#include "tessera/nn/ops/propagate.hpp"

namespace tessera {

/// The core of AppnpNet; see there.
template <Real T>
class AppnpCore {
 public:
  using Scalar = T;
  static constexpr std::size_t kCarried = 2;  // Z and H
  struct Options {
    std::size_t in = 0;
    std::size_t hidden = 64;
    std::size_t out = 0;
    std::size_t layers = 2;  ///< of the perceptron
    std::size_t steps = 10;  ///< K
    double alpha = 0.1;      ///< share of H in every step
    float dropout = 0.5f;
    float entry_dropout = 0.5f;  ///< of the operator, drawn afresh in every step
    bool bias = false;
    bool decay_first_layer_only = true;
    std::uint64_t seed = 0;
  };

  AppnpCore(ParameterBlock<T>& block, const Options& options) : options_(options) {
    detail::check_positive("AppnpNet", "in", options.in);
    detail::check_positive("AppnpNet", "out", options.out);
    detail::check_positive("AppnpNet", "layers", options.layers);
    if (options.layers > 1) detail::check_positive("AppnpNet", "hidden", options.hidden);
    detail::check_between("AppnpNet", "alpha", options.alpha, 0, 1);
    check_dropout({options.dropout, {}, 0}, "AppnpNet");
    check_dropout({options.entry_dropout, {}, 0}, "AppnpNet");
    for (std::size_t l = 0; l < options.layers; ++l) {
      const std::size_t in = l == 0 ? options.in : options.hidden;
      const std::size_t out = l + 1 == options.layers ? options.out : options.hidden;
      lins_.emplace_back(block, "lins." + std::to_string(l), in, out,
                         typename LinearLayer<T>::Options{options.bias});
    }
    for (std::size_t p = 0; options.decay_first_layer_only && p < block.parameters().size(); ++p) {
      const ParameterInfo& info = block.parameters()[p];
      if (info.name != "lins.0.weight") {
        block.set_weight_decay_scale({p, info.offset, info.rows, info.cols}, 0.0f);
      }
    }
  }

  /// Glorot uniform for the weights, PyTorch's for the biases.
  void reset_parameters(ParameterBlock<T>& block, RngKey key) const {
    for (const LinearLayer<T>& lin : lins_) {
      lin.reset_parameters(block, key);
      glorot_uniform(block.value(lin.weight()), {key, static_cast<std::uint32_t>(lin.weight().index)});
    }
  }
  AggregationSpec aggregation() const noexcept { return {Normalization::symmetric, true, 0.0f}; }
  std::size_t num_layers() const noexcept { return options_.steps == 0 ? 1 : options_.steps; }
  std::size_t width(std::size_t, std::size_t) const noexcept { return options_.out; }

  bool accepts_sparse_input() const noexcept { return true; }

  template <class Ctx>
  std::array<Var, 2> step(Ctx& ctx, const ParameterBlock<T>& block, std::size_t l, const Adjacency& a,
                          std::array<Var, 2> state, const Pass& pass) const {
    if (l == 0) {
      const Var h = perceptron(ctx, block, state[0], pass);
      state = {h, h};
    }
    const Var start = head_rows(ctx, state[1], a.num_dst());
    if (l >= options_.steps) return {start, start};
    const DropoutMask mask{pass.training ? options_.entry_dropout : 0.0f, pass.dropout_key,
                           static_cast<std::uint32_t>(options_.layers + 1 + l)};
    return {propagate(ctx, a, state[0], start, options_.alpha, mask), start};
  }

 private:
  template <class Ctx>
  Var perceptron(Ctx& ctx, const ParameterBlock<T>& block, Var x, const Pass& pass) const {
    const auto mask = [&](std::size_t call) -> DropoutMask {
      if (!pass.training) return {};
      return {options_.dropout, pass.dropout_key, static_cast<std::uint32_t>(call)};
    };
    Var h = dropout(ctx, x, mask(0));
    for (std::size_t l = 0; l < options_.layers; ++l) {
      const bool last = l + 1 == options_.layers;
      Finish finish{.activation = last ? Activation::none : Activation::relu};
      if (!last) finish.dropout = mask(l + 1);
      const Var y = lins_[l].transform(ctx, block, h, finish);
      if (h != x) ctx.forget(h);
      h = y;
    }
    return h;
  }

  Options options_;
  std::vector<LinearLayer<T>> lins_;
};

/// Predict then propagate: H = MLP(X), Z^0 = H, Z^(k+1) = (1 - alpha) S Z^k + alpha H; the logits are Z^K.
///
/// A layer is one step, the first with the perceptron before it; layers hand on [Z | H].
/// Shapes   x [N_src, in] -> logits [N_dst, out]
/// Cost     the perceptron and 2 K E C flops; keeps nothing of the propagation
/// Errors   ConfigError for zero sizes, alpha or a probability outside [0, 1]
/// Source   Gasteiger, Bojchevski & Guennemann, Predict then propagate, ICLR 2019, eq. (4); its defaults (the
///          features' rows sum to 1, weight decay 5e-3 on the first weights)
template <Real T = float>
using AppnpNet = CarryingStack<AppnpCore<T>>;

}  // namespace tessera
