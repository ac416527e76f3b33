// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/layers/batch_norm.hpp"
#include "tessera/nn/layers/linear.hpp"
#include "tessera/nn/nets/conv_trunk.hpp"
#include "tessera/nn/ops/add.hpp"
#include "tessera/nn/ops/aggregate.hpp"
#include "tessera/nn/ops/attention_readout.hpp"
#include "tessera/nn/ops/dropout.hpp"
#include "tessera/nn/ops/finish.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

/// How a network makes one row of a graph from its layers.
enum class GraphReadout {
  last,  ///< the last layer is read out and goes through the head
  concat,  ///< every layer but the features is read out; side by side they go through the head (set-wise jumping)
  layers  ///< every layer, the features included, is read out and mapped by a Linear of its own; these are summed
};

/// A network about whole graphs: node features -> [dropout] -> [Linear] -> L convolutions, each followed by [norm],
/// ReLU, dropout [and + x] -> read-out over each graph's nodes -> head.
///
///     GraphNet<GinConv<>> gin({.in = 7, .hidden = 32, .out = 2, .layers = 4, .readout = GraphReadout::layers,
///                              .reduce = Reduce::sum});
///
/// Any convolution of layers/ serves. The batch brings the read-out (`GraphBatchSampler`); a graph without nodes
/// reads out as zeros.
/// Shapes   x [N, in], adjacencies with a read-out [G, N] -> [G, out]
/// Cost     the convolutions; the rest is O(N hidden)
/// Errors   ConfigError for no layers, widths or a probability outside [0, 1], or a stack without read-out;
///          ShapeError if x does not fit
/// Source   layers: Xu et al., How powerful are graph neural networks?, ICLR 2019, section 4.2; last: Dwivedi et al.,
///          Benchmarking graph neural networks, 2020, and Tailor et al., EGC, ICLR 2022
template <class Conv>
class GraphNet {
 public:
  using Scalar = typename Conv::Scalar;

  struct Options {
    std::size_t in = 0;
    std::size_t hidden = 64;
    std::size_t out = 0;
    std::size_t layers = 4;
    float dropout = 0.0f;        ///< of the rows behind each convolution
    float input_dropout = 0.0f;  ///< of what enters the first convolution
    float head_dropout =
        0.0f;            ///< of what the head makes of a layer (GraphReadout::layers), or of its hidden rows
    bool embed = false;  ///< Linear(in, hidden) before the convolutions
    NormKind norm = NormKind::batch;  ///< none, layer or batch
    bool residual = false;
    GraphReadout readout = GraphReadout::last;
    Reduce reduce = Reduce::mean;
    bool attend = false;  ///< instead of `reduce`: weigh a graph's nodes by the softmax of a learned score
    std::size_t head_layers =
        0;  ///< hidden layers of the head, each half as wide as the one before, with BatchNorm
    std::uint64_t seed = 0;
    typename Conv::Options conv = {};
  };

  explicit GraphNet(const Options& options)
      : options_(checked(options)), trunk_(block_, widths(options), trunk_options(options)) {
    if (options.embed) embed_.emplace_back(block_, "embed", options.in, options.hidden);
    const bool concat = options.readout == GraphReadout::concat;
    std::size_t width = options.hidden * (concat ? options.layers : 1);
    for (std::size_t l = 0; options.attend && l <= options.layers; ++l) {
      if (reads(l)) score_.emplace_back(block_, "score." + std::to_string(l), trunk_.width(l), 1);
    }
    if (options.readout == GraphReadout::layers) {
      for (std::size_t l = 0; l <= options.layers; ++l) {
        head_.emplace_back(block_, "head." + std::to_string(l), trunk_.width(l), options.out);
      }
    } else {
      for (std::size_t k = 0; k <= options.head_layers; ++k) {
        const bool last = k == options.head_layers;
        const std::size_t next = last ? options.out : std::max<std::size_t>(1, width / 2);
        head_.emplace_back(block_, "head." + std::to_string(k), width, next);
        if (!last) head_norms_.emplace_back(block_, "head_norms." + std::to_string(k), next);
        width = next;
      }
    }
    reset_parameters(options.seed);
  }

  /// Draws the initial weights of this seed; gradients become zero.
  void reset_parameters(std::uint64_t seed) {
    const RngKey key = make_key(seed, 0, Purpose::init);
    trunk_.reset_parameters(block_, key);
    for (const LinearLayer<Scalar>& map : embed_) map.reset_parameters(block_, key);
    for (const LinearLayer<Scalar>& map : score_) map.reset_parameters(block_, key);
    for (const LinearLayer<Scalar>& map : head_) map.reset_parameters(block_, key);
    for (const BatchNorm<Scalar>& norm : head_norms_) norm.reset_parameters(block_);
    block_.zero_grads();
  }

  ParameterBlock<Scalar>& parameters() noexcept { return block_; }
  const ParameterBlock<Scalar>& parameters() const noexcept { return block_; }
  AggregationSpec aggregation() const noexcept { return Conv::aggregation(options_.conv); }
  std::size_t in_features() const noexcept { return options_.in; }
  std::size_t out_features() const noexcept { return options_.out; }
  const Options& options() const noexcept { return options_; }

  template <class Ctx>
  Var forward(Ctx& ctx, AdjacencyStack adjacencies, Var x, const Pass& pass) const {
    const Adjacency* readout = adjacencies.readout();
    if (readout == nullptr) {
      throw ConfigError(
          "GraphNet::forward: adjacencies has no read-out, want one row per graph (GraphBatchSampler)");
    }
    if (ctx.cols(x) != options_.in || ctx.rows(x) != adjacencies[0].num_src()) {
      throw ShapeError(message("GraphNet::forward: x is [", ctx.rows(x), ", ", ctx.cols(x), "], want [",
                               adjacencies[0].num_src(), ", ", options_.in, "]"));
    }
    Var h = x;
    const auto replace = [&](Var next) {
      if (h != x && h != next) ctx.forget(h);
      h = next;
    };
    if (options_.input_dropout > 0) replace(dropout(ctx, h, mask(pass, 0, options_.input_dropout)));
    if (options_.embed) replace(embed_[0].transform(ctx, block_, h));
    const bool every = options_.readout == GraphReadout::layers;
    Var sum = every ? read(ctx, 0, *readout, h, pass) : Var{};
    Var side;  // what of the read-outs stands side by side
    for (std::size_t l = 0; l < options_.layers; ++l) {
      replace(trunk_.layer(ctx, block_, l, adjacencies[l], h, h, pass));
      if (every) {
        sum = joined(ctx, sum, read(ctx, l + 1, *readout, h, pass));
      } else if (reads(l + 1)) {
        const Var pooled = pool(ctx, l + 1, *readout, h);
        side = side ? concat_columns(ctx, side, pooled) : pooled;
      }
    }
    if (!every) sum = head(ctx, side, pass);
    if (h != x) ctx.forget(h);
    return sum;
  }

 private:
  /// Whether the rows of level `level` (0: what enters the first convolution) are read out.
  bool reads(std::size_t level) const noexcept {
    if (options_.readout == GraphReadout::layers) return true;
    return options_.readout == GraphReadout::concat ? level > 0 : level == options_.layers;
  }

  /// The nodes of each graph as one row.
  template <class Ctx>
  Var pool(Ctx& ctx, std::size_t level, const Adjacency& readout, Var h) const {
    if (!options_.attend) return aggregate(ctx, readout, h, options_.reduce);
    const std::size_t first = options_.readout == GraphReadout::layers ? 0
                              : options_.readout == GraphReadout::last ? options_.layers
                                                                       : 1;
    const Var score = score_[level - first].transform(ctx, block_, h);
    return attention_readout(ctx, readout, h, score);
  }

  /// What layer `level` alone says of each graph.
  template <class Ctx>
  Var read(Ctx& ctx, std::size_t level, const Adjacency& readout, Var h, const Pass& pass) const {
    const Var pooled = pool(ctx, level, readout, h);
    const Finish finish{.dropout = mask(pass, head_call() + level, options_.head_dropout)};
    const Var y = head_[level].transform(ctx, block_, pooled, finish);
    ctx.forget(pooled);
    return y;
  }

  template <class Ctx>
  static Var joined(Ctx& ctx, Var sum, Var more) {
    const Var y = add(ctx, sum, more);
    ctx.forget(sum);
    ctx.forget(more);
    return y;
  }

  template <class Ctx>
  Var head(Ctx& ctx, Var h, const Pass& pass) const {
    for (std::size_t k = 0; k < head_.size(); ++k) {
      const Var z = head_[k].transform(ctx, block_, h);
      ctx.forget(h);
      if (k + 1 == head_.size()) return z;
      const Var normed = head_norms_[k](ctx, block_, z, pass);
      ctx.forget(z);
      h = finish_in_place(
          ctx, normed,
          {.activation = Activation::relu, .dropout = mask(pass, head_call() + k, options_.head_dropout)});
    }
    return h;
  }

  // The trunk's dropout calls end at 2 layers.
  std::size_t head_call() const noexcept { return 2 * options_.layers + 1; }

  static DropoutMask mask(const Pass& pass, std::size_t call, float probability) noexcept {
    if (!pass.training) return {};
    return {probability, pass.dropout_key, static_cast<std::uint32_t>(call)};
  }

  static std::vector<std::size_t> widths(const Options& o) {
    std::vector<std::size_t> out(o.layers + 1, o.hidden);
    if (!o.embed) out.front() = o.in;
    return out;
  }

  static typename ConvTrunk<Conv>::Options trunk_options(const Options& o) {
    return {.dropout = o.dropout, .norm = o.norm, .residual = o.residual, .conv = o.conv};
  }

  static const Options& checked(const Options& o) {
    detail::check_positive("GraphNet", "in", o.in);
    detail::check_positive("GraphNet", "hidden", o.hidden);
    detail::check_positive("GraphNet", "out", o.out);
    detail::check_positive("GraphNet", "layers", o.layers);
    if (norm_spans_rows(o.norm)) {
      throw ConfigError(
          "GraphNet: norm takes statistics of all graphs of a batch as one, want none, layer or batch");
    }
    for (const float p : {o.dropout, o.input_dropout, o.head_dropout}) check_dropout({p, {}, 0}, "GraphNet");
    return o;
  }

  Options options_;
  ParameterBlock<Scalar> block_;
  ConvTrunk<Conv> trunk_;
  std::vector<LinearLayer<Scalar>> embed_;
  std::vector<LinearLayer<Scalar>> score_;  ///< of the levels that are read out, where nodes are weighed
  std::vector<LinearLayer<Scalar>> head_;
  std::vector<BatchNorm<Scalar>> head_norms_;
};

}  // namespace tessera
