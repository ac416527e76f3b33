// SPDX-License-Identifier: MIT
#pragma once

// Everything of the history layer; written by scripts/make_umbrellas.sh.
#include "tessera/history/compensate.hpp"
#include "tessera/history/concepts.hpp"
#include "tessera/history/history_key.hpp"
#include "tessera/history/history_model.hpp"
#include "tessera/history/ops.hpp"
#include "tessera/history/policies.hpp"
#include "tessera/history/refresh.hpp"
#include "tessera/history/row_format.hpp"
#include "tessera/history/staleness.hpp"
#include "tessera/history/store.hpp"
#include "tessera/history/table.hpp"
