// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tessera/nn/nets/hop_head.hpp"
#include "tessera/nn/ops/hop_attention.hpp"

namespace tessera {

/// JK-GAMLP's head on precomputed hops: a reference R = MLP([X_0 | ... | X_K]) says how much of every hop a node
/// takes, z = sum_k softmax_k(LeakyReLU(<a, X_k> + <b, R>)) X_k; then an MLP.
///
/// Shapes   x [N, blocks * features] -> logits [N, out]
/// Cost     2 N (blocks + 1) features hidden flops and O(N blocks features) for the attention
/// Errors   ConfigError for an extent of 0 or a probability outside [0, 1]
/// Source   Zhang et al., Graph attention multi-layer perceptron, KDD 2022, section 4.2 (JK attention); differs:
///          no residual blocks in the output network, no label features, no self-distillation stages
template <Real T = float>
class GamlpNet : public HopHead<GamlpNet<T>, T> {
  using Base = HopHead<GamlpNet<T>, T>;
  using Base::block_;
  using Base::head_;

 public:
  struct Options : HopHeadOptions {
    float attention_dropout = 0;
  };

  explicit GamlpNet(const Options& options)
      : Base(options),
        attention_dropout_(options.attention_dropout),
        output_(block_, "head", options.head_layers + 1, options.features, options.out, options) {
    detail::check_head("GamlpNet", options);
    check_dropout({options.attention_dropout, {}, 0}, "GamlpNet");
    for (std::size_t b = 0; b < options.blocks; ++b) {
      reference_.emplace_back(block_, "reference." + std::to_string(b), options.features, options.hidden);
    }
    join_.emplace_back(block_, "reference", options.hidden, options.activation, false, options.dropout);
    to_hop_ = block_.add("attention.hop", 1, options.features);
    to_reference_ = block_.add("attention.reference", 1, options.hidden);
    reset_parameters(options.seed);
  }

  /// Draws the initial weights of this seed; gradients become zero.
  void reset_parameters(std::uint64_t seed) {
    const RngKey key = make_key(seed, 0, Purpose::init);
    output_.reset_parameters(block_, key, head_.init);
    for (const auto& map : reference_) map.reset_parameters(block_, key, head_.init);
    join_[0].reset_parameters(block_);
    for (const Parameter p : {to_hop_, to_reference_}) {
      glorot_uniform(block_.value(p), {key, static_cast<std::uint32_t>(p.index)});
    }
    block_.zero_grads();
  }

  template <class Ctx>
  Var logits(Ctx& ctx, std::span<const Var> blocks, const Pass& pass) const {
    Var reference = reference_[0](ctx, block_, blocks[0]);
    for (std::size_t b = 1; b < blocks.size(); ++b) {
      reference = reference_[b].add_to(ctx, block_, reference, blocks[b]);
    }
    reference = join_[0].finish(ctx, block_, reference, pass, 1);
    const DropoutMask mask =
        pass.training ? DropoutMask{attention_dropout_, pass.dropout_key, 2} : DropoutMask{};
    const Var mixed = hop_attention(ctx, blocks, reference, ctx.parameter(block_[to_hop_]),
                                    ctx.parameter(block_[to_reference_]), 0.2, mask);
    ctx.forget(reference);
    return output_(ctx, block_, mixed, pass, 3);
  }

 private:
  float attention_dropout_;
  detail::HeadMlp<T> output_;
  std::vector<HeadLinear<T>> reference_;
  std::vector<HiddenFinish<T>> join_;
  Parameter to_hop_;
  Parameter to_reference_;
};

}  // namespace tessera
