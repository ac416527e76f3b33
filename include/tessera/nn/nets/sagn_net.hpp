// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tessera/nn/nets/hop_head.hpp"
#include "tessera/nn/ops/add.hpp"
#include "tessera/nn/ops/hop_attention.hpp"

namespace tessera {

/// SAGN's head on precomputed hops: H_k = MLP_k(X_k), mixed by an attention of every node over its hops, plus
/// X_0 W_res; then [batch norm ->] activation -> dropout -> output MLP.
///
/// Shapes   x [N, blocks * features] -> logits [N, out]
/// Cost     2 N blocks features heads hidden flops and O(N blocks heads hidden) for the attention
/// Errors   ConfigError for an extent of 0 or a probability outside [0, 1]
/// Source   Sun, Gu & Hu, Scalable and adaptive graph neural networks with self-label-enhanced training, 2021,
///          section 3; as published; differs: no label features, no self-label stages
template <Real T = float>
class SagnNet : public HopHead<SagnNet<T>, T> {
  using Base = HopHead<SagnNet<T>, T>;
  using Base::block_;
  using Base::head_;

 public:
  struct Options : HopHeadOptions {
    std::size_t heads = 1;
    float attention_dropout = 0;
  };

  explicit SagnNet(const Options& options)
      : Base(options),
        attention_dropout_(options.attention_dropout),
        residual_(block_, "residual", options.features, options.hidden),
        join_(block_, "join", options.hidden, options.activation, options.batch_norm, options.dropout),
        out_(block_, "head", options.head_layers, options.hidden, options.out, options) {
    detail::check_head("SagnNet", options);
    check_dropout({options.attention_dropout, {}, 0}, "SagnNet");
    if (options.heads == 0) throw ConfigError("SagnNet: heads is 0, want at least 1");
    for (std::size_t b = 0; b < options.blocks; ++b) {
      branches_.emplace_back(block_, "branches." + std::to_string(b), options.branch_layers, options.features,
                             options.hidden * options.heads, options);
    }
    to_hop_ = block_.add("attention.hop", options.heads, options.hidden);
    to_first_ = block_.add("attention.first", options.heads, options.hidden);
    reset_parameters(options.seed);
  }

  /// Draws the initial weights of this seed; gradients become zero.
  void reset_parameters(std::uint64_t seed) {
    const RngKey key = make_key(seed, 0, Purpose::init);
    for (const auto& branch : branches_) branch.reset_parameters(block_, key, head_.init);
    residual_.reset_parameters(block_, key, head_.init);
    join_.reset_parameters(block_);
    out_.reset_parameters(block_, key, head_.init);
    for (const Parameter p : {to_hop_, to_first_}) {
      glorot_uniform(block_.value(p), {key, static_cast<std::uint32_t>(p.index)}, std::sqrt(2.0));
    }
    block_.zero_grads();
  }

  template <class Ctx>
  Var logits(Ctx& ctx, std::span<const Var> blocks, const Pass& pass) const {
    std::uint32_t call = 1;
    std::vector<Var> hops;
    for (std::size_t b = 0; b < blocks.size(); ++b) {
      hops.push_back(branches_[b](ctx, block_, blocks[b], pass, call));
      call += static_cast<std::uint32_t>(branches_[b].calls());
    }
    const DropoutMask mask =
        pass.training ? DropoutMask{attention_dropout_, pass.dropout_key, call} : DropoutMask{};
    const Var mixed = hop_attention(ctx, std::span<const Var>(hops), hops[0], ctx.parameter(block_[to_hop_]),
                                    ctx.parameter(block_[to_first_]), 0.2, mask);
    for (const Var hop : hops) ctx.forget(hop);
    const Var z = add(ctx, mixed, residual_(ctx, block_, blocks[0]));
    const Var y = join_.finish(ctx, block_, z, pass, call + 1);
    return out_(ctx, block_, y, pass, call + 2);
  }

 private:
  float attention_dropout_;
  std::vector<detail::HeadMlp<T>> branches_;
  HeadLinear<T> residual_;
  HiddenFinish<T> join_;
  detail::HeadMlp<T> out_;
  Parameter to_hop_;
  Parameter to_first_;
};

}  // namespace tessera
