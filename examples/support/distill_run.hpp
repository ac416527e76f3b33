// SPDX-License-Identifier: MIT
#pragma once

#include "support/distill_choice.hpp"
#include "support/options.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/train/report.hpp"

namespace examples {

/// Trains teacher, plain student and distilled student once per run; their figures are appended to the report, and
/// means with deviations printed.
void run_distillation(const Options& o, const DistillChoice& c, const tessera::DatasetView& data,
                      tessera::Report& report);

}  // namespace examples
