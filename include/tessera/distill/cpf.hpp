// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/detail/keep_best.hpp"
#include "tessera/distill/detail/label_walk.hpp"
#include "tessera/distill/detail/rows.hpp"
#include "tessera/distill/detail/soft_row.hpp"
#include "tessera/distill/detail/unit_rows.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/init/glorot.hpp"
#include "tessera/nn/layers/linear.hpp"
#include "tessera/nn/ops/constant.hpp"
#include "tessera/nn/ops/dropout.hpp"
#include "tessera/nn/ops/linear.hpp"
#include "tessera/nn/optim/adam.hpp"

namespace tessera {

/// Where the weights of label propagation come from: a score of the source's features, or one number per node.
enum class CpfAttention { inductive, transductive };
/// One balance of propagation and features per node, as published, or one for all: unseen nodes can be asked then.
enum class CpfAlpha { per_node, shared };

/// A student that is label propagation with learnt weights, mixed at every step with a perceptron on the features:
///
///     f^0 = one-hot label, or 1 / C where there is none;   w_uv = softmax over the in-edges of v of score_u
///     f^(k+1) = one-hot label, or relu(sigmoid(alpha_v) sum_u w_uv f^k_u + sigmoid(-alpha_v) MLP(x_v))
///
/// One set of parameters serves all steps. The scores look at the source alone, and a ReLU follows every mix, as in the
/// authors' code.
/// Shapes   graph [N, N] with self loops and transpose_edge, x [N, F] -> o [N, C]
/// Cost     K (E C + the perceptron), outside training K E C + the perceptron
/// Errors   ConfigError for sizes of 0 or a probability outside [0, 1); ShapeError if a forward pass gets other extents
/// Threads  result independent of T
/// Source   Yang, Liu & Shi, Extract the knowledge of graph neural networks and go beyond it, WWW 2021;
///          BUPT-GAMMA/CPF, models/PLP.py
template <Real T = float>
class CpfStudent {
 public:
  using Scalar = T;
  struct Options {
    std::size_t nodes = 0;
    std::size_t in = 0;
    std::size_t hidden = 64;
    std::size_t out = 0;
    std::size_t layers = 2;          ///< of the perceptron
    std::size_t steps = 8;           ///< K
    float dropout = 0.8f;            ///< of features and hidden units
    float attention_dropout = 0.2f;  ///< of the weights
    CpfAttention attention = CpfAttention::inductive;
    CpfAlpha alpha = CpfAlpha::per_node;
    std::uint64_t seed = 0;
  };

  explicit CpfStudent(const Options& o) : options_(o) {
    if (o.nodes == 0 || o.in == 0 || o.hidden == 0 || o.out == 0 || o.layers == 0) {
      throw ConfigError(message("CpfStudent: nodes ", o.nodes, ", in ", o.in, ", hidden ", o.hidden, ", out ",
                                o.out, ", layers ", o.layers, "; want at least 1 of each"));
    }
    check_dropout({o.dropout, {}, 0}, "CpfStudent");
    check_dropout({o.attention_dropout, {}, 0}, "CpfStudent");
    alpha_ = block_.add("alpha", o.alpha == CpfAlpha::shared ? 1 : o.nodes, 1);
    score_ = o.attention == CpfAttention::inductive ? block_.add("attention", o.in, 1)
                                                    : block_.add("confidence", o.nodes, 1);
    for (std::size_t l = 0; l < o.layers; ++l) {
      lins_.emplace_back(block_, "lins." + std::to_string(l), l == 0 ? o.in : o.hidden,
                         l + 1 == o.layers ? o.out : o.hidden);
    }
    reset_parameters(o.seed);
  }

  void reset_parameters(std::uint64_t seed) {
    const RngKey key = make_key(seed, 0, Purpose::init);
    for (T& a : block_.values().subspan(alpha_.offset, alpha_.rows)) a = T{0};
    // Glorot's for a ReLU, as the authors start the scores; their perceptron starts as PyTorch's linear maps do.
    glorot_uniform(block_.value(score_), {key, static_cast<std::uint32_t>(score_.index)}, std::sqrt(2.0));
    for (const LinearLayer<T>& lin : lins_) lin.reset_parameters(block_, key);
    block_.zero_grads();
  }
  ParameterBlock<T>& parameters() noexcept { return block_; }
  const ParameterBlock<T>& parameters() const noexcept { return block_; }
  const Options& options() const noexcept { return options_; }

  /// The scores f^K; labelled rows are one-hot. `classes` holds the labels that are clamped, -1 elsewhere, and must
  /// outlive the tape's pass.
  template <class Ctx>
  Var forward(Ctx& ctx, const Adjacency& graph, Var x, std::span<const std::int32_t> classes,
              const Pass& pass) const {
    const std::size_t n = ctx.value(x).rows();
    if (graph.num_dst() != n || graph.num_src() != n || classes.size() != n ||
        graph.transpose_edge.size() != graph.forward.num_edges()) {
      throw ShapeError(message("CpfStudent: x has ", n, " rows, the graph ", graph.num_dst(), ", classes ",
                               classes.size(), "; want equal ones and a graph with transpose_edge"));
    }
    const auto mask = [&](float p, std::size_t call) -> DropoutMask {
      return pass.training ? DropoutMask{p, pass.dropout_key, static_cast<std::uint32_t>(call)}
                           : DropoutMask{};
    };
    const Var alpha = ctx.parameter(block_[alpha_]);
    const Var raw = ctx.parameter(block_[score_]);
    const Var score = options_.attention == CpfAttention::inductive
                          ? linear(ctx, dropout(ctx, x, mask(options_.dropout, 0)), raw)
                          : dropout(ctx, raw, mask(options_.dropout, 0));
    Tensor<T> start = Tensor<T>::filled(n, options_.out, T{1} / static_cast<T>(options_.out));
    for (std::size_t v = 0; v < n; ++v) {
      if (classes[v] < 0) continue;
      std::fill(start.row(v).begin(), start.row(v).end(), T{0});
      start(v, static_cast<std::size_t>(classes[v])) = T{1};
    }
    const auto perceptron = [&](std::size_t call) {
      Var m = x;
      for (std::size_t l = 0; l < options_.layers; ++l) {
        m = dropout(ctx, m, mask(options_.dropout, call + l));
        const bool last = l + 1 == options_.layers;
        m = lins_[l].transform(ctx, block_, m, {.activation = last ? Activation::none : Activation::relu});
      }
      return m;
    };
    Var f = constant(ctx, std::move(start));
    Var m;
    for (std::size_t k = 0; k < options_.steps; ++k) {
      const std::size_t call = 1 + k * (options_.layers + 1);
      const Var g = detail::source_attention(ctx, graph, f, score, mask(options_.attention_dropout, call));
      if (k == 0 || pass.training)
        m = perceptron(call + 1);  // without dropout it says the same at every step
      f = detail::label_mix(ctx, alpha, g, m, classes);
    }
    return f;
  }

 private:
  Options options_;
  ParameterBlock<T> block_;
  Parameter alpha_;
  Parameter score_;
  std::vector<LinearLayer<T>> lins_;
};

/// sqrt(sum (p - P)^2) over the rows without a class together, p = softmax(o): the loss of CPF.
///
/// Shapes   o, teacher [N, C] (teacher holds probabilities), classes [N] -> [1, 1]; 0 has gradient 0
/// Errors   ShapeError if extents differ
template <class Ctx>
Var probability_distance(Ctx& ctx, Var o,
                         std::type_identity_t<MatrixView<const typename Ctx::Scalar>> teacher,
                         std::span<const std::int32_t> classes) {
  using T = typename Ctx::Scalar;
  const MatrixView<const T> z = ctx.value(o);
  detail::check_shape("probability_distance", "teacher", teacher, z.rows(), z.cols());
  detail::check_size("probability_distance", "classes", classes.size(), z.rows());
  Tensor<T> grad(z.rows(), z.cols());
  const double squares = parallel_sum<double>(z.rows(), 128, [&](std::size_t v, std::size_t end) {
    Array<double> p(z.cols());
    double sum = 0;
    for (; v < end; ++v) {
      std::fill(grad.row(v).begin(), grad.row(v).end(), T{0});
      if (classes[v] >= 0) continue;
      detail::log_softmax_row(z.row(v), 1.0, p.span());
      double along = 0;
      for (std::size_t c = 0; c < z.cols(); ++c) {
        p[c] = std::exp(p[c]);
        const double d = p[c] - static_cast<double>(teacher(v, c));
        sum += d * d;
        along += p[c] * d;
      }
      for (std::size_t c = 0; c < z.cols(); ++c)
        grad(v, c) = static_cast<T>(p[c] * (p[c] - static_cast<double>(teacher(v, c)) - along));
    }
    return sum;
  });
  const double norm = std::sqrt(squares);
  scale(norm == 0 ? T{0} : static_cast<T>(1 / norm), std::as_const(grad).view(), grad.view());
  return detail::record_pair_loss(ctx, norm, o, std::move(grad));
}

struct FitCpfOptions {
  double lr = 0.001;
  double weight_decay = 0.01;
  std::uint64_t epochs = 500;
  std::uint64_t patience = 50;
  std::uint64_t seed = 0;
};

/// Trains a CPF student to say what the teacher says of the nodes without a training label; keeps the best validation
/// accuracy.
///
/// Shapes   features [N, F], teacher [N, C] probabilities, classes and roles [N]
/// Errors   those of the student; Error if the loss is not finite
/// Threads  result independent of T
template <Real T>
DistillReport fit_cpf(CpfStudent<T>& student, const Adjacency& graph,
                      std::type_identity_t<MatrixView<const T>> features,
                      std::type_identity_t<MatrixView<const T>> teacher,
                      std::span<const std::int32_t> classes, std::span<const Role> roles,
                      const FitCpfOptions& options = {}) {
  const auto start = std::chrono::steady_clock::now();
  Array<std::int32_t> clamped(classes.size());
  for (std::size_t i = 0; i < clamped.size(); ++i) clamped[i] = roles[i] == Role::train ? classes[i] : -1;
  const detail::ScoredRows rows(roles, classes);
  detail::KeepBest<T> best(options.patience);
  const Adam adam{.lr = options.lr, .weight_decay = options.weight_decay};
  ParameterBlock<T>& block = student.parameters();
  auto state = adam.start(std::as_const(block));
  Tape<T> tape;
  for (std::uint64_t epoch = 0; epoch < options.epochs; ++epoch) {
    tape.rewind();
    block.zero_grads();
    const Pass pass{.training = true, .dropout_key = make_key(options.seed, epoch, Purpose::dropout)};
    const Var o = student.forward(tape, graph, tape.input(features), clamped.span(), pass);
    const Var loss = probability_distance(tape, o, teacher, clamped.span());
    if (!std::isfinite(static_cast<double>(tape.value(loss)(0, 0))))
      throw Error(message("fit_cpf: the loss of epoch ", epoch, " is not finite; lower lr"));
    tape.backward(loss);
    adam.step(state, block, 1.0);
    NoTape<T> ctx;
    const Var z = student.forward(ctx, graph, ctx.input(features), clamped.span(), Pass{});
    const double val = detail::accuracy_on(ctx.value(z), classes, rows.val);
    const double test = detail::accuracy_on(ctx.value(z), classes, rows.test);
    if (best.judge(epoch, val, test, block)) break;
  }
  block.zero_grads();
  DistillReport report = best.finish(block);
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace tessera
