// SPDX-License-Identifier: MIT
#pragma once

#include <string>
#include <vector>

#include "support/options.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/quant/int8_model.hpp"
#include "tessera/quant/quant_settings.hpp"

namespace examples {

/// What `--model` takes where models run in integers.
std::vector<std::string> int8_model_names();

/// The integer network of what make_quantized_model made for these options and settings, once it is trained.
///
/// Errors   ConfigError for a name that int8_model_names() lacks, and those of export_int8
tessera::Int8Model export_trained(const Options& o, const tessera::QuantSettings& settings,
                                  const tessera::DatasetView& data, const tessera::AnyModel<>& trained);

}  // namespace examples
