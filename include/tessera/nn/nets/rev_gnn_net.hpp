// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/layers/gen_conv.hpp"
#include "tessera/nn/layers/layer_norm.hpp"
#include "tessera/nn/layers/linear.hpp"
#include "tessera/nn/layers/sage_conv.hpp"
#include "tessera/nn/layers/stack_defaults.hpp"
#include "tessera/nn/ops/dropout.hpp"
#include "tessera/nn/ops/finish.hpp"
#include "tessera/nn/ops/reversible.hpp"

namespace tessera {

/// A very deep network whose activations are not kept: Linear -> L grouped reversible blocks -> LayerNorm -> ReLU ->
/// dropout -> Linear. Inside a block every group goes LayerNorm -> ReLU -> dropout -> convolution.
///
/// Any convolution of layers/ that maps a width to itself serves. All blocks share one dropout mask per step, as
/// published; with `.tied` they share their weights too.
/// Shapes   x [N, in] -> logits [N, out]; blocks keep the nodes, so every adjacency is square
/// Cost     forward as a residual network, training one more forward; activation memory O(N hidden),
///          independent of the number of layers
/// Errors   ConfigError for no layers, widths or groups that do not fit; ShapeError for an adjacency that is not
///          square (samplers with one block per layer)
/// Source   Li, Mueller, Ghanem & Koltun, Training graph neural networks with 1000 layers, ICML 2021
template <class Conv>
class RevGnnNet {
 public:
  using Scalar = typename Conv::Scalar;

  struct Options {
    std::size_t in = 0;
    std::size_t hidden = 64;
    std::size_t out = 0;
    std::size_t layers = 8;  ///< reversible blocks
    std::size_t groups = 2;  ///< parts of the features; the published networks have 2
    float dropout = 0.5f;
    bool share_mask = true;  ///< one dropout mask for all blocks
    bool tied = false;       ///< one set of weights for all blocks
    std::uint64_t seed = 0;
    typename Conv::Options conv = {};
  };

  explicit RevGnnNet(const Options& options)
      : options_(checked(options)),
        embed_(block_, "embed", options.in, options.hidden),
        head_(block_, "head", options.hidden, options.out) {
    const std::size_t width = options.hidden / options.groups;
    for (std::size_t l = 0; l < (options.tied ? 1 : options.layers); ++l) {
      for (std::size_t i = 0; i < options.groups; ++i) {
        const std::string name = "blocks." + std::to_string(l) + "." + std::to_string(i);
        norms_.emplace_back(block_, name + ".norm", width);
        convs_.emplace_back(block_, name + ".conv", width, width, options.conv);
      }
    }
    norms_.emplace_back(block_, "norm", options.hidden);
    reset_parameters(options.seed);
  }

  /// Draws the initial weights of this seed; gradients become zero.
  void reset_parameters(std::uint64_t seed) {
    const RngKey key = make_key(seed, 0, Purpose::init);
    embed_.reset_parameters(block_, key);
    for (const Conv& conv : convs_) conv.reset_parameters(block_, key);
    for (const LayerNorm<Scalar>& norm : norms_) norm.reset_parameters(block_);
    head_.reset_parameters(block_, key);
    block_.zero_grads();
  }

  ParameterBlock<Scalar>& parameters() noexcept { return block_; }
  const ParameterBlock<Scalar>& parameters() const noexcept { return block_; }
  AggregationSpec aggregation() const noexcept { return Conv::aggregation(options_.conv); }
  std::size_t num_layers() const noexcept { return options_.layers; }
  std::size_t in_features() const noexcept { return options_.in; }
  std::size_t out_features() const noexcept { return options_.out; }
  const Options& options() const noexcept { return options_; }
  bool accepts_sparse_input() const noexcept { return true; }

  template <class Ctx>
  Var forward(Ctx& ctx, AdjacencyStack adjacencies, Var x, const Pass& pass) const {
    for (std::size_t l = 0; l < adjacencies.size(); ++l) check_square(adjacencies[l]);
    if (adjacencies.size() == 1) return run(ctx, 0, options_.layers, adjacencies[0], x, pass);
    for (std::size_t l = 0; l < options_.layers; ++l) x = run(ctx, l, l + 1, adjacencies[l], x, pass);
    return x;
  }

  /// Block l alone; the first brings the embedding along, the last the head.
  ///
  /// Errors   IndexError if there is no layer l
  template <class Ctx>
  Var layer(Ctx& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const {
    if (l >= options_.layers) {
      throw IndexError(message("RevGnnNet::layer: l is ", l, ", want less than ", options_.layers));
    }
    check_square(a);
    return run(ctx, l, l + 1, a, x, pass);
  }

 private:
  /// What the blocks compute, for `reversible`.
  struct Functions {
    const RevGnnNet* net;
    Adjacency a;
    Pass pass;

    template <class Ctx>
    Var operator()(Ctx& ctx, std::size_t l, std::size_t i, Var u) const {
      const std::size_t groups = net->options_.groups;
      const std::size_t call = net->options_.share_mask ? i : l * groups + i;
      const std::size_t at = net->options_.tied ? i : l * groups + i;
      const Var normed = net->norms_[at](ctx, net->block_, u);
      const Var h = finish_in_place(ctx, normed,
                                    {.activation = Activation::relu, .dropout = net->mask(pass, call + 1)});
      const Var y = net->convs_[at](ctx, net->block_, a, h, Finish{});
      ctx.forget(h);
      return y;
    }
    ParameterView<Scalar> anchor() const { return net->block_[net->head_.weight()]; }
    Tape<Scalar>& tape() const { return *net->tape_; }
  };

  template <class Ctx>
  Var run(Ctx& ctx, std::size_t first, std::size_t last, const Adjacency& a, Var x, const Pass& pass) const {
    Var h = first == 0 ? embed_.transform(ctx, block_, x) : x;
    const Var y = reversible(ctx, h, Functions{this, a, pass}, {first, last, options_.groups});
    if (h != x) ctx.forget(h);
    if (last < options_.layers) return y;
    const Var normed = norms_.back()(ctx, block_, y);
    ctx.forget(y);
    h = finish_in_place(ctx, normed, {.activation = Activation::relu, .dropout = mask(pass, 0)});
    const Var logits = head_.transform(ctx, block_, h);
    ctx.forget(h);
    return logits;
  }

  DropoutMask mask(const Pass& pass, std::size_t call) const noexcept {
    if (!pass.training) return {};
    return {options_.dropout, pass.dropout_key, static_cast<std::uint32_t>(call)};
  }

  static void check_square(const Adjacency& a) {
    if (a.num_dst() == a.num_src()) return;
    throw ShapeError(message("RevGnnNet: an adjacency is [", a.num_dst(), ", ", a.num_src(),
                             "], want a square one: reversible blocks keep the nodes"));
  }

  static const Options& checked(const Options& o) {
    detail::check_positive("RevGnnNet", "layers", o.layers);
    detail::check_positive("RevGnnNet", "in", o.in);
    detail::check_positive("RevGnnNet", "hidden", o.hidden);
    detail::check_positive("RevGnnNet", "out", o.out);
    detail::refuse_entry_dropout("RevGnnNet", o.conv);
    if constexpr (requires { o.conv.norm == NormKind::batch; }) {
      if (o.conv.norm == NormKind::batch) {
        throw ConfigError("RevGnnNet: conv.norm is batch, want none or layer: a block runs twice");
      }
    }
    if constexpr (requires { bool{o.conv.batch_norm}; }) {
      if (o.conv.batch_norm) {
        throw ConfigError("RevGnnNet: conv.batch_norm is on, want off: a block runs twice");
      }
    }
    check_dropout({o.dropout, {}, 0}, "RevGnnNet");
    if (o.groups < 2 || o.hidden % o.groups != 0) {
      throw ConfigError(
          message("RevGnnNet: groups is ", o.groups, ", want at least 2 that divide hidden = ", o.hidden));
    }
    return o;
  }

  Options options_;
  ParameterBlock<Scalar> block_;
  LinearLayer<Scalar> embed_;
  LinearLayer<Scalar> head_;
  std::vector<LayerNorm<Scalar>> norms_;  ///< of the blocks' groups, and the last one of the output
  std::vector<Conv> convs_;
  std::unique_ptr<Tape<Scalar>> tape_ = std::make_unique<Tape<Scalar>>();
};

/// RevGNN with GraphSAGE convolutions, as PyTorch Geometric's example for ogbn-products.
template <Real T = float>
using RevSageNet = RevGnnNet<SageConv<T>>;

/// RevGNN with DeeperGCN's convolutions, as published for ogbn-proteins; set `conv.norm` to none or layer.
template <Real T = float>
using RevGenNet = RevGnnNet<GenConv<T>>;

}  // namespace tessera
