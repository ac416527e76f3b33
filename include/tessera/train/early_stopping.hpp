// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "tessera/train/records.hpp"

// When to stop and which weights to keep. A rule is a pure function of the epochs so far, so a resumed run
// judges like the uninterrupted one without a state of its own.

namespace tessera {

inline constexpr std::uint64_t kNoPatience = std::numeric_limits<std::uint64_t>::max();
inline constexpr std::size_t kNoBest = std::numeric_limits<std::size_t>::max();

/// What a rule may look at. The last record is the epoch being judged and is evaluated.
struct StoppingView {
  std::span<const EpochRecord> history;
  std::size_t best = kNoBest;  ///< position in `history` of the best epoch so far
  std::uint64_t epochs = 0;    ///< how many were asked for

  const EpochRecord& last() const noexcept { return history.back(); }
};

/// What a rule decides.
struct Verdict {
  bool best = false;  ///< these are the best weights so far: keep a copy
  bool stop = false;
};

namespace detail {

/// Stops when the best epoch lies `patience` epochs back.
inline Verdict judge_patience(const StoppingView& view, bool better, std::uint64_t patience) noexcept {
  if (better) return {true, false};
  return {false, view.best != kNoBest && view.last().epoch - view.history[view.best].epoch >= patience};
}

/// How far the evaluated epochs have got, each compared with those before it.
struct EitherProgress {
  bool both = false;  ///< the last one has the lowest loss and the highest metric so far (equal ones count)
  std::uint64_t since = 0;  ///< epochs from the last one that had either to the last one
};

inline EitherProgress either_progress(const StoppingView& view) noexcept {
  double loss = std::numeric_limits<double>::infinity();
  double metric = -std::numeric_limits<double>::infinity();
  EitherProgress out;
  std::uint64_t last_progress = 0;
  for (const EpochRecord& record : view.history) {
    if (!record.evaluated) continue;
    const Score& val = record.evaluation.val;
    const bool less = val.loss <= loss;
    const bool more = val.metric >= metric;
    if (less || more) last_progress = record.epoch;
    out = {less && more, record.epoch - last_progress};
    loss = less ? val.loss : loss;
    metric = more ? val.metric : metric;
  }
  return out;
}

/// Whether the last validation loss exceeds the mean of up to `window` evaluated ones before it.
inline bool above_window_mean(const StoppingView& view, std::size_t window) noexcept {
  double sum = 0;
  std::size_t count = 0;
  for (std::size_t i = view.history.size() - 1; i-- > 0 && count < window;) {
    if (!view.history[i].evaluated) continue;
    sum += view.history[i].evaluation.val.loss;
    ++count;
  }
  return count > 0 && view.last().evaluation.val.loss > sum / static_cast<double>(count);
}

}  // namespace detail

/// Trains every epoch and keeps the last weights; the default.
struct KeepLast {
  static constexpr bool kKeepsBest = false;
  static constexpr bool kNeedsValidation = false;

  Verdict judge(const StoppingView&) const noexcept { return {}; }
};

/// Keeps the weights with the lowest validation loss; stops when it has not fallen for `patience` epochs.
///
/// Source   Shchur et al., Pitfalls of graph neural network evaluation, 2018 (patience 50); GCNII (100)
struct BestLoss {
  static constexpr bool kKeepsBest = true;
  static constexpr bool kNeedsValidation = true;

  std::uint64_t patience = kNoPatience;

  Verdict judge(const StoppingView& view) const noexcept {
    const bool better =
        view.best == kNoBest || view.last().evaluation.val.loss < view.history[view.best].evaluation.val.loss;
    return detail::judge_patience(view, better, patience);
  }
  template <class F>
  void visit_options(F&& f) const {
    f("stopping", "BestLoss");
    f("patience", static_cast<double>(patience));
  }
};

/// Keeps the weights with the highest validation metric, the first of equals; stops when it has not risen for
/// `patience` epochs. Without patience: the Open Graph Benchmark's rule.
struct BestMetric {
  static constexpr bool kKeepsBest = true;
  static constexpr bool kNeedsValidation = true;

  std::uint64_t patience = kNoPatience;

  Verdict judge(const StoppingView& view) const noexcept {
    const bool better = view.best == kNoBest ||
                        view.last().evaluation.val.metric > view.history[view.best].evaluation.val.metric;
    return detail::judge_patience(view, better, patience);
  }
  template <class F>
  void visit_options(F&& f) const {
    f("stopping", "BestMetric");
    f("patience", static_cast<double>(patience));
  }
};

/// Stops when neither has the validation loss fallen nor the metric risen (or stayed equal) for `patience` epochs;
/// keeps the weights of the last epoch at which both did.
///
/// Cost     O(epochs so far)
/// Source   the published code of GAT; as published
struct BestBoth {
  static constexpr bool kKeepsBest = true;
  static constexpr bool kNeedsValidation = true;

  std::uint64_t patience = 100;

  Verdict judge(const StoppingView& view) const noexcept {
    const detail::EitherProgress progress = detail::either_progress(view);
    return {progress.both, progress.since >= patience};
  }
  template <class F>
  void visit_options(F&& f) const {
    f("stopping", "BestBoth");
    f("patience", static_cast<double>(patience));
  }
};

/// Keeps the weights with the highest validation metric and, among equals, the lowest loss; stops when neither has
/// improved (or stayed equal) for `patience` epochs.
///
/// Cost     O(epochs so far)
/// Source   the published code of APPNP
struct BestRanked {
  static constexpr bool kKeepsBest = true;
  static constexpr bool kNeedsValidation = true;

  std::uint64_t patience = 100;

  Verdict judge(const StoppingView& view) const noexcept {
    const Score& now = view.last().evaluation.val;
    bool better = view.best == kNoBest;
    if (!better) {
      const Score& best = view.history[view.best].evaluation.val;
      better = now.metric > best.metric || (now.metric == best.metric && now.loss < best.loss);
    }
    return {better, detail::either_progress(view).since >= patience};
  }
  template <class F>
  void visit_options(F&& f) const {
    f("stopping", "BestRanked");
    f("patience", static_cast<double>(patience));
  }
};

/// Stops once the validation loss exceeds the mean of the `window` before it (epoch > window); keeps the last
/// weights.
///
/// Source   Kipf and Welling's published GCN code; as published
struct WindowMean {
  static constexpr bool kKeepsBest = false;
  static constexpr bool kNeedsValidation = true;

  std::size_t window = 10;

  Verdict judge(const StoppingView& view) const noexcept {
    return {false, view.last().epoch > window && detail::above_window_mean(view, window)};
  }
  template <class F>
  void visit_options(F&& f) const {
    f("stopping", "WindowMean");
    f("window", static_cast<double>(window));
  }
};

/// In the second half of the epochs, stops once the validation loss exceeds the mean of the `window` before
/// it; keeps the weights with the lowest validation loss.
///
/// Source   PyTorch Geometric's citation benchmark; as published
struct SecondHalf {
  static constexpr bool kKeepsBest = true;
  static constexpr bool kNeedsValidation = true;

  std::size_t window = 10;

  Verdict judge(const StoppingView& view) const noexcept {
    const bool better =
        view.best == kNoBest || view.last().evaluation.val.loss < view.history[view.best].evaluation.val.loss;
    const bool second_half = view.last().epoch + 1 > view.epochs / 2;
    return {better, window > 0 && second_half && detail::above_window_mean(view, window)};
  }
  template <class F>
  void visit_options(F&& f) const {
    f("stopping", "SecondHalf");
    f("window", static_cast<double>(window));
  }
};

}  // namespace tessera
