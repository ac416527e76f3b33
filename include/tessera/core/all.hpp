// SPDX-License-Identifier: MIT
#pragma once

// Everything of the core layer; written by scripts/make_umbrellas.sh.
#include "tessera/core/adjacency.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/assert.hpp"
#include "tessera/core/bf16.hpp"
#include "tessera/core/buffer_pool.hpp"
#include "tessera/core/config.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/f16.hpp"
#include "tessera/core/fingerprint.hpp"
#include "tessera/core/ids.hpp"
#include "tessera/core/isa.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/precision.hpp"
#include "tessera/core/raw_file.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/core/version.hpp"
