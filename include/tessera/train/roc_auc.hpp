// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/train/metrics.hpp"

namespace tessera {

/// A score and whether its owner is a positive.
struct ScoredLabel {
  double score = 0;
  bool positive = false;
};

/// The probability that a random positive scores above a random negative, ties counting half; none without
/// both.
///
/// AUC = (sum of the ranks of positives - n+ (n+ + 1) / 2) / (n+ n-), tied scores sharing their average rank.
/// Cost     O(n log n); `scored` is sorted in place
/// Errors   Error if a score is NaN
/// Source   Hanley and McNeil, The meaning and use of the area under a ROC curve, 1982
inline std::optional<double> roc_auc(std::span<ScoredLabel> scored) {
  for (const ScoredLabel& s : scored) {
    if (std::isnan(s.score)) throw Error("roc_auc: a score is NaN, want numbers that can be ordered");
  }
  // Equal scores share a rank, so their order among themselves does not matter.
  parallel_sort(scored.begin(), scored.end(),
                [](const ScoredLabel& a, const ScoredLabel& b) { return a.score < b.score; });
  double rank_sum = 0;
  std::uint64_t positives = 0;
  for (std::size_t begin = 0; begin < scored.size();) {
    std::size_t end = begin;
    std::uint64_t tied_positives = 0;
    for (; end < scored.size() && scored[end].score == scored[begin].score; ++end) {
      tied_positives += scored[end].positive ? 1u : 0u;
    }
    // Ranks begin + 1 ... end average to (begin + 1 + end) / 2.
    rank_sum += static_cast<double>(tied_positives) * (static_cast<double>(begin + end + 1) / 2);
    positives += tied_positives;
    begin = end;
  }
  const std::uint64_t negatives = scored.size() - positives;
  if (positives == 0 || negatives == 0) return std::nullopt;
  const auto p = static_cast<double>(positives);
  return (rank_sum - p * (p + 1) / 2) / (p * static_cast<double>(negatives));
}

/// The mean ROC-AUC over the tasks that have both positives and negatives among `rows`.
///
/// Multi-label: one task per column. Two classes: one task, scored by the logit of class 1 minus that of
/// class 0.
/// Shapes   logits [N, C], labels over N, rows a subset of [0, N)
/// Cost     O(C rows log rows)
/// Errors   ConfigError with more than two classes, or if no task has both; Error if a logit is NaN
template <Real T>
double roc_auc(MatrixView<const T> logits, const LabelView& labels, std::span<const NodeId> rows) {
  const bool multilabel = labels.multilabel();
  detail::check_metric(logits, multilabel ? labels.indicators.rows() : labels.classes.size(), "roc_auc");
  if (multilabel && logits.cols() != labels.indicators.cols()) {
    throw ShapeError(
        message("roc_auc: logits has ", logits.cols(), " columns, want ", labels.indicators.cols()));
  }
  if (!multilabel && logits.cols() != 2) {
    throw ConfigError(
        message("roc_auc: logits has ", logits.cols(), " classes, want 2 (or multi-label targets)"));
  }
  const std::size_t tasks = multilabel ? logits.cols() : 1;
  Array<ScoredLabel> scored;
  double sum = 0;
  std::size_t counted = 0;
  for (std::size_t task = 0; task < tasks; ++task) {
    scored.clear();
    for (const NodeId row : rows) {
      const auto z = logits.row(row);
      if (multilabel) {
        const float y = labels.indicators(row, task);
        if (!std::isnan(y)) scored.push_back({static_cast<double>(z[task]), y > 0.5f});
      } else if (labels.classes[row] >= 0) {
        scored.push_back({static_cast<double>(z[1]) - static_cast<double>(z[0]), labels.classes[row] == 1});
      }
    }
    if (const auto auc = roc_auc(scored.span())) {
      sum += *auc;
      ++counted;
    }
  }
  if (counted == 0) throw ConfigError("roc_auc: no task has both positive and negative rows");
  return sum / static_cast<double>(counted);
}

/// The metric as a number; `automatic` is accuracy for one class per node and micro-F1 for multi-label.
///
/// Errors   those of the metric
template <Real T>
double measure(Metric metric, MatrixView<const T> logits, const LabelView& labels,
               std::span<const NodeId> rows) {
  switch (metric) {
    case Metric::macro_f1:
      return macro_f1(logits, labels, rows);
    case Metric::roc_auc:
      return roc_auc(logits, labels, rows);
    case Metric::rmse:
      return rmse(logits, labels.indicators, rows);
    case Metric::accuracy:
      if (labels.multilabel()) {
        throw ConfigError("measure: accuracy is not defined for multi-label targets, use micro_f1");
      }
      return accuracy(logits, labels.classes, rows);
    case Metric::micro_f1:
    case Metric::automatic:
      break;
  }
  return micro_f1(logits, labels, rows);
}

}  // namespace tessera
