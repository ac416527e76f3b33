// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/authors_split.hpp"
#include "tessera/distill/detail/keep_best.hpp"
#include "tessera/distill/heuristic_temperature.hpp"
#include "tessera/distill/ltd_step.hpp"
#include "tessera/distill/soft_target.hpp"
#include "tessera/distill/temperature_net.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/optim/adam.hpp"

namespace tessera {

/// What learning to distil runs on: one whole graph in the form its student wants, and a teacher's logits.
///
/// Shapes   graph [N, N], features [N, F], teacher [N, C]; classes and split over N. `neighbours` says who is a
///          neighbour of whom for the entropies; its diagonal is skipped
template <Real T>
struct LtdData {
  Adjacency graph;
  CsrView<> neighbours;
  MatrixView<const T> features;
  MatrixView<const T> teacher;
  std::span<const std::int32_t> classes;
  const LtdSplit* split = nullptr;
};

struct FitLtdOptions {
  LtdOptions step = {};
  double k = 1;  ///< range of the temperatures: (-0.2 k, 0.8 k)
  std::uint64_t epochs = 600;
  std::uint64_t warm_up = 20;  ///< epochs before temperatures are learnt
  std::uint64_t patience = 50;
  std::uint64_t seed = 0;
  std::size_t hidden = 64;  ///< of the temperature network
  float dropout = 0.4f;     ///< of the temperature network
};

/// A run's report and what it ended with.
template <Real T>
struct LtdFit {
  DistillReport report;
  Array<T> temperatures;  ///< of the epoch that was kept; with fit_soft of the last one
};

namespace detail {

template <Model M>
Tensor<typename M::Scalar> whole_logits(const M& model, const Adjacency& graph,
                                        MatrixView<const typename M::Scalar> x) {
  NoTape<typename M::Scalar> ctx;
  const Var z = model.forward(ctx, AdjacencyStack(std::span(&graph, 1)), ctx.input(x), tessera::Pass{});
  return Tensor<typename M::Scalar>::copy_of(ctx.value(z));
}

inline double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace detail

/// Learning to distil: student and node temperatures in turn (`LtdStep`), until validation accuracy has not risen for
/// `patience` epochs. The student is left with the parameters of the best epoch.
///
/// Cost     about 2.7 plain epochs and one inference per epoch
/// Errors   those of LtdStep; Error if a loss is not finite
/// Threads  result independent of T
/// Source   Yang et al., WSDM 2023; as BUPT-GAMMA/LTD, but the hypergradient is exact and detached by default
template <Model M>
LtdFit<typename M::Scalar> fit_ltd(M& student, const LtdData<typename M::Scalar>& data,
                                   const FitLtdOptions& options = {}) {
  using T = typename M::Scalar;
  const auto start = std::chrono::steady_clock::now();
  const Array<T> entropy = neighbour_entropy(data.neighbours, data.teacher);
  const LtdProblem<T> problem{data.graph,     data.features,       data.teacher,
                              entropy.span(), data.split->distill, data.split->evaluate};
  TemperatureNet<T> net({.classes = data.teacher.cols(),
                         .hidden = options.hidden,
                         .k = options.k,
                         .dropout = options.dropout,
                         .seed = options.seed});
  const detail::ScoredRows rows(data.split->roles, data.classes);
  detail::KeepBest<T> best(options.patience);
  LtdStep<M> step;
  LtdFit<T> out;
  for (std::uint64_t epoch = 0; epoch < options.epochs; ++epoch) {
    const LtdLosses losses =
        step.run(student, net, problem, options.step, make_key(options.seed, epoch, Purpose::dropout),
                 epoch >= options.warm_up);
    if (!std::isfinite(losses.distill) || !std::isfinite(losses.evaluate)) {
      throw Error(message("fit_ltd: the losses of epoch ", epoch, " are ", losses.distill, " and ",
                          losses.evaluate, "; lower step.alpha"));
    }
    const Tensor<T> z = detail::whole_logits(student, data.graph, data.features);
    const double val = detail::accuracy_on(z.view(), data.classes, rows.val);
    const double test = detail::accuracy_on(z.view(), data.classes, rows.test);
    const bool stop = best.judge(epoch, val, test, student.parameters());
    if (best.best_epoch() == epoch) out.temperatures = Array<T>::copy_of(step.temperatures());
    if (stop) break;
  }
  out.report = best.finish(student.parameters());
  out.report.seconds = detail::seconds_since(start);
  return out;
}

/// How `fit_soft` chooses temperatures and moves the student.
struct FitSoftOptions {
  double temperature = 1;
  double lambda = 1;  ///< weight of the labels
  double lr = 0.01;   ///< of Adam; 0 takes plain steps of `alpha`
  double weight_decay = 0;
  double alpha = 1e-4;
  double epsilon = 0;
  std::uint64_t epochs = 600;
  std::uint64_t patience = 50;
  std::uint64_t seed = 0;
  bool heuristic = false;  ///< temperatures by `heuristic`, anew every epoch, instead of one for all
  HeuristicOptions heuristic_options = {};
};

/// The same loss with one fixed temperature for all nodes (the baseline FT), or with temperatures that follow the
/// student's confidence and its neighbourhood by rule (`heuristic_temperatures`).
///
/// Cost     a plain epoch and one inference per epoch
/// Errors   as fit_ltd
template <Model M>
LtdFit<typename M::Scalar> fit_soft(M& student, const LtdData<typename M::Scalar>& data,
                                    const FitSoftOptions& options = {}) {
  using T = typename M::Scalar;
  const auto start = std::chrono::steady_clock::now();
  const std::size_t n = data.features.rows();
  const Array<T> entropy = neighbour_entropy(data.neighbours, data.teacher);
  const detail::ScoredRows rows(data.split->roles, data.classes);
  detail::KeepBest<T> best(options.patience);
  const Adam adam{.lr = options.lr, .weight_decay = options.weight_decay};
  ParameterBlock<T>& block = student.parameters();
  auto state = adam.start(std::as_const(block));
  LtdFit<T> out;
  out.temperatures.assign(n, static_cast<T>(options.temperature));
  Tape<T> tape;
  Tensor<T> grad;
  const SoftTargetOptions soft{
      .form = SoftForm::cross_entropy, .epsilon = options.epsilon, .reduction = Reduction::sum};
  for (std::uint64_t epoch = 0; epoch < options.epochs; ++epoch) {
    tape.rewind();
    block.zero_grads();
    const Pass pass{.training = true, .dropout_key = make_key(options.seed, epoch, Purpose::dropout)};
    const Var z = std::as_const(student).forward(tape, AdjacencyStack(std::span(&data.graph, 1)),
                                                 tape.input(data.features), pass);
    const MatrixView<const T> at = tape.value(z);
    if (options.heuristic) {
      heuristic_temperatures<T>(at, entropy.span(), options.heuristic_options, out.temperatures.span());
    }
    grad.resize(at.rows(), at.cols());
    double loss =
        soft_target<T>(at, data.teacher, out.temperatures.span(), {}, grad.view(), {}, soft).loss_sum;
    loss += detail::add_label_gradient(at, data.split->distill, options.lambda, options.epsilon, grad.view());
    if (!std::isfinite(loss)) throw Error(message("fit_soft: the loss of epoch ", epoch, " is ", loss));
    tape.backward(z, std::as_const(grad).view());
    if (options.lr > 0) {
      adam.step(state, block, 1.0);
    } else {
      const T rate = static_cast<T>(options.alpha);
      for (std::size_t i = 0; i < block.values().size(); ++i) block.values()[i] -= rate * block.grads()[i];
    }
    const Tensor<T> logits = detail::whole_logits(student, data.graph, data.features);
    const double val = detail::accuracy_on(logits.view(), data.classes, rows.val);
    const double test = detail::accuracy_on(logits.view(), data.classes, rows.test);
    if (best.judge(epoch, val, test, block)) break;
  }
  block.zero_grads();
  out.report = best.finish(block);
  out.report.seconds = detail::seconds_since(start);
  return out;
}

}  // namespace tessera
