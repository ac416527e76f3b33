// SPDX-License-Identifier: MIT
#pragma once

#include "tessera/nn/layers/gcn_conv.hpp"
#include "tessera/nn/nets/gnn_stack.hpp"

namespace tessera {

/// The graph convolutional network of Kipf & Welling: GCN layers, ReLU, dropout on features and hidden rows.
///
/// The original decays the first weights only (`.decay_first_layer_only = true`) and has no bias
/// (`.conv = {.bias = false}`); PyTorch Geometric decays everything and does not drop features.
/// Source   Kipf & Welling, Semi-supervised classification with graph convolutional networks, 2017, eq. (9)
template <Real T = float>
using GcnNet = GnnStack<GcnConv<T>>;

}  // namespace tessera
