// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

#include "tessera/nn/ops/graph_norm.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// Normalises each column over the rows of one graph less a learned share of its mean, then scales and shifts.
///
/// The statistics are always those of the rows given, so a model with it evaluates whole graphs.
/// Shapes   x [N, F] -> y [N, F]; weight, bias and mean_scale [1, F]
/// Source   Cai et al., GraphNorm, ICML 2021, eq. (6)
template <Real T = float>
class GraphNorm {
 public:
  using Scalar = T;

  /// Adds the parameters `<name>.weight`, `<name>.bias` and `<name>.mean_scale` to the block.
  GraphNorm(ParameterBlock<T>& block, const std::string& name, std::size_t features, double eps = 1e-5)
      : weight_(block.add(name + ".weight", 1, features)),
        bias_(block.add(name + ".bias", 1, features)),
        mean_scale_(block.add(name + ".mean_scale", 1, features)),
        eps_(eps) {
    reset_parameters(block);
  }

  /// Scale 1, shift 0, the whole mean taken off.
  void reset_parameters(ParameterBlock<T>& block) const {
    const auto fill = [&](Parameter p, T value) {
      const auto row = block.value(p).row(0);
      std::fill(row.begin(), row.end(), value);
    };
    fill(weight_, T{1});
    fill(bias_, T{0});
    fill(mean_scale_, T{1});
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, Var x) const {
    return graph_norm(ctx, x, ctx.parameter(block[weight_]), ctx.parameter(block[bias_]),
                      ctx.parameter(block[mean_scale_]), eps_);
  }

  Parameter weight() const noexcept { return weight_; }
  Parameter bias() const noexcept { return bias_; }
  Parameter mean_scale() const noexcept { return mean_scale_; }

 private:
  Parameter weight_;
  Parameter bias_;
  Parameter mean_scale_;
  double eps_;
};

}  // namespace tessera
