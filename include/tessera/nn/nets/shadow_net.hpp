// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/layers/layer_norm.hpp"
#include "tessera/nn/layers/linear.hpp"
#include "tessera/nn/layers/sage_conv.hpp"
#include "tessera/nn/layers/stack_defaults.hpp"
#include "tessera/nn/ops/add.hpp"
#include "tessera/nn/ops/aggregate.hpp"
#include "tessera/nn/ops/dropout.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

/// What a target is read from, besides its own row.
enum class Pooling { center, sum, mean, max };

/// Which layers the read-out sees.
enum class ReadoutLayers {
  last,
  concat,  ///< all, side by side
  sum      ///< all, added
};

/// shaDow's network: L layers of one kind inside the targets' own graphs, a read-out, a classifier.
///
/// x -> (conv -> norm -> ReLU -> dropout) x L; [root | pool] -> W -> ReLU -> norm unless the pooling is the
/// centre; -> W_out. Adjacency 0 serves every layer, adjacency 1 says what each target is pooled from: the
/// blocks of a ShadowSampler.
/// Shapes   adjacencies [n, n] and [B, n], x [n, in] -> logits [B, out]
/// Cost     its layers on the n rows of all graphs; the last on all rows too, unless nothing is pooled
/// Errors   ConfigError for no layers or widths, or a probability outside [0, 1]
/// Source   Zeng et al., Decoupling the depth and scope of graph neural networks, NeurIPS 2021, section 3.3
///          and the authors' ResPool; their activation is ELU or ReLU, here ReLU
template <class Conv = SageConv<float>>
class ShadowNet {
 public:
  using Scalar = typename Conv::Scalar;
  static_assert(!Conv::kDefaults.drops_own_input, "ShadowNet drops between layers itself");

  struct Options {
    std::size_t in = 0;
    std::size_t hidden = 256;
    std::size_t out = 0;
    std::size_t layers = 3;
    float dropout = 0.2f;
    Pooling pooling = Pooling::center;
    ReadoutLayers readout = ReadoutLayers::last;
    bool layer_norm = true;
    std::uint64_t seed = 0;
    typename Conv::Options conv = {};
  };

  explicit ShadowNet(const Options& options) : options_(options) {
    const auto positive = [](std::size_t value, const char* name) {
      if (value == 0) throw ConfigError(message("ShadowNet: ", name, " is 0, want at least 1"));
    };
    positive(options.in, "in");
    positive(options.hidden, "hidden");
    positive(options.out, "out");
    positive(options.layers, "layers");
    check_dropout({options.dropout, {}, 0}, "ShadowNet");
    detail::refuse_entry_dropout("ShadowNet", options.conv);
    for (std::size_t l = 0; l < options.layers; ++l) {
      const std::string number = std::to_string(l);
      convs_.emplace_back(block_, "convs." + number, l == 0 ? options.in : options.hidden, options.hidden,
                          options.conv);
      if (options.layer_norm) norms_.emplace_back(block_, "norms." + number, options.hidden);
    }
    const std::size_t seen =
        options.hidden * (options.readout == ReadoutLayers::concat ? options.layers : std::size_t{1});
    if (pools()) {
      lins_.emplace_back(block_, "readout.lin", 2 * seen, options.hidden);
      norms_.emplace_back(block_, "readout.norm", options.hidden);
    }
    lins_.emplace_back(block_, "out", pools() ? options.hidden : seen, options.out);
    reset_parameters(options.seed);
  }

  /// Draws the initial weights of this seed; gradients become zero.
  void reset_parameters(std::uint64_t seed) {
    const RngKey key = make_key(seed, 0, Purpose::init);
    for (const Conv& conv : convs_) conv.reset_parameters(block_, key);
    for (const LinearLayer<Scalar>& lin : lins_) lin.reset_parameters(block_, key);
    for (const LayerNorm<Scalar>& norm : norms_) norm.reset_parameters(block_);
    block_.zero_grads();
  }

  ParameterBlock<Scalar>& parameters() noexcept { return block_; }
  const ParameterBlock<Scalar>& parameters() const noexcept { return block_; }
  AggregationSpec aggregation() const noexcept { return Conv::aggregation(options_.conv); }
  /// The layers and the read-out.
  std::size_t num_layers() const noexcept { return options_.layers + 1; }
  std::size_t in_features() const noexcept { return options_.in; }
  std::size_t out_features() const noexcept { return options_.out; }
  const Options& options() const noexcept { return options_; }
  bool accepts_sparse_input() const noexcept { return detail::multiplies_input<Conv>(options_.conv); }

  /// Logits of the targets.
  ///
  /// Errors   ShapeError unless there are two adjacencies and x is [n, in]
  template <class Ctx>
  Var forward(Ctx& ctx, AdjacencyStack adjacencies, Var x, const Pass& pass) const {
    if (adjacencies.size() != 2) {
      throw ShapeError(message("ShadowNet::forward: ", adjacencies.size(),
                               " adjacencies, want two: the graphs and what is read out"));
    }
    const Adjacency& targets = adjacencies[1];
    Var root{};
    Var pool{};
    for (std::size_t l = 0; l < options_.layers; ++l) {
      const Var h = layer(ctx, l, adjacencies[0], x, pass);
      if (l > 0) ctx.forget(x);
      x = h;
      if (l + 1 < options_.layers && options_.readout == ReadoutLayers::last) continue;
      root = join(ctx, root, head_rows(ctx, x, targets.num_dst()));
      if (pools()) pool = join(ctx, pool, aggregate(ctx, targets, x, reduce()));
    }
    return read_out(ctx, root, pool, pass);
  }

  /// Layer l alone; the last is the read-out, which layer by layer can only be the target's own row.
  ///
  /// Errors   IndexError if there is no layer l; ConfigError for the read-out of a network that pools or
  ///          looks at several layers
  template <class Ctx>
  Var layer(Ctx& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const {
    if (l > options_.layers) {
      throw IndexError(message("ShadowNet::layer: l is ", l, ", want less than ", num_layers()));
    }
    if (l == options_.layers) {
      if (pools() || options_.readout != ReadoutLayers::last) {
        throw ConfigError(
            "ShadowNet::layer: this read-out needs whole batches; infer_targets runs them with the sampler");
      }
      return read_out(ctx, head_rows(ctx, x, a.num_dst()), {}, pass);
    }
    Finish finish{.activation = Activation::relu};
    if (pass.training) finish.dropout = {options_.dropout, pass.dropout_key, static_cast<std::uint32_t>(l)};
    if (!options_.layer_norm) return convs_[l](ctx, block_, a, x, finish);
    const Var z = convs_[l](ctx, block_, a, x, Finish{});
    const Var y = norms_[l](ctx, block_, z);
    ctx.forget(z);
    return finish_in_place(ctx, y, finish);
  }

 private:
  bool pools() const noexcept { return options_.pooling != Pooling::center; }
  Reduce reduce() const noexcept {
    if (options_.pooling == Pooling::sum) return Reduce::sum;
    return options_.pooling == Pooling::mean ? Reduce::mean : Reduce::max;
  }

  template <class Ctx>
  Var join(Ctx& ctx, Var before, Var now) const {
    if (!before) return now;
    return options_.readout == ReadoutLayers::concat ? concat_columns(ctx, before, now)
                                                     : add(ctx, before, now);
  }

  template <class Ctx>
  Var read_out(Ctx& ctx, Var root, Var pool, const Pass& pass) const {
    const std::size_t b = ctx.rows(root);
    const Adjacency each{{b, b, {}, {}, {}}, {b, b, {}, {}, {}}, {}};
    if (!pools()) return lins_.back()(ctx, block_, each, root, Finish{});
    DropoutMask mask;
    if (pass.training)
      mask = {options_.dropout, pass.dropout_key, static_cast<std::uint32_t>(options_.layers)};
    const Var both = dropout(ctx, concat_columns(ctx, root, pool), mask);
    const Var z = lins_.front()(ctx, block_, each, both, Finish{.activation = Activation::relu});
    return lins_.back()(ctx, block_, each, norms_.back()(ctx, block_, z), Finish{});
  }

  Options options_;
  ParameterBlock<Scalar> block_;
  std::vector<Conv> convs_;
  std::vector<LayerNorm<Scalar>> norms_;  // of the layers, then of the read-out
  std::vector<LinearLayer<Scalar>> lins_;
};

}  // namespace tessera
