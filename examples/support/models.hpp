// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "support/options.hpp"
#include "tessera/nn/any_model.hpp"

namespace examples {

/// What `--model` takes, in the order of the help text.
std::vector<std::string> model_names();

/// A fresh model of the options' kind and sizes, with the initial weights of `seed`.
///
/// Errors   ConfigError for a name that model_names() lacks, or sizes the model refuses
tessera::AnyModel<> make_model(const Options& o, std::size_t features, std::size_t classes,
                               std::uint64_t seed);

}  // namespace examples
