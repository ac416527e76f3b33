// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tessera/core/adjacency.hpp"
#include "tessera/nn/init/kaiming.hpp"
#include "tessera/nn/layers/stack_defaults.hpp"
#include "tessera/nn/ops/aggregate_dropped.hpp"
#include "tessera/nn/ops/linear.hpp"
#include "tessera/nn/ops/normalize_rows.hpp"
#include "tessera/nn/ops/rows.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// GraphSAGE: Y = M W_l + b + X_dst W_r with M the mean (or maximum) over the neighbours, without the node
/// itself.
///
/// A mean of wide rows is taken after the transform where F_out < F_in: they commute.
/// Shapes   x [N_src, F_in] -> y [N_dst, F_out]; both weights [F_in, F_out], bias [1, F_out]
/// Cost     4 N F_in F_out + E min(F_in, F_out) flops
/// Source   Hamilton, Ying & Leskovec, Inductive representation learning on large graphs, 2017, algorithm 1;
///          stacked weights instead of the concatenation, bias as in PyTorch Geometric
template <Real T = float>
class SageConv {
 public:
  using Scalar = T;
  struct Options {
    Reduce reduce = Reduce::mean;
    bool bias = true;
    bool normalize = false;   ///< divide each output row by its length, before activation and dropout
    bool project = false;     ///< aggregate ReLU(X W_p + b_p) instead of X; with max: the pooling aggregator
    bool root_weight = true;  ///< false: no W_r
    float entry_dropout = 0;  ///< in training: drops neighbours of a sum or mean (`aggregate_dropped`)
    Dropped dropped = Dropped::entries;  ///< or elements of their messages
    bool self_loops = false;  ///< a node is among its neighbours; with mean and no W_r: the gcn aggregator
  };
  static constexpr const char* kGroup = "convs";
  static constexpr StackDefaults kDefaults{};

  /// The maximum over neighbours needs their features whole.
  static bool multiplies_input(const Options& options) noexcept {
    return options.reduce != Reduce::max || options.project;
  }
  static AggregationSpec aggregation(const Options& options) noexcept {
    return {Normalization::none, options.self_loops, 0.0f};
  }

  /// Adds the parameters `<name>.lin_l.weight`, `<name>.lin_l.bias`, `<name>.lin_r.weight` and, for a projection,
  /// `<name>.lin.weight` and `<name>.lin.bias` to the block.
  SageConv(ParameterBlock<T>& block, const std::string& name, std::size_t in, std::size_t out,
           const Options& options = {})
      : options_(options), weight_l_(block.add(name + ".lin_l.weight", in, out)) {
    check_dropout({options.entry_dropout, {}, 0}, "SageConv");
    if (options.entry_dropout > 0 && options.reduce == Reduce::max) {
      throw ConfigError("SageConv: entry_dropout is over 0 with reduce max, want sum or mean");
    }
    if (options_.bias) bias_ = block.add(name + ".lin_l.bias", 1, out);
    if (options_.root_weight) weight_r_ = block.add(name + ".lin_r.weight", in, out);
    if (options_.project) {
      project_ = block.add(name + ".lin.weight", in, in);
      project_bias_ = block.add(name + ".lin.bias", 1, in);
    }
  }

  /// PyTorch's: Kaiming uniform (slope sqrt 5) for the weights, U(-1/sqrt F_in, 1/sqrt F_in) for b.
  void reset_parameters(ParameterBlock<T>& block, RngKey key) const {
    kaiming_uniform(block.value(weight_l_), {key, static_cast<std::uint32_t>(weight_l_.index)});
    if (options_.root_weight) {
      kaiming_uniform(block.value(weight_r_), {key, static_cast<std::uint32_t>(weight_r_.index)});
    }
    if (options_.project) {
      kaiming_uniform(block.value(project_), {key, static_cast<std::uint32_t>(project_.index)});
      fan_in_uniform(block.value(project_bias_), project_.rows,
                     {key, static_cast<std::uint32_t>(project_bias_.index)});
    }
    if (options_.bias) {
      fan_in_uniform(block.value(bias_), weight_l_.rows, {key, static_cast<std::uint32_t>(bias_.index)});
    }
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, const Adjacency& a, Var x, Finish finish,
                 const DropoutMask& entries = {}) const {
    Finish inner{};
    if (options_.bias) inner.bias = ctx.parameter(block[bias_]);
    if (!options_.normalize) {
      inner.activation = finish.activation;
      inner.dropout = finish.dropout;
    }
    const Var z = transform(ctx, block, a, x, inner, entries);
    if (!options_.normalize) return z;
    const Var unit = normalize_rows(ctx, z);
    ctx.forget(z);
    if (finish.activation == Activation::none && finish.dropout.probability == 0.0f) return unit;
    return finish_in_place(ctx, unit, finish);
  }

  Parameter weight() const noexcept { return weight_l_; }

 private:
  template <class Ctx>
  Var transform(Ctx& ctx, const ParameterBlock<T>& block, const Adjacency& a, Var x, const Finish& finish,
                const DropoutMask& entries) const {
    const Var w_l = ctx.parameter(block[weight_l_]);
    Var from = x;
    if (options_.project) {
      const Finish relu{.bias = ctx.parameter(block[project_bias_]), .activation = Activation::relu};
      from = linear(ctx, x, ctx.parameter(block[project_]), relu);
    }
    const bool transform_first =
        options_.reduce != Reduce::max && (weight_l_.cols < weight_l_.rows || ctx.sparse(from) != nullptr);
    const Var z = transform_first ? transform_then_aggregate(ctx, block, a, x, from, w_l, finish, entries)
                                  : aggregate_then_transform(ctx, block, a, x, from, w_l, finish, entries);
    if (from != x) ctx.forget(from);
    return z;
  }

  template <class Ctx>
  Var transform_then_aggregate(Ctx& ctx, const ParameterBlock<T>& block, const Adjacency& a, Var x, Var from,
                               Var w_l, const Finish& finish, const DropoutMask& entries) const {
    const Var h = linear(ctx, from, w_l, {.inner = true});
    const Var m = aggregate_dropped(ctx, a, h, options_.reduce, options_.root_weight ? Finish{} : finish,
                                    entries, options_.dropped);
    ctx.forget(h);
    if (!options_.root_weight) return m;
    return add_linear(ctx, m, head_rows(ctx, x, a.num_dst()), ctx.parameter(block[weight_r_]), finish);
  }

  template <class Ctx>
  Var aggregate_then_transform(Ctx& ctx, const ParameterBlock<T>& block, const Adjacency& a, Var x, Var from,
                               Var w_l, const Finish& finish, const DropoutMask& entries) const {
    const Var m =
        aggregate_dropped(ctx, a, from, options_.reduce, {.inner = true}, entries, options_.dropped);
    const Var z = options_.root_weight ? linear_pair(ctx, m, w_l, head_rows(ctx, x, a.num_dst()),
                                                     ctx.parameter(block[weight_r_]), finish)
                                       : linear(ctx, m, w_l, finish);
    ctx.forget(m);
    return z;
  }

  Options options_;
  Parameter weight_l_;
  Parameter bias_;
  Parameter weight_r_;
  Parameter project_;
  Parameter project_bias_;
};

}  // namespace tessera
