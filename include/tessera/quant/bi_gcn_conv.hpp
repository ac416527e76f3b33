// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include "tessera/core/adjacency.hpp"
#include "tessera/nn/layers/stack_defaults.hpp"
#include "tessera/nn/nets/gnn_stack.hpp"
#include "tessera/nn/ops/aggregate.hpp"
#include "tessera/nn/ops/dropout.hpp"
#include "tessera/nn/ops/linear.hpp"
#include "tessera/nn/parameter_block.hpp"
#include "tessera/quant/binarize.hpp"

namespace tessera {

/// Graph convolution with binary rows and weights: Y = S (X_b W_b + b), X_b = beta sgn(X) by rows, W_b = alpha sgn(W) by
/// columns, S = D^(-1/2) (A + I) D^(-1/2) in full precision. Dropout is of X_b.
///
/// Products are of signs alone: <X_b,i, W_b,o> = beta_i alpha_o (F - 2 popcount(x_i xor w_o)). Published networks
/// normalise the raw features by column first, which is the data's business here (`--features standard` of the
/// examples): on a whole graph their BatchNorm has no other statistics.
/// Shapes   x [N_src, F_in] -> y [N_dst, F_out]; lin.weight [F_in, F_out], lin.bias [1, F_out]
/// Cost     training as GcnConv; packed inference F_in / 64 words per row and product
/// Source   Wang et al., Bi-GCN: binary graph convolutional network, CVPR 2021; the gradient of a row takes alpha with
///          the weights, as in the paper (the released code leaves it out)
template <Real T = float>
class BiGcnConv {
 public:
  using Scalar = T;
  struct Options {
    bool binary = true;  ///< false: the same layer in full precision, for comparison
  };
  static constexpr const char* kGroup = "convs";
  static constexpr StackDefaults kDefaults{
      .input_dropout = true, .drops_own_input = true, .activation = Activation::none};

  static AggregationSpec aggregation(const Options&) noexcept {
    return {Normalization::symmetric, true, 0.0f};
  }

  /// Adds the parameters `<name>.lin.weight` and `<name>.lin.bias` to the block.
  BiGcnConv(ParameterBlock<T>& block, const std::string& name, std::size_t in, std::size_t out,
            const Options& options = {})
      : weight_(block.add(name + ".lin.weight", in, out)),
        bias_(block.add(name + ".lin.bias", 1, out)),
        options_(options) {}

  /// N(0, 1 / F_in) for W, zero for b.
  void reset_parameters(ParameterBlock<T>& block, RngKey key) const {
    const MatrixView<T> w = block.value(weight_);
    const double deviation = 1 / std::sqrt(static_cast<double>(std::max<std::size_t>(1, w.rows())));
    for (std::size_t k = 0; k < w.rows(); ++k) {
      for (std::size_t o = 0; o < w.cols(); ++o) {
        CounterRng rng(key, static_cast<std::uint32_t>(weight_.index), k * w.cols() + o);
        w(k, o) = static_cast<T>(deviation * rng.normal());
      }
    }
    for (T& b : block.value(bias_).row(0)) b = 0;
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, const Adjacency& a, Var x, const Finish& finish,
                 const DropoutMask& mask = {}) const {
    const Var w = ctx.parameter(block[weight_]);
    const Var bits = options_.binary ? binarize_rows(ctx, x) : x;
    const Var dropped = dropout(ctx, bits, mask);
    if (dropped != bits && bits != x) ctx.forget(bits);
    const Var product = linear(ctx, dropped, options_.binary ? binarize_weight(ctx, w) : w,
                               Finish{.bias = ctx.parameter(block[bias_])});
    if (dropped != x) ctx.forget(dropped);
    const Var y = aggregate(ctx, a, product, Reduce::sum, finish);
    ctx.forget(product);
    return y;
  }

  Parameter weight() const noexcept { return weight_; }

 private:
  Parameter weight_;
  Parameter bias_;
  Options options_;
};

/// Bi-GCN: binary graph convolutions without activations between them; hidden 64 and dropout 0.4 as published.
template <Real T = float>
using BiGcnNet = GnnStack<BiGcnConv<T>>;

}  // namespace tessera
