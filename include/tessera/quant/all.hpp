// SPDX-License-Identifier: MIT
#pragma once

// Everything of the quant layer; written by scripts/make_umbrellas.sh.
#include "tessera/quant/bi_gcn_conv.hpp"
#include "tessera/quant/binarize.hpp"
#include "tessera/quant/binary_sage_conv.hpp"
#include "tessera/quant/bit_search.hpp"
#include "tessera/quant/calibrate.hpp"
#include "tessera/quant/fake_quantize.hpp"
#include "tessera/quant/int8_export.hpp"
#include "tessera/quant/int8_file.hpp"
#include "tessera/quant/int8_layer.hpp"
#include "tessera/quant/int8_model.hpp"
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
