// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/layers/graph_saint_conv.hpp"
#include "tessera/nn/layers/linear.hpp"
#include "tessera/nn/ops/dropout.hpp"
#include "tessera/nn/ops/normalize_rows.hpp"

namespace tessera {

/// The network of GraphSAINT's experiments: x -> (dropout -> layer of some order) for every digit of `arch`,
/// rows brought to length 1, dropout, and one dense layer to the classes.
///
///     GraphSaintNet<> model{{.in = 50, .hidden = 512, .out = 121, .arch = "1-0-1-0", .dropout = 0.1f}};
///
/// Shapes   x [N_src, in] -> logits [N_dst, out]; the dense layer counts as a layer, so with blocks per layer
///          there is one more than digits
/// Errors   ConfigError for an arch that is not digits with hyphens between, for no input, output or hidden
///          width, or a probability outside [0, 1]
/// Source   Zeng et al., GraphSAINT, ICLR 2020; the authors' pytorch_version/models.py
template <Real T = float>
class GraphSaintNet {
 public:
  using Scalar = T;

  struct Options {
    std::size_t in = 0;
    std::size_t hidden = 256;  ///< width of one hop; an order-1 layer gives twice as much
    std::size_t out = 0;
    std::string arch = "1-0-1-0";  ///< the order of every layer
    float dropout = 0.1f;
    bool sum = false;  ///< add the hops of a layer instead of joining them
    bool norm = true;
    std::uint64_t seed = 0;  ///< of the initial weights
  };

  explicit GraphSaintNet(const Options& options) : options_(options) {
    check(options);
    std::size_t width = options.in;
    for (const std::size_t order : orders(options.arch)) {
      const std::string name = "convs." + std::to_string(convs_.size());
      widths_.push_back(width);
      convs_.emplace_back(
          block_, name, width, options.hidden,
          typename GraphSaintConv<T>::Options{.order = order, .sum = options.sum, .norm = options.norm});
      width = convs_.back().out_features();
    }
    widths_.push_back(width);
    weight_ = block_.add("classifier.weight", width, options.out);
    bias_ = block_.add("classifier.bias", 1, options.out);
    reset_parameters(options.seed);
  }

  /// Draws the initial weights of this seed; gradients become zero.
  void reset_parameters(std::uint64_t seed) {
    const RngKey key = make_key(seed, 0, Purpose::init);
    for (const GraphSaintConv<T>& conv : convs_) conv.reset_parameters(block_, key);
    glorot_uniform(block_.value(weight_), {key, static_cast<std::uint32_t>(weight_.index)});
    fill_uniform(block_.value(bias_), 0.0, {key, static_cast<std::uint32_t>(bias_.index)});
    block_.zero_grads();
  }

  ParameterBlock<T>& parameters() noexcept { return block_; }
  const ParameterBlock<T>& parameters() const noexcept { return block_; }
  AggregationSpec aggregation() const noexcept { return GraphSaintConv<T>::aggregation(); }
  std::size_t num_layers() const noexcept { return convs_.size() + 1; }
  std::size_t in_features() const noexcept { return options_.in; }
  std::size_t out_features() const noexcept { return options_.out; }
  const Options& options() const noexcept { return options_; }
  bool accepts_sparse_input() const noexcept { return convs_.front().multiplies_input(); }

  /// Logits of the last level's destinations.
  ///
  /// Errors   ShapeError if x is not [N_src of layer 0, in]
  template <class Ctx>
  Var forward(Ctx& ctx, AdjacencyStack adjacencies, Var x, const Pass& pass) const {
    for (std::size_t l = 0; l < num_layers(); ++l) {
      const Var y = layer(ctx, l, adjacencies[l], x, pass);
      if (y != x) ctx.forget(x);
      x = y;
    }
    return x;
  }

  /// Layer l alone, with the dropout before it; the last one normalises and classifies.
  ///
  /// Errors   ShapeError if x is not [N_src, input width of layer l]; IndexError if there is no layer l
  template <class Ctx>
  Var layer(Ctx& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const {
    if (l >= num_layers()) {
      throw IndexError(message("GraphSaintNet::layer: l is ", l, ", want less than ", num_layers()));
    }
    if (ctx.cols(x) != widths_[l] || ctx.rows(x) != a.num_src()) {
      throw ShapeError(message("GraphSaintNet::layer: x is [", ctx.rows(x), ", ", ctx.cols(x), "], layer ", l,
                               " wants [", a.num_src(), ", ", widths_[l], "]"));
    }
    const DropoutMask mask{pass.training ? options_.dropout : 0.0f, pass.dropout_key,
                           static_cast<std::uint32_t>(l)};
    if (l < convs_.size()) {
      const Var dropped = dropout(ctx, x, mask);
      const Var y = convs_[l](ctx, block_, a, dropped);
      if (dropped != x) ctx.forget(dropped);
      return y;
    }
    const Var unit = normalize_rows(ctx, head_rows(ctx, x, a.num_dst()));
    const Var dropped = dropout(ctx, unit, mask);
    const Var y =
        linear(ctx, dropped, ctx.parameter(block_[weight_]), Finish{.bias = ctx.parameter(block_[bias_])});
    ctx.forget(unit);
    if (dropped != unit) ctx.forget(dropped);
    return y;
  }

 private:
  static std::vector<std::size_t> orders(std::string_view arch) {
    std::vector<std::size_t> out;
    for (std::size_t i = 0; i < arch.size(); ++i) {
      const bool digit = arch[i] >= '0' && arch[i] <= '9';
      if (i % 2 == 0 ? !digit : arch[i] != '-') break;
      if (digit) out.push_back(static_cast<std::size_t>(arch[i] - '0'));
    }
    if (arch.empty() || arch.size() != 2 * out.size() - 1) {
      throw ConfigError(
          message("GraphSaintNet: arch is \"", arch, "\", want digits with hyphens between, as 1-0-1-0"));
    }
    return out;
  }

  static void check(const Options& options) {
    const auto positive = [](std::string_view name, std::size_t value) {
      if (value == 0) throw ConfigError(message("GraphSaintNet: ", name, " is 0, want at least 1"));
    };
    positive("in", options.in);
    positive("hidden", options.hidden);
    positive("out", options.out);
    check_dropout({options.dropout, {}, 0}, "GraphSaintNet");
  }

  Options options_;
  ParameterBlock<T> block_;
  std::vector<GraphSaintConv<T>> convs_;
  std::vector<std::size_t> widths_;  ///< of the input of every layer
  Parameter weight_;
  Parameter bias_;
};

}  // namespace tessera
