// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <string>

#include "tessera/nn/ops/prelu.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// max(x, 0) + a min(x, 0) with one learned slope, 0.25 at the start and without weight decay.
///
/// Shapes   x [N, F] -> y [N, F]; weight [1, 1]
/// Source   He et al., Delving deep into rectifiers, 2015; as torch.nn.PReLU
template <Real T = float>
class Prelu {
 public:
  using Scalar = T;

  /// Adds the parameter `<name>.weight` to the block.
  Prelu(ParameterBlock<T>& block, const std::string& name)
      : weight_(block.add(name + ".weight", 1, 1, 0.0f)) {
    reset_parameters(block);
  }

  void reset_parameters(ParameterBlock<T>& block) const { block.value(weight_)(0, 0) = static_cast<T>(0.25); }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, Var x) const {
    return prelu(ctx, x, ctx.parameter(block[weight_]));
  }

 private:
  Parameter weight_;
};

}  // namespace tessera
