// SPDX-License-Identifier: MIT
#pragma once

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
#include "tessera/nn/ops/dynamic_attention.hpp"
#include "tessera/nn/ops/finish.hpp"
#include "tessera/nn/ops/linear.hpp"
#include "tessera/nn/ops/rows.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// Graph attention whose ranking of neighbours depends on the node that asks: per head, Y_i = sum over j in N(i) + i of
/// alpha_ij L_j + b with L = X W_l + b_l, R = X W_r + b_r and alpha the softmax over j of <a, leaky(L_j + R_i)>. Heads
/// stand side by side, or are averaged.
///
/// Edge weights are ignored; the adjacency brings the self loops.
/// Shapes   x [N_src, F_in] -> y [N_dst, F_out]; H heads of D columns, F_out = H D, or D where they are averaged;
///          lin_l.weight and lin_r.weight [F_in, H D], lin_l.bias, lin_r.bias and att [1, H D], bias [1, F_out]
/// Cost     4 N F_in H D + about 7 E H D flops; keeps L, R, Y and 2 H numbers per node, nothing per edge
/// Errors   ConfigError if the heads do not divide F_out
/// Source   Brody, Alon & Yahav, How attentive are graph attention networks?, ICLR 2022, eq. (7); as PyTorch Geometric's
///          GATv2Conv
template <Real T = float>
class Gatv2Conv {
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

  /// Adds `<name>.lin_l`, `<name>.lin_r` (weight and bias), `<name>.att` and `<name>.bias` to the block.
  Gatv2Conv(ParameterBlock<T>& block, const std::string& name, std::size_t in, std::size_t out,
            const Options& options = {})
      : options_(options) {
    const std::size_t width = options.width("Gatv2Conv", out);
    left_ = block.add(name + ".lin_l.weight", in, width);
    left_bias_ = block.add(name + ".lin_l.bias", 1, width);
    right_ = block.add(name + ".lin_r.weight", in, width);
    right_bias_ = block.add(name + ".lin_r.bias", 1, width);
    attention_ = block.add(name + ".att", 1, width);
    if (options.bias) bias_ = block.add(name + ".bias", 1, out);
  }

  /// Glorot uniform for the weights and, over (H, D), for the attention vector; zero for the biases.
  void reset_parameters(ParameterBlock<T>& block, RngKey key) const {
    const auto stream = [&](Parameter p) { return InitStream{key, static_cast<std::uint32_t>(p.index)}; };
    glorot_uniform(block.value(left_), stream(left_));
    glorot_uniform(block.value(right_), stream(right_));
    const double bound =
        std::sqrt(6.0 / static_cast<double>(options_.heads + attention_.cols / options_.heads));
    fill_uniform(block.value(attention_), bound, stream(attention_));
    fill_uniform(block.value(left_bias_), 0.0, stream(left_bias_));
    fill_uniform(block.value(right_bias_), 0.0, stream(right_bias_));
    if (options_.bias) fill_uniform(block.value(bias_), 0.0, stream(bias_));
  }

  /// `mask` drops attention shares.
  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, const Adjacency& a, Var x, Finish finish,
                 const DropoutMask& mask = {}) const {
    const Var left =
        linear(ctx, x, ctx.parameter(block[left_]), Finish{.bias = ctx.parameter(block[left_bias_])});
    const Var right = linear(ctx, head_rows(ctx, x, a.num_dst()), ctx.parameter(block[right_]),
                             Finish{.bias = ctx.parameter(block[right_bias_])});
    const Var heads = dynamic_attention(ctx, a, left, right, ctx.parameter(block[attention_]),
                                        {options_.heads, options_.slope, mask});
    ctx.forget(left);
    ctx.forget(right);
    const Var y = options_.concat ? heads : head_mean(ctx, heads, options_.heads);
    if (y != heads) ctx.forget(heads);
    if (options_.bias) finish.bias = ctx.parameter(block[bias_]);
    return finish_in_place(ctx, y, finish);
  }

  Parameter weight() const noexcept { return left_; }

 private:
  Options options_;
  Parameter left_, left_bias_, right_, right_bias_, attention_, bias_;
};

}  // namespace tessera
