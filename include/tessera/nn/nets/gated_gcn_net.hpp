// SPDX-License-Identifier: MIT
#pragma once

#include "tessera/nn/layers/gated_gcn_conv.hpp"
#include "tessera/nn/nets/gnn_stack.hpp"

namespace tessera {

/// Gated graph convolutions in a stack, for tasks on nodes.
///
/// Source   Bresson & Laurent, Residual gated graph ConvNets, 2017
template <Real T = float>
using GatedGcnNet = GnnStack<GatedGcnConv<T>>;

}  // namespace tessera
