// SPDX-License-Identifier: MIT
#pragma once

#include "tessera/partition/concepts.hpp"
#include "tessera/partition/contiguous_partitioner.hpp"
#include "tessera/partition/fwd.hpp"
#include "tessera/partition/metrics.hpp"
#include "tessera/partition/multilevel.hpp"
#include "tessera/partition/partition.hpp"
#include "tessera/partition/random_partitioner.hpp"
