// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/layers/layer_norm.hpp"
#include "tessera/nn/layers/stack_defaults.hpp"
#include "tessera/nn/ops/add.hpp"
#include "tessera/nn/ops/dropout.hpp"
#include "tessera/nn/ops/finish.hpp"

namespace tessera {

/// L layers of one kind: x -> [dropout] -> (conv -> [norm] -> ReLU -> dropout [+ x]) x (L - 1) -> conv.
///
/// `Conv` says what a layer is (layers/) and what its networks do by habit (`kDefaults`). A convolution that
/// drops its own input (Cluster-GCN's) gets one mask per layer and no other dropout.
/// Shapes   x [N_src, in] -> logits [N_dst, out]
/// Cost     the sum of its layers; bias, activation and dropout are written with the rows
/// Errors   ConfigError for no layers, no input, no output or hidden width, or a probability outside [0, 1]
template <class Conv>
class GnnStack {
 public:
  using Scalar = typename Conv::Scalar;
  static constexpr StackDefaults kDefaults = Conv::kDefaults;

  struct Options {
    std::size_t in = 0;
    std::size_t hidden = 16;
    std::size_t out = 0;
    std::size_t layers = 2;
    float dropout = 0.5f;
    bool input_dropout = kDefaults.input_dropout;  ///< drop the features too
    bool layer_norm = kDefaults.layer_norm;        ///< after every layer but the last
    bool residual = false;                         ///< add x where a hidden layer keeps its width
    std::uint64_t seed = 0;                        ///< of the initial weights
    bool decay_first_layer_only =
        kDefaults.decay_first_layer_only;  ///< weight decay acts on the first weights
    double layer_norm_eps = kDefaults.layer_norm_eps;
    typename Conv::Options conv = {};
  };

  explicit GnnStack(const Options& options) : options_(options) {
    check(options);
    const std::string group = Conv::kGroup;
    for (std::size_t l = 0; l < options.layers; ++l) {
      typename Conv::Options conv = options.conv;
      if constexpr (requires { conv.precomputed; }) conv.precomputed = conv.precomputed && l == 0;
      convs_.emplace_back(block_, group + "." + std::to_string(l), width(l), width(l + 1), conv);
    }
    for (std::size_t l = 0; options.layer_norm && l + 1 < options.layers; ++l) {
      norms_.emplace_back(block_, "norms." + std::to_string(l), width(l + 1), options.layer_norm_eps);
    }
    if (options.decay_first_layer_only) {
      const std::string first = group + ".0.";
      for (std::size_t p = 0; p < block_.parameters().size(); ++p) {
        const ParameterInfo& info = block_.parameters()[p];
        const bool decays = info.name.starts_with(first) && info.name.ends_with("weight");
        if (!decays) block_.set_weight_decay_scale({p, info.offset, info.rows, info.cols}, 0.0f);
      }
    }
    reset_parameters(options.seed);
  }

  /// Draws the initial weights of this seed; gradients become zero.
  void reset_parameters(std::uint64_t seed) {
    const RngKey key = make_key(seed, 0, Purpose::init);
    for (const Conv& conv : convs_) conv.reset_parameters(block_, key);
    for (const LayerNorm<Scalar>& norm : norms_) norm.reset_parameters(block_);
    block_.zero_grads();
  }

  ParameterBlock<Scalar>& parameters() noexcept { return block_; }
  const ParameterBlock<Scalar>& parameters() const noexcept { return block_; }
  AggregationSpec aggregation() const noexcept { return Conv::aggregation(options_.conv); }
  std::size_t num_layers() const noexcept { return options_.layers; }
  std::size_t in_features() const noexcept { return options_.in; }
  std::size_t out_features() const noexcept { return options_.out; }
  const Options& options() const noexcept { return options_; }

  /// Logits of the last level's destinations.
  ///
  /// Errors   ShapeError if x is not [N_src of layer 0, in]
  template <class Ctx>
  Var forward(Ctx& ctx, AdjacencyStack adjacencies, Var x, const Pass& pass) const {
    for (std::size_t l = 0; l < options_.layers; ++l) {
      const Var y = layer(ctx, l, adjacencies[l], x, pass);
      if (y != x) ctx.forget(x);
      x = y;
    }
    return x;
  }

  /// Layer l alone, with the dropout, norm and activation that belong to it.
  ///
  /// Errors   ShapeError if x is not [N_src, input width of layer l]; IndexError if there is no layer l
  template <class Ctx>
  Var layer(Ctx& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const {
    if (l >= options_.layers) {
      throw IndexError(message("GnnStack::layer: l is ", l, ", want less than ", options_.layers));
    }
    if (ctx.value(x).cols() != width(l) || ctx.value(x).rows() != a.num_src()) {
      throw ShapeError(message("GnnStack::layer: x is [", ctx.value(x).rows(), ", ", ctx.value(x).cols(),
                               "], layer ", l, " wants [", a.num_src(), ", ", width(l), "]"));
    }
    const bool last = l + 1 == options_.layers;
    Finish finish{.activation = last ? Activation::none : Activation::relu};
    Var h;
    if constexpr (kDefaults.drops_own_input) {
      const bool drops = l > 0 || options_.input_dropout;
      const DropoutMask mask = drops ? mask_of(pass, l) : DropoutMask{};
      h = normed(ctx, l, finish, [&](const Finish& f) { return convs_[l](ctx, block_, a, x, f, mask); });
    } else {
      if (!last) finish.dropout = mask_of(pass, l + 1);
      Var input = x;
      if (l == 0 && options_.input_dropout) input = dropout(ctx, x, mask_of(pass, 0));
      h = normed(ctx, l, finish, [&](const Finish& f) { return convs_[l](ctx, block_, a, input, f); });
      if (input != x) ctx.forget(input);
    }
    if (!options_.residual || last || width(l) != width(l + 1)) return h;
    const Var y = add(ctx, h, head_rows(ctx, x, a.num_dst()));
    ctx.forget(h);
    return y;
  }

 private:
  // The norm sits between the transform and the activation, so with one the convolution finishes nothing.
  template <class Ctx, class F>
  Var normed(Ctx& ctx, std::size_t l, const Finish& finish, F&& conv) const {
    if (l >= norms_.size()) return conv(finish);
    const Var z = conv(Finish{});
    const Var y = norms_[l](ctx, block_, z);
    ctx.forget(z);
    return finish_in_place(ctx, y, finish);
  }

  DropoutMask mask_of(const Pass& pass, std::size_t call) const noexcept {
    if (!pass.training) return {};
    return {options_.dropout, pass.dropout_key, static_cast<std::uint32_t>(call)};
  }

  std::size_t width(std::size_t level) const noexcept {
    if (level == 0) return options_.in;
    return level == options_.layers ? options_.out : options_.hidden;
  }

  static void check(const Options& options) {
    const auto positive = [](std::string_view name, std::size_t value) {
      if (value == 0) throw ConfigError(message("GnnStack: ", name, " is 0, want at least 1"));
    };
    positive("layers", options.layers);
    positive("in", options.in);
    positive("out", options.out);
    if (options.layers > 1) positive("hidden", options.hidden);
    check_dropout({options.dropout, {}, 0}, "GnnStack");
    if (!(options.layer_norm_eps >= 0)) {
      throw ConfigError(message("GnnStack: layer_norm_eps is ", options.layer_norm_eps, ", want at least 0"));
    }
  }

  Options options_;
  ParameterBlock<Scalar> block_;
  std::vector<Conv> convs_;
  std::vector<LayerNorm<Scalar>> norms_;
};

}  // namespace tessera
