// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/nn/init/glorot.hpp"
#include "tessera/nn/layers/stack_defaults.hpp"
#include "tessera/nn/ops/aggregate_concat.hpp"
#include "tessera/nn/ops/dropout.hpp"
#include "tessera/nn/ops/linear.hpp"
#include "tessera/nn/ops/rows.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// The layer of Cluster-GCN's own program: Y = dropout([A_hat X | X]) W, without bias.
///
/// With A the links of a batch and D their number per row, `diag_lambda` means what it means in that program:
///
///     lambda = -1   A_hat = D^-1 A, the mean over the neighbours, without the node itself; 0 without any
///     lambda >= 0   A_hat = S + lambda diag(S) with S = (D + I)^-1 (A + I): eq. (10) for 0, (11) above
///
/// `symmetric` normalisation replaces S by Kipf and Welling's. Eq. (9), which adds I to A_hat, is no variant of
/// this layer: [A_hat X + X | X] W is [A_hat X | X] W' with the halves of W summed.
/// Shapes   x [N_src, F_in] -> y [N_dst, F_out]; weight [2 F_in, F_out]
/// Cost     4 N F_in F_out + 2 E F_in flops
/// Source   Chiang et al., Cluster-GCN, 2019, eq. (10), (11), and the authors' layers.py and `diag_lambda`;
///          differs from the paper: the concatenation, and dropout before W
template <Real T = float>
class ClusterGcnConv {
 public:
  using Scalar = T;
  struct Options {
    float diag_lambda = 0.0f;  ///< -1, or at least 0
    Normalization normalization = Normalization::row;
    /// The rows of x are [A X | X] already, so the layer only transforms: the authors' first layer, made once
    /// from the whole training graph with the raw adjacency. F_in counts both halves, W is [F_in, F_out].
    bool precomputed = false;
  };
  static constexpr const char* kGroup = "convs";
  static constexpr float kNoSelf = -1.0f;  ///< the diag_lambda that leaves the node out
  static constexpr StackDefaults kDefaults{.input_dropout = true,
                                           .norm = NormKind::layer,
                                           .layer_norm_eps = 1e-9,
                                           .decay_first_layer_only = true,
                                           .drops_own_input = true};

  static Options layer_options(Options options, std::size_t l, std::size_t) noexcept {
    options.precomputed = options.precomputed && l == 0;
    return options;
  }
  static AggregationSpec aggregation(const Options& options) noexcept {
    if (options.diag_lambda == kNoSelf) return {options.normalization, false, 0.0f};
    return {options.normalization, true, options.diag_lambda};
  }

  /// Adds the parameter `<name>.lin.weight` to the block.
  ///
  /// Errors   ConfigError for a diag_lambda that is neither -1 nor at least 0
  ClusterGcnConv(ParameterBlock<T>& block, const std::string& name, std::size_t in, std::size_t out,
                 const Options& options = {})
      : weight_(block.add(name + ".lin.weight", options.precomputed ? in : 2 * in, out)),
        precomputed_(options.precomputed) {
    if (options.diag_lambda != kNoSelf && !(options.diag_lambda >= 0)) {
      throw ConfigError(
          message("ClusterGcnConv: diag_lambda is ", options.diag_lambda, ", want -1 or at least 0"));
    }
  }

  /// Glorot uniform.
  void reset_parameters(ParameterBlock<T>& block, RngKey key) const {
    glorot_uniform(block.value(weight_), {key, static_cast<std::uint32_t>(weight_.index)});
  }

  /// `finish.dropout` must be off: this layer drops what goes into W, by `mask`.
  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, const Adjacency& a, Var x, const Finish& finish,
                 const DropoutMask& mask = {}) const {
    const Var both = precomputed_ ? dropout(ctx, head_rows(ctx, x, a.num_dst()), mask)
                                  : aggregate_concat(ctx, a, x, Reduce::sum, mask);
    const Var y = linear(ctx, both, ctx.parameter(block[weight_]), finish);
    if (both != x) ctx.forget(both);
    return y;
  }

  Parameter weight() const noexcept { return weight_; }

 private:
  Parameter weight_;
  bool precomputed_;
};

}  // namespace tessera
