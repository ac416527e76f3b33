// SPDX-License-Identifier: MIT
#pragma once

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/graph/concepts.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/train/early_stopping.hpp"
#include "tessera/train/records.hpp"

namespace tessera {

/// Says when to stop and which weights to keep: a pure function of the epochs so far (early_stopping.hpp).
template <class S>
concept EarlyStopping = requires(const S& rule, const StoppingView& view) {
  { rule.judge(view) } -> std::same_as<Verdict>;
  { S::kKeepsBest } -> std::convertible_to<bool>;
  { S::kNeedsValidation } -> std::convertible_to<bool>;
};

/// What the learning rate is multiplied by in an epoch, from the epoch alone (nn/optim/schedules.hpp).
template <class S>
concept PureSchedule = requires(const S& schedule, std::uint64_t epoch) {
  { schedule.factor(epoch) } -> std::convertible_to<double>;
};

/// The same with a memory that is shown every evaluation (nn/optim/plateau.hpp).
template <class S>
concept WatchingSchedule = requires(const S& schedule, typename S::State& state, std::uint64_t epoch,
                                    double x) {
  { schedule.start() } -> std::same_as<typename S::State>;
  { schedule.factor(state, epoch) } -> std::convertible_to<double>;
  schedule.observe(state, x, x);
};

template <class S>
concept Schedule = PureSchedule<S> || WatchingSchedule<S>;

/// Changes gradients between backward and the optimiser's step (nn/optim/clip.hpp).
template <class C, class T>
concept Clipper = requires(const C& clip, ParameterBlock<T>& block) {
  clip(block);
};

/// How batches come to the trainer: settings, and the type that delivers with them. A loader is made for one
/// run; `start` begins an epoch, `next` gives its batches in order (each valid until the following call),
/// then null.
///
/// Semantics no compiler can check: the batches are those of sampler.sample for {seed, epoch, 0, 1, ...}.
template <class P, class S>
concept LoaderPolicy = std::constructible_from < typename P::template Loader<S>,
const S&, const SampleSource&, const AggregationSpec&,
    const P& > &&requires(typename P::template Loader<S>& loader, std::uint64_t number) {
  loader.start(number, number);
  { loader.next() } -> std::convertible_to<const MiniBatch*>;
};

}  // namespace tessera
