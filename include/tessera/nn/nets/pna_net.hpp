// SPDX-License-Identifier: MIT
#pragma once

#include "tessera/nn/layers/pna_conv.hpp"
#include "tessera/nn/nets/gnn_stack.hpp"

namespace tessera {

/// Principal neighbourhood aggregation in a stack; set `conv.mean_log_degree` to that of the training graph.
///
/// Without `linear_ends`, input, hidden and output widths must all be multiples of the towers.
/// Source   Corso, Cavalleri, Beaini, Lio & Velickovic, Principal neighbourhood aggregation for graph nets, NeurIPS 2020
template <Real T = float>
using PnaNet = GnnStack<PnaConv<T>>;

}  // namespace tessera
