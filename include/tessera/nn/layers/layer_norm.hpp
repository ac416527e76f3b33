// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

#include "tessera/nn/ops/layer_norm.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// Normalises each row over its features, then scales and shifts by learned rows.
///
/// Shapes   x [N, F] -> y [N, F]; weight and bias [1, F]
/// Source   Ba, Kiros & Hinton, Layer normalization, 2016, eq. (4)
template <Real T = float>
class LayerNorm {
 public:
  using Scalar = T;

  /// Adds the parameters `<name>.weight` and `<name>.bias` to the block.
  LayerNorm(ParameterBlock<T>& block, const std::string& name, std::size_t features, double eps = 1e-5)
      : weight_(block.add(name + ".weight", 1, features)),
        bias_(block.add(name + ".bias", 1, features)),
        eps_(eps) {
    reset_parameters(block);
  }

  /// Scale 1, shift 0.
  void reset_parameters(ParameterBlock<T>& block) const {
    const auto scale = block.value(weight_).row(0);
    const auto shift = block.value(bias_).row(0);
    std::fill(scale.begin(), scale.end(), T{1});
    std::fill(shift.begin(), shift.end(), T{0});
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, Var x, const Finish& finish = {}) const {
    return layer_norm(ctx, x, ctx.parameter(block[weight_]), ctx.parameter(block[bias_]), eps_, finish);
  }

  Parameter weight() const noexcept { return weight_; }
  Parameter bias() const noexcept { return bias_; }

 private:
  Parameter weight_;
  Parameter bias_;
  double eps_;
};

}  // namespace tessera
