// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "tessera/nn/nets/hop_head.hpp"

namespace tessera {

/// SIGN's inception head on precomputed features: every block through a map of its own, then one classifier on
/// all of them side by side: Z = sigma([X Theta_0 | A_1 X Theta_1 | ...]), Y = Z Omega.
///
/// Published forms, by their options: the paper's and PyG's are the defaults (the paper also uses `activation =
/// prelu` and `batch_norm`); DGL's has prelu, branch_layers = head_layers = 2 and init = glorot_root2; the
/// authors' on papers100M has one block of all features, batch_norm and head_layers = 2. With one block it is a
/// multilayer perceptron (Correct & Smooth's base has batch_norm).
/// Shapes   x [N, blocks * features] -> logits [N, out]
/// Cost     2 N (blocks features hidden + blocks hidden out) flops for one layer each; the blocks are never
///          copied side by side: their products with the rows of Omega are summed
/// Errors   ConfigError for an extent of 0 or a probability outside [0, 1]
/// Source   Frasca et al., SIGN: Scalable inception graph neural networks, 2020, eq. (4)
template <Real T = float>
class SignNet : public HopHead<SignNet<T>, T> {
  using Base = HopHead<SignNet<T>, T>;
  using Base::block_;
  using Base::head_;

 public:
  using Options = HopHeadOptions;

  explicit SignNet(const Options& options) : Base(options) {
    detail::check_head("SignNet", options);
    for (std::size_t b = 0; b < options.blocks; ++b) {
      const std::string name = "branches." + std::to_string(b);
      branches_.emplace_back(block_, name, options.branch_layers, options.features, options.hidden, options);
      joins_.emplace_back(block_, name + ".join", options.hidden, options.activation, options.batch_norm,
                          options.dropout);
      const std::size_t width = options.head_layers == 1 ? options.out : options.hidden;
      if (b > 0) rest_.emplace_back(block_, "head.rest." + std::to_string(b), options.hidden, width);
      if (b == 0)
        head_mlp_.emplace_back(block_, "head", options.head_layers, options.hidden, options.out, options);
    }
    reset_parameters(options.seed);
  }

  /// Draws the initial weights of this seed; gradients become zero.
  void reset_parameters(std::uint64_t seed) {
    const RngKey key = make_key(seed, 0, Purpose::init);
    for (const auto& branch : branches_) branch.reset_parameters(block_, key, head_.init);
    for (const auto& join : joins_) join.reset_parameters(block_);
    head_mlp_[0].reset_parameters(block_, key, head_.init);
    for (const auto& map : rest_) map.reset_parameters(block_, key, head_.init);
    block_.zero_grads();
  }

  template <class Ctx>
  Var logits(Ctx& ctx, std::span<const Var> blocks, const Pass& pass) const {
    std::uint32_t call = 1;
    Var sum;
    for (std::size_t b = 0; b < blocks.size(); ++b) {
      const Var z = branch(ctx, b, blocks[b], pass, call);
      if (b == 0) {
        sum = head_mlp_[0].first()(ctx, block_, z);
      } else {
        sum = rest_[b - 1].add_to(ctx, block_, sum, z);
      }
      ctx.forget(z);
    }
    return head_mlp_[0].after_first(ctx, block_, sum, pass, call);
  }

 private:
  // The last map of a branch is fused with what joins it to the others.
  template <class Ctx>
  Var branch(Ctx& ctx, std::size_t b, Var x, const Pass& pass, std::uint32_t& call) const {
    const std::uint32_t at = call;
    call += static_cast<std::uint32_t>(branches_[b].calls()) + 1;
    if (branches_[b].calls() == 0) return joins_[b](ctx, block_, branches_[b].first(), x, pass, at);
    const Var z = branches_[b](ctx, block_, x, pass, at);
    return joins_[b].finish(ctx, block_, z, pass, call - 1);
  }

  std::vector<detail::HeadMlp<T>> branches_;
  std::vector<HiddenFinish<T>> joins_;
  std::vector<detail::HeadMlp<T>> head_mlp_;
  std::vector<HeadLinear<T>> rest_;
};

}  // namespace tessera
