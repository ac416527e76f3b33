// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/layers/batch_norm.hpp"
#include "tessera/nn/layers/linear.hpp"
#include "tessera/nn/layers/stack_defaults.hpp"
#include "tessera/nn/ops/finish.hpp"
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
  struct Options {
    std::size_t mlp_layers = 2;
    bool batch_norm = true;  ///< between the two maps
    bool learn_eps = true;   ///< false: eps stays 0 and is no parameter
  };
  static constexpr const char* kGroup = "convs";
  static constexpr StackDefaults kDefaults{};

  static AggregationSpec aggregation(const Options&) noexcept { return {Normalization::none, false, 0.0f}; }

  /// Adds `<name>.nn.0`, `<name>.nn.norm`, `<name>.nn.1` and `<name>.eps` to the block.
  GinConv(ParameterBlock<T>& block, const std::string& name, std::size_t in, std::size_t out,
          const Options& options = {})
      : options_(options) {
    if (options.mlp_layers != 1 && options.mlp_layers != 2) {
      throw ConfigError(message("GinConv: mlp_layers is ", options.mlp_layers, ", want 1 or 2"));
    }
    maps_.emplace_back(block, name + ".nn.0", in, out);
    if (options.mlp_layers == 2) {
      if (options.batch_norm) norm_.emplace_back(block, name + ".nn.norm", out);
      maps_.emplace_back(block, name + ".nn.1", out, out);
    }
    if (options.learn_eps) eps_ = block.add(name + ".eps", 1, 1);
  }

  /// PyTorch's for the Linear maps, 0 for eps.
  void reset_parameters(ParameterBlock<T>& block, RngKey key) const {
    for (const LinearLayer<T>& map : maps_) map.reset_parameters(block, key);
    for (const BatchNorm<T>& norm : norm_) norm.reset_parameters(block);
    if (options_.learn_eps) block.value(eps_)(0, 0) = T{0};
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, const Adjacency& a, Var x, const Finish& finish,
                 const Pass& pass = {}) const {
    const Var eps = options_.learn_eps ? ctx.parameter(block[eps_]) : Var{};
    const Var sum = gin_sum(ctx, a, x, eps);
    const Finish relu{.activation = Activation::relu};
    if (options_.mlp_layers == 1) return forget(ctx, sum, maps_[0].transform(ctx, block, sum, finish));
    Var h = forget(ctx, sum, maps_[0].transform(ctx, block, sum, norm_.empty() ? relu : Finish{}));
    if (!norm_.empty()) {
      const Var normed = forget(ctx, h, norm_[0](ctx, block, h, pass));
      h = finish_in_place(ctx, normed, relu);
    }
    return forget(ctx, h, maps_[1].transform(ctx, block, h, finish));
  }

  Parameter weight() const noexcept { return maps_[0].weight(); }

 private:
  template <class Ctx>
  static Var forget(Ctx& ctx, Var before, Var now) {
    ctx.forget(before);
    return now;
  }

  Options options_;
  std::vector<LinearLayer<T>> maps_;
  std::vector<BatchNorm<T>> norm_;
  Parameter eps_;
};

}  // namespace tessera
