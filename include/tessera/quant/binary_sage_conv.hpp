// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>

#include "tessera/core/adjacency.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/init/kaiming.hpp"
#include "tessera/nn/layers/batch_norm.hpp"
#include "tessera/nn/layers/prelu.hpp"
#include "tessera/nn/layers/stack_defaults.hpp"
#include "tessera/nn/nets/gnn_stack.hpp"
#include "tessera/nn/ops/add.hpp"
#include "tessera/nn/ops/aggregate.hpp"
#include "tessera/nn/ops/finish.hpp"
#include "tessera/nn/ops/linear.hpp"
#include "tessera/nn/ops/rows.hpp"
#include "tessera/nn/parameter_block.hpp"
#include "tessera/quant/binarize.hpp"

namespace tessera {

/// How binary a network is: the stages of a cascade. Each teaches the next; the last two start with their teacher's weights.
enum class BinaryStage {
  real,    ///< full precision: the first teacher
  smooth,  ///< stage 1: rows pass tanh
  inputs,  ///< stage 2: rows are signs, weights are real
  full     ///< stage 3: rows and weights are signs
};

/// GraphSAGE whose products are of signs: with B the batch norm of X and Q what the stage makes of its rows (itself, tanh,
/// signs), Y = PReLU(scale (mean of Q(B) W_l over the neighbours + Q(B)_dst W_r)), weights signs in the last stage.
///
/// Every stage has the same parameters under the same names, so one starts with the weights of the other
/// (`copy_parameters`). Weights are meant to be held in [-1, 1] (`clamp_weights` after every step). The first layer of
/// a network keeps its inputs as they are, neither normalised nor rounded; the last has no PReLU.
/// Shapes   x [N_src, F_in] -> y [N_dst, F_out]; lin_l.weight and lin_r.weight [F_in, F_out], scale [1, F_out]
/// Source   Bahri, Bahl & Zafeiriou, Binary graph neural networks, CVPR 2021, as meant in the paper
template <Real T = float>
class BinarySageConv {
 public:
  using Scalar = T;
  struct Options {
    BinaryStage stage = BinaryStage::full;
    double momentum = 0.1;  ///< of the batch norm; published: 0.999
    bool first = false;     ///< set per layer
    bool last = false;
  };
  static constexpr const char* kGroup = "convs";
  static constexpr StackDefaults kDefaults{.activation = Activation::none};

  static Options layer_options(Options options, std::size_t l, std::size_t layers) noexcept {
    options.first = l == 0;
    options.last = l + 1 == layers;
    return options;
  }
  static AggregationSpec aggregation(const Options&) noexcept { return {Normalization::none, false, 0.0f}; }

  /// Adds `<name>.norm`, `<name>.lin_l.weight`, `<name>.lin_r.weight`, `<name>.scale` and `<name>.act` to the block.
  BinarySageConv(ParameterBlock<T>& block, const std::string& name, std::size_t in, std::size_t out,
                 const Options& options = {})
      : options_(options),
        norm_(block, name + ".norm", in, {.momentum = options.momentum}),
        neighbours_(block.add(name + ".lin_l.weight", in, out)),
        own_(block.add(name + ".lin_r.weight", in, out)),
        scale_(block.add(name + ".scale", 1, out, 0.0f)),
        act_(block, name + ".act") {
    reset_scale(block);
  }

  /// Kaiming uniform (slope sqrt 5) for the weights, 1 for the scale.
  void reset_parameters(ParameterBlock<T>& block, RngKey key) const {
    norm_.reset_parameters(block);
    kaiming_uniform(block.value(neighbours_), {key, static_cast<std::uint32_t>(neighbours_.index)});
    kaiming_uniform(block.value(own_), {key, static_cast<std::uint32_t>(own_.index)});
    reset_scale(block);
    act_.reset_parameters(block);
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, const Adjacency& a, Var x, const Finish& finish,
                 const Pass& pass = {}) const {
    const Var rows = options_.first ? x : quantized_rows(ctx, block, x, pass);
    const Var h = linear(ctx, rows, weight_of(ctx, block, neighbours_));
    const Var m = aggregate(ctx, a, h, Reduce::mean);
    ctx.forget(h);
    const Var own = head_rows(ctx, rows, a.num_dst());
    const Var sum = add_linear(ctx, m, own, weight_of(ctx, block, own_));
    if (rows != x) ctx.forget(rows);
    Var y = scale_columns(ctx, sum, ctx.parameter(block[scale_]));
    ctx.forget(sum);
    if (!options_.last) {
      const Var z = act_(ctx, block, y);
      ctx.forget(y);
      y = z;
    }
    return finish.activation == Activation::none && finish.dropout.probability == 0.0f
               ? y
               : finish_in_place(ctx, y, finish);
  }

  Parameter weight() const noexcept { return neighbours_; }

 private:
  template <class Ctx>
  Var quantized_rows(Ctx& ctx, const ParameterBlock<T>& block, Var x, const Pass& pass) const {
    const Var b = norm_(ctx, block, x, pass);
    if (options_.stage == BinaryStage::real) return b;
    const Var q = options_.stage == BinaryStage::smooth ? tanh(ctx, b) : sign(ctx, b);
    ctx.forget(b);
    return q;
  }
  template <class Ctx>
  Var weight_of(Ctx& ctx, const ParameterBlock<T>& block, Parameter p) const {
    const Var w = ctx.parameter(block[p]);
    return options_.stage == BinaryStage::full ? sign(ctx, w) : w;
  }
  void reset_scale(ParameterBlock<T>& block) const {
    for (T& s : block.value(scale_).row(0)) s = 1;
  }

  Options options_;
  BatchNorm<T> norm_;
  Parameter neighbours_;
  Parameter own_;
  Parameter scale_;
  Prelu<T> act_;
};

/// Binary GraphSAGE; published: 3 layers of 256.
template <Real T = float>
using BinarySageNet = GnnStack<BinarySageConv<T>>;

/// Pulls the weights of BinarySageConv into [-1, 1], where their signs have a gradient.
template <Real T>
void clamp_weights(ParameterBlock<T>& block) {
  for (const ParameterInfo& info : block.parameters()) {
    const bool binary = info.name.ends_with(".lin_l.weight") || info.name.ends_with(".lin_r.weight");
    if (!info.trained || !binary) continue;
    for (T& w : block.values().subspan(info.offset, info.size())) w = std::clamp(w, T{-1}, T{1});
  }
}

}  // namespace tessera
