// SPDX-License-Identifier: MIT
#pragma once

// Everything of the precompute layer; written by scripts/make_umbrellas.sh.
#include "tessera/precompute/correct_and_smooth.hpp"
#include "tessera/precompute/gbp.hpp"
#include "tessera/precompute/hop_data.hpp"
#include "tessera/precompute/hop_features.hpp"
#include "tessera/precompute/label_propagation.hpp"
#include "tessera/precompute/operator.hpp"
#include "tessera/precompute/operator_spec.hpp"
#include "tessera/precompute/propagate.hpp"
#include "tessera/precompute/propagate_options.hpp"
#include "tessera/precompute/triangles.hpp"
