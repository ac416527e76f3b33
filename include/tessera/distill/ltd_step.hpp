// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/detail/ltd_rows.hpp"
#include "tessera/distill/soft_target.hpp"
#include "tessera/distill/temperature_net.hpp"
#include "tessera/nn/concepts.hpp"

namespace tessera {

/// How the gradient of the temperatures is found.
enum class Hypergradient {
  exact,              ///< one forward-mode product of the student
  finite_difference,  ///< two more forward passes: for layers without forward mode
  logit_space         ///< the Jacobian of the student left out: an ablation
};

struct LtdOptions {
  double alpha = 1e-4;  ///< rate of the student's plain steps
  double beta = 1e-4;   ///< rate of the temperature network's
  double lambda = 1;    ///< weight of the labels
  double epsilon = 0;   ///< inside and outside the logarithms; the authors' code has 1e-6
  bool attached =
      false;  ///< let the student's gradient run through its temperatures too, as the authors' code does
  Hypergradient hypergradient = Hypergradient::exact;
};

/// What learning to distil works on: the whole graph, prepared for the student, and who plays which part.
///
/// Shapes   graph [N, N], features [N, F], teacher [N, C] logits, entropy [N]; distill and evaluate [N] hold the
///          class of the labelled nodes of each part and -1 elsewhere
template <Real T>
struct LtdProblem {
  Adjacency graph;
  MatrixView<const T> features;
  MatrixView<const T> teacher;
  std::span<const T> entropy;  ///< neighbour_entropy
  std::span<const std::int32_t> distill;
  std::span<const std::int32_t> evaluate;
};

/// The same for one step on batches: the nodes that distil and the nodes that judge have blocks of their own, and
/// factors that make sums over them estimates of sums over the whole graph, so that rates keep their meaning.
///
/// Shapes   B rows of logits from `graph`: teacher [B, C], entropy and distill [B]; B_E rows from `evaluate_graph`:
///          evaluate [B_E]
template <Real T>
struct LtdBatch {
  AdjacencyStack graph;
  MatrixView<const T> features;
  MatrixView<const T> teacher;
  std::span<const T> entropy;
  std::span<const std::int32_t> distill;
  AdjacencyStack evaluate_graph;
  MatrixView<const T> evaluate_features;
  std::span<const std::int32_t> evaluate;
  double soft_scale = 1;      ///< of the soft targets
  double hard_scale = 1;      ///< of the labels of `distill`
  double evaluate_scale = 1;  ///< of those of `evaluate`
};

/// Sums over nodes of one step.
struct LtdLosses {
  double distill = 0;   ///< L_D at theta
  double evaluate = 0;  ///< L_E at theta'; 0 where temperatures were not learnt
};

/// One iteration of learning to distil, and its buffers.
///
///     theta' = theta - alpha dL_D(theta, omega)/dtheta ;   omega <- omega - beta dL_E(theta'(omega))/domega
///
/// The hypergradient needs no second backward pass: with g = dL_D/dz and v = dL_E/dtheta' it is -alpha d<J v, g>/domega,
/// and J v is one forward-mode pass of the student over the tape of the first pass.
/// Cost     per iteration two forward and backward passes, a forward-mode one and the perceptron: about 2.7 plain steps
/// Threads  result independent of T
/// Source   Yang et al., WSDM 2023; the hypergradient is derived in closed form here
template <Model M>
class LtdStep {
 public:
  using T = typename M::Scalar;
  using Net = TemperatureNet<T>;

  /// Moves the student, and the net where `learn`; leaves the hypergradient in the net's gradients.
  ///
  /// Errors   ShapeError if the problem's extents do not fit; ConfigError where the exact hypergradient meets an
  ///          operator without forward mode, or attached is asked of another kind
  LtdLosses run(M& student, Net& net, const LtdProblem<T>& p, const LtdOptions& o, RngKey key, bool learn) {
    detail::check_size("LtdStep", "evaluate", p.evaluate.size(), p.features.rows());
    const AdjacencyStack graph(std::span(&p.graph, 1));
    return run(student, net,
               LtdBatch<T>{graph, p.features, p.teacher, p.entropy, p.distill, graph, p.features, p.evaluate},
               o, key, learn);
  }

  /// The same on batches.
  LtdLosses run(M& student, Net& net, const LtdBatch<T>& problem, const LtdOptions& o, RngKey key,
                bool learn) {
    check(problem, o, net.options().classes);
    LtdLosses out;
    ParameterBlock<T>& block = student.parameters();
    distill_tape_.rewind();
    block.zero_grads();
    const Var z = forward(student, distill_tape_, problem.graph, problem.features, phase(key, 1));
    detail::check_shape("LtdStep", "teacher", problem.teacher, distill_tape_.value(z).rows(),
                        net.options().classes);
    net.forward(distill_tape_.value(z), problem.entropy, phase(key, 2), pass_);
    out.distill = logit_gradient(distill_tape_.value(z), net, problem, o);
    distill_tape_.backward(z, std::as_const(grad_).view());
    theta_.resize(block.values().size());
    std::copy(block.values().begin(), block.values().end(), theta_.begin());
    const T rate = static_cast<T>(o.alpha);
    for (std::size_t i = 0; i < theta_.size(); ++i) block.values()[i] -= rate * block.grads()[i];
    if (learn) {
      next_.resize(theta_.size());
      std::copy(block.values().begin(), block.values().end(), next_.begin());
      out.evaluate = learn_temperatures(student, net, problem, o, key, z);
      std::copy(next_.begin(), next_.end(), block.values().begin());
    }
    block.zero_grads();
    distill_tape_.rewind();
    return out;
  }

  /// The temperatures of the last step.
  std::span<const T> temperatures() const noexcept { return pass_.tau.span(); }

 private:
  static RngKey phase(RngKey key, std::uint32_t number) noexcept {
    return {key.lo ^ (number * 0x9E3779B9u), key.hi + number};
  }

  static void check(const LtdBatch<T>& p, const LtdOptions& o, std::size_t classes) {
    const std::size_t n = p.teacher.rows();
    detail::check_shape("LtdStep", "teacher", p.teacher, n, classes);
    detail::check_size("LtdStep", "entropy", p.entropy.size(), n);
    detail::check_size("LtdStep", "distill", p.distill.size(), n);
    if (o.attached && o.hypergradient != Hypergradient::exact)
      throw ConfigError("LtdStep: attached needs the exact hypergradient");
  }

  template <class Ctx>
  static Var forward(const M& student, Ctx& ctx, const AdjacencyStack& graph, MatrixView<const T> features,
                     RngKey key) {
    return student.forward(ctx, graph, ctx.input(features), Pass{.training = true, .dropout_key = key});
  }

  /// grad_ = dL_D/dz, attached_ = h = dL_D/dtau; returns L_D.
  double logit_gradient(MatrixView<const T> z, const Net& net, const LtdBatch<T>& p, const LtdOptions& o) {
    grad_.resize(z.rows(), z.cols());
    slope_.resize(z.rows());
    const SoftTargetOptions soft{.factor = p.soft_scale,
                                 .form = SoftForm::cross_entropy,
                                 .epsilon = o.epsilon,
                                 .reduction = Reduction::sum};
    double loss =
        soft_target<T>(z, p.teacher, pass_.tau.span(), {}, grad_.view(), slope_.span(), soft).loss_sum;
    if (o.attached) net.add_input_gradient(pass_, slope_.span(), grad_.view());
    loss += detail::add_label_gradient(z, p.distill, o.lambda * p.hard_scale, o.epsilon, grad_.view());
    return loss;
  }

  double learn_temperatures(M& student, Net& net, const LtdBatch<T>& p, const LtdOptions& o, RngKey key,
                            Var z) {
    ParameterBlock<T>& block = student.parameters();
    net.parameters().zero_grads();
    evaluate_tape_.rewind();
    block.zero_grads();
    const Var at_next =
        forward(student, evaluate_tape_, p.evaluate_graph, p.evaluate_features, phase(key, 3));
    const MatrixView<const T> judged = evaluate_tape_.value(at_next);
    detail::check_size("LtdStep", "evaluate", p.evaluate.size(), judged.rows());
    Tensor<T> grad = Tensor<T>::zeros(judged.rows(), judged.cols());
    const double loss =
        detail::add_label_gradient(judged, p.evaluate, p.evaluate_scale, o.epsilon, grad.view());
    if (o.hypergradient != Hypergradient::logit_space)
      evaluate_tape_.backward(at_next, std::as_const(grad).view());
    evaluate_tape_.rewind();
    direction_.resize(theta_.size());
    std::copy(block.grads().begin(), block.grads().end(), direction_.begin());
    std::copy(theta_.begin(), theta_.end(), block.values().begin());  // tapes borrow the values

    switch (o.hypergradient) {
      case Hypergradient::exact:
        set_tangents(block.grads());
        distill_tape_.jvp();
        if (distill_tape_.has_tangent(z))
          add_hypergradient(net, p, o, distill_tape_.value(z), distill_tape_.tangent(z));
        distill_tape_.clear_tangents();
        break;
      case Hypergradient::logit_space:
        add_hypergradient(net, p, o, distill_tape_.value(z), std::as_const(grad).view());
        break;
      case Hypergradient::finite_difference:
        difference(student, net, p, o, key);
        break;
    }
    const T rate = static_cast<T>(o.beta);
    ParameterBlock<T>& omega = net.parameters();
    for (std::size_t i = 0; i < omega.values().size(); ++i) omega.values()[i] -= rate * omega.grads()[i];
    return loss;
  }

  /// Every leaf whose gradient lies in the block gets its part of direction_.
  void set_tangents(std::span<T> grads) {
    for (std::uint32_t id = 0; id < distill_tape_.size(); ++id) {
      const Var v{id};
      if (!distill_tape_.needs_grad(v)) continue;
      const MatrixView<T> g = distill_tape_.grad(v);
      if (g.empty() || g.data() < grads.data() || g.data() >= grads.data() + grads.size()) continue;
      const std::size_t offset = static_cast<std::size_t>(g.data() - grads.data());
      distill_tape_.set_tangent(v, {direction_.data() + offset, g.rows(), g.cols(), g.stride()});
    }
  }

  /// Adds -alpha d(<zeta, g(tau)> + h(tau) taudot)/domega to the net's gradients.
  void add_hypergradient(const Net& net, const LtdBatch<T>& p, const LtdOptions& o, MatrixView<const T> z,
                         MatrixView<const T> zeta) {
    const std::size_t n = z.rows();
    Array<T> sdot(o.attached ? n : 0);
    Tensor<T> udot;
    Tensor<T> adot;
    if (o.attached) net.tangent(pass_, zeta, udot, adot, sdot.span());
    Array<T> of_s(n);
    Array<T> of_sdot(n);
    const T rate = static_cast<T>(-o.alpha);
    parallel_for(n, 128, [&](std::size_t v, std::size_t end) {
      detail::LtdRow<T> row(z.cols());
      for (; v < end; ++v) {
        row.set(z.row(v), p.teacher.row(v), static_cast<double>(pass_.tau[v]), o.epsilon);
        T of_tau = static_cast<T>(p.soft_scale * row.pull(zeta.row(v)));
        T of_taudot{0};
        if (o.attached) {
          const T taudot = pass_.slope[v] * sdot[v];
          of_tau += static_cast<T>(p.soft_scale * row.curvature()) * taudot;
          of_taudot = slope_[v];
          of_s[v] = rate * (of_tau * pass_.slope[v] + of_taudot * pass_.bend[v] * sdot[v]);
        } else {
          of_s[v] = rate * of_tau * pass_.slope[v];
        }
        of_sdot[v] = rate * of_taudot * pass_.slope[v];
      }
    });
    net.accumulate(pass_, of_s.span(), of_sdot.span(), std::as_const(udot).view(),
                   std::as_const(adot).view());
  }

  /// c_v from the student at theta +- eps v, under the masks of the first pass.
  void difference(M& student, const Net& net, const LtdBatch<T>& p, const LtdOptions& o, RngKey key) {
    double squares = 0;
    for (const T v : direction_) squares += static_cast<double>(v) * static_cast<double>(v);
    if (squares == 0) return;
    const double eps = 0.01 / std::sqrt(squares);
    ParameterBlock<T>& block = student.parameters();
    Array<T> grad_tau(p.teacher.rows(), T{0});
    const double rate = o.alpha * p.soft_scale;
    for (const double sign : {1.0, -1.0}) {
      for (std::size_t i = 0; i < theta_.size(); ++i)
        block.values()[i] = theta_[i] + static_cast<T>(sign * eps) * direction_[i];
      NoTape<T> ctx;
      const Var z = forward(student, ctx, p.graph, p.features, phase(key, 1));
      const MatrixView<const T> at = ctx.value(z);
      parallel_for(at.rows(), 128, [&](std::size_t v, std::size_t end) {
        detail::SoftRow<T> row(at.cols());
        for (; v < end; ++v) {
          row.set(at.row(v), p.teacher.row(v), static_cast<double>(pass_.tau[v]), 1);
          grad_tau[v] += static_cast<T>(-rate * sign * row.slope(false, o.epsilon) / (2 * eps));
        }
      });
    }
    std::copy(theta_.begin(), theta_.end(), block.values().begin());
    net.backward(pass_, grad_tau.span());
  }

  Tape<T> distill_tape_;
  Tape<T> evaluate_tape_;
  typename Net::Pass pass_;
  Tensor<T> grad_;
  Array<T> slope_;
  Array<T> theta_;
  Array<T> next_;
  Array<T> direction_;
};

}  // namespace tessera
