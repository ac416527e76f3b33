// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/layers/batch_norm.hpp"
#include "tessera/nn/layers/linear.hpp"
#include "tessera/nn/ops/finish.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// What GIN and GINE do after summing: Linear -> [BatchNorm] -> ReLU -> Linear, or one Linear map.
///
/// Shapes   x [N, F_in] -> y [N, F_out]; nn.0.weight [F_in, F_out], nn.1.weight [F_out, F_out] and their biases
/// Cost     2 N (F_in + F_out) F_out flops
/// Errors   ConfigError unless mlp_layers is 1 or 2
template <Real T = float>
class GinPerceptron {
 public:
  using Scalar = T;
  struct Options {
    std::size_t mlp_layers = 2;
    bool batch_norm = true;  ///< between the two maps
    bool learn_eps = true;   ///< false: the weight of a node's own row stays 1 and is no parameter
  };

  /// Adds `<name>.nn.0`, `<name>.nn.norm`, `<name>.nn.1` and `<name>.eps` to the block.
  GinPerceptron(ParameterBlock<T>& block, const std::string& name, std::size_t in, std::size_t out,
                const Options& options)
      : learns_eps_(options.learn_eps) {
    if (options.mlp_layers != 1 && options.mlp_layers != 2) {
      throw ConfigError(message("GinPerceptron: mlp_layers is ", options.mlp_layers, ", want 1 or 2"));
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
    if (learns_eps_) block.value(eps_)(0, 0) = T{0};
  }

  /// The parameter of a node's own row; no Var where it stays 0.
  template <class Ctx>
  Var eps(Ctx& ctx, const ParameterBlock<T>& block) const {
    return learns_eps_ ? ctx.parameter(block[eps_]) : Var{};
  }

  /// Of a sum nobody else reads.
  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, Var sum, const Finish& finish,
                 const Pass& pass) const {
    const Finish relu{.activation = Activation::relu};
    if (maps_.size() == 1) return forget(ctx, sum, maps_[0].transform(ctx, block, sum, finish));
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

  bool learns_eps_;
  std::vector<LinearLayer<T>> maps_;
  std::vector<BatchNorm<T>> norm_;
  Parameter eps_;
};

}  // namespace tessera
