// SPDX-License-Identifier: MIT
#pragma once

// Everything of the quant layer; written by scripts/make_umbrellas.sh.
#include "tessera/quant/fake_quantize.hpp"
#include "tessera/quant/observer.hpp"
#include "tessera/quant/percentile.hpp"
#include "tessera/quant/protection.hpp"
#include "tessera/quant/quant_attention.hpp"
#include "tessera/quant/quant_ops.hpp"
#include "tessera/quant/quant_params.hpp"
#include "tessera/quant/quant_plan.hpp"
#include "tessera/quant/quant_scope.hpp"
#include "tessera/quant/quant_settings.hpp"
#include "tessera/quant/quantized.hpp"
