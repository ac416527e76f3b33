// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/precision.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/train/concepts.hpp"
#include "tessera/train/detail/fingerprint.hpp"
#include "tessera/train/infer.hpp"
#include "tessera/train/records.hpp"

namespace tessera {

/// How `Trainer::fit` runs.
struct FitOptions {
  std::uint64_t epochs = 200;
  std::uint64_t seed = 0;        ///< of batches and dropout; initial weights are the model's business
  bool inductive = false;        ///< train on data.train_graph, evaluate on data.graph
  std::uint64_t eval_every = 1;  ///< evaluate after every this many epochs, and after the last; 0 = never
  Metric metric = Metric::automatic;
  InferOptions infer = {};  ///< for evaluations
  /// Features with a smaller share of entries that are not 0 are multiplied entry by entry, by models that let them;
  /// 0 = never.
  double sparse_below = 0.1;
  /// Of training passes; evaluations are fp32.
  Precision precision = Precision::fp32;
};

/// One step, as hooks see it.
struct BatchRecord {
  std::uint64_t epoch = 0;
  std::uint64_t batch = 0;
  double loss = 0;           ///< 0 where nothing was labelled and no step was taken
  std::size_t nodes = 0;     ///< input rows
  std::size_t labelled = 0;  ///< targets that count
};

namespace detail {

struct NoState {
  template <class F>
  void visit(F&&) noexcept {}
};

template <class S>
struct ScheduleState {
  using type = NoState;
};
template <WatchingSchedule S>
struct ScheduleState<S> {
  using type = typename S::State;
};

// An epoch as plain numbers, for checkpoints.
inline constexpr std::size_t kRecordNumbers = 22;

inline void append_numbers(std::vector<double>& out, const EpochRecord& r) {
  const Profile& p = r.profile;
  for (const double x :
       {static_cast<double>(r.epoch), r.learning_rate, r.train_loss, static_cast<double>(r.steps), r.seconds,
        p.wait, p.gather, p.forward, p.backward, p.optimizer, p.other, r.evaluated ? 1.0 : 0.0}) {
    out.push_back(x);
  }
  for (const Score& s : {r.evaluation.train, r.evaluation.val, r.evaluation.test}) {
    out.push_back(s.loss);
    out.push_back(s.metric);
    out.push_back(static_cast<double>(s.count));
  }
  out.push_back(r.evaluation.seconds);
}

inline EpochRecord record_of(std::span<const double> x) {
  const auto score = [&](std::size_t at) {
    return Score{x[at], x[at + 1], static_cast<std::size_t>(x[at + 2])};
  };
  return {.epoch = static_cast<std::uint64_t>(x[0]),
          .learning_rate = x[1],
          .train_loss = x[2],
          .steps = static_cast<std::uint64_t>(x[3]),
          .seconds = x[4],
          .profile = {x[5], x[6], x[7], x[8], x[9], x[10]},
          .evaluated = x[11] != 0,
          .evaluation = {score(12), score(15), score(18), x[21]}};
}

}  // namespace detail

/// A run in progress: what hooks look at, and everything a checkpoint has to keep.
template <TrainableModel M, Sampler S, class O, NodeData D, Schedule R, EarlyStopping E>
class FitRun {
 public:
  using Scalar = typename M::Scalar;
  using OptimizerState = typename O::template State<Scalar>;

  FitRun(M& model, const S& sampler, const O& optimizer, const D& data, const SampleSource& source,
         const FitOptions& options, const R& schedule, const E& stopping)
      : model_(model),
        sampler_(sampler),
        optimizer_(optimizer),
        data_(data),
        source_(source),
        options_(options),
        schedule_(schedule),
        stopping_(stopping),
        num_batches_(sampler.num_batches(source)),
        optimizer_state_(optimizer.template start<Scalar>(model.parameters())) {
    if constexpr (WatchingSchedule<R>) schedule_state_ = schedule.start();
    if constexpr (E::kKeepsBest) best_values_.assign(model.parameters().values().size(), Scalar{0});
    history_.reserve(static_cast<std::size_t>(std::min<std::uint64_t>(options.epochs, 1 << 16)));
  }
  FitRun(const FitRun&) = delete;
  FitRun& operator=(const FitRun&) = delete;

  const FitOptions& options() const noexcept { return options_; }
  M& model() noexcept { return model_; }
  const M& model() const noexcept { return model_; }
  const D& data() const noexcept { return data_; }
  std::uint64_t num_batches() const noexcept { return num_batches_; }
  /// The metric that is measured; never `automatic`.
  Metric metric() const noexcept {
    if (options_.metric != Metric::automatic) return options_.metric;
    return MatrixView<const float>(data_.labels.indicators).empty() ? Metric::accuracy : Metric::micro_f1;
  }

  /// The finished epochs, first to last, those before a resume included.
  std::span<const EpochRecord> history() const noexcept { return history_; }
  /// The epoch that would be trained next: the number of finished ones.
  std::uint64_t next_epoch() const noexcept { return next_epoch_; }
  /// Position in history of the best epoch so far; kNoBest if the rule keeps none.
  std::size_t best() const noexcept { return best_; }
  /// No epoch will follow.
  bool finished() const noexcept { return stopped_ != 0 || next_epoch_ >= options_.epochs; }
  bool stopped_early() const noexcept { return stopped_ != 0; }

  /// Takes in a finished epoch: judges it, keeps the weights if they are the best, moves on. The trainer
  /// calls it.
  void finish_epoch(const EpochRecord& record) {
    history_.push_back(record);
    ++next_epoch_;
    if (!record.evaluated) return;
    const Verdict verdict = stopping_.judge({history_, best_, options_.epochs});
    if (E::kKeepsBest && verdict.best) {
      best_ = history_.size() - 1;
      const std::span<const Scalar> values = model().parameters().values();
      std::copy(values.begin(), values.end(), best_values_.begin());
    }
    stopped_ = verdict.stop ? 1 : 0;
    if constexpr (WatchingSchedule<R>) {
      const Score& val = record.evaluation.val;
      schedule_.observe(schedule_state_, val.loss, val.metric);
    }
  }

  /// Sums up, and puts the best weights into the model where the rule keeps them. The trainer calls it.
  FitReport report(std::uint64_t resumed_at) {
    FitReport out;
    out.epochs = next_epoch_;
    out.metric = metric();
    out.stopped_early = stopped_early();
    out.resumed_at = resumed_at;
    for (const EpochRecord& r : history_) {
      out.seconds_train += r.seconds;
      out.seconds_evaluate += r.evaluation.seconds;
      out.profile += r.profile;
    }
    if (best_ != kNoBest) {
      std::copy(best_values_.begin(), best_values_.end(), model_.parameters().values().begin());
    }
    if (!history_.empty()) {
      const EpochRecord& kept = best_ == kNoBest ? history_.back() : history_[best_];
      out.best_epoch = kept.epoch;
      out.evaluation = kept.evaluation;
    }
    out.history = history_;
    return out;
  }

  OptimizerState& optimizer_state() noexcept { return optimizer_state_; }
  auto& schedule_state() noexcept { return schedule_state_; }

  /// Shows the run to a checkpoint. `v` is asked, in this order, for
  /// - v.same(name, text)               what must be equal for a run to continue another
  /// - v.block(name, infos, span)       numbers laid out like the parameter block
  /// - v.value(name, number&)           std::uint64_t or double
  /// - v.array(name, span)              numbers of fixed count
  /// - v.series(name, vector<double>&)  numbers of any count
  /// and reads or writes them all in place.
  template <class V>
  void visit(V& v) {
    ParameterBlock<Scalar>& block = model_.parameters();
    v.same("model", model_text());
    v.same("data", data_text());
    v.same("batches", batch_text());
    v.same("options", message("seed=", options_.seed, ", inductive=", options_.inductive, ", eval_every=",
                              options_.eval_every, ", metric=", name(metric()), ", batches=", num_batches_,
                              options_.precision == Precision::bf16 ? ", precision=bf16" : ""));
    v.same("optimizer", detail::describe(optimizer_));
    v.same("schedule", detail::describe(schedule_));
    v.same("stopping", detail::describe(stopping_));

    v.block("model", block.parameters(), block.values());
    optimizer_state_.visit([&](std::string_view field, auto&& value) {
      using Value = std::remove_cvref_t<decltype(value)>;
      const std::string key = message("optim.", field);
      if constexpr (std::is_same_v<Value, std::span<Scalar>>) {
        if (value.size() == block.values().size()) {
          v.block(key, block.parameters(), value);
        } else {
          v.array(key, value);
        }
      } else {
        v.value(key, value);
      }
    });
    schedule_state_.visit(
        [&](std::string_view field, auto& value) { v.value(message("schedule.", field), value); });
    if constexpr (E::kKeepsBest) v.block("best", block.parameters(), best_values_.span());
    std::uint64_t best = best_ == kNoBest ? kNoPatience : std::uint64_t{best_};
    v.value("train.epoch", next_epoch_);
    v.value("train.stopped", stopped_);
    v.value("train.best", best);
    best_ = best == kNoPatience ? kNoBest : static_cast<std::size_t>(best);
    visit_history(v);
  }

 private:
  template <class V>
  void visit_history(V& v) {
    std::vector<double> numbers;
    for (const EpochRecord& r : history_) detail::append_numbers(numbers, r);
    v.series("train.history", numbers);
    if (numbers.size() % detail::kRecordNumbers != 0) {
      throw Error(message("FitRun: train.history holds ", numbers.size(), " numbers, want a multiple of ",
                          detail::kRecordNumbers));
    }
    history_.clear();
    for (std::size_t at = 0; at < numbers.size(); at += detail::kRecordNumbers) {
      history_.push_back(detail::record_of(std::span(numbers).subspan(at, detail::kRecordNumbers)));
    }
  }

  std::string model_text() const {
    std::string text = std::is_same_v<Scalar, double> ? "float64" : "float32";
    for (const ParameterInfo& p : model_.parameters().parameters()) {
      text += message("; ", std::string_view(p.name), " [", p.rows, ", ", p.cols, "]");
    }
    const std::string settings = detail::describe(model_);
    return settings.empty() ? text : text + "; " + settings;
  }

  const std::string& data_text() {
    if (!data_text_.empty()) return data_text_;
    const CsrView<> graph = data_.graph.view();
    detail::Fingerprint print;
    print.add(graph.row_ptr).add(graph.col).add(graph.weight);
    print.add(source_.graph.row_ptr).add(source_.graph.col).add(source_.graph.weight);
    print.add(std::span<const Role>(data_.roles));
    if constexpr (GatheredFeatures<D>) {
      print.add(std::uint64_t{data_.features_key()});
    } else {
      print.add(MatrixView<const float>(data_.features));
      const MatrixView<const float> seen = training_features(data_);
      if (seen.data() != MatrixView<const float>(data_.features).data()) print.add(seen);
    }
    print.add(std::span<const std::int32_t>(data_.labels.classes));
    print.add(MatrixView<const float>(data_.labels.indicators));
    return data_text_ = print.text();
  }

  /// The first batch stands for the sampler: a sampler of other settings, or other parts, makes another one.
  /// A sampler that always makes the same batch has nothing to add to the data.
  const std::string& batch_text() {
    if (!batch_text_.empty()) return batch_text_;
    detail::Fingerprint print;
    print.add(num_batches_);
    if (num_batches_ > 0 && !same_every_epoch(sampler_)) {
      typename S::Workspace workspace{};
      MiniBatch batch;
      sampler_.sample(source_, model_.aggregation(), {options_.seed, 0, 0}, workspace, batch);
      print.add(std::span<const NodeId>(batch.node_id)).add(std::span<const float>(batch.loss_weight));
      for (const Block& b : batch.blocks) {
        print.add(std::span<const EdgeId>(b.row_ptr)).add(std::span<const NodeId>(b.col));
        print.add(std::span<const float>(b.weight));
      }
    }
    return batch_text_ = print.text();
  }

  M& model_;
  const S& sampler_;
  const O& optimizer_;
  const D& data_;
  SampleSource source_;
  const FitOptions& options_;
  const R& schedule_;
  const E& stopping_;
  std::uint64_t num_batches_;

  OptimizerState optimizer_state_;
  [[no_unique_address]] typename detail::ScheduleState<R>::type schedule_state_{};
  std::vector<EpochRecord> history_;
  Array<Scalar> best_values_;
  std::size_t best_ = kNoBest;
  std::uint64_t next_epoch_ = 0;
  std::uint64_t stopped_ = 0;
  std::string data_text_;
  std::string batch_text_;
};

}  // namespace tessera
