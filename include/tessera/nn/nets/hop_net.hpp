// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/nn/init/glorot.hpp"
#include "tessera/nn/nets/carrying_stack.hpp"
#include "tessera/nn/ops/aggregate.hpp"
#include "tessera/nn/ops/dropout.hpp"
#include "tessera/nn/ops/linear.hpp"
#include "tessera/nn/ops/linear_combination.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

/// Convolutions that reach over several hops. With S symmetrically normalised:
enum class HopConv {
  simple,    ///< SGConv: Y = S^K X W + b, S with self loops
  adaptive,  ///< TAGConv: Y = sum over k = 0..K of S^k X W_k + b, S without loops
  chebyshev,  ///< ChebConv: Y = sum over k = 0..K-1 of T_k W_k + b, T_0 = X, T_1 = L X, T_k = 2 L T_(k-1) - T_(k-2), L = -S
};

/// The core of the networks below; see HopNet.
template <Real T, HopConv kKind>
class HopCore {
 public:
  using Scalar = T;
  static constexpr std::size_t kCarried = 3;  // T_k, T_(k-1), what is summed so far
  struct Options {
    std::size_t in = 0;
    std::size_t hidden = 16;
    std::size_t out = 0;
    std::size_t layers = kKind == HopConv::simple ? 1 : 2;
    std::size_t hops = kKind == HopConv::simple ? 2 : 3;  ///< K
    float dropout = kKind == HopConv::simple ? 0.0f : 0.5f;
    std::uint64_t seed = 0;
  };

  HopCore(ParameterBlock<T>& block, const Options& options) : options_(options) {
    detail::check_positive("HopNet", "in", options.in);
    detail::check_positive("HopNet", "out", options.out);
    detail::check_positive("HopNet", "layers", options.layers);
    if (options.layers > 1) detail::check_positive("HopNet", "hidden", options.hidden);
    if (kKind == HopConv::chebyshev) detail::check_positive("HopNet", "hops", options.hops);
    check_dropout({options.dropout, {}, 0}, "HopNet");
    for (std::size_t c = 0; c < options.layers; ++c) {
      const std::string name = "convs." + std::to_string(c);
      for (std::size_t k = 0; k < terms(); ++k) {
        weight_.push_back(block.add(name + ".lins." + std::to_string(k) + ".weight", in(c), out(c)));
      }
      bias_.push_back(block.add(name + ".bias", 1, out(c)));
    }
  }

  /// Glorot uniform for the weights, 0 for the biases.
  void reset_parameters(ParameterBlock<T>& block, RngKey key) const {
    for (const Parameter p : weight_) {
      glorot_uniform(block.value(p), {key, static_cast<std::uint32_t>(p.index)});
    }
    for (const Parameter p : bias_)
      fill_uniform(block.value(p), 0.0, {key, static_cast<std::uint32_t>(p.index)});
  }
  AggregationSpec aggregation() const noexcept {
    return {Normalization::symmetric, kKind == HopConv::simple, 0.0f};
  }
  std::size_t num_layers() const noexcept { return options_.layers * steps(); }
  std::size_t width(std::size_t l, std::size_t k) const noexcept {
    const std::size_t c = l / steps();
    const std::size_t done = l % steps();  // hops of this convolution that x has taken
    if (k == 0) return in(c);
    if (done == 0) return 0;
    if (k == 1) return kKind == HopConv::chebyshev ? in(c) : 0;
    return kKind == HopConv::simple ? 0 : out(c);
  }

  template <class Ctx>
  std::array<Var, 3> step(Ctx& ctx, const ParameterBlock<T>& block, std::size_t l, const Adjacency& a,
                          std::array<Var, 3> state, const Pass& pass) const {
    const std::size_t c = l / steps();
    const std::size_t k = l % steps() + 1;
    if (k == 1) {
      state = {dropout(ctx, state[0], mask_of(pass, c)), Var{}, Var{}};
      if (kKind != HopConv::simple) state[2] = linear(ctx, state[0], weight(ctx, block, c, 0));
    }
    std::array<Var, 3> next{};
    if (k < terms() || (kKind == HopConv::simple && k <= options_.hops)) {
      next = hop(ctx, block, c, k, a, state);
    } else {  // a convolution without hops
      for (std::size_t m = 0; m < 3; ++m) next[m] = state[m] ? head_rows(ctx, state[m], a.num_dst()) : Var{};
    }
    return k < steps() ? next : std::array<Var, 3>{finish(ctx, block, c, next), Var{}, Var{}};
  }

 private:
  /// Weights of one convolution.
  std::size_t terms() const noexcept {
    if (kKind == HopConv::simple) return 1;
    return kKind == HopConv::adaptive ? options_.hops + 1 : options_.hops;
  }
  /// Layers that one convolution takes: its hops, at least one.
  std::size_t steps() const noexcept {
    const std::size_t hops = kKind == HopConv::chebyshev ? options_.hops - 1 : options_.hops;
    return hops == 0 ? 1 : hops;
  }
  std::size_t in(std::size_t c) const noexcept { return c == 0 ? options_.in : options_.hidden; }
  std::size_t out(std::size_t c) const noexcept {
    return c + 1 == options_.layers ? options_.out : options_.hidden;
  }

  DropoutMask mask_of(const Pass& pass, std::size_t call) const noexcept {
    if (!pass.training) return {};
    return {options_.dropout, pass.dropout_key, static_cast<std::uint32_t>(call)};
  }
  template <class Ctx>
  Var weight(Ctx& ctx, const ParameterBlock<T>& block, std::size_t c, std::size_t k) const {
    return ctx.parameter(block[weight_[c * terms() + k]]);
  }

  template <class Ctx>
  std::array<Var, 3> hop(Ctx& ctx, const ParameterBlock<T>& block, std::size_t c, std::size_t k,
                         const Adjacency& a, const std::array<Var, 3>& state) const {
    Var t = aggregate(ctx, a, state[0]);
    if constexpr (kKind == HopConv::simple) return {t, Var{}, Var{}};
    if constexpr (kKind == HopConv::chebyshev) {
      const Var s = t;
      t = k == 1 ? linear_combination(ctx, s, -1)
                 : linear_combination(ctx, s, -2, head_rows(ctx, state[1], a.num_dst()), -1);
      ctx.forget(s);
    }
    const Var before = kKind == HopConv::chebyshev ? head_rows(ctx, state[0], a.num_dst()) : Var{};
    const Var sum = add_linear(ctx, head_rows(ctx, state[2], a.num_dst()), t, weight(ctx, block, c, k));
    return {t, before, sum};
  }

  template <class Ctx>
  Var finish(Ctx& ctx, const ParameterBlock<T>& block, std::size_t c, const std::array<Var, 3>& state) const {
    const bool last = c + 1 == options_.layers;
    const Finish finish{.bias = ctx.parameter(block[bias_[c]]),
                        .activation = last ? Activation::none : Activation::relu};
    if constexpr (kKind == HopConv::simple) return linear(ctx, state[0], weight(ctx, block, c, 0), finish);
    return finish_in_place(ctx, state[2], finish);
  }

  Options options_;
  std::vector<Parameter> weight_;
  std::vector<Parameter> bias_;
};

/// Convolutions over several hops, ReLU and dropout between them. Every hop is a layer of its own, so samplers bring one
/// block per hop: layers times K of them (K - 1 for Chebyshev's). Layers hand on [T_k | T_(k-1) | sum].
///
/// Shapes   x [N_src, in] -> logits [N_dst, out]
/// Cost     per convolution 2 K E F_in + 2 (K + 1) N F_in F_out flops; keeps every power
/// Errors   ConfigError for zero sizes or a probability outside [0, 1]
/// Source   Wu et al., Simplifying graph convolutional networks, ICML 2019; Du et al., Topology adaptive graph
///          convolutional networks, 2017; Defferrard et al., Convolutional neural networks on graphs with fast localized
///          spectral filtering, NIPS 2016, with the largest eigenvalue taken as 2
template <HopConv kKind, Real T = float>
using HopNet = CarryingStack<HopCore<T, kKind>>;

template <Real T = float>
using SgConvNet = HopNet<HopConv::simple, T>;
template <Real T = float>
using TagNet = HopNet<HopConv::adaptive, T>;
template <Real T = float>
using ChebNet = HopNet<HopConv::chebyshev, T>;

}  // namespace tessera
