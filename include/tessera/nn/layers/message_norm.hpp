// SPDX-License-Identifier: MIT
#pragma once

#include <string>

#include "tessera/nn/ops/message_norm.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// Gives aggregated messages a learned multiple of the length of the rows they are for.
///
/// Shapes   x, m [N, F] -> y [N, F]; scale [1, 1]
/// Source   Li et al., DeeperGCN, 2020, eq. (7)
template <Real T = float>
class MessageNorm {
 public:
  using Scalar = T;

  /// Adds the parameter `<name>.scale` to the block.
  MessageNorm(ParameterBlock<T>& block, const std::string& name) : scale_(block.add(name + ".scale", 1, 1)) {
    reset_parameters(block);
  }

  /// Scale 1.
  void reset_parameters(ParameterBlock<T>& block) const { block.value(scale_)(0, 0) = T{1}; }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, Var x, Var m) const {
    return message_norm(ctx, x, m, ctx.parameter(block[scale_]));
  }

  Parameter scale() const noexcept { return scale_; }

 private:
  Parameter scale_;
};

}  // namespace tessera
