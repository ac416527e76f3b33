// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/nn/init/glorot.hpp"
#include "tessera/nn/layers/attention_layer_options.hpp"
#include "tessera/nn/layers/stack_defaults.hpp"
#include "tessera/nn/ops/attention.hpp"
#include "tessera/nn/ops/finish.hpp"
#include "tessera/nn/ops/linear.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// Graph attention: per head, Y_i = sum over j in N(i) + i of alpha_ij Z_j + b with Z = X W and alpha the softmax over
/// j of leaky(<a_src, Z_j> + <a_dst, Z_i>). Heads stand side by side, or are averaged.
///
/// Edge weights are ignored; the adjacency brings the self loops. A node without entries gets the bias.
/// Shapes   x [N_src, F_in] -> y [N_dst, F_out]; H heads of D columns, F_out = H D, or D where they are averaged;
///          lin.weight [F_in, H D], att_src and att_dst [1, H D], bias [1, F_out]
/// Cost     2 N F_in H D + 4 N H D + E H (2 D + 8) flops; keeps Z and 4 H numbers per node, nothing per edge
/// Errors   ConfigError if the heads do not divide F_out
/// Source   Velickovic et al., Graph attention networks, ICLR 2018, eq. (1) to (6); as PyTorch Geometric's GATConv
template <Real T = float>
class GatConv {
 public:
  using Scalar = T;
  using Options = AttentionLayerOptions;
  static constexpr const char* kGroup = "convs";
  static constexpr StackDefaults kDefaults{.input_dropout = true, .activation = Activation::elu};

  static Options layer_options(const Options& options, std::size_t l, std::size_t layers) noexcept {
    return options.of_layer(l, layers);
  }
  static bool multiplies_input(const Options&) noexcept { return true; }
  static AggregationSpec aggregation(const Options&) noexcept { return {Normalization::none, true, 0.0f}; }

  /// Adds the parameters `<name>.lin.weight`, `<name>.att_src`, `<name>.att_dst` and `<name>.bias` to the block.
  GatConv(ParameterBlock<T>& block, const std::string& name, std::size_t in, std::size_t out,
          const Options& options = {})
      : options_(options) {
    const std::size_t width = options.width("GatConv", out);
    weight_ = block.add(name + ".lin.weight", in, width);
    source_ = block.add(name + ".att_src", 1, width);
    target_ = block.add(name + ".att_dst", 1, width);
    if (options.bias) bias_ = block.add(name + ".bias", 1, out);
  }

  /// Glorot uniform for W and, over (H, D), for the attention vectors; zero for b.
  void reset_parameters(ParameterBlock<T>& block, RngKey key) const {
    glorot_uniform(block.value(weight_), {key, static_cast<std::uint32_t>(weight_.index)});
    const double bound = std::sqrt(6.0 / static_cast<double>(options_.heads + source_.cols / options_.heads));
    fill_uniform(block.value(source_), bound, {key, static_cast<std::uint32_t>(source_.index)});
    fill_uniform(block.value(target_), bound, {key, static_cast<std::uint32_t>(target_.index)});
    if (options_.bias) fill_uniform(block.value(bias_), 0.0, {key, static_cast<std::uint32_t>(bias_.index)});
  }

  /// `mask` drops attention shares.
  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, const Adjacency& a, Var x, Finish finish,
                 const DropoutMask& mask = {}) const {
    const Var z = linear(ctx, x, ctx.parameter(block[weight_]));
    const Var heads = attention(ctx, a, z, ctx.parameter(block[source_]), ctx.parameter(block[target_]),
                                {options_.heads, options_.slope, mask});
    ctx.forget(z);
    const Var y = options_.concat ? heads : head_mean(ctx, heads, options_.heads);
    if (y != heads) ctx.forget(heads);
    if (options_.bias) finish.bias = ctx.parameter(block[bias_]);
    return finish_in_place(ctx, y, finish);
  }

  Parameter weight() const noexcept { return weight_; }

 private:
  Options options_;
  Parameter weight_;
  Parameter source_;
  Parameter target_;
  Parameter bias_;
};

}  // namespace tessera
