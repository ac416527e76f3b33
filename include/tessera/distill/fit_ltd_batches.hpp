// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/distill/fit_ltd.hpp"
#include "tessera/kernels/rows.hpp"
#include "tessera/train/batch_inputs.hpp"
#include "tessera/train/infer.hpp"

namespace tessera {

namespace detail {

/// Batches of one sampler over some targets, with what the student reads of them.
template <Real T, class S, NodeData D>
class LtdBatches {
 public:
  LtdBatches(const S& sampler, const D& data, const AggregationSpec& spec, std::span<const NodeId> targets)
      : sampler_(sampler),
        data_(data),
        spec_(spec),
        targets_(targets),
        train_(targets_of(data, Role::train)) {}

  std::size_t count() const { return sampler_.num_batches({graph(), symmetric(), targets_}); }

  /// Batch b of an epoch; the nodes of its targets.
  std::span<const NodeId> take(std::uint64_t seed, std::uint64_t epoch, std::uint64_t b) {
    sampler_.sample({graph(), symmetric(), targets_}, spec_, {seed, epoch, b}, workspace_, batch_);
    inputs_.assign(batch_, data_, train_);
    return batch_.node_id.span().first(batch_.num_targets);
  }
  AdjacencyStack adjacencies() const { return inputs_.adjacencies(); }
  /// Features of the batch's nodes.
  MatrixView<const T> features() {
    NoTape<T> ctx;
    return ctx.value(inputs_.features(ctx));
  }

 private:
  CsrView<> graph() const { return data_.graph.view(); }
  bool symmetric() const { return data_.graph.symmetric; }

  const S& sampler_;
  const D& data_;
  AggregationSpec spec_;
  std::span<const NodeId> targets_;
  RoleTargets train_;
  typename S::Workspace workspace_{};
  MiniBatch batch_;
  BatchInputs<T> inputs_;
};

/// Labels of nodes out of labels of all; how many there are.
inline std::size_t gather_labels(std::span<const std::int32_t> all, std::span<const NodeId> nodes,
                                 std::vector<std::int32_t>& out) {
  out.resize(nodes.size());
  std::size_t count = 0;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    out[i] = all[nodes[i]];
    count += out[i] >= 0 ? 1u : 0u;
  }
  return count;
}

inline double share_of(std::size_t all, std::size_t some) noexcept {
  return some == 0 ? 0 : static_cast<double>(all) / static_cast<double>(some);
}

}  // namespace detail

/// `fit_ltd` in mini-batches: a step distils on one batch of the sampler and judges its temperatures on a batch around the
/// nodes of split.evaluate; sums over a batch are scaled to the whole graph, so that the published rates keep their
/// meaning. With batches that are the whole graph it is `fit_ltd`, bit for bit.
///
///     LtdFit<float> fit = fit_ltd_batches(student, data, NeighborSampler({...}), teacher_logits, split);
///
/// Loss weights of the sampler are not read: every target of a batch counts alike.
/// Shapes   teacher [N, C] logits; temperatures of the fit [N], 0 for nodes no batch of the kept epoch held
/// Cost     per step as LtdStep on the batches; one layer-wise inference per epoch
/// Errors   as fit_ltd; ConfigError for Hypergradient::logit_space, whose nodes must be those that distil
/// Threads  result independent of T
/// Source   mini-batches are ours; the method as fit_ltd
template <Model M, class S, NodeData D>
LtdFit<typename M::Scalar> fit_ltd_batches(M& student, const D& data, const S& sampler,
                                           MatrixView<const typename M::Scalar> teacher,
                                           const LtdSplit& split, const FitLtdOptions& options = {}) {
  using T = typename M::Scalar;
  const auto start = std::chrono::steady_clock::now();
  const std::size_t n = teacher.rows();
  if (options.step.hypergradient == Hypergradient::logit_space)
    throw ConfigError("fit_ltd_batches: logit_space compares nodes of one batch, want another hypergradient");
  detail::check_size("fit_ltd_batches", "split.distill", split.distill.size(), n);
  detail::check_size("fit_ltd_batches", "split.evaluate", split.evaluate.size(), n);
  const Array<T> entropy = neighbour_entropy(data.graph.view(), teacher);
  std::vector<NodeId> everybody(n);
  std::vector<NodeId> judges;
  std::size_t labelled = 0;
  for (std::size_t i = 0; i < n; ++i) {
    everybody[i] = static_cast<NodeId>(i);
    if (split.evaluate[i] >= 0) judges.push_back(static_cast<NodeId>(i));
    labelled += split.distill[i] >= 0 ? 1u : 0u;
  }
  detail::LtdBatches<T, S, D> lessons(sampler, data, student.aggregation(), everybody);
  detail::LtdBatches<T, S, D> exams(sampler, data, student.aggregation(), judges);
  const std::size_t batches = lessons.count();
  const std::size_t exam_batches = judges.empty() ? 0 : exams.count();
  TemperatureNet<T> net({.classes = teacher.cols(),
                         .hidden = options.hidden,
                         .k = options.k,
                         .dropout = options.dropout,
                         .seed = options.seed});
  const std::span<const std::int32_t> classes = data.labels.classes;
  const detail::ScoredRows rows(split.roles, classes);
  detail::KeepBest<T> best(options.patience);
  LtdStep<M> step;
  LtdFit<T> out;
  Array<T> tau(n, T{0});
  Tensor<T> said;
  std::vector<T> uncertain;
  std::vector<std::int32_t> distill;
  std::vector<std::int32_t> evaluate;
  for (std::uint64_t epoch = 0; epoch < options.epochs; ++epoch) {
    std::fill(tau.begin(), tau.end(), T{0});
    for (std::uint64_t b = 0; b < batches; ++b) {
      const std::uint64_t number = epoch * batches + b;
      const std::span<const NodeId> nodes = lessons.take(options.seed, epoch, b);
      said.resize(nodes.size(), teacher.cols());
      gather_rows(teacher, nodes, said.view());
      uncertain.resize(nodes.size());
      for (std::size_t i = 0; i < nodes.size(); ++i) uncertain[i] = entropy[nodes[i]];
      LtdBatch<T> batch;
      batch.graph = lessons.adjacencies();
      batch.features = lessons.features();
      batch.teacher = std::as_const(said).view();
      batch.entropy = uncertain;
      batch.soft_scale = detail::share_of(n, nodes.size());
      batch.hard_scale =
          detail::share_of(labelled, detail::gather_labels(split.distill.span(), nodes, distill));
      batch.distill = distill;
      const bool learn = epoch >= options.warm_up && exam_batches > 0;
      if (learn) {
        const std::span<const NodeId> asked =
            exams.take(options.seed ^ 0x5EED, number / exam_batches, number % exam_batches);
        batch.evaluate_scale =
            detail::share_of(judges.size(), detail::gather_labels(split.evaluate.span(), asked, evaluate));
        batch.evaluate_graph = exams.adjacencies();
        batch.evaluate_features = exams.features();
        batch.evaluate = evaluate;
      }
      const LtdLosses losses = step.run(student, net, batch, options.step,
                                        make_key(options.seed, number, Purpose::dropout), learn);
      if (!std::isfinite(losses.distill) || !std::isfinite(losses.evaluate)) {
        throw Error(message("fit_ltd_batches: the losses of step ", number, " are ", losses.distill, " and ",
                            losses.evaluate, "; lower step.alpha"));
      }
      for (std::size_t i = 0; i < nodes.size(); ++i) tau[nodes[i]] = step.temperatures()[i];
    }
    const Tensor<T> z = infer(student, data);
    const double val = detail::accuracy_on(z.view(), classes, rows.val);
    const double test = detail::accuracy_on(z.view(), classes, rows.test);
    const bool stop = best.judge(epoch, val, test, student.parameters());
    if (best.best_epoch() == epoch) out.temperatures = Array<T>::copy_of(tau.span());
    if (stop) break;
  }
  out.report = best.finish(student.parameters());
  out.report.seconds = detail::seconds_since(start);
  return out;
}

}  // namespace tessera
