// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/nn/init/glorot.hpp"
#include "tessera/nn/init/kaiming.hpp"
#include "tessera/nn/layers/stack_defaults.hpp"
#include "tessera/nn/ops/finish.hpp"
#include "tessera/nn/ops/linear.hpp"
#include "tessera/nn/ops/multi_aggregate.hpp"
#include "tessera/nn/ops/rows.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// Efficient graph convolution: with bases U = X Theta (Q of them, D columns each) and weights of each node's own,
/// w_i = x_i Phi + beta,
///
///     Y_i = || over heads h of   sum over aggregators s and bases q of w_i[h, s, q] s({U_jq : j in N(i) + i})   + b
///
/// EGC-S has the one aggregator `symmetric`, EGC-M several. Bases are aggregated once for all heads; `symmetric` uses
/// the normalised weights of the adjacency, the others its entries. Isolated nodes aggregate themselves.
/// Shapes   x [N_src, F_in] -> y [N_dst, F_out]; H heads of D = F_out / H columns; bases.weight [F_in, Q D], comb.weight
///          [F_in, H A Q] with columns in the order (h, s, q), comb.bias [1, H A Q], bias [1, F_out]
/// Cost     2 N F_in (Q D + H A Q) + c E Q D + 2 N H A Q D flops with c = 2 for `symmetric`, 1 for sums and extrema, 3
///          for var; keeps U, w and the aggregates
/// Errors   ConfigError if H does not divide F_out, or for no bases or aggregators
/// Source   Tailor, Opolka, Lio & Lane, Do we need anisotropic graph neural networks?, ICLR 2022, eq. (4)
template <Real T = float>
class EgcConv {
 public:
  using Scalar = T;
  struct Options {
    std::size_t heads = 8;
    std::size_t bases = 4;
    Aggregators aggregators{Aggregator::symmetric};
    bool bias = true;
  };
  static constexpr const char* kGroup = "convs";
  static constexpr StackDefaults kDefaults{};

  static bool multiplies_input(const Options&) noexcept { return true; }
  static AggregationSpec aggregation(const Options& options) noexcept {
    const bool weighted = options.aggregators.has(Aggregator::symmetric);
    return {weighted ? Normalization::symmetric : Normalization::none, true, 0.0f};
  }

  /// Adds `<name>.bases.weight`, `<name>.comb.weight`, `<name>.comb.bias` and `<name>.bias` to the block.
  EgcConv(ParameterBlock<T>& block, const std::string& name, std::size_t in, std::size_t out,
          const Options& options = {})
      : options_(options) {
    if (options.heads == 0 || out % options.heads != 0) {
      throw ConfigError(
          message("EgcConv: heads is ", options.heads, ", want a divisor of the output width ", out));
    }
    if (options.bases == 0) throw ConfigError("EgcConv: bases is 0, want at least 1");
    if (options.aggregators.size() == 0)
      throw ConfigError("EgcConv: aggregators is empty, want at least one");
    const std::size_t weights = options.heads * options.aggregators.size() * options.bases;
    bases_ = block.add(name + ".bases.weight", in, options.bases * (out / options.heads));
    combination_ = block.add(name + ".comb.weight", in, weights);
    combination_bias_ = block.add(name + ".comb.bias", 1, weights);
    if (options.bias) bias_ = block.add(name + ".bias", 1, out);
  }

  /// Glorot uniform for the bases, PyTorch's Linear for the combination, zero for b.
  void reset_parameters(ParameterBlock<T>& block, RngKey key) const {
    const auto stream = [&](Parameter p) { return InitStream{key, static_cast<std::uint32_t>(p.index)}; };
    glorot_uniform(block.value(bases_), stream(bases_));
    kaiming_uniform(block.value(combination_), stream(combination_));
    fan_in_uniform(block.value(combination_bias_), combination_.rows, stream(combination_bias_));
    if (options_.bias) fill_uniform(block.value(bias_), 0.0, stream(bias_));
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, const Adjacency& a, Var x, Finish finish) const {
    const Var u = linear(ctx, x, ctx.parameter(block[bases_]));
    const Var w = linear(ctx, head_rows(ctx, x, a.num_dst()), ctx.parameter(block[combination_]),
                         Finish{.bias = ctx.parameter(block[combination_bias_])});
    const Var y = multi_aggregate_combine(ctx, a, u, w, options_.heads, options_.aggregators);
    ctx.forget(u);
    ctx.forget(w);
    if (options_.bias) finish.bias = ctx.parameter(block[bias_]);
    return finish_in_place(ctx, y, finish);
  }

  Parameter weight() const noexcept { return bases_; }

 private:
  Options options_;
  Parameter bases_;
  Parameter combination_;
  Parameter combination_bias_;
  Parameter bias_;
};

}  // namespace tessera
