// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/data_free.hpp"
#include "tessera/distill/detail/joined_graphs.hpp"
#include "tessera/distill/detail/row_softmax.hpp"
#include "tessera/distill/graph_generator.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/optim/adam.hpp"

namespace tessera {

/// How `fit_dfad` trains its two adversaries.
struct FitDfadOptions {
  std::size_t graphs = 64;  ///< per step
  bool one_hot = true;      ///< features are softmax rows: the teacher's domain is one column per category
  double student_lr = 0.01;
  double generator_lr = 1e-3;
  std::uint64_t epochs = 200;       ///< steps of the generator
  std::uint64_t student_steps = 5;  ///< for each of them
  std::uint64_t seed = 0;
};

/// What the adversaries ended with, epoch by epoch.
struct DfadReport {
  std::vector<double> discrepancy;  ///< of the student's last step
  std::vector<double> challenge;    ///< of the generator's graphs, before the student has seen them
};

namespace detail {

template <Real T>
class DfadGraphs {
 public:
  DfadGraphs(const GraphGenerator<T>& generator, std::size_t graphs)
      : generator_(generator), joined_(offsets(graphs, generator.options().nodes)) {}

  const JoinedGraphs& joined() const noexcept { return joined_; }

  /// Noise for a step.
  Tensor<T> noise(RngKey key, std::uint32_t step) const {
    Tensor<T> z(joined_.num_graphs(), generator_.options().noise);
    for (std::size_t g = 0; g < z.rows(); ++g) {
      CounterRng rng(key, step, g);
      for (T& e : z.row(g)) e = static_cast<T>(rng.normal());
    }
    return z;
  }
  /// A uniform number per pair of every graph.
  Tensor<T> coins(RngKey key, std::uint32_t step) const {
    Tensor<T> u(joined_.num_graphs(), generator_.num_pairs());
    for (std::size_t g = 0; g < u.rows(); ++g) {
      CounterRng rng(key, step, joined_.num_graphs() + g);
      for (T& e : u.row(g)) e = static_cast<T>(rng.uniform_open());
    }
    return u;
  }
  /// The links [u > sigmoid(-theta)], or the opposite draw [u < sigmoid(theta)].
  CsrGraph links(MatrixView<const T> made, const Tensor<T>& u, bool opposite) const {
    const std::size_t first = generator_.num_feature_columns();
    return joined_.link(true, [&](std::size_t g, std::size_t i, std::size_t j) {
      if (i == j) return false;
      const std::size_t pair = GraphGenerator<T>::pair(i, j);
      const T p = T{1} / (T{1} + std::exp(-made(g, first + pair)));
      return opposite ? u(g, pair) < p : u(g, pair) > T{1} - p;
    });
  }
  /// The features as rows of nodes, and back.
  Tensor<T> nodes(MatrixView<const T> made) const {
    const std::size_t f = generator_.options().features;
    Tensor<T> x(joined_.num_nodes(), f);
    for (std::size_t i = 0; i < x.rows(); ++i) {
      for (std::size_t j = 0; j < f; ++j) x(i, j) = made(i / size(), (i % size()) * f + j);
    }
    return x;
  }
  void put_back(MatrixView<const T> of_nodes, MatrixView<T> grad) const {
    const std::size_t f = generator_.options().features;
    for (std::size_t i = 0; i < of_nodes.rows(); ++i) {
      for (std::size_t j = 0; j < f; ++j) grad(i / size(), (i % size()) * f + j) = of_nodes(i, j);
    }
  }

 private:
  std::size_t size() const noexcept { return generator_.options().nodes; }
  static std::vector<std::size_t> offsets(std::size_t graphs, std::size_t nodes) {
    std::vector<std::size_t> out;
    for (std::size_t g = 0; g <= graphs; ++g) out.push_back(g * nodes);
    return out;
  }

  const GraphGenerator<T>& generator_;
  JoinedGraphs joined_;
};

/// Mean over the classes of |T - S|, graph by graph.
template <Real T>
Array<double> discrepancies(MatrixView<const T> student, MatrixView<const T> teacher) {
  Array<double> out(student.rows(), 0.0);
  for (std::size_t g = 0; g < student.rows(); ++g) {
    for (std::size_t c = 0; c < student.cols(); ++c)
      out[g] += std::abs(static_cast<double>(student(g, c)) - static_cast<double>(teacher(g, c)));
    out[g] /= static_cast<double>(student.cols());
  }
  return out;
}

inline double mean(std::span<const double> x) {
  double sum = 0;
  for (const double e : x) sum += e;
  return sum / static_cast<double>(x.size());
}

/// The generator's loss of features on given links: what both say with their parameters frozen. Its gradient reaches
/// `phi` alone; `each` receives the discrepancy graph by graph.
template <class S, class M>
Var challenge(Tape<typename M::Scalar>& tape, const S& student, const M& teacher, const JoinedGraphs& joined,
              const CsrGraph& links, ParameterView<typename M::Scalar> phi, bool one_hot,
              Array<double>* each = nullptr) {
  const JoinedBatch of_teacher(joined, links, teacher.aggregation());
  const JoinedBatch of_student(joined, links, student.aggregation());
  const Var raw = tape.parameter(phi);
  const Var x = one_hot ? row_softmax(tape, raw) : raw;
  tape.freeze_parameters(true);
  const Var t = teacher.forward(tape, of_teacher.stack(), x, Pass{});
  const Var s = student.forward(tape, of_student.stack(), x, Pass{});
  tape.freeze_parameters(false);
  if (each != nullptr) *each = discrepancies<typename M::Scalar>(tape.value(s), tape.value(t));
  const Var loss = generator_loss(tape, s, t);
  tape.backward(loss);
  return loss;
}

template <TrainableModel S, TrainableModel M>
class Dfad {
  using T = typename M::Scalar;

 public:
  Dfad(S& student, const M& teacher, GraphGenerator<T>& generator, const FitDfadOptions& o)
      : student_(student),
        teacher_(teacher),
        generator_(generator),
        o_(o),
        graphs_(generator, o.graphs),
        student_adam_{.lr = o.student_lr},
        generator_adam_{.lr = o.generator_lr},
        student_state_(student_adam_.start(std::as_const(student).parameters())),
        generator_state_(generator_adam_.start(std::as_const(generator).parameters())) {}

  DfadReport run() {
    DfadReport out;
    for (std::uint64_t epoch = 0; epoch < o_.epochs; ++epoch) {
      const RngKey key = make_key(o_.seed, epoch, Purpose::noise);
      double last = 0;
      for (std::uint64_t k = 0; k < o_.student_steps; ++k)
        last = teach(key, static_cast<std::uint32_t>(k), epoch * o_.student_steps + k);
      out.discrepancy.push_back(last);
      out.challenge.push_back(invent(key, static_cast<std::uint32_t>(o_.student_steps)));
      if (!std::isfinite(last) || !std::isfinite(out.challenge.back()))
        throw Error(
            message("fit_dfad: the discrepancy of epoch ", epoch, " is not finite; lower student_lr"));
    }
    student_.parameters().zero_grads();
    generator_.parameters().zero_grads();
    return out;
  }

 private:
  /// A student's step towards the teacher on new graphs.
  double teach(RngKey key, std::uint32_t k, std::uint64_t step) {
    const Tensor<T> z = graphs_.noise(key, k);
    NoTape<T> quiet;
    const MatrixView<const T> made =
        quiet.value(std::as_const(generator_).forward(quiet, quiet.input(z.view())));
    const CsrGraph links = graphs_.links(made, graphs_.coins(key, k), false);
    const Tensor<T> x = shown(made);
    const JoinedBatch of_teacher(graphs_.joined(), links, teacher_.aggregation());
    const JoinedBatch of_student(graphs_.joined(), links, student_.aggregation());
    const Var t = teacher_.forward(quiet, of_teacher.stack(), quiet.input(x.view()), Pass{});
    tape_.rewind();
    student_.parameters().zero_grads();
    const Pass pass{.training = true, .dropout_key = make_key(o_.seed, step, Purpose::dropout)};
    const Var s = std::as_const(student_).forward(tape_, of_student.stack(), tape_.input(x.view()), pass);
    const Var d = absolute_discrepancy(tape_, s, tape_.input(quiet.value(t)));
    const double value = static_cast<double>(tape_.value(d)(0, 0));
    tape_.backward(d);
    tape_.rewind();
    student_adam_.step(student_state_, student_.parameters(), 1.0);
    return value;
  }

  /// The generator's step to graphs they disagree on.
  double invent(RngKey key, std::uint32_t k) {
    const Tensor<T> z = graphs_.noise(key, k);
    const Tensor<T> u = graphs_.coins(key, k);
    maker_.rewind();
    const Var out = std::as_const(generator_).forward(maker_, maker_.input(z.view()));
    const MatrixView<const T> made = maker_.value(out);
    const Tensor<T> phi = graphs_.nodes(made);
    const auto ask = [&](bool opposite, Tensor<T>& grad) {
      Array<double> each;
      tape_.rewind();
      challenge(tape_, student_, teacher_, graphs_.joined(), graphs_.links(made, u, opposite),
                {std::as_const(phi).view(), grad.view()}, o_.one_hot, &each);
      tape_.rewind();
      return each;
    };
    Tensor<T> grad = Tensor<T>::zeros(phi.rows(), phi.cols());
    const Array<double> first = ask(false, grad);
    const Array<double> second = ask(true, grad);
    // Features take the mean of both draws, which are equally likely.
    Tensor<T> cotangent(made.rows(), made.cols());
    for (std::size_t i = 0; i < grad.rows(); ++i) {
      for (T& e : grad.row(i)) e *= T{1} / T{2};
    }
    graphs_.put_back(std::as_const(grad).view(), cotangent.view());
    const double d = (mean(first.span()) + mean(second.span())) / 2;
    const double slope = -1 / ((1 + d) * static_cast<double>(o_.graphs));
    const std::size_t columns = generator_.num_feature_columns();
    for (std::size_t g = 0; g < made.rows(); ++g) {
      for (std::size_t p = 0; p < u.cols(); ++p)
        cotangent(g, columns + p) =
            static_cast<T>(slope * (first[g] - second[g]) * (static_cast<double>(u(g, p)) - 0.5));
    }
    generator_.parameters().zero_grads();
    maker_.backward(out, std::as_const(cotangent).view());
    maker_.rewind();
    generator_adam_.step(generator_state_, generator_.parameters(), 1.0);
    return d;
  }

  Tensor<T> shown(MatrixView<const T> made) const {
    Tensor<T> x = graphs_.nodes(made);
    if (o_.one_hot) softmax<T>(x.view(), x.view());
    return x;
  }

  S& student_;
  const M& teacher_;
  GraphGenerator<T>& generator_;
  FitDfadOptions o_;
  DfadGraphs<T> graphs_;
  Adam student_adam_;
  Adam generator_adam_;
  Adam::State<T> student_state_;
  Adam::State<T> generator_state_;
  Tape<T> tape_;
  Tape<T> maker_;
};

}  // namespace detail

/// Data-free adversarial distillation: a generator looks for graphs on which student and teacher disagree, the student
/// for agreement on them. Per epoch `student_steps` steps of the student on d = mean |T - S| and one of the generator
/// on -log(1 + d); every step makes new graphs.
///
/// Links are drawn. Features get gradients through both networks; the logits of links get the estimate of
/// `structure_gradient`, per graph, from two opposite draws: no gradient of an adjacency is needed. In the generator's
/// step both networks run as in inference.
/// Shapes   student and teacher: adjacencies with a read-out, x [N, F] -> [G, C]; the generator makes F features
/// Cost     per epoch student_steps passes of everything and steps of the student; two passes of both networks back and
///          forth for the generator
/// Errors   ShapeError if the widths of the three do not fit; ConfigError for no graphs or no student steps; Error if
///          the discrepancy is not finite
/// Threads  result independent of T
/// Source   Zhuang et al., Data-free adversarial knowledge distillation for graph neural networks, IJCAI 2022; the loop
///          from memory of the paper, rates and the estimator for links are ours
template <TrainableModel S, TrainableModel M>
DfadReport fit_dfad(S& student, const M& teacher, GraphGenerator<typename M::Scalar>& generator,
                    const FitDfadOptions& options = {}) {
  if (student.in_features() != teacher.in_features() || student.out_features() != teacher.out_features() ||
      generator.options().features != teacher.in_features()) {
    throw ShapeError(message("fit_dfad: the student maps ", student.in_features(), " to ",
                             student.out_features(), ", the generator makes ", generator.options().features,
                             "; want ", teacher.in_features(), " to ", teacher.out_features(),
                             " as the teacher"));
  }
  if (options.graphs == 0 || options.student_steps == 0) {
    throw ConfigError(message("fit_dfad: graphs is ", options.graphs, ", student_steps ",
                              options.student_steps, "; want at least 1 of each"));
  }
  return detail::Dfad<S, M>(student, teacher, generator, options).run();
}

}  // namespace tessera
