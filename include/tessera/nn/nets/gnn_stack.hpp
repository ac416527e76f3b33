// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/layers/linear.hpp"
#include "tessera/nn/layers/stack_defaults.hpp"
#include "tessera/nn/nets/conv_trunk.hpp"
#include "tessera/nn/ops/drop_nodes.hpp"
#include "tessera/nn/ops/dropout.hpp"

namespace tessera {

/// L layers of one kind: x -> [dropout] -> (conv -> [norm] -> ReLU -> dropout [+ x]) x (L - 1) -> conv.
///
/// `Conv` says what a layer is (layers/) and what its networks do by habit (`kDefaults`); `ConvTrunk` has what it may
/// ask for.
///
/// With `linear_ends` a Linear map leads to the hidden width before the first convolution and another one from it
/// after the last, which is then a hidden layer like the others.
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
    float node_dropout = 0;                        ///< drop whole rows of the features (`drop_nodes`)
    NormKind norm = kDefaults.norm;                ///< of every hidden layer, before its activation
    bool residual = false;                         ///< add x where a hidden layer keeps its width
    bool linear_ends = false;                      ///< Linear(in, hidden) before, Linear(hidden, out) after
    std::uint64_t seed = 0;                        ///< of the initial weights
    bool decay_first_layer_only =
        kDefaults.decay_first_layer_only;  ///< weight decay acts on the first weights
    double layer_norm_eps = kDefaults.layer_norm_eps;
    typename Conv::Options conv = {};
  };

  explicit GnnStack(const Options& options)
      : options_(checked(options)), trunk_(block_, widths(options), trunk_options(options)) {
    if (options.linear_ends) {
      ends_.emplace_back(block_, "embed", options.in, options.hidden);
      ends_.emplace_back(block_, "head", options.hidden, options.out);
    }
    if (options.decay_first_layer_only) {
      const std::string first = std::string(Conv::kGroup) + ".0.";
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
    trunk_.reset_parameters(block_, key);
    for (const LinearLayer<Scalar>& end : ends_) end.reset_parameters(block_, key);
    block_.zero_grads();
  }

  ParameterBlock<Scalar>& parameters() noexcept { return block_; }
  const ParameterBlock<Scalar>& parameters() const noexcept { return block_; }
  AggregationSpec aggregation() const noexcept { return Conv::aggregation(options_.conv); }
  std::size_t num_layers() const noexcept { return options_.layers; }
  std::size_t in_features() const noexcept { return options_.in; }
  std::size_t out_features() const noexcept { return options_.out; }
  const Options& options() const noexcept { return options_; }
  /// Whether a layer means what it says only over all rows at once.
  bool needs_all_rows() const noexcept { return norm_spans_rows(options_.norm); }

  /// Whether the features meet nothing but dropout and products with weights.
  bool accepts_sparse_input() const noexcept {
    if (options_.node_dropout != 0.0f) return false;
    if (options_.linear_ends) return true;
    return detail::multiplies_input<Conv>(options_.conv) &&
           !(options_.residual && options_.in == trunk_.width(1));
  }

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
    const bool embeds = l == 0 && options_.linear_ends;
    const std::size_t columns = embeds ? options_.in : trunk_.width(l);
    if (ctx.cols(x) != columns || ctx.rows(x) != a.num_src()) {
      throw ShapeError(message("GnnStack::layer: x is [", ctx.rows(x), ", ", ctx.cols(x), "], layer ", l,
                               " wants [", a.num_src(), ", ", columns, "]"));
    }
    Var input = x;
    if (l == 0 && pass.training) {
      // The trunk's dropout calls end at 2 layers.
      const auto call = static_cast<std::uint32_t>(2 * options_.layers + 1);
      input = drop_nodes(ctx, x, {options_.node_dropout, pass.dropout_key, call});
    }
    if (l == 0 && options_.input_dropout && !kDefaults.drops_own_input) {
      input = replaced(ctx, x, input, dropout(ctx, input, trunk_.mask(pass, 0)));
    }
    if (embeds) input = replaced(ctx, x, input, ends_[0].transform(ctx, block_, input));
    // Without ends the residual of the first layer adds what came in, not what dropout left of it.
    const Var start = embeds ? input : x;
    const Var h = trunk_.layer(ctx, block_, l, a, input, start, pass);
    if (input != x) ctx.forget(input);
    if (l + 1 < options_.layers || !options_.linear_ends) return h;
    return replaced(ctx, x, h, ends_[1].transform(ctx, block_, h));
  }

 private:
  /// `now`, and `before` forgotten unless it is the caller's x.
  template <class Ctx>
  static Var replaced(Ctx& ctx, Var x, Var before, Var now) {
    if (before != x && before != now) ctx.forget(before);
    return now;
  }

  static std::vector<std::size_t> widths(const Options& o) {
    std::vector<std::size_t> out(o.layers + 1, o.hidden);
    if (!o.linear_ends) {
      out.front() = o.in;
      out.back() = o.out;
    }
    return out;
  }

  static typename ConvTrunk<Conv>::Options trunk_options(const Options& o) {
    return {.dropout = o.dropout,
            .input_dropout = o.input_dropout,
            .norm = o.norm,
            .residual = o.residual,
            .finish_last = o.linear_ends,
            .layer_norm_eps = o.layer_norm_eps,
            .conv = o.conv};
  }

  static const Options& checked(const Options& options) {
    detail::check_positive("GnnStack", "layers", options.layers);
    detail::check_positive("GnnStack", "in", options.in);
    detail::check_positive("GnnStack", "out", options.out);
    if (options.layers > 1 || options.linear_ends)
      detail::check_positive("GnnStack", "hidden", options.hidden);
    check_dropout({options.dropout, {}, 0}, "GnnStack");
    check_dropout({options.node_dropout, {}, 0}, "GnnStack");
    if (!(options.layer_norm_eps >= 0)) {
      throw ConfigError(message("GnnStack: layer_norm_eps is ", options.layer_norm_eps, ", want at least 0"));
    }
    return options;
  }

  Options options_;
  ParameterBlock<Scalar> block_;
  ConvTrunk<Conv> trunk_;
  std::vector<LinearLayer<Scalar>> ends_;
};

}  // namespace tessera
