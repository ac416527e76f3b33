// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/nets/mlp_net.hpp"
#include "tessera/nn/ops/aggregate.hpp"
#include "tessera/nn/ops/teleport.hpp"

namespace tessera {

/// PPRGo: a perceptron on every node's own features, whose outputs are mixed by PageRank scores.
///
/// `forward` is the training pass, z_v = sum_j pi_vj MLP(x_j), on the block of scores a PprgoSampler makes.
/// `layer`, which inference walks through, has the same perceptron followed by a last layer of
/// `power_steps` steps Q <- (1 - alpha) A Q + alpha H on the graph, so that no node needs scores of its own:
/// the one model here whose layers are not its forward pass.
/// Shapes   forward: scores [B, n], x [n, in] -> logits [B, out]; the last layer: A [N, N]
/// Cost     forward: the perceptron on n rows and 2 E out flops
/// Errors   as MlpNet; ConfigError if alpha is outside (0, 1]
/// Source   Bojchevski et al., Scaling graph neural networks with approximate PageRank, KDD 2020, section 4
template <Real T = float>
class PprgoNet {
 public:
  using Scalar = T;

  struct Options {
    std::size_t in = 0;
    std::size_t hidden = 32;
    std::size_t out = 0;
    std::size_t layers = 2;  ///< of the perceptron
    float dropout = 0.1f;    ///< before each of them
    double alpha = 0.25;     ///< of the scores
    std::size_t power_steps = 2;
    Normalization normalization = Normalization::row;  ///< that of the scores: row or symmetric
    std::uint64_t seed = 0;
  };

  explicit PprgoNet(const Options& options)
      : options_(options),
        mlp_({.in = options.in,
              .hidden = options.hidden,
              .out = options.out,
              .layers = options.layers,
              .dropout = options.dropout,
              .input_dropout = true,
              .seed = options.seed,
              .conv = {.bias = false}}) {
    if (!(options.alpha > 0) || !(options.alpha <= 1)) {
      throw ConfigError(message("PprgoNet: alpha is ", options.alpha, ", want a number in (0, 1]"));
    }
  }

  ParameterBlock<T>& parameters() noexcept { return mlp_.parameters(); }
  const ParameterBlock<T>& parameters() const noexcept { return mlp_.parameters(); }
  void reset_parameters(std::uint64_t seed) { mlp_.reset_parameters(seed); }
  AggregationSpec aggregation() const noexcept { return {options_.normalization, false, 0.0f}; }
  std::size_t num_layers() const noexcept { return mlp_.num_layers() + 1; }
  std::size_t in_features() const noexcept { return options_.in; }
  std::size_t out_features() const noexcept { return options_.out; }
  const Options& options() const noexcept { return options_; }
  bool accepts_sparse_input() const noexcept { return mlp_.accepts_sparse_input(); }

  /// Logits of the targets of a batch of scores.
  ///
  /// Errors   ShapeError if x is not [n, in]
  template <class Ctx>
  Var forward(Ctx& ctx, AdjacencyStack adjacencies, Var x, const Pass& pass) const {
    const Adjacency& scores = adjacencies[0];
    const std::size_t n = scores.num_src();
    const Adjacency each{{n, n, {}, {}, {}}, {n, n, {}, {}, {}}, {}};
    const Var h = mlp_.forward(ctx, AdjacencyStack({&each, 1}), x, pass);
    const Var z = aggregate(ctx, scores, h);
    ctx.forget(h);
    return z;
  }

  /// Layer l of inference; the last propagates.
  ///
  /// Errors   IndexError if there is no layer l; ShapeError if x does not fit, or the last layer's adjacency
  ///          is not square
  template <class Ctx>
  Var layer(Ctx& ctx, std::size_t l, const Adjacency& a, Var x, const Pass& pass) const {
    if (l < mlp_.num_layers()) return mlp_.layer(ctx, l, a, x, pass);
    if (l > mlp_.num_layers()) {
      throw IndexError(message("PprgoNet::layer: l is ", l, ", want less than ", num_layers()));
    }
    if (a.num_dst() != a.num_src()) {
      throw ShapeError(message("PprgoNet::layer: propagation needs the whole graph, the adjacency is [",
                               a.num_dst(), ", ", a.num_src(), "]; give inference no memory budget"));
    }
    Var q = x;
    for (std::size_t step = 0; step < options_.power_steps; ++step) {
      const Var next = teleport(ctx, a, q, x, options_.alpha);
      if (q != x) ctx.forget(q);
      q = next;
    }
    return q;
  }

 private:
  Options options_;
  MlpNet<T> mlp_;
};

}  // namespace tessera
