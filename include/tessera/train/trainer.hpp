// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "tessera/core/error.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/graph/sparse_features.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/train/batch_inputs.hpp"
#include "tessera/train/concepts.hpp"
#include "tessera/train/detail/extras.hpp"
#include "tessera/train/early_stopping.hpp"
#include "tessera/train/evaluate.hpp"
#include "tessera/train/fit_run.hpp"
#include "tessera/train/inline_loader.hpp"
#include "tessera/train/records.hpp"

namespace tessera {

/// Trains a model on batches: gather, forward, loss, backward, step. What varies between papers is a policy.
///
///     Trainer trainer{model, ClusterSampler(parts, {.clusters_per_batch = 10}), CrossEntropy{}, Adam{.lr =
///     0.01}}; FitReport report = trainer.fit(data, {.epochs = 200}, BestMetric{}, CosineDecay{200},
///     ConsoleProgress{});
///
/// Besides the data and options, `fit` takes any number of extras in any order: at most one early-stopping
/// rule (KeepLast without one), at most one schedule, at most one clipper, and hooks. A hook is any object
/// with some of
///
///     on_restore(run)              before the first epoch, to put an earlier run's state in place
///     on_fit_begin(run)            then, once
///     on_batch(run, batch)         after every batch; BatchRecord
///     on_epoch_end(run)            after every epoch and its evaluation
///     on_fit_end(run, report)      once; FitReport
///
/// where `run` is a FitRun. Functions a hook does not have are not called and cost nothing.
///
/// A loss may have `check_data(data)`, called before anything else, and `target_rows()`: the nodes batches are made of
/// instead of the labelled training nodes, empty for these.
/// Threads  one fit at a time per trainer and model; losses, weights and metrics are the same bits for any
///          number of threads
template <TrainableModel M, Sampler S, class L, class O, class B = InlineLoading>
  requires Loss<L, typename M::Scalar> && Optimizer<O, typename M::Scalar> && LoaderPolicy<B, S>
class Trainer {
 public:
  using Scalar = typename M::Scalar;

  /// Borrows the model, which must outlive the trainer.
  Trainer(M& model, S sampler, L loss, O optimizer, B loader = {})
      : model_(model),
        sampler_(std::move(sampler)),
        loss_(std::move(loss)),
        optimizer_(std::move(optimizer)),
        loader_(std::move(loader)) {}

  const S& sampler() const noexcept { return sampler_; }
  const L& loss() const noexcept { return loss_; }
  const O& optimizer() const noexcept { return optimizer_; }

  /// Trains from the model's present weights with a fresh optimiser. The model is left with the last weights,
  /// or with the best where the stopping rule keeps them.
  ///
  /// A batch without a labelled training node takes no step: weights and optimiser stay as they are.
  /// Cost     allocates nothing per step once every batch size has been seen
  /// Errors   ConfigError for data or options that cannot be trained with; ShapeError where model and data do
  /// not
  ///          fit; Error naming epoch and batch if a loss is not finite; whatever a policy or hook throws
  template <NodeData D, class... Extras>
  FitReport fit(const D& data, const FitOptions& options = {}, Extras&&... extras) {
    static_assert(Model<M> || WholeGraphData<D>,
                  "nodes are evaluated layer by layer: the model needs layer()");
    static constexpr KeepLast kKeepLast{};
    static constexpr detail::KeepRate kKeepRate{};
    static constexpr detail::KeepGradient kKeepGradient{};
    const auto& stopping = detail::pick<detail::IsStopping>(kKeepLast, extras...);
    const auto& schedule = detail::pick<detail::IsSchedule>(kKeepRate, extras...);
    const auto& clip = detail::pick<detail::IsClipper<Scalar>>(kKeepGradient, extras...);
    using Rule = std::remove_cvref_t<decltype(stopping)>;
    using Rate = std::remove_cvref_t<decltype(schedule)>;

    const SplitTargets split = checked_split(data, options, Rule::kNeedsValidation || WatchingSchedule<Rate>);
    if constexpr (requires { loss_.check_data(data); }) loss_.check_data(data);
    const SampleSource source = source_of(data, options, split);
    FitRun run(model_, std::as_const(sampler_), std::as_const(optimizer_), data, source, options, schedule,
               stopping);
    static_assert(
        (detail::kIsExtra<std::remove_cvref_t<Extras>, Scalar, decltype(run)> && ...),
        "an extra of fit is neither an early-stopping rule, a schedule, a clipper nor a hook: see Trainer");
    if (run.num_batches() == 0) throw ConfigError("Trainer::fit: the sampler makes no batch of this data");
    model_.parameters().zero_grads();
    tape_.set_precision(options.precision);
    if constexpr (requires { model_.keep_for(Adjacency{}); }) {
      // Else an evaluation, which sees the whole graph, would be the first to name one.
      if (options.inductive && keeps_history(model_))
        model_.keep_for(prepare_adjacency(source.graph, source.symmetric, model_.aggregation()).adjacency());
    }

    (detail::call_restore(extras, run), ...);
    const std::uint64_t resumed_at = run.next_epoch();
    (detail::call_fit_begin(extras, run), ...);
    Batches batches(std::as_const(sampler_), source, std::as_const(model_).aggregation(),
                    std::as_const(loader_));
    std::optional<PreparedAdjacency> prepared;
    const Adjacency whole = whole_graph(batches, data, options, prepared);
    const std::optional<SparseFeatures> entries = sparse_features(data, options);
    const SparseFeatures* const train_entries = entries ? &*entries : nullptr;
    const SparseFeatures* const eval_entries = same_features(data) ? train_entries : nullptr;
    while (!run.finished()) {
      EpochRecord record = train_epoch(run, batches, split.train, train_entries, schedule, clip, extras...);
      const bool last = record.epoch + 1 == options.epochs;
      if (options.eval_every != 0 && (last || (record.epoch + 1) % options.eval_every == 0)) {
        record.evaluation =
            evaluate(model_, whole, data, split, loss_, run.metric(), options.infer, eval_entries);
        record.evaluated = true;
      }
      run.finish_epoch(record);
      (detail::call_epoch_end(extras, run), ...);
    }
    tape_.rewind();
    FitReport report = run.report(resumed_at);
    (detail::call_fit_end(extras, run, report), ...);
    return report;
  }

 private:
  /// The batches of one run: the only one of a sampler that always makes the same, or those of a loader.
  class Batches {
   public:
    Batches(const S& sampler, const SampleSource& source, const AggregationSpec& spec, const B& loading) {
      if (!same_every_epoch(sampler) || sampler.num_batches(source) != 1) {
        loader_.emplace(sampler, source, spec, loading);
        return;
      }
      typename S::Workspace workspace{};
      sampler.sample(source, spec, {}, workspace, constant_);
    }

    /// The batch every epoch consists of; null where epochs differ.
    const MiniBatch* constant() const noexcept { return loader_ ? nullptr : &constant_; }
    void start(std::uint64_t seed, std::uint64_t epoch) {
      delivered_ = false;
      if (loader_) loader_->start(seed, epoch);
    }
    const MiniBatch* next() {
      if (loader_) return loader_->next();
      return std::exchange(delivered_, true) ? nullptr : &constant_;
    }

    /// A loader that samples beside the trainer says how long the sampler took so far; where it does not, the
    /// trainer waits for all of it.
    static constexpr bool kTellsTimes = requires(const typename B::template Loader<S>& loader) {
      loader.times().sampling_seconds;
    };
    double sampling_seconds() const {
      if constexpr (kTellsTimes) return loader_ ? loader_->times().sampling_seconds : 0;
      return 0;
    }

   private:
    MiniBatch constant_;
    bool delivered_ = true;
    std::optional<typename B::template Loader<S>> loader_;
  };

  /// Seconds since the last lap.
  class Stopwatch {
   public:
    double lap() noexcept {
      const auto now = std::chrono::steady_clock::now();
      return std::chrono::duration<double>(now - std::exchange(last_, now)).count();
    }

   private:
    std::chrono::steady_clock::time_point last_ = std::chrono::steady_clock::now();
  };

  template <NodeData D>
  SplitTargets checked_split(const D& data, const FitOptions& options, bool needs_validation) const {
    check_node_data(data, "Trainer::fit");
    const std::size_t features = MatrixView<const float>(data.features).cols();
    const std::size_t classes = data.labels.num_classes;
    if (features != model_.in_features() || classes != model_.out_features()) {
      throw ShapeError(message("Trainer::fit: the model maps ", model_.in_features(), " features to ",
                               model_.out_features(), " classes, the data has ", features, " and ", classes));
    }
    SplitTargets split = split_targets(data);
    if (split.train.rows.empty()) {
      throw ConfigError("Trainer::fit: data has no labelled training node (roles and labels never meet)");
    }
    if (needs_validation && split.val.rows.empty()) {
      throw ConfigError(
          "Trainer::fit: the stopping rule needs validation, data has no labelled validation node");
    }
    if (needs_validation && options.eval_every == 0) {
      throw ConfigError("Trainer::fit: the stopping rule needs validation, options.eval_every is 0");
    }
    return split;
  }

  /// Nodes the loss learns from besides labels, where it names some by `target_rows()`: those a teacher speaks of.
  std::span<const NodeId> rows_of_loss() const {
    if constexpr (requires { std::span<const NodeId>(loss_.target_rows()); }) return loss_.target_rows();
    return {};
  }

  template <NodeData D>
  SampleSource source_of(const D& data, const FitOptions& options, const SplitTargets& split) const {
    const std::span<const NodeId> named = rows_of_loss();
    const std::span<const NodeId> rows = named.empty() ? split.train.rows.span() : named;
    if (!options.inductive) return {data.graph.view(), data.graph.symmetric, rows};
    const CsrView<> graph = data.train_graph.view();
    if (graph.num_rows != data.graph.view().num_rows) {
      throw ConfigError(message("Trainer::fit: options.inductive, but data.train_graph has ", graph.num_rows,
                                " nodes, want ", data.graph.view().num_rows,
                                " (the graph of training nodes under the same ids)"));
    }
    return {graph, data.train_graph.symmetric, rows};
  }

  /// The adjacency evaluations use: the training batch's own where that is the whole graph.
  template <NodeData D>
  Adjacency whole_graph(const Batches& batches, const D& data, const FitOptions& options,
                        std::optional<PreparedAdjacency>& prepared) const {
    if (options.eval_every == 0) return {};
    const MiniBatch* batch = batches.constant();
    if (batch != nullptr && !options.inductive && batch->blocks.size() == 1 &&
        is_whole_graph(*batch, data.graph.view().num_rows)) {
      return batch->blocks.front().adjacency();
    }
    prepared.emplace(prepare_adjacency(data.graph.view(), data.graph.symmetric, model_.aggregation()));
    return prepared->adjacency();
  }

  /// The training features by their entries, where these are few and the model takes them.
  template <NodeData D>
  std::optional<SparseFeatures> sparse_features(const D& data, const FitOptions& options) const {
    if constexpr (GatheredFeatures<D>) {
      return std::nullopt;
    } else {
      const MatrixView<const float> x = training_features(data);
      if (!accepts_sparse_input(model_) || options.sparse_below <= 0) return std::nullopt;
      if (estimated_density(x) >= options.sparse_below) return std::nullopt;
      return SparseFeatures(x);
    }
  }
  /// Whether training and evaluation read the same features.
  template <NodeData D>
  static bool same_features(const D& data) {
    return training_features(data).data() == MatrixView<const float>(data.features).data();
  }

  template <class Run, class R, class C, class... Extras>
  EpochRecord train_epoch(Run& run, Batches& batches, const RoleTargets& train, const SparseFeatures* entries,
                          const R& schedule, const C& clip, Extras&... extras) {
    EpochRecord record{.epoch = run.next_epoch()};
    const double factor = [&] {
      if constexpr (WatchingSchedule<R>) {
        return static_cast<double>(schedule.factor(run.schedule_state(), record.epoch));
      } else {
        return static_cast<double>(schedule.factor(record.epoch));
      }
    }();
    record.learning_rate = factor;
    if constexpr (requires { optimizer_.lr* factor; }) record.learning_rate = optimizer_.lr * factor;

    Stopwatch watch;
    double loss_sum = 0;
    std::size_t labelled = 0;
    const double sampled_before = batches.sampling_seconds();
    batches.start(run.options().seed, record.epoch);
    for (std::uint64_t b = 0; const MiniBatch* batch = batches.next(); ++b) {
      record.profile.wait += watch.lap();
      BatchRecord step{.epoch = record.epoch, .batch = b, .nodes = batch->num_nodes()};
      inputs_.assign(*batch, run.data(), train, entries);
      step.labelled = rows_of_loss().empty() ? inputs_.labelled() : batch->num_targets;
      record.profile.gather += watch.lap();
      if (step.labelled > 0) {
        take_step(run, step, factor, clip, record.profile, watch);
        loss_sum += step.loss * static_cast<double>(step.labelled);
        labelled += step.labelled;
        ++record.steps;
      }
      (detail::call_batch(extras, run, std::as_const(step)), ...);
      record.profile.other += watch.lap();
    }
    record.profile.wait += watch.lap();
    record.profile.sample =
        Batches::kTellsTimes ? batches.sampling_seconds() - sampled_before : record.profile.wait;
    record.train_loss = labelled == 0 ? 0 : loss_sum / static_cast<double>(labelled);
    record.seconds = record.profile.total();
    return record;
  }

  template <class Run, class C>
  void take_step(Run& run, BatchRecord& step, double factor, const C& clip, Profile& profile,
                 Stopwatch& watch) {
    ParameterBlock<Scalar>& parameters = model_.parameters();
    const std::uint64_t number = step.epoch * run.num_batches() + step.batch;
    const Pass pass{.training = true, .dropout_key = make_key(run.options().seed, number, Purpose::dropout)};
    tape_.rewind();
    const Var x = inputs_.features(tape_);
    const Var logits = std::as_const(model_).forward(tape_, inputs_.adjacencies(), x, pass);
    const Var loss = loss_(tape_, logits, inputs_.targets());
    step.loss = static_cast<double>(tape_.value(loss)(0, 0));
    if (!std::isfinite(step.loss)) {
      throw Error(message("Trainer::fit: the loss is ", step.loss, " in epoch ", step.epoch, ", batch ",
                          step.batch,
                          "; nothing was updated by it. Check features for NaN, or lower the learning rate"));
    }
    profile.forward += watch.lap();
    tape_.backward(loss);
    profile.backward += watch.lap();
    clip(parameters);
    optimizer_.step(run.optimizer_state(), parameters, factor);
    parameters.zero_grads();
    profile.optimizer += watch.lap();
  }

  M& model_;
  S sampler_;
  [[no_unique_address]] L loss_;
  O optimizer_;
  [[no_unique_address]] B loader_;
  Tape<Scalar> tape_;
  BatchInputs<Scalar> inputs_;
};

}  // namespace tessera
