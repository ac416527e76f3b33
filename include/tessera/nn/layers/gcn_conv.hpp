// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tessera/core/adjacency.hpp"
#include "tessera/nn/init/glorot.hpp"
#include "tessera/nn/layers/stack_defaults.hpp"
#include "tessera/nn/ops/aggregate_dropped.hpp"
#include "tessera/nn/ops/linear.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// Graph convolution: Y = S X W + b with S = D^(-1/2) (A + I) D^(-1/2), which the adjacency must hold.
///
/// Computed as (S X) W where F_in < F_out and as S (X W) elsewhere, so that the smaller width is aggregated;
/// a sparse x is multiplied first. In training, blocks of few targets aggregate first where that is cheaper.
/// Shapes   x [N_src, F_in] -> y [N_dst, F_out]; weight [F_in, F_out], bias [1, F_out]
/// Cost     2 N F_in F_out + 2 E min(F_in, F_out) flops, N = N_dst where it aggregates first
/// Source   Kipf & Welling, Semi-supervised classification with graph convolutional networks, 2017, eq. (2);
///          the bias is PyTorch Geometric's
template <Real T = float>
class GcnConv {
 public:
  using Scalar = T;
  struct Options {
    bool bias = true;         ///< the original code has none
    float entry_dropout = 0;  ///< in training: drops entries of the normalised matrix (`aggregate_dropped`)
    Dropped dropped = Dropped::entries;  ///< or elements of messages
  };
  static constexpr const char* kGroup = "convs";
  static constexpr StackDefaults kDefaults{.input_dropout = true};

  static bool multiplies_input(const Options&) noexcept { return true; }
  static AggregationSpec aggregation(const Options&) noexcept {
    return {Normalization::symmetric, true, 0.0f};
  }

  /// Adds the parameters `<name>.lin.weight` and `<name>.bias` to the block.
  GcnConv(ParameterBlock<T>& block, const std::string& name, std::size_t in, std::size_t out,
          const Options& options = {})
      : weight_(block.add(name + ".lin.weight", in, out)),
        has_bias_(options.bias),
        dropped_(options.dropped) {
    check_dropout({options.entry_dropout, {}, 0}, "GcnConv");
    if (has_bias_) bias_ = block.add(name + ".bias", 1, out);
  }

  /// Glorot uniform for W, zero for b.
  void reset_parameters(ParameterBlock<T>& block, RngKey key) const {
    glorot_uniform(block.value(weight_), {key, static_cast<std::uint32_t>(weight_.index)});
    if (has_bias_) fill_uniform(block.value(bias_), 0.0, {key, static_cast<std::uint32_t>(bias_.index)});
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, const Adjacency& a, Var x, Finish finish,
                 const DropoutMask& entries = {}) const {
    const Var w = ctx.parameter(block[weight_]);
    if (has_bias_) finish.bias = ctx.parameter(block[bias_]);
    bool multiplies_first = ctx.sparse(x) != nullptr;
    if constexpr (requires { ctx.multiplies_first(); }) multiplies_first |= ctx.multiplies_first();
    const bool aggregate_first = !multiplies_first && aggregates_first<Ctx>(a);
    const Var inner = aggregate_first
                          ? aggregate_dropped(ctx, a, x, Reduce::sum, {.inner = true}, entries, dropped_)
                          : linear(ctx, x, w, {.inner = true});
    const Var y = aggregate_first ? linear(ctx, inner, w, finish)
                                  : aggregate_dropped(ctx, a, inner, Reduce::sum, finish, entries, dropped_);
    ctx.forget(inner);
    return y;
  }

  Parameter weight() const noexcept { return weight_; }

 private:
  /// Inference keeps to the widths, so that blocks of rows give the bits of the whole. In training, a block with
  /// more sources than targets multiplies the fewer rows where that saves more than aggregating wide ones costs:
  /// an addition of aggregation takes as long as about 16 of a product.
  template <class Ctx>
  bool aggregates_first(const Adjacency& a) const noexcept {
    const std::size_t in = weight_.rows, out = weight_.cols;
    if (!Ctx::kRecords || a.num_src() <= a.num_dst() || in < out) return in < out;
    return 16 * a.forward.num_edges() * (in - out) < (a.num_src() - a.num_dst()) * in * out;
  }

  Parameter weight_;
  Parameter bias_;
  bool has_bias_;
  Dropped dropped_;
};

}  // namespace tessera
