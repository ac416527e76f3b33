// SPDX-License-Identifier: MIT
#pragma once

// Everything of the quant layer; written by scripts/make_umbrellas.sh.
#include "tessera/quant/quant_params.hpp"
