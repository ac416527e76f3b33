// SPDX-License-Identifier: MIT
#pragma once

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "tessera/core/error.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/data_free.hpp"
#include "tessera/distill/detail/joined_graphs.hpp"
#include "tessera/distill/detail/row_softmax.hpp"
#include "tessera/distill/detail/rows.hpp"
#include "tessera/distill/detail/soft_row.hpp"
#include "tessera/distill/norm_tape.hpp"
#include "tessera/distill/teacher_outputs.hpp"
#include "tessera/graph/graph_dataset.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/optim/adam.hpp"

namespace tessera {

/// How many graphs `invert_teacher` makes, of what size, and how it searches for them.
struct InvertOptions {
  std::size_t graphs = 131;
  std::size_t min_nodes = 10;
  std::size_t max_nodes = 29;
  bool one_hot = true;  ///< features are softmax rows: the teacher's domain is one column per category
  double density =
      0.5;  ///< share of links there are at first; 0.5 as published, less for large or sparse graphs
  double feature_lr = 0.01;   ///< of Adam
  double structure_lr = 1.0;  ///< of Adam
  double norm_weight = 0.01;  ///< of `norm_distance`; 0 for a teacher without batch norm
  double entropy_weight = 1e-6;
  double norm_eps = 1e-5;  ///< of the teacher's batch norms
  std::uint64_t epochs = 1500;
  std::uint64_t decay_every = 700;  ///< epochs after which both rates fall to a tenth
  std::uint64_t seed = 0;
};

/// Graphs that were invented, and what the teacher says of them.
///
/// Shapes   data of G graphs, all of them for training, with the classes they were made for; teacher [G, C]
struct InvertedGraphs {
  GraphDataset data;
  TeacherOutputs teacher;
  double loss = 0;               ///< of the epoch that was kept
  double first_loss = 0;         ///< before any step
  std::uint64_t best_epoch = 0;  ///< whose graphs were kept
};

namespace detail {

/// The loss of invented features on given graphs: cross entropy of the wanted classes, strangeness to the batch norms,
/// entropy of the rows. Its gradient reaches `phi` alone.
template <TrainableModel M>
Var inversion_loss(NormTape<typename M::Scalar>& tape, const M& teacher, AdjacencyStack graphs,
                   ParameterView<typename M::Scalar> phi, std::span<const std::int32_t> classes,
                   const InvertOptions& o) {
  const Var raw = tape.parameter(phi);
  const Var x = o.one_hot ? row_softmax(tape, raw) : raw;
  tape.freeze_parameters(true);
  const Var y = teacher.forward(tape, graphs, x, Pass{});
  tape.freeze_parameters(false);
  const Var right = CrossEntropy{}(tape, y, Targets{.classes = classes});
  const Var strange = o.norm_weight > 0 ? norm_distance(tape, o.norm_weight) : Var{};
  const Var blurred = o.one_hot ? mean_row_entropy(tape, raw, o.entropy_weight) : Var{};
  return scalar_sum(tape, std::array{right, strange, blurred});
}

inline const InvertOptions& checked(const InvertOptions& o) {
  if (o.graphs == 0 || o.min_nodes == 0 || o.max_nodes < o.min_nodes || o.decay_every == 0) {
    throw ConfigError(message("invert_teacher: graphs is ", o.graphs, ", nodes from ", o.min_nodes, " to ",
                              o.max_nodes, ", decay_every ", o.decay_every,
                              "; want at least 1 of each and min_nodes <= max_nodes"));
  }
  if (!(o.density > 0 && o.density < 1))
    throw ConfigError(message("invert_teacher: density is ", o.density, ", want a number between 0 and 1"));
  if (!(o.norm_weight >= 0) || !(o.entropy_weight >= 0)) {
    throw ConfigError(message("invert_teacher: norm_weight is ", o.norm_weight, ", entropy_weight ",
                              o.entropy_weight, "; want numbers >= 0"));
  }
  return o;
}

/// The sizes of the graphs as offsets.
inline std::vector<std::size_t> invented_sizes(const InvertOptions& o) {
  std::vector<std::size_t> out{0};
  const RngKey key = make_key(o.seed, 0, Purpose::pick);
  for (std::size_t g = 0; g < o.graphs; ++g) {
    CounterRng rng(key, 0, g);
    out.push_back(out.back() + o.min_nodes +
                  static_cast<std::size_t>(rng.below(o.max_nodes - o.min_nodes + 1)));
  }
  return out;
}

template <TrainableModel M>
class Inversion {
  using T = typename M::Scalar;

 public:
  Inversion(const M& teacher, const InvertOptions& o)
      : teacher_(teacher),
        o_(checked(o)),
        graphs_(invented_sizes(o)),
        features_(phi_.add("phi", graphs_.num_nodes(), teacher.in_features())),
        tape_(o.norm_eps) {
    const RngKey key = make_key(o.seed, 0, Purpose::init);
    for (std::size_t i = 0; i < graphs_.num_nodes(); ++i) {
      CounterRng rng(key, 0, i);
      for (T& e : phi_.value(features_).row(i)) e = static_cast<T>(rng.normal());
    }
    for (std::size_t g = 0; g < o.graphs; ++g) {
      CounterRng rng(key, 1, g);
      classes_.push_back(static_cast<std::int32_t>(rng.below(teacher.out_features())));
      links_.push_back(theta_.add("theta." + std::to_string(g), graphs_.num_nodes(g), graphs_.num_nodes(g)));
      for (std::size_t i = 0; i < graphs_.num_nodes(g); ++i) {
        for (float& e : theta_.value(links_[g]).row(i)) {
          const double u = rng.uniform_open();
          e = static_cast<float>(std::log(u / (1 - u)) + std::log(o.density / (1 - o.density)));
        }
      }
    }
  }

  InvertedGraphs run() {
    const Adam of_features{.lr = o_.feature_lr};
    const Adam of_links{.lr = o_.structure_lr};
    auto features = of_features.start(std::as_const(phi_));
    auto links = of_links.start(std::as_const(theta_));
    Array<T> best_phi;
    Array<float> best_theta;
    InvertedGraphs out;
    out.loss = std::numeric_limits<double>::infinity();
    for (std::uint64_t epoch = 0; epoch <= o_.epochs; ++epoch) {
      const double loss = feature_gradient(hard());
      if (!std::isfinite(loss)) {
        throw Error(message("invert_teacher: the loss of epoch ", epoch, " is not finite; lower feature_lr"));
      }
      if (epoch == 0) out.first_loss = loss;
      if (loss < out.loss) {
        out.loss = loss;
        out.best_epoch = epoch;
        best_phi = Array<T>::copy_of(std::as_const(phi_).values());
        best_theta = Array<float>::copy_of(std::as_const(theta_).values());
      }
      if (epoch == o_.epochs) break;
      const double decay = std::pow(0.1, static_cast<double>(epoch / o_.decay_every));
      of_features.step(features, phi_, decay);
      structure_gradients(epoch);
      of_links.step(links, theta_, decay);
    }
    std::copy(best_phi.begin(), best_phi.end(), phi_.values().begin());
    std::copy(best_theta.begin(), best_theta.end(), theta_.values().begin());
    finish(out);
    return out;
  }

 private:
  /// Links of probability 1/2 and more.
  CsrGraph hard() const {
    return graphs_.link(false, [&](std::size_t g, std::size_t i, std::size_t j) {
      return theta_.value(links_[g])(i, j) >= 0;
    });
  }

  double feature_gradient(const CsrGraph& links) {
    const JoinedBatch batch(graphs_, links, teacher_.aggregation());
    tape_.rewind();
    phi_.zero_grads();
    const Var loss = inversion_loss(tape_, teacher_, batch.stack(), phi_[features_], classes_, o_);
    const double value = static_cast<double>(tape_.value(loss)(0, 0));
    tape_.backward(loss);
    tape_.rewind();
    return value;
  }

  /// What invented features are to the teacher.
  Tensor<T> shown() const {
    Tensor<T> x = Tensor<T>::copy_of(phi_.value(features_));
    if (o_.one_hot) softmax<T>(x.view(), x.view());
    return x;
  }

  void structure_gradients(std::uint64_t epoch) {
    const RngKey key = make_key(o_.seed, epoch, Purpose::noise);
    draws_.clear();
    for (std::size_t g = 0; g < o_.graphs; ++g)
      draws_.push_back(
          draw_structure(std::as_const(theta_).value(links_[g]), key, static_cast<std::uint32_t>(g)));
    const Tensor<T> x = shown();
    const auto scored = [&](Tensor<float> StructureDraw::*side) {
      return losses(x.view(), graphs_.link(false, [&](std::size_t g, std::size_t i, std::size_t j) {
        return (draws_[g].*side)(i, j) > 0;
      }));
    };
    const Array<double> first = scored(&StructureDraw::first);
    const Array<double> second = scored(&StructureDraw::second);
    for (std::size_t g = 0; g < o_.graphs; ++g)
      structure_gradient(draws_[g], first[g], second[g], theta_.grad(links_[g]));
  }

  /// Per graph: its cross entropy, and the batch's strangeness.
  Array<double> losses(MatrixView<const T> x, const CsrGraph& links) {
    const JoinedBatch batch(graphs_, links, teacher_.aggregation());
    tape_.rewind();
    tape_.freeze_parameters(true);
    const MatrixView<const T> y = tape_.value(teacher_.forward(tape_, batch.stack(), tape_.input(x), Pass{}));
    const double strange =
        o_.norm_weight > 0 ? static_cast<double>(tape_.value(norm_distance(tape_, o_.norm_weight))(0, 0)) : 0;
    Array<double> out(o_.graphs);
    Array<double> log_p(y.cols());
    for (std::size_t g = 0; g < o_.graphs; ++g) {
      log_softmax_row(y.row(g), 1.0, log_p.span());
      out[g] = strange - log_p[static_cast<std::size_t>(classes_[g])];
    }
    tape_.rewind();
    return out;
  }

  void finish(InvertedGraphs& out) {
    GraphDataset& data = out.data;
    data.name = "inverted graphs";
    data.node_ptr = Array<std::size_t>::copy_of(graphs_.node_ptr());
    data.graph = hard();
    data.targets.num_classes = teacher_.out_features();
    data.targets.classes = Array<std::int32_t>::copy_of(classes_);
    data.roles.assign(o_.graphs, Role::train);
    const Tensor<T> x = shown();
    data.features = Tensor<float>(x.rows(), x.cols());
    for (std::size_t i = 0; i < x.rows(); ++i) {
      for (std::size_t j = 0; j < x.cols(); ++j) data.features(i, j) = static_cast<float>(x(i, j));
    }
    const JoinedBatch batch(graphs_, data.graph, teacher_.aggregation());
    NoTape<T> ctx;
    const MatrixView<const T> y =
        ctx.value(teacher_.forward(ctx, batch.stack(), ctx.input(x.view()), Pass{}));
    Tensor<float> logits(y.rows(), y.cols());
    for (std::size_t g = 0; g < y.rows(); ++g) {
      for (std::size_t c = 0; c < y.cols(); ++c) logits(g, c) = static_cast<float>(y(g, c));
    }
    out.teacher = TeacherOutputs(std::move(logits), {}, graph_key(data.graph.view()));
  }

  const M& teacher_;
  InvertOptions o_;
  JoinedGraphs graphs_;
  ParameterBlock<T> phi_;
  ParameterBlock<float> theta_;
  Parameter features_;
  std::vector<Parameter> links_;
  std::vector<std::int32_t> classes_;
  std::vector<StructureDraw> draws_;
  NormTape<T> tape_;
};

}  // namespace detail

/// Graph-free distillation: invents graphs of which a frozen classifier of graphs says what it was told to say, and
/// which look to its batch norms like what it was trained on. Any student learns from them as from data:
///
///     const InvertedGraphs fake = invert_teacher(teacher);
///     Trainer trainer{student, GraphBatchSampler(fake.data.node_ptr), Distill{fake.teacher, Logit{.alpha = 1,
///                     .temperature = 2}}, Adam{.lr = 0.01}};
///     trainer.fit(GraphDatasetView(fake.data), {.epochs = 300});
///
/// Sizes and classes are drawn evenly; features move by gradients through the teacher, links by `structure_gradient`,
/// which needs two answers of the teacher and no gradient. Links are directed and may be loops, as published.
/// Shapes   teacher: adjacencies with a read-out, x [N, F] -> [G, C]
/// Cost     per epoch three passes of the teacher and one backwards over `graphs` graphs
/// Errors   ConfigError for settings outside their range, or norm_weight > 0 and a teacher that shows no batch norm
///          (norm_distance); Error if the loss is not finite
/// Threads  result independent of T
/// Source   Deng & Zhang, Graph-free knowledge distillation for graph neural networks, IJCAI 2021;
///          Xiang-Deng-DL/GFKD, inversion_gcn.py. Differs: variances of batches are divided by N
template <TrainableModel M>
InvertedGraphs invert_teacher(const M& teacher, const InvertOptions& options = {}) {
  return detail::Inversion<M>(teacher, options).run();
}

}  // namespace tessera
