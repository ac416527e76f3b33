// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/nn/layers/batch_norm.hpp"
#include "tessera/nn/layers/linear.hpp"
#include "tessera/nn/nets/carrying_stack.hpp"
#include "tessera/nn/ops/add.hpp"
#include "tessera/nn/ops/dropout.hpp"
#include "tessera/nn/ops/identity_mapping.hpp"
#include "tessera/nn/ops/propagate.hpp"

namespace tessera {

/// Which published layer a GcniiNet has. With P = S H, H^0 the first hidden rows and beta_l = ln(lambda / l + 1):
enum class GcniiVariant {
  plain,    ///< R ((1 - beta) I + beta W),   R = (1 - alpha) P + alpha H^0
  starred,  ///< (1 - alpha) P ((1 - beta) I + beta W_1) + alpha H^0 ((1 - beta) I + beta W_2)
  dense     ///< BatchNorm(P (I + W_1) + H^0 (alpha I + W_2)), the authors' program for ogbn-arxiv
};

/// The core of GcniiNet; see there.
template <Real T>
class GcniiCore {
 public:
  using Scalar = T;
  static constexpr std::size_t kCarried = 2;  // H and H^0
  struct Options {
    std::size_t in = 0;
    std::size_t hidden = 64;
    std::size_t out = 0;
    std::size_t layers = 64;
    double alpha = 0.1;
    double lambda = 0.5;
    float dropout = 0.6f;
    GcniiVariant variant = GcniiVariant::plain;
    bool residual = false;                   ///< adds H before the activation (dense: after it)
    float dense_weight_decay_scale = 0.05f;  ///< of the two Linear maps, against the convolutions' 1
    std::uint64_t seed = 0;
  };

  GcniiCore(ParameterBlock<T>& block, const Options& options)
      : options_(checked(options)),
        first_(block, "lins.0", options.in, options.hidden),
        last_(block, "lins.1", options.hidden, options.out) {
    for (std::size_t p = 0; p < block.parameters().size(); ++p) {
      const ParameterInfo& info = block.parameters()[p];
      block.set_weight_decay_scale({p, info.offset, info.rows, info.cols}, options.dense_weight_decay_scale);
    }
    const bool two = options.variant != GcniiVariant::plain;
    for (std::size_t l = 0; l < options.layers; ++l) {
      const std::string name = "convs." + std::to_string(l);
      weight_.push_back(block.add(name + ".weight1", options.hidden, options.hidden));
      if (two) initial_weight_.push_back(block.add(name + ".weight2", options.hidden, options.hidden));
      if (options.variant == GcniiVariant::dense) {
        norms_.emplace_back(block, "norms." + std::to_string(l), options.hidden);
      }
    }
  }

  /// PyTorch's for the Linear maps; for the others U(-1 / sqrt F, 1 / sqrt F), Glorot uniform in the dense variant.
  void reset_parameters(ParameterBlock<T>& block, RngKey key) const {
    first_.reset_parameters(block, key);
    last_.reset_parameters(block, key);
    const auto draw = [&](Parameter p) {
      const InitStream stream{key, static_cast<std::uint32_t>(p.index)};
      if (options_.variant == GcniiVariant::dense) {
        glorot_uniform(block.value(p), stream);
      } else {
        fan_in_uniform(block.value(p), options_.hidden, stream);
      }
    };
    for (const Parameter p : weight_) draw(p);
    for (const Parameter p : initial_weight_) draw(p);
    for (const BatchNorm<T>& norm : norms_) norm.reset_parameters(block);
  }
  AggregationSpec aggregation() const noexcept { return {Normalization::symmetric, true, 0.0f}; }
  std::size_t num_layers() const noexcept { return options_.layers; }
  std::size_t width(std::size_t, std::size_t) const noexcept { return options_.hidden; }

  bool accepts_sparse_input() const noexcept { return true; }

  // H comes in as the last layer left it, before dropout; call l + 1 drops it. `inside` a forward pass nobody else reads
  // H, so each layer drops its own result on the way out, with the mask the next one would have drawn.
  template <class Ctx>
  std::array<Var, 2> step(Ctx& ctx, const ParameterBlock<T>& block, std::size_t l, const Adjacency& a,
                          std::array<Var, 2> state, const Pass& pass, bool inside = false) const {
    const bool ahead = inside && options_.variant != GcniiVariant::dense;
    if (l == 0) {
      const Var x = dropout(ctx, state[0], mask_of(pass, 0));
      const Var h = first_.transform(ctx, block, x, Finish{.activation = Activation::relu});
      if (x != state[0]) ctx.forget(x);
      state = {h, h};
    }
    const Var start = head_rows(ctx, state[1], a.num_dst());
    const Var h = ahead && l > 0 ? state[0] : dropout(ctx, state[0], mask_of(pass, l + 1));
    const DropoutMask next = mask_of(pass, l + 2);
    Var y = convolve(ctx, block, l, a, h, start, state[0], pass, ahead ? next : DropoutMask{});
    if (h != state[0]) ctx.forget(h);
    if (l + 1 < options_.layers) return {y, start};
    const Var dropped = ahead ? y : dropout(ctx, y, next);
    return {last_.transform(ctx, block, dropped), Var{}};
  }

 private:
  static const Options& checked(const Options& options) {
    detail::check_positive("GcniiNet", "in", options.in);
    detail::check_positive("GcniiNet", "hidden", options.hidden);
    detail::check_positive("GcniiNet", "out", options.out);
    detail::check_positive("GcniiNet", "layers", options.layers);
    detail::check_between("GcniiNet", "alpha", options.alpha, 0, 1);
    if (!(options.lambda >= 0)) {
      throw ConfigError(message("GcniiNet: lambda is ", options.lambda, ", want at least 0"));
    }
    check_dropout({options.dropout, {}, 0}, "GcniiNet");
    return options;
  }

  DropoutMask mask_of(const Pass& pass, std::size_t call) const noexcept {
    if (!pass.training) return {};
    return {options_.dropout, pass.dropout_key, static_cast<std::uint32_t>(call)};
  }

  template <class Ctx>
  Var convolve(Ctx& ctx, const ParameterBlock<T>& block, std::size_t l, const Adjacency& a, Var h, Var start,
               Var before, const Pass& pass, const DropoutMask& after) const {
    const double beta = std::log(options_.lambda / static_cast<double>(l + 1) + 1.0);
    const double alpha = options_.alpha;
    const Var w = ctx.parameter(block[weight_[l]]);
    const bool dense = options_.variant == GcniiVariant::dense;
    const Finish relu{.activation = Activation::relu, .dropout = after};
    const Finish finish = dense || options_.residual ? Finish{} : relu;
    Var y;
    if (options_.variant == GcniiVariant::plain) {
      const Var r = propagate(ctx, a, h, start, alpha);
      y = linear(ctx, r, identity_mapping(ctx, w, 1.0 - beta, beta), finish);
      ctx.forget(r);
    } else {
      const Var p = aggregate(ctx, a, h);
      const Var w_start = ctx.parameter(block[initial_weight_[l]]);
      const Var left = dense ? identity_mapping(ctx, w, 1.0, 1.0)
                             : identity_mapping(ctx, w, (1.0 - alpha) * (1.0 - beta), (1.0 - alpha) * beta);
      const Var right = dense ? identity_mapping(ctx, w_start, alpha, 1.0)
                              : identity_mapping(ctx, w_start, alpha * (1.0 - beta), alpha * beta);
      y = linear_pair(ctx, p, left, start, right, finish);
      ctx.forget(p);
    }
    if (dense) y = finish_in_place(ctx, norms_[l](ctx, block, y, pass), relu);
    if (!options_.residual) return y;
    y = add(ctx, y, head_rows(ctx, dense ? before : h, a.num_dst()));
    return dense ? y : finish_in_place(ctx, y, relu);
  }

  Options options_;
  LinearLayer<T> first_;
  LinearLayer<T> last_;
  std::vector<Parameter> weight_;
  std::vector<Parameter> initial_weight_;
  std::vector<BatchNorm<T>> norms_;
};

/// The deep network with initial residual and identity mapping: H^0 = ReLU(X W_in + b), H^l = ReLU(R ((1 - beta_l) I +
/// beta_l W_l)), R = (1 - alpha) S H^(l-1) + alpha H^0, beta_l = ln(lambda / l + 1); logits H^L W_out + b. Dropout before
/// every map.
///
/// Layers hand on [H | H^0]. Weight decay is the optimiser's for convolutions (1e-2 in the paper) and
/// `dense_weight_decay_scale` of it for the Linear maps (5e-4).
/// Shapes   x [N_src, in] -> logits [N_dst, out]
/// Cost     per layer 2 E F + 2 N F^2 flops; keeps R and H of every layer
/// Errors   ConfigError for zero sizes, a negative lambda, alpha or dropout outside [0, 1]
/// Source   Chen, Wei, Huang, Ding & Li, Simple and deep graph convolutional networks, ICML 2020, eq. (5); `dense`: the
///          authors' PyG/ogbn-arxiv
template <Real T = float>
using GcniiNet = CarryingStack<GcniiCore<T>>;

}  // namespace tessera
