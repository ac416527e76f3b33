// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/nn/parameter_block.hpp"
#include "tessera/train/metrics.hpp"

namespace tessera {

/// What a distillation loop of its own reports.
struct DistillReport {
  std::uint64_t epochs = 0;      ///< trained
  std::uint64_t best_epoch = 0;  ///< whose parameters were kept
  double val_accuracy = 0;       ///< of the kept parameters
  double test_accuracy = 0;
  double seconds = 0;
};

namespace detail {

/// The nodes of each role that have a class.
struct ScoredRows {
  Array<NodeId> val;
  Array<NodeId> test;

  ScoredRows(std::span<const Role> roles, std::span<const std::int32_t> classes) {
    for (std::size_t i = 0; i < roles.size(); ++i) {
      if (classes[i] < 0) continue;
      if (roles[i] == Role::val) val.push_back(static_cast<NodeId>(i));
      if (roles[i] == Role::test) test.push_back(static_cast<NodeId>(i));
    }
  }
};

template <Real T>
double accuracy_on(MatrixView<const T> logits, std::span<const std::int32_t> classes,
                   const Array<NodeId>& rows) {
  return rows.empty() ? 0 : accuracy(logits, classes, rows.span());
}

/// Keeps the parameters of the best validation accuracy, the later of equals, as the published codes do.
template <Real T>
class KeepBest {
 public:
  explicit KeepBest(std::uint64_t patience) : patience_(patience) {}

  /// Judges an epoch; true where `patience` of them have passed without improvement.
  bool judge(std::uint64_t epoch, double val, double test, const ParameterBlock<T>& block) {
    report_.epochs = epoch + 1;
    if (epoch != 0 && val < report_.val_accuracy) return epoch - report_.best_epoch >= patience_;
    report_.best_epoch = epoch;
    report_.val_accuracy = val;
    report_.test_accuracy = test;
    values_ = Array<T>::copy_of(block.values());
    return false;
  }
  std::uint64_t best_epoch() const noexcept { return report_.best_epoch; }
  /// Puts the best parameters back.
  DistillReport finish(ParameterBlock<T>& block) const {
    if (!values_.empty()) std::copy(values_.begin(), values_.end(), block.values().begin());
    return report_;
  }

 private:
  std::uint64_t patience_;
  DistillReport report_;
  Array<T> values_;
};

}  // namespace detail
}  // namespace tessera
