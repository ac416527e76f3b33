// SPDX-License-Identifier: MIT
#pragma once

#include <chrono>
#include <functional>

#include "support/options.hpp"
#include "tessera/graph/dataset_view.hpp"
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

/// Trains the options' model as many times as they say; make_sampler() gives each run its sampler. The runs'
/// figures are appended to the report.
void train_runs(const Options& o, const tessera::DatasetView& data,
                const std::function<tessera::AnySampler()>& make_sampler, tessera::Report& report);

}  // namespace examples
