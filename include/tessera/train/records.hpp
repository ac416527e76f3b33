// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tessera/graph/dataset.hpp"
#include "tessera/train/metrics.hpp"

namespace tessera {

/// Where the seconds of an epoch went. Kernels run in forward, backward and optimizer; the rest is overhead.
struct Profile {
  double wait = 0;     ///< until the next batch was there (sampling, or waiting for the prefetcher)
  double gather = 0;   ///< copying the batch's features and labels
  double forward = 0;  ///< model and loss
  double backward = 0;
  double optimizer = 0;  ///< clipping, step, clearing gradients
  double other = 0;      ///< hooks and bookkeeping
  /// Inside the sampler, on whatever thread: a part of `wait`, or beside all the others where batches are
  /// prefetched. Not in the total.
  double sample = 0;

  double total() const noexcept { return wait + gather + forward + backward + optimizer + other; }
  /// The share of the time spent outside kernels, in [0, 1].
  double overhead() const noexcept { return total() > 0 ? (wait + gather + other) / total() : 0; }
  Profile& operator+=(const Profile& p) noexcept {
    wait += p.wait;
    gather += p.gather;
    forward += p.forward;
    backward += p.backward;
    optimizer += p.optimizer;
    other += p.other;
    sample += p.sample;
    return *this;
  }
};

/// Loss and metric on the labelled nodes of one role. With count 0 the role has none and the numbers say
/// nothing.
struct Score {
  double loss = 0;
  double metric = 0;
  std::size_t count = 0;
};

/// One look at the whole graph.
struct Evaluation {
  Score train;
  Score val;
  Score test;
  double seconds = 0;
};

/// What happened in one epoch.
///
/// Units    learning_rate as applied; seconds without the evaluation, which has its own
struct EpochRecord {
  std::uint64_t epoch = 0;  ///< from 0
  double learning_rate = 0;
  double train_loss = 0;    ///< mean over the epoch's steps, weighted by their labelled targets
  std::uint64_t steps = 0;  ///< optimiser steps; batches without a labelled training node take none
  double seconds = 0;
  Profile profile = {};
  bool evaluated = false;
  Evaluation evaluation = {};
};

/// What `Trainer::fit` returns. Scores belong to the weights the model is left with.
struct FitReport {
  std::uint64_t epochs = 0;      ///< epochs trained, those before a resume included
  std::uint64_t best_epoch = 0;  ///< the epoch the model's weights are from
  Evaluation evaluation;         ///< of that epoch; counts are 0 if it was not evaluated
  Metric metric = Metric::accuracy;
  double seconds_train = 0;
  double seconds_evaluate = 0;
  Profile profile;  ///< summed over epochs
  bool stopped_early = false;
  std::uint64_t resumed_at = 0;  ///< the first epoch this call trained
  std::vector<EpochRecord> history;

  double seconds_per_epoch() const noexcept {
    return epochs == 0 ? 0 : seconds_train / static_cast<double>(epochs);
  }
};

}  // namespace tessera
