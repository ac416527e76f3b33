// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/nn/layers/gcn_conv.hpp"
#include "tessera/nn/layers/jump_attention.hpp"
#include "tessera/nn/layers/linear.hpp"
#include "tessera/nn/nets/carrying_stack.hpp"
#include "tessera/nn/nets/conv_trunk.hpp"
#include "tessera/nn/ops/columns.hpp"
#include "tessera/nn/ops/dropout.hpp"
#include "tessera/nn/ops/maximum.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace tessera {

/// How the hidden rows of all layers become one.
enum class Jump {
  cat,  ///< side by side
  max,  ///< elementwise; the first of equal layers gets the gradient
  lstm  ///< every node weighs its layers by itself (`JumpAttention`)
};

/// The core of JumpingNet; see there.
template <class Conv>
class JumpingCore {
 public:
  using Scalar = typename Conv::Scalar;
  static constexpr std::size_t kCarried = 2;  // H^l, and the jumps so far
  struct Options {
    std::size_t in = 0;
    std::size_t hidden = 16;
    std::size_t out = 0;
    std::size_t layers = 2;
    float dropout = 0.5f;
    Jump jump = Jump::cat;
    NormKind norm = NormKind::none;
    std::uint64_t seed = 0;
    typename Conv::Options conv = {};
  };

  JumpingCore(ParameterBlock<Scalar>& block, const Options& options)
      : options_(checked(options)),
        trunk_(block, widths(options),
               {.dropout = options.dropout, .norm = options.norm, .conv = options.conv}),
        head_(block, "head", options.jump == Jump::lstm ? options.hidden : jump_width(options.layers),
              options.out) {
    if (options.jump == Jump::lstm) attention_.emplace_back(block, "jump", options.hidden, options.layers);
  }

  void reset_parameters(ParameterBlock<Scalar>& block, RngKey key) const {
    trunk_.reset_parameters(block, key);
    for (const JumpAttention<Scalar>& attention : attention_) attention.reset_parameters(block, key);
    head_.reset_parameters(block, key);
  }
  AggregationSpec aggregation() const noexcept { return Conv::aggregation(options_.conv); }
  std::size_t num_layers() const noexcept { return options_.layers; }
  std::size_t width(std::size_t l, std::size_t k) const noexcept {
    return k == 0 ? options_.hidden : jump_width(l);
  }

  bool accepts_sparse_input() const noexcept { return detail::multiplies_input<Conv>(options_.conv); }
  bool needs_all_rows() const noexcept { return norm_spans_rows(options_.norm); }

  template <class Ctx>
  std::array<Var, 2> step(Ctx& ctx, const ParameterBlock<Scalar>& block, std::size_t l, const Adjacency& a,
                          const std::array<Var, 2>& state, const Pass& pass) const {
    const Var h = trunk_.layer(ctx, block, l, a, state[0], state[0], pass);
    Var jumps = h;
    if (l > 0) {
      const Var before = head_rows(ctx, state[1], a.num_dst());
      jumps = options_.jump == Jump::max ? maximum(ctx, before, h) : concat_columns(ctx, before, h);
    }
    if (l + 1 < options_.layers) return {h, jumps};
    if (options_.jump == Jump::lstm) {
      std::vector<Var> layers;
      for (std::size_t k = 0; k <= l; ++k) {
        layers.push_back(columns(ctx, jumps, k * options_.hidden, options_.hidden));
      }
      jumps = attention_[0](ctx, block, layers);
    }
    return {head_.transform(ctx, block, jumps), Var{}};
  }

 private:
  static const Options& checked(const Options& options) {
    detail::check_positive("JumpingNet", "in", options.in);
    detail::check_positive("JumpingNet", "hidden", options.hidden);
    detail::check_positive("JumpingNet", "out", options.out);
    detail::check_positive("JumpingNet", "layers", options.layers);
    check_dropout({options.dropout, {}, 0}, "JumpingNet");
    return options;
  }
  static std::vector<std::size_t> widths(const Options& options) {
    std::vector<std::size_t> out(options.layers + 1, options.hidden);
    out.front() = options.in;
    return out;
  }
  std::size_t jump_width(std::size_t layers) const noexcept {
    return options_.jump == Jump::max ? options_.hidden : layers * options_.hidden;
  }

  Options options_;
  ConvTrunk<Conv> trunk_;
  LinearLayer<Scalar> head_;
  std::vector<JumpAttention<Scalar>> attention_;  ///< of Jump::lstm
};

/// Convolutions whose hidden rows all reach the end: logits = Linear(jump(H^1, ..., H^L)). Layers hand on [H | jumps].
///
/// Shapes   x [N_src, in] -> logits [N_dst, out]
/// Cost     the convolutions and 2 N L F C flops (cat)
/// Errors   ConfigError for zero sizes or a probability outside [0, 1]
/// Source   Xu et al., Representation learning on graphs with jumping knowledge networks, ICML 2018
template <class Conv>
using JumpingNet = CarryingStack<JumpingCore<Conv>>;

template <Real T = float>
using JumpingGcnNet = JumpingNet<GcnConv<T>>;

}  // namespace tessera
