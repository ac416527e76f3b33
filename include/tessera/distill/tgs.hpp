// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/detail/keep_best.hpp"
#include "tessera/distill/detail/rows.hpp"
#include "tessera/distill/neighbour_inference.hpp"
#include "tessera/kernels/rows.hpp"
#include "tessera/nn/layers/batch_norm.hpp"
#include "tessera/nn/layers/linear.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/ops/constant.hpp"
#include "tessera/nn/ops/dropout.hpp"
#include "tessera/nn/ops/linear.hpp"
#include "tessera/nn/ops/linear_combination.hpp"
#include "tessera/nn/ops/prelu.hpp"
#include "tessera/nn/ops/rows.hpp"
#include "tessera/nn/optim/adam.hpp"

namespace tessera {

/// A perceptron with two heads on one trunk: what a node is, y, and what its neighbours should say, z.
///
/// Linear, then per further layer BatchNorm, LeakyReLU, dropout, Linear; the last Linear is one per head.
/// Shapes   x [n, in] -> y, z [n, out]
/// Errors   ConfigError for fewer than 2 layers or a width of 0
/// Source   Wu et al., TKDE 2024; LirongWu/TGS, code/model.py
template <Real T = float>
class TgsNet {
 public:
  using Scalar = T;
  struct Options {
    std::size_t in = 0;
    std::size_t hidden = 256;
    std::size_t out = 0;
    std::size_t layers = 2;
    float dropout = 0.5f;
    std::uint64_t seed = 0;
  };
  struct Heads {
    Var prediction;
    Var neighbour;
  };

  explicit TgsNet(const Options& o) : options_(o) {
    if (o.layers < 2 || o.in == 0 || o.hidden == 0 || o.out == 0) {
      throw ConfigError(message("TgsNet: in ", o.in, ", hidden ", o.hidden, ", out ", o.out, ", layers ",
                                o.layers, "; want widths above 0 and at least 2 layers"));
    }
    for (std::size_t l = 0; l + 1 < o.layers; ++l) {
      const std::string at = std::to_string(l);
      lins_.emplace_back(block_, "lins." + at, l == 0 ? o.in : o.hidden, o.hidden);
      norms_.emplace_back(block_, "norms." + at, o.hidden);
    }
    lins_.emplace_back(block_, "prediction", o.hidden, o.out);
    lins_.emplace_back(block_, "neighbour", o.hidden, o.out);
    for (const LinearLayer<T>& lin : lins_) lin.reset_parameters(block_, make_key(o.seed, 0, Purpose::init));
    block_.zero_grads();
  }

  ParameterBlock<T>& parameters() noexcept { return block_; }
  const ParameterBlock<T>& parameters() const noexcept { return block_; }
  const Options& options() const noexcept { return options_; }

  /// Both heads; `call` tells passes of one step apart.
  template <class Ctx>
  Heads forward(Ctx& ctx, Var x, const Pass& pass, std::uint32_t call = 0) const {
    Var h = x;
    for (std::size_t l = 0; l < norms_.size(); ++l) {
      h = norms_[l](ctx, block_, lins_[l].transform(ctx, block_, h), pass);
      h = prelu(ctx, h, constant(ctx, Tensor<T>::filled(1, 1, static_cast<T>(0.01))));
      const auto number = static_cast<std::uint32_t>(call * norms_.size() + l);
      if (pass.training) h = dropout(ctx, h, {options_.dropout, pass.dropout_key, number});
    }
    return {lins_[norms_.size()].transform(ctx, block_, h), lins_.back().transform(ctx, block_, h)};
  }

 private:
  Options options_;
  ParameterBlock<T> block_;
  std::vector<LinearLayer<T>> lins_;
  std::vector<BatchNorm<T>> norms_;
};

namespace detail {

template <Real T>
struct ShareOp {
  static constexpr std::string_view kName = "blend_share";
  Var s;

  std::array<Var, 1> inputs() const noexcept { return {s}; }
  std::array<Var, 0> reads() const noexcept { return {}; }
  bool reads_output() const noexcept { return true; }
  // y = 0.8 + 0.2 sigmoid, so dy/ds = (y - 0.8) (1 - y) / 0.2
  void vjp(Tape<T>& tape, Var self) const {
    const MatrixView<const T> y = tape.value(self);
    Tensor<T> g = Tensor<T>::copy_of(MatrixView<const T>(tape.grad(self)));
    for (std::size_t i = 0; i < g.rows(); ++i)
      g(i, 0) *= (y(i, 0) - static_cast<T>(0.8)) * (T{1} - y(i, 0)) * T{5};
    tape.add_grad(s, std::move(g));
  }
};

}  // namespace detail

/// The learned share of a row that stays on the way to a neighbour: 0.8 + 0.2 sigmoid(a . [BN(W x_own) | BN(W x_other)]).
///
/// Shapes   own, other [n, F] -> [n, 1]
/// Source   LirongWu/TGS, code/model.py
template <Real T = float>
class BlendNet {
 public:
  BlendNet(std::size_t in, std::size_t hidden, std::uint64_t seed)
      : map_(block_, "map", in, hidden),
        norm_(block_, "norm", hidden),
        score_(block_, "score", 2 * hidden, 1) {
    const RngKey key = make_key(seed, 2, Purpose::init);
    map_.reset_parameters(block_, key);
    score_.reset_parameters(block_, key);
    block_.zero_grads();
  }
  ParameterBlock<T>& parameters() noexcept { return block_; }
  const ParameterBlock<T>& parameters() const noexcept { return block_; }

  template <class Ctx>
  Var operator()(Ctx& ctx, Var own, Var other, const Pass& pass) const {
    const Var left = norm_(ctx, block_, map_.transform(ctx, block_, own), pass);
    const Var right = norm_(ctx, block_, map_.transform(ctx, block_, other), pass);
    const Var s = score_.transform(ctx, block_, concat_columns(ctx, left, right));
    const MatrixView<const T> value = ctx.value(s);
    Tensor<T> share(value.rows(), 1);
    for (std::size_t i = 0; i < value.rows(); ++i)
      share(i, 0) = static_cast<T>(0.8 + 0.2 / (1 + std::exp(-static_cast<double>(value(i, 0)))));
    return ctx.record(std::move(share), detail::ShareOp<T>{s});
  }

 private:
  ParameterBlock<T> block_;
  LinearLayer<T> map_;
  BatchNorm<T> norm_;
  LinearLayer<T> score_;
};

struct FitTgsOptions {
  double alpha = 1;  ///< weight of the labels
  double lr = 0.01;
  double weight_decay = 5e-4;
  double blend_lr = 1e-4;  ///< of the shares' own Adam
  std::size_t edges_per_batch = 512;
  std::size_t batches_per_epoch = 0;  ///< 0: every edge once
  std::uint64_t epochs = 200;
  std::uint64_t patience = 50;
  std::uint64_t seed = 0;
};

namespace detail {

/// One step of TGS on a batch of edges: its rows and labels.
struct TgsBatch {
  std::array<Tensor<float>, 3> x;                    ///< rows of i, j and r
  std::array<std::vector<std::int32_t>, 2> classes;  ///< of i and j, -1 where they have no training label

  void gather(MatrixView<const float> features, std::span<const std::int32_t> labels,
              const std::array<std::vector<NodeId>, 3>& ends) {
    for (std::size_t k = 0; k < 3; ++k) {
      x[k].resize(ends[k].size(), features.cols());
      gather_rows(features, std::span<const NodeId>(ends[k]), x[k].view());
    }
    for (std::size_t k = 0; k < 2; ++k) {
      classes[k].clear();
      for (const NodeId v : ends[k]) classes[k].push_back(labels[v]);
    }
  }
};

/// C l1norm(nodes of the class / ends of edges of the class), so that a class of hubs does not outweigh others.
inline std::vector<float> tgs_class_weights(CsrView<> graph, std::span<const std::int32_t> labels,
                                            std::size_t num_classes) {
  std::vector<double> nodes(num_classes, 0.0);
  std::vector<double> ends(num_classes, 0.0);
  for (std::size_t v = 0; v < labels.size(); ++v) {
    if (labels[v] < 0) continue;
    if (static_cast<std::size_t>(labels[v]) >= num_classes) {
      throw IndexError(message("fit_tgs: classes[", v, "] is ", labels[v], ", want below ", num_classes));
    }
    nodes[static_cast<std::size_t>(labels[v])] += 1;
    ends[static_cast<std::size_t>(labels[v])] += static_cast<double>(graph.degree(v));
  }
  double sum = 0;
  for (std::size_t c = 0; c < num_classes; ++c) sum += nodes[c] = ends[c] > 0 ? nodes[c] / ends[c] : 0;
  std::vector<float> out(num_classes, 1.0f);
  for (std::size_t c = 0; c < num_classes && sum > 0; ++c)
    out[c] = static_cast<float>(static_cast<double>(num_classes) * nodes[c] / sum);
  return out;
}

}  // namespace detail

/// What a trained TgsNet says of rows of features; no graph is asked.
///
/// Shapes   x [n, in] -> [n, out]
inline Tensor<float> tgs_logits(const TgsNet<>& net, MatrixView<const float> x) {
  NoTape<float> ctx;
  const auto heads = net.forward(ctx, ctx.input(x), Pass{});
  return Tensor<float>::copy_of(ctx.value(heads.prediction));
}

/// Teacher-free graph self-distillation: a perceptron whose predictions agree with what their neighbours' rows infer and
/// disagree with what a random node's row does (`neighbour_inference_loss`), next to the labels of both heads. Answers
/// need no graph. Keeps the best validation accuracy, the later of equals.
///
/// Shapes   graph [N, N], features [N, F], classes and roles [N]
/// Cost     per batch of edges five passes of the perceptron over its ends and two of the shares
/// Errors   ShapeError if extents differ; ConfigError for a graph without edges; Error if the loss is not finite
/// Threads  result independent of T
/// Source   Wu et al., A teacher-free graph knowledge distillation framework with dual self-distillation, TKDE 2024;
///          LirongWu/TGS, code/main.py
inline DistillReport fit_tgs(TgsNet<>& net, CsrView<> graph, MatrixView<const float> features,
                             std::span<const std::int32_t> classes, std::span<const Role> roles,
                             const FitTgsOptions& options = {}) {
  const auto start = std::chrono::steady_clock::now();
  detail::check_shape("fit_tgs", "features", features, graph.num_rows, net.options().in);
  detail::check_size("fit_tgs", "classes", classes.size(), graph.num_rows);
  detail::check_size("fit_tgs", "roles", roles.size(), graph.num_rows);
  if (graph.num_edges() == 0 || options.edges_per_batch == 0)
    throw ConfigError("fit_tgs: no edges to learn from; want a graph with edges and edges_per_batch above 0");
  std::vector<std::int32_t> labels(classes.size(), kUnlabelled);
  for (std::size_t v = 0; v < labels.size(); ++v)
    if (roles[v] == Role::train) labels[v] = classes[v];
  const std::vector<float> class_weight = detail::tgs_class_weights(graph, labels, net.options().out);
  std::vector<std::pair<NodeId, NodeId>> edges;
  for (std::size_t i = 0; i < graph.num_rows; ++i)
    for (const NodeId j : graph.neighbors(i)) edges.push_back({static_cast<NodeId>(i), j});

  const detail::ScoredRows scored(roles, classes);
  detail::KeepBest<float> best(options.patience);
  BlendNet<> blend(net.options().in, net.options().hidden, options.seed);
  const Adam adam{.lr = options.lr, .weight_decay = options.weight_decay};
  const Adam slow{.lr = options.blend_lr};
  auto state = adam.start(std::as_const(net.parameters()));
  auto blend_state = slow.start(std::as_const(blend.parameters()));
  const std::size_t size = std::min(options.edges_per_batch, edges.size());
  const std::size_t all = (edges.size() + size - 1) / size;
  const std::size_t batches = options.batches_per_epoch == 0 ? all : std::min(all, options.batches_per_epoch);
  Tape<float> tape;
  detail::TgsBatch batch;
  std::array<std::vector<NodeId>, 3> ends;
  std::uint64_t step = 0;
  for (std::uint64_t epoch = 0; epoch < options.epochs; ++epoch) {
    shuffle(std::span(edges), CounterRng(make_key(options.seed, epoch, Purpose::shuffle), 0, 0));
    for (std::size_t b = 0; b < batches; ++b, ++step) {
      CounterRng strangers(make_key(options.seed, step, Purpose::pick), 0, 0);
      for (auto& e : ends) e.clear();
      for (std::size_t k = b * size; k < std::min((b + 1) * size, edges.size()); ++k) {
        ends[0].push_back(edges[k].first);
        ends[1].push_back(edges[k].second);
        ends[2].push_back(static_cast<NodeId>(strangers.below(graph.num_rows)));
      }
      batch.gather(features, labels, ends);
      tape.rewind();
      net.parameters().zero_grads();
      blend.parameters().zero_grads();
      const Pass pass{.training = true, .dropout_key = make_key(options.seed, step, Purpose::dropout)};
      const Var x_i = tape.input(std::as_const(batch.x[0]).view());
      const Var x_j = tape.input(std::as_const(batch.x[1]).view());
      const Var near_j = blend_rows(tape, blend(tape, x_j, x_i, pass), x_j, x_i);
      const Var near_i = blend_rows(tape, blend(tape, x_i, x_j, pass), x_i, x_j);
      const Var y_i = net.forward(tape, x_i, pass, 0).prediction;
      const Var y_j = net.forward(tape, x_j, pass, 1).prediction;
      const Var z_j = net.forward(tape, near_j, pass, 2).neighbour;
      const Var z_i = net.forward(tape, near_i, pass, 3).neighbour;
      const Var z_r = net.forward(tape, tape.input(std::as_const(batch.x[2]).view()), pass, 4).neighbour;
      const auto label = [&](Var logits, std::size_t end) {
        const CrossEntropy loss{.class_weight = class_weight};
        return linear_combination(tape, loss(tape, logits, Targets{.classes = batch.classes[end]}),
                                  options.alpha);
      };
      const Var loss =
          detail::scalar_sum(tape, std::array{neighbour_inference_loss(tape, {y_i, y_j, z_j, z_i, z_r}),
                                              label(y_i, 0), label(z_j, 0), label(y_j, 1), label(z_i, 1)});
      if (!std::isfinite(tape.value(loss)(0, 0)))
        throw Error(message("fit_tgs: the loss of epoch ", epoch, " is not finite; lower lr"));
      tape.backward(loss);
      adam.step(state, net.parameters(), 1.0);
      slow.step(blend_state, blend.parameters(), 1.0);
    }
    const Tensor<float> logits = tgs_logits(net, features);
    const double val = detail::accuracy_on(logits.view(), classes, scored.val);
    const double test = detail::accuracy_on(logits.view(), classes, scored.test);
    if (best.judge(epoch, val, test, net.parameters())) break;
  }
  net.parameters().zero_grads();
  tape.rewind();
  DistillReport report = best.finish(net.parameters());
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace tessera
