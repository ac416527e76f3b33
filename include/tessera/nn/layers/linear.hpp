// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tessera/core/adjacency.hpp"
#include "tessera/nn/init/kaiming.hpp"
#include "tessera/nn/layers/stack_defaults.hpp"
#include "tessera/nn/ops/linear.hpp"
#include "tessera/nn/ops/rows.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// Y = X W + b, the layer of an MLP; it looks at no neighbours.
///
/// Shapes   x [N_src, F_in] -> y [N_dst, F_out]; weight [F_in, F_out], bias [1, F_out]
/// Cost     2 N F_in F_out flops
template <Real T = float>
class LinearLayer {
 public:
  using Scalar = T;
  struct Options {
    bool bias = true;
  };
  static constexpr const char* kGroup = "lins";  ///< PyTorch Geometric's name for a list of these
  static constexpr StackDefaults kDefaults{};

  static bool multiplies_input(const Options&) noexcept { return true; }
  static AggregationSpec aggregation(const Options&) noexcept { return {Normalization::none, false, 0.0f}; }

  /// Adds the parameters `<name>.weight` and `<name>.bias` to the block.
  LinearLayer(ParameterBlock<T>& block, const std::string& name, std::size_t in, std::size_t out,
              const Options& options = {})
      : weight_(block.add(name + ".weight", in, out)), has_bias_(options.bias) {
    if (has_bias_) bias_ = block.add(name + ".bias", 1, out);
  }

  /// PyTorch's: Kaiming uniform (slope sqrt 5) for W, U(-1/sqrt F_in, 1/sqrt F_in) for b.
  void reset_parameters(ParameterBlock<T>& block, RngKey key) const {
    kaiming_uniform(block.value(weight_), {key, static_cast<std::uint32_t>(weight_.index)});
    if (has_bias_) {
      fan_in_uniform(block.value(bias_), weight_.rows, {key, static_cast<std::uint32_t>(bias_.index)});
    }
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, const Adjacency& a, Var x, Finish finish) const {
    return transform(ctx, block, head_rows(ctx, x, a.num_dst()), finish);
  }
  /// The map alone, of every row of x.
  template <class Ctx>
  Var transform(Ctx& ctx, const ParameterBlock<T>& block, Var x, Finish finish = {}) const {
    if (has_bias_) finish.bias = ctx.parameter(block[bias_]);
    return linear(ctx, x, ctx.parameter(block[weight_]), finish);
  }

  Parameter weight() const noexcept { return weight_; }

 private:
  Parameter weight_;
  Parameter bias_;
  bool has_bias_;
};

}  // namespace tessera
