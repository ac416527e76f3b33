// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/nn/init/kaiming.hpp"
#include "tessera/nn/layers/linear.hpp"
#include "tessera/nn/layers/stack_defaults.hpp"
#include "tessera/nn/ops/finish.hpp"
#include "tessera/nn/ops/grouped_linear.hpp"
#include "tessera/nn/ops/multi_aggregate.hpp"
#include "tessera/nn/ops/pna_scale.hpp"
#include "tessera/nn/ops/rows.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// The mean of log(d + 1) over the rows of the training graph: what PNA's scalers compare degrees with. 1 for no rows
/// or no entries.
inline double mean_log_degree(CsrView<> graph) {
  const double sum = parallel_sum<double>(graph.num_rows, 4096, [&](std::size_t begin, std::size_t end) {
    double logs = 0;
    for (std::size_t i = begin; i < end; ++i) logs += std::log(static_cast<double>(graph.degree(i)) + 1);
    return logs;
  });
  return sum > 0 ? sum / static_cast<double>(graph.num_rows) : 1.0;
}

/// Principal neighbourhood aggregation: messages p_i + q_j with p = X W_a + b and q = X W_b, their mean, minimum, maximum
/// and standard deviation, each times 1, log(d + 1) / delta and delta / log(d + 1), and two maps of all of that beside
/// x; in towers that work on parts of the columns.
///
/// The message of the paper, one Linear map of [x_i | x_j], is p_i + q_j exactly, so no matrix per edge exists: q is
/// aggregated by one reading and p added afterwards. Weights are ignored, no loops are added. An isolated node has
/// aggregates 0, and sqrt(1e-5) for std.
/// Shapes   x [N_src, F_in] -> y [N_dst, F_out]; with T towers of F columns, F = F_in / T where the input is divided:
///          pre_dst.weight and pre_src.weight [T F_in', F] (F_in' = F in a divided input, else one dense map), post.weight
///          [T 13 F, F_out / T], lin.weight [F_out, F_out], biases pre, post, lin
/// Cost     4 N F F_in + E T F (4 aggregates of one reading) + 26 N F F_out + 2 N F_out^2 flops
/// Errors   ConfigError if the towers do not divide F_out, or F_in where it is divided
/// Source   Corso, Cavalleri, Beaini, Lio & Velickovic, Principal neighbourhood aggregation for graph nets, NeurIPS 2020;
///          one map before and after, as PyTorch Geometric's PNAConv but for std: sqrt(var + 1e-5)
template <Real T = float>
class PnaConv {
 public:
  using Scalar = T;
  struct Options {
    std::size_t towers = 4;
    bool divide_input = true;
    double mean_log_degree = 1.0;  ///< delta, of the training graph (`mean_log_degree`)
  };
  static constexpr const char* kGroup = "convs";
  static constexpr StackDefaults kDefaults{};

  static AggregationSpec aggregation(const Options&) noexcept { return {Normalization::none, false, 0.0f}; }

  PnaConv(ParameterBlock<T>& block, const std::string& name, std::size_t in, std::size_t out,
          const Options& options = {})
      : options_(options) {
    if (options.towers == 0 || out % options.towers != 0 ||
        (options.divide_input && in % options.towers != 0)) {
      throw ConfigError(message("PnaConv: towers is ", options.towers, ", want a divisor of the widths ", in,
                                " and ", out));
    }
    width_ = options.divide_input ? in / options.towers : in;

    const std::size_t cols = options.divide_input ? width_ : options.towers * width_;
    target_ = block.add(name + ".pre_dst.weight", in, cols);
    source_ = block.add(name + ".pre_src.weight", in, cols);
    target_bias_ = block.add(name + ".pre.bias", 1, options.towers * width_);
    post_ = block.add(name + ".post.weight", options.towers * 13 * width_, out / options.towers);
    post_bias_ = block.add(name + ".post.bias", 1, out);
    last_ = block.add(name + ".lin.weight", out, out);
    last_bias_ = block.add(name + ".lin.bias", 1, out);
  }

  /// PyTorch's Linear: U(-1 / sqrt(fan in), 1 / sqrt(fan in)); the fan in of a message is 2 F, of the map after it 13 F.
  void reset_parameters(ParameterBlock<T>& block, RngKey key) const {
    const auto draw = [&](Parameter p, std::size_t fan_in) {
      fan_in_uniform(block.value(p), fan_in, {key, static_cast<std::uint32_t>(p.index)});
    };
    for (const Parameter p : {target_, source_, target_bias_}) draw(p, 2 * width_);
    for (const Parameter p : {post_, post_bias_}) draw(p, 13 * width_);
    for (const Parameter p : {last_, last_bias_}) draw(p, last_.rows);
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, const Adjacency& a, Var x, Finish finish) const {
    const Aggregators kinds{Aggregator::mean, Aggregator::min, Aggregator::max, Aggregator::std};
    const Var own = head_rows(ctx, x, a.num_dst());
    const auto map = [&](Var from, Parameter weight, const Finish& f) {
      const Var w = ctx.parameter(block[weight]);
      return options_.divide_input ? grouped_linear(ctx, from, w, options_.towers, f)
                                   : linear(ctx, from, w, f);
    };
    const Var p = map(own, target_, Finish{.bias = ctx.parameter(block[target_bias_])});
    const Var q = map(x, source_, Finish{});
    const Var aggregates = multi_aggregate(ctx, a, q, kinds);
    ctx.forget(q);
    const Var all = pna_scale(ctx, a, own, p, aggregates, kinds, options_.towers, options_.mean_log_degree);
    ctx.forget(p);
    ctx.forget(aggregates);
    const Var h = grouped_linear(ctx, all, ctx.parameter(block[post_]), options_.towers,
                                 Finish{.bias = ctx.parameter(block[post_bias_])});
    ctx.forget(all);
    finish.bias = ctx.parameter(block[last_bias_]);
    const Var y = linear(ctx, h, ctx.parameter(block[last_]), finish);
    ctx.forget(h);
    return y;
  }

  Parameter weight() const noexcept { return source_; }

 private:
  Options options_;
  std::size_t width_ = 0;
  Parameter target_, source_, target_bias_, post_, post_bias_, last_, last_bias_;
};

}  // namespace tessera
