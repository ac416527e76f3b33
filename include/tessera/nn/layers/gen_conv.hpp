// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/error.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/layers/linear.hpp"
#include "tessera/nn/layers/message_norm.hpp"
#include "tessera/nn/layers/norm.hpp"
#include "tessera/nn/layers/stack_defaults.hpp"
#include "tessera/nn/ops/add.hpp"
#include "tessera/nn/ops/edge_features.hpp"
#include "tessera/nn/ops/edge_messages.hpp"
#include "tessera/nn/ops/finish.hpp"
#include "tessera/nn/ops/rows.hpp"
#include "tessera/nn/parameter_block.hpp"

namespace tessera {

/// DeeperGCN's generalised convolution: messages m_e = ReLU(x_j + W_e f_e) + 1e-7, their softmax or power mean M,
/// h = x_i + M or x_i + s |x_i| M / |M|, and MLP(h): Linear(F, 2 F) -> norm -> ReLU -> Linear(2 F, F).
///
/// No loops are added and weights are ignored. Where F_in is not F_out, sources and targets go through a Linear map
/// each first. An isolated node gives MLP(x).
/// Shapes   x [N_src, F_in], edge features [E, D] -> y [N_dst, F_out]; lin_src.weight and lin_dst.weight [F_in,
///          F_out] where they differ, lin_edge.weight [D, F_out], t [1, 1] where it is learned, msg_norm.scale [1,
///          1], mlp.0.weight [F_out, 2 F_out], mlp.1.weight [2 F_out, F_out]
/// Cost     8 N F_out^2 + 2 E D F_out flops and E F_out exponentials; keeps x, M and as many numbers
/// Errors   ConfigError where edge features are asked for and the data have none or other ones, for t = 0 and a
///          power, or a norm over all rows
/// Source   Li, Xiong, Thabet & Ghanem, DeeperGCN: all you need to train deeper GCNs, 2020, eq. (2) to (7); as
///          PyTorch Geometric's GENConv, powers cut to [1e-7, 10] as in the authors' code
template <Real T = float>
class GenConv {
 public:
  using Scalar = T;
  struct Options {
    GeneralizedMean aggregate = GeneralizedMean::softmax;
    double t = 1.0;  ///< the softmax's inverse temperature, or the power
    bool learn_t = false;
    bool message_norm = false;
    NormKind norm = NormKind::batch;  ///< inside the perceptron; none or layer in reversible networks
    bool bias = false;                ///< of the perceptron
    std::size_t edge_features = 0;    ///< D; 0: messages do not look at edges
  };
  static constexpr const char* kGroup = "convs";
  static constexpr StackDefaults kDefaults{};

  static AggregationSpec aggregation(const Options&) noexcept { return {Normalization::none, false, 0.0f}; }

  GenConv(ParameterBlock<T>& block, const std::string& name, std::size_t in, std::size_t out,
          const Options& options = {})
      : options_(options) {
    if (options.aggregate == GeneralizedMean::power && options.t == 0) {
      throw ConfigError("GenConv: t is 0, want another power");
    }
    if (norm_spans_rows(options.norm)) {
      throw ConfigError("GenConv: norm takes statistics of all rows, want none, layer or batch");
    }
    const typename LinearLayer<T>::Options plain{.bias = false};
    if (in != out) {
      ends_.emplace_back(block, name + ".lin_src", in, out, plain);
      ends_.emplace_back(block, name + ".lin_dst", in, out, plain);
    }
    if (options.edge_features > 0)
      edge_.emplace_back(block, name + ".lin_edge", options.edge_features, out, plain);
    t_ = options.learn_t ? block.add(name + ".t", 1, 1) : block.add_state(name + ".t", 1, 1);
    if (options.message_norm) scale_.emplace_back(block, name + ".msg_norm");
    mlp_.emplace_back(block, name + ".mlp.0", out, 2 * out, typename LinearLayer<T>::Options{options.bias});
    if (options.norm != NormKind::none) norm_.emplace_back(block, name + ".mlp.norm", 2 * out, options.norm);
    mlp_.emplace_back(block, name + ".mlp.1", 2 * out, out, typename LinearLayer<T>::Options{options.bias});
  }

  /// PyTorch's for the Linear maps; t as the options say, s = 1.
  void reset_parameters(ParameterBlock<T>& block, RngKey key) const {
    for (const auto* maps : {&ends_, &edge_, &mlp_}) {
      for (const LinearLayer<T>& map : *maps) map.reset_parameters(block, key);
    }
    for (const MessageNorm<T>& scale : scale_) scale.reset_parameters(block);
    for (const Norm<T>& norm : norm_) norm.reset_parameters(block);
    block.value(t_)(0, 0) = static_cast<T>(options_.t);
  }

  template <class Ctx>
  Var operator()(Ctx& ctx, const ParameterBlock<T>& block, const Adjacency& a, Var x, const Finish& finish,
                 const Pass& pass = {}) const {
    Var z;
    if (!edge_.empty())
      z = edge_[0].transform(ctx, block, edge_features(ctx, a, options_.edge_features, "GenConv"));
    const Var t =
        options_.learn_t ? ctx.parameter(block[t_]) : ctx.input(MatrixView<const T>(block.value(t_)));
    Var own = head_rows(ctx, x, a.num_dst());
    Var from = x;
    if (!ends_.empty()) {
      from = ends_[0].transform(ctx, block, x);
      own = ends_[1].transform(ctx, block, own);
    }
    Var m = generalized_mean(ctx, a, from, z, t, options_.aggregate);
    if (!scale_.empty()) m = scale_[0](ctx, block, own, m);
    const Var h = add(ctx, own, m);
    ctx.forget(m);
    const Finish relu{.activation = Activation::relu};
    Var inner = mlp_[0].transform(ctx, block, h, norm_.empty() ? relu : Finish{});
    ctx.forget(h);
    if (!norm_.empty()) inner = finish_in_place(ctx, norm_[0](ctx, block, inner, pass), relu);
    const Var y = mlp_[1].transform(ctx, block, inner, finish);
    ctx.forget(inner);
    return y;
  }

  Parameter weight() const noexcept { return mlp_[0].weight(); }

 private:
  Options options_;
  std::vector<LinearLayer<T>> ends_;
  std::vector<LinearLayer<T>> edge_;
  std::vector<MessageNorm<T>> scale_;
  std::vector<LinearLayer<T>> mlp_;
  std::vector<Norm<T>> norm_;
  Parameter t_;
};

}  // namespace tessera
