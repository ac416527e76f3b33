// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <span>

#include "support/options.hpp"
#include "tessera/distill/teacher_outputs.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/sampling/any_sampler.hpp"
#include "tessera/train/report.hpp"

namespace examples {

/// Seconds since it was made.
class Timer {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// What an example brings of its own to its runs.
struct RunExtras {
  /// The model of a seed, instead of the options'.
  std::function<tessera::AnyModel<>(std::uint64_t seed)> make_model = {};
  /// Who teaches each run beside the labels; empty: nobody.
  std::span<const tessera::TeacherOutputs> teachers = {};
  /// The models keep histories, which are made exact before the first epoch and after each.
  bool refresh_history = false;
  /// False where the tables are those an earlier run left.
  bool refresh_first = true;
  /// Called with the trained model and its figures, to add to them.
  std::function<void(const tessera::AnyModel<>& model, tessera::RunSummary& run)> after = {};
};

/// Trains the options' model as many times as they say; make_sampler() gives each run its sampler. The runs'
/// figures are appended to the report.
void train_runs(const Options& o, const tessera::DatasetView& data,
                const std::function<tessera::AnySampler()>& make_sampler, tessera::Report& report,
                const RunExtras& extras = {});

}  // namespace examples
