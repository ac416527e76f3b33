// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tessera/core/adjacency.hpp"
#include "tessera/nn/init/kaiming.hpp"
#include "tessera/nn/layers/linear.hpp"
#include "tessera/nn/layers/stack_defaults.hpp"
#include "tessera/nn/ops/edge_features.hpp"
#include "tessera/nn/ops/edge_messages.hpp"
#include "tessera/nn/ops/linear.hpp"
#include "tessera/nn/ops/rows.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// Gated graph convolution: every element of a neighbour's message passes a gate of both ends and, where the data
/// have them, of the edge,
///
///     Y_i = x_i W_s + b + sum over the neighbours of sigmoid(K x_i + Q x_j + G f_e) (V x_j + U f_e)
///
/// No loops are added and weights are ignored. An isolated node gives x_i W_s + b.
/// Shapes   x [N_src, F_in], edge features [E, D] -> y [N_dst, F_out]; lin_key, lin_query, lin_value and lin_skip
///          [F_in, F_out], the first three with biases; lin_edge.weight and lin_edge_value.weight [D, F_out]; bias
///          [1, F_out]
/// Cost     8 N F_in F_out + 4 E D F_out flops and E F_out exponentials; keeps K x, Q x, V x, and [E, 2 F_out] where
///          there are edge features
/// Errors   ConfigError where edge features are asked for and the data have none or other ones
/// Source   Bresson & Laurent, Residual gated graph ConvNets, 2017, eq. (11); as PyTorch Geometric's
///          ResGatedGraphConv, whose two maps of edge features in the gate are one here, their sum
template <Real T = float>
class GatedGcnConv {
 public:
  using Scalar = T;
  struct Options {
    std::size_t edge_features = 0;  ///< D; 0: the gates do not look at edges
  };
  static constexpr const char* kGroup = "convs";
  static constexpr StackDefaults kDefaults{};

  static bool multiplies_input(const Options&) noexcept { return true; }
  static AggregationSpec aggregation(const Options&) noexcept { return {Normalization::none, false, 0.0f}; }

  GatedGcnConv(ParameterBlock<T>& block, const std::string& name, std::size_t in, std::size_t out,
               const Options& options = {})
      : options_(options),
        key_(block, name + ".lin_key", in, out),
        query_(block, name + ".lin_query", in, out),
        value_(block, name + ".lin_value", in, out),
        skip_(block.add(name + ".lin_skip.weight", in, out)),
        bias_(block.add(name + ".bias", 1, out)) {
    if (options.edge_features == 0) return;
    edge_gate_ = block.add(name + ".lin_edge.weight", options.edge_features, out);
    edge_value_ = block.add(name + ".lin_edge_value.weight", options.edge_features, out);
  }

  /// PyTorch's for the Linear maps, 0 for b.
  void reset_parameters(ParameterBlock<T>& block, RngKey key) const {
    const auto stream = [&](Parameter p) { return InitStream{key, static_cast<std::uint32_t>(p.index)}; };
    for (const LinearLayer<T>* map : {&key_, &query_, &value_}) map->reset_parameters(block, key);
    kaiming_uniform(block.value(skip_), stream(skip_));
    fill_uniform(block.value(bias_), 0.0, stream(bias_));
    if (options_.edge_features == 0) return;
    kaiming_uniform(block.value(edge_gate_), stream(edge_gate_));
    kaiming_uniform(block.value(edge_value_), stream(edge_value_));
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, const Adjacency& a, Var x, Finish finish) const {
    Var gate, what;
    if (options_.edge_features > 0) {
      const Var f = edge_features(ctx, a, options_.edge_features, "GatedGcnConv");
      gate = linear(ctx, f, ctx.parameter(block[edge_gate_]));
      what = linear(ctx, f, ctx.parameter(block[edge_value_]));
    }
    const Var own = head_rows(ctx, x, a.num_dst());
    const Var sum = gated_sum(ctx, a, key_.transform(ctx, block, own), query_.transform(ctx, block, x),
                              value_.transform(ctx, block, x), gate, what);
    finish.bias = ctx.parameter(block[bias_]);
    return add_linear(ctx, sum, own, ctx.parameter(block[skip_]), finish);
  }

  Parameter weight() const noexcept { return value_.weight(); }

 private:
  Options options_;
  LinearLayer<T> key_;
  LinearLayer<T> query_;
  LinearLayer<T> value_;
  Parameter skip_;
  Parameter bias_;
  Parameter edge_gate_;
  Parameter edge_value_;
};

}  // namespace tessera
