// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/nn/init/glorot.hpp"
#include "tessera/nn/layers/layer_norm.hpp"
#include "tessera/nn/ops/add.hpp"
#include "tessera/nn/ops/aggregate.hpp"
#include "tessera/nn/ops/linear.hpp"
#include "tessera/nn/ops/rows.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// GraphSAINT's layer of order K: every hop has weights and a norm of its own, and the hops are joined.
///
/// With Y_0 = X and Y_k = S Y_(k-1): Y = [LN_0(relu(Y_0 W_0 + b_0)) | ... | LN_K(relu(Y_K W_K + b_K))].
/// Order 0 is a dense layer. S X W is computed as (S X) W or S (X W), whichever aggregates the smaller width.
/// Shapes   x [N_src, F_in] -> y [N_dst, (K + 1) F] (F with `sum`); K of 2 and more needs N_src = N_dst
/// Cost     2 (K + 1) N F_in F + 2 K E min(F_in, F) flops
/// Source   Zeng et al., GraphSAINT, ICLR 2020, and the authors' pytorch_version/layers.py
///          (HighOrderAggregator, bias "norm"), eps 1e-9
template <Real T = float>
class GraphSaintConv {
 public:
  using Scalar = T;
  struct Options {
    std::size_t order = 1;
    bool sum = false;  ///< add the hops instead of joining them ("mean" in the authors' code)
    bool norm = true;
    double eps = 1e-9;
  };

  /// Rows are divided by the degree; loops are neither added nor removed.
  static AggregationSpec aggregation() noexcept { return {Normalization::row, false, 0.0f}; }

  /// Adds `<name>.lins.k.weight`, `.bias` and `<name>.norms.k.weight`, `.bias` for every hop k.
  GraphSaintConv(ParameterBlock<T>& block, const std::string& name, std::size_t in, std::size_t out,
                 const Options& options)
      : options_(options), in_(in), out_(out) {
    for (std::size_t k = 0; k <= options.order; ++k) {
      const std::string hop = std::to_string(k);
      weights_.push_back(block.add(name + ".lins." + hop + ".weight", in, out));
      biases_.push_back(block.add(name + ".lins." + hop + ".bias", 1, out));
      if (options.norm) norms_.emplace_back(block, name + ".norms." + hop, out, options.eps);
    }
  }

  /// Glorot uniform for the weights, 0 for the biases.
  void reset_parameters(ParameterBlock<T>& block, RngKey key) const {
    for (std::size_t k = 0; k < weights_.size(); ++k) {
      glorot_uniform(block.value(weights_[k]), {key, static_cast<std::uint32_t>(weights_[k].index)});
      fill_uniform(block.value(biases_[k]), 0.0, {key, static_cast<std::uint32_t>(biases_[k].index)});
    }
    for (const LayerNorm<T>& norm : norms_) norm.reset_parameters(block);
  }

  /// Columns of the output.
  std::size_t out_features() const noexcept { return options_.sum ? out_ : out_ * (options_.order + 1); }

  /// Whether its input meets nothing but products with weights: no hop is aggregated before them.
  bool multiplies_input() const noexcept {
    return options_.order == 0 || (options_.order == 1 && out_ < in_);
  }

  /// Errors   ShapeError if the order is 2 or more and the adjacency is not square
  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, const Adjacency& a, Var x) const {
    if (options_.order > 1 && a.num_src() != a.num_dst()) {
      throw ShapeError(message("GraphSaintConv: order ", options_.order, " needs a square adjacency, got [",
                               a.num_dst(), ", ", a.num_src(), "]"));
    }
    Var y = hop(ctx, block, 0, head_rows(ctx, x, a.num_dst()), nullptr);
    Var reach = x;
    for (std::size_t k = 1; k <= options_.order; ++k) {
      // The last hop may be transformed before it is aggregated; others are needed aggregated by the next.
      const bool late = k == options_.order && out_ < in_;
      Var next = reach;
      if (!late) next = aggregate(ctx, a, reach);
      const Var z = hop(ctx, block, k, next, late ? &a : nullptr);
      const Var joined = options_.sum ? add(ctx, y, z) : concat_columns(ctx, y, z);
      ctx.forget(y);
      ctx.forget(z);
      if (reach != x && reach != next) ctx.forget(reach);
      y = joined;
      reach = next;
    }
    if (reach != x) ctx.forget(reach);
    return y;
  }

 private:
  /// LN_k(relu(reach W_k + b_k)), or with an adjacency LN_k(relu(S (reach W_k) + b_k)).
  template <class Ctx>
  Var hop(Ctx& ctx, const ParameterBlock<T>& block, std::size_t k, Var reach, const Adjacency* a) const {
    const Finish finish{.bias = ctx.parameter(block[biases_[k]]), .activation = Activation::relu};
    const Var weight = ctx.parameter(block[weights_[k]]);
    Var z;
    if (a == nullptr) {
      z = linear(ctx, reach, weight, finish);
    } else {
      const Var product = linear(ctx, reach, weight);
      z = aggregate(ctx, *a, product, Reduce::sum, finish);
      ctx.forget(product);
    }
    if (norms_.empty()) return z;
    const Var y = norms_[k](ctx, block, z);
    ctx.forget(z);
    return y;
  }

  Options options_;
  std::size_t in_;
  std::size_t out_;
  std::vector<Parameter> weights_;
  std::vector<Parameter> biases_;
  std::vector<LayerNorm<T>> norms_;
};

}  // namespace tessera
