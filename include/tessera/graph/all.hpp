// SPDX-License-Identifier: MIT
#pragma once

// Everything of the graph layer; written by scripts/make_umbrellas.sh.
#include "tessera/graph/builders.hpp"
#include "tessera/graph/concepts.hpp"
#include "tessera/graph/csr_graph.hpp"
#include "tessera/graph/dataset.hpp"
#include "tessera/graph/dataset_view.hpp"
#include "tessera/graph/degree.hpp"
#include "tessera/graph/folds.hpp"
#include "tessera/graph/generator_options.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/graph/graph_dataset.hpp"
#include "tessera/graph/graph_dataset_view.hpp"
#include "tessera/graph/induced_subgraph.hpp"
#include "tessera/graph/neighbor_sums.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/graph/renumber.hpp"
#include "tessera/graph/stand_ins.hpp"
#include "tessera/graph/symmetry.hpp"
#include "tessera/graph/transpose.hpp"
#include "tessera/graph/validate.hpp"
