// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>

#include "tessera/core/adjacency.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/layers/gin_perceptron.hpp"
#include "tessera/nn/layers/stack_defaults.hpp"
#include "tessera/nn/ops/gin_sum.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// Graph isomorphism: Y = MLP((1 + eps) X + A X), eps learned; the perceptron is Linear -> BatchNorm -> ReLU -> Linear,
/// or one Linear map.
///
/// No loops are added and weights are ignored. An isolated node gives MLP((1 + eps) x).
/// Shapes   x [N_src, F_in] -> y [N_dst, F_out]; nn.0.weight [F_in, F_out], nn.1.weight [F_out, F_out], their biases, eps
///          [1, 1]
/// Cost     E F_in + 2 N (F_in + F_out) F_out flops
/// Errors   ConfigError unless mlp_layers is 1 or 2
/// Source   Xu, Hu, Leskovec & Jegelka, How powerful are graph neural networks?, ICLR 2019, eq. (4.1)
template <Real T = float>
class GinConv {
 public:
  using Scalar = T;
  using Options = typename GinPerceptron<T>::Options;
  static constexpr const char* kGroup = "convs";
  static constexpr StackDefaults kDefaults{};

  static AggregationSpec aggregation(const Options&) noexcept { return {Normalization::none, false, 0.0f}; }

  /// Adds `<name>.nn.0`, `<name>.nn.norm`, `<name>.nn.1` and `<name>.eps` to the block.
  GinConv(ParameterBlock<T>& block, const std::string& name, std::size_t in, std::size_t out,
          const Options& options = {})
      : perceptron_(block, name, in, out, options) {}

  /// PyTorch's for the Linear maps, 0 for eps.
  void reset_parameters(ParameterBlock<T>& block, RngKey key) const {
    perceptron_.reset_parameters(block, key);
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, const Adjacency& a, Var x, const Finish& finish,
                 const Pass& pass = {}) const {
    const Var sum = gin_sum(ctx, a, x, perceptron_.eps(ctx, block));
    return perceptron_(ctx, block, sum, finish, pass);
  }

  Parameter weight() const noexcept { return perceptron_.weight(); }

 private:
  GinPerceptron<T> perceptron_;
};

}  // namespace tessera
