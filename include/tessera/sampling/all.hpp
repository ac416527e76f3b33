// SPDX-License-Identifier: MIT
#pragma once

// Everything of the sampling layer; written by scripts/make_umbrellas.sh.
#include "tessera/sampling/alias_table.hpp"
#include "tessera/sampling/any_sampler.hpp"
#include "tessera/sampling/cluster_sampler.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/sampling/diagnostics.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/sampling/induced_block.hpp"
#include "tessera/sampling/listed_entries.hpp"
#include "tessera/sampling/mini_batch.hpp"
#include "tessera/sampling/node_set.hpp"
#include "tessera/sampling/prefetch_loader.hpp"
#include "tessera/sampling/saint/correction.hpp"
