// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/layers/gin_perceptron.hpp"
#include "tessera/nn/layers/linear.hpp"
#include "tessera/nn/layers/stack_defaults.hpp"
#include "tessera/nn/ops/add_own.hpp"
#include "tessera/nn/ops/edge_features.hpp"
#include "tessera/nn/ops/edge_messages.hpp"
#include "tessera/nn/ops/rows.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// Graph isomorphism with edge features: Y = MLP((1 + eps) x_i + sum over the neighbours of ReLU(x_j + W_e f_e +
/// b_e)); the perceptron is Linear -> [BatchNorm] -> ReLU -> Linear, or one Linear map.
///
/// No loops are added and weights are ignored. An isolated node gives MLP((1 + eps) x).
/// Shapes   x [N_src, F_in], edge features [E, D] -> y [N_dst, F_out]; lin.weight [D, F_in], nn.0.weight [F_in,
///          F_out], nn.1.weight [F_out, F_out], their biases, eps [1, 1]
/// Cost     2 E D F_in + 2 E F_in + 2 N (F_in + F_out) F_out flops; keeps [E, F_in]
/// Errors   ConfigError for no edge features, where the data have none or other ones, or unless mlp_layers is 1 or 2
/// Source   Hu et al., Strategies for pre-training graph neural networks, ICLR 2020; as PyTorch Geometric's GINEConv
template <Real T = float>
class GineConv {
 public:
  using Scalar = T;
  struct Options {
    std::size_t edge_features = 0;  ///< D
    std::size_t mlp_layers = 2;
    bool batch_norm = true;  ///< between the two maps
    bool learn_eps = true;   ///< false: eps stays 0 and is no parameter
  };
  static constexpr const char* kGroup = "convs";
  static constexpr StackDefaults kDefaults{};

  static AggregationSpec aggregation(const Options&) noexcept { return {Normalization::none, false, 0.0f}; }

  /// Adds `<name>.lin`, `<name>.nn.0`, `<name>.nn.norm`, `<name>.nn.1` and `<name>.eps` to the block.
  GineConv(ParameterBlock<T>& block, const std::string& name, std::size_t in, std::size_t out,
           const Options& options = {})
      : edge_features_(wanted(options.edge_features)),
        edges_(block, name + ".lin", edge_features_, in),
        perceptron_(block, name, in, out, {options.mlp_layers, options.batch_norm, options.learn_eps}) {}

  /// PyTorch's for the Linear maps, 0 for eps.
  void reset_parameters(ParameterBlock<T>& block, RngKey key) const {
    edges_.reset_parameters(block, key);
    perceptron_.reset_parameters(block, key);
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, const Adjacency& a, Var x, const Finish& finish,
                 const Pass& pass = {}) const {
    const Var z = edges_.transform(ctx, block, edge_features(ctx, a, edge_features_, "GineConv"));
    const Var neighbors = edge_sum(ctx, a, x, z);
    const Var sum = add_own(ctx, neighbors, head_rows(ctx, x, a.num_dst()), perceptron_.eps(ctx, block));
    ctx.forget(neighbors);
    return perceptron_(ctx, block, sum, finish, pass);
  }

  Parameter weight() const noexcept { return perceptron_.weight(); }

 private:
  static std::size_t wanted(std::size_t edge_features) {
    if (edge_features == 0) throw ConfigError("GineConv: edge_features is 0, want those of the data");
    return edge_features;
  }

  std::size_t edge_features_;
  LinearLayer<T> edges_;
  GinPerceptron<T> perceptron_;
};

}  // namespace tessera
