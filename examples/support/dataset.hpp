// SPDX-License-Identifier: MIT
#pragma once

#include "support/options.hpp"
#include "tessera/graph/dataset.hpp"

namespace examples {

/// The data set the options name, its features scaled as they say; generated where they name none.
tessera::Dataset load_dataset(const Options& o);

}  // namespace examples
