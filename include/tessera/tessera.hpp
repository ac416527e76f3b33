// SPDX-License-Identifier: MIT
#pragma once

// Everything, for first contact. Programs that care about compile time include the headers they name.

#include "tessera/core/all.hpp"
#include "tessera/distill/all.hpp"
#include "tessera/graph/all.hpp"
#include "tessera/history/all.hpp"
#include "tessera/io/all.hpp"
#include "tessera/kernels/all.hpp"
#include "tessera/nn/all.hpp"
#include "tessera/partition/all.hpp"
#include "tessera/precompute/all.hpp"
#include "tessera/quant/all.hpp"
#include "tessera/sampling/all.hpp"
#include "tessera/train/all.hpp"
