// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "tessera/core/array.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/scalar.hpp"

// How well logits fit labels on a set of rows. Counts are integers and sums run over fixed blocks, so every
// number here is the same for any number of threads. Rows without a label are not counted.

namespace tessera {

/// Which number a run is judged by.
enum class Metric {
  automatic,  ///< accuracy for one class per node, micro_f1 for multi-label
  accuracy,
  micro_f1,
  macro_f1,
  roc_auc,
  rmse  ///< of regression: lower is better, so stop and keep weights by the loss
};

constexpr std::string_view name(Metric metric) noexcept {
  switch (metric) {
    case Metric::accuracy:
      return "accuracy";
    case Metric::micro_f1:
      return "micro_f1";
    case Metric::macro_f1:
      return "macro_f1";
    case Metric::roc_auc:
      return "roc_auc";
    case Metric::rmse:
      return "rmse";
    case Metric::automatic:
      break;
  }
  return "automatic";
}

/// Labels as metrics see them; exactly one of the two is set.
///
/// Shapes   classes [N] (negative = unlabelled) or indicators [N, C] of 0 and 1 (NaN = unlabelled)
struct LabelView {
  std::span<const std::int32_t> classes;
  MatrixView<const float> indicators;

  bool multilabel() const noexcept { return classes.empty() && indicators.cols() > 0; }
};

/// Agreement between prediction and truth for one class, or summed over classes.
struct Confusion {
  std::uint64_t true_positive = 0;
  std::uint64_t false_positive = 0;
  std::uint64_t false_negative = 0;

  /// 2 TP / (2 TP + FP + FN); 0 where that is 0 / 0.
  double f1() const noexcept {
    const std::uint64_t denominator = 2 * true_positive + false_positive + false_negative;
    return denominator == 0 ? 0 : 2 * static_cast<double>(true_positive) / static_cast<double>(denominator);
  }
  Confusion operator+(const Confusion& other) const noexcept {
    return {true_positive + other.true_positive, false_positive + other.false_positive,
            false_negative + other.false_negative};
  }
};

namespace detail {

inline constexpr std::size_t kMetricGrain = 1024;

template <Real T>
void check_metric(MatrixView<const T> logits, std::size_t labelled_rows, std::string_view who) {
  if (logits.rows() != labelled_rows) {
    throw ShapeError(message(who, ": logits has ", logits.rows(), " rows, labels ", labelled_rows));
  }
}

[[noreturn]] inline void nothing_to_measure(std::string_view who) {
  throw ConfigError(message(who, ": rows holds no labelled node, want at least one"));
}

/// One class against the rest, from the decisions decide(row) -> {predicted, actual, counted}.
template <class Decide>
Confusion count_confusion(std::span<const NodeId> rows, Decide&& decide) {
  return parallel_sum<Confusion>(rows.size(), kMetricGrain, [&](std::size_t i, std::size_t end) {
    Confusion sum;
    for (; i < end; ++i) sum = sum + decide(rows[i]);
    return sum;
  });
}

}  // namespace detail

/// The predicted class of a row: the largest logit, the lowest class where several are.
template <Real T>
std::int32_t predicted_class(std::span<const T> logits) noexcept {
  return static_cast<std::int32_t>(std::max_element(logits.begin(), logits.end()) - logits.begin());
}

/// The share of labelled rows whose predicted class is the label.
///
/// Shapes   logits [N, C], classes [N], rows a subset of [0, N)
/// Cost     O(rows C)
/// Errors   ShapeError if logits and classes differ in rows; ConfigError if no row is labelled
template <Real T>
double accuracy(MatrixView<const T> logits, std::span<const std::int32_t> classes,
                std::span<const NodeId> rows) {
  detail::check_metric(logits, classes.size(), "accuracy");
  struct Count {
    std::uint64_t right = 0;
    std::uint64_t all = 0;
    Count operator+(const Count& other) const noexcept { return {right + other.right, all + other.all}; }
  };
  const Count count =
      parallel_sum<Count>(rows.size(), detail::kMetricGrain, [&](std::size_t i, std::size_t end) {
        Count sum;
        for (; i < end; ++i) {
          if (classes[rows[i]] < 0) continue;
          sum.right += predicted_class(logits.row(rows[i])) == classes[rows[i]] ? 1u : 0u;
          ++sum.all;
        }
        return sum;
      });
  if (count.all == 0) detail::nothing_to_measure("accuracy");
  return static_cast<double>(count.right) / static_cast<double>(count.all);
}

/// F1 of TP, FP and FN summed over rows and classes; with one class per node this is the accuracy.
///
/// A multi-label prediction is a logit above 0.
/// Shapes   logits [N, C], labels over N, rows a subset of [0, N)
/// Cost     O(rows C)
/// Errors   ShapeError if logits and labels differ in shape; ConfigError if no row is labelled
template <Real T>
double micro_f1(MatrixView<const T> logits, const LabelView& labels, std::span<const NodeId> rows) {
  if (!labels.multilabel()) return accuracy(logits, labels.classes, rows);
  detail::check_metric(logits, labels.indicators.rows(), "micro_f1");
  if (logits.cols() != labels.indicators.cols()) {
    throw ShapeError(
        message("micro_f1: logits has ", logits.cols(), " columns, want ", labels.indicators.cols()));
  }
  if (rows.empty()) detail::nothing_to_measure("micro_f1");
  const Confusion sum = detail::count_confusion(rows, [&](NodeId row) {
    Confusion c;
    const auto z = logits.row(row);
    const auto y = labels.indicators.row(row);
    for (std::size_t j = 0; j < z.size(); ++j) {
      if (std::isnan(y[j])) continue;
      const bool predicted = z[j] > T{0};
      const bool actual = y[j] > 0.5f;
      c.true_positive += predicted && actual ? 1u : 0u;
      c.false_positive += predicted && !actual ? 1u : 0u;
      c.false_negative += !predicted && actual ? 1u : 0u;
    }
    return c;
  });
  return sum.f1();
}

/// The root of the mean squared difference over the counted elements, for regression.
///
/// Shapes   outputs, values [N, C], NaN where there is none; rows a subset of [0, N)
/// Cost     O(rows C)
/// Errors   ShapeError if the shapes differ; ConfigError if nothing counts
template <Real T>
double rmse(MatrixView<const T> outputs, MatrixView<const float> values, std::span<const NodeId> rows) {
  detail::check_metric(outputs, values.rows(), "rmse");
  if (outputs.cols() != values.cols()) {
    throw ShapeError(message("rmse: outputs has ", outputs.cols(), " columns, want ", values.cols()));
  }
  struct Sum {
    double squares = 0;
    std::uint64_t count = 0;
    Sum operator+(const Sum& other) const noexcept { return {squares + other.squares, count + other.count}; }
  };
  const Sum sum = parallel_sum<Sum>(rows.size(), detail::kMetricGrain, [&](std::size_t i, std::size_t end) {
    Sum part;
    for (; i < end; ++i) {
      for (std::size_t j = 0; j < values.cols(); ++j) {
        const float want = values(rows[i], j);
        if (std::isnan(want)) continue;
        const double d = static_cast<double>(outputs(rows[i], j)) - static_cast<double>(want);
        part.squares += d * d;
        ++part.count;
      }
    }
    return part;
  });
  if (sum.count == 0) detail::nothing_to_measure("rmse");
  return std::sqrt(sum.squares / static_cast<double>(sum.count));
}

/// The mean over classes of each class's F1; a class that is neither present nor predicted counts as 0.
///
/// Shapes   logits [N, C], labels over N, rows a subset of [0, N)
/// Cost     O(rows C)
/// Errors   as micro_f1
template <Real T>
double macro_f1(MatrixView<const T> logits, const LabelView& labels, std::span<const NodeId> rows) {
  const std::size_t num_classes = logits.cols();
  const bool multilabel = labels.multilabel();
  detail::check_metric(logits, multilabel ? labels.indicators.rows() : labels.classes.size(), "macro_f1");
  if (multilabel && num_classes != labels.indicators.cols()) {
    throw ShapeError(
        message("macro_f1: logits has ", num_classes, " columns, want ", labels.indicators.cols()));
  }
  Array<std::int32_t> predicted;
  if (!multilabel) {
    predicted.resize(rows.size());
    parallel_for(rows.size(), detail::kMetricGrain, [&](std::size_t i, std::size_t end) {
      for (; i < end; ++i) predicted[i] = predicted_class(logits.row(rows[i]));
    });
  }
  Array<Confusion> of_class(num_classes, Confusion{});
  bool any = false;
  for (std::size_t i = 0; i < rows.size(); ++i) {
    if (!multilabel) {
      const std::int32_t actual = labels.classes[rows[i]];
      if (actual < 0) continue;
      any = true;
      const auto guess = static_cast<std::size_t>(predicted[i]);
      const auto truth = static_cast<std::size_t>(actual);
      if (truth >= num_classes) {
        throw IndexError(
            message("macro_f1: label of row ", rows[i], " is ", actual, ", want below ", num_classes));
      }
      of_class[guess].true_positive += guess == truth ? 1u : 0u;
      of_class[guess].false_positive += guess != truth ? 1u : 0u;
      of_class[truth].false_negative += guess != truth ? 1u : 0u;
      continue;
    }
    any = true;
    const auto z = logits.row(rows[i]);
    const auto y = labels.indicators.row(rows[i]);
    for (std::size_t j = 0; j < num_classes; ++j) {
      if (std::isnan(y[j])) continue;
      const bool guess = z[j] > T{0};
      const bool truth = y[j] > 0.5f;
      of_class[j].true_positive += guess && truth ? 1u : 0u;
      of_class[j].false_positive += guess && !truth ? 1u : 0u;
      of_class[j].false_negative += !guess && truth ? 1u : 0u;
    }
  }
  if (!any) detail::nothing_to_measure("macro_f1");
  double sum = 0;
  for (const Confusion& c : of_class) sum += c.f1();
  return sum / static_cast<double>(num_classes);
}

}  // namespace tessera
