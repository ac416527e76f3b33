// SPDX-License-Identifier: MIT
#pragma once

#include "tessera/nn/layers/cluster_gcn_conv.hpp"
#include "tessera/nn/nets/gnn_stack.hpp"

namespace tessera {

/// The network of the Cluster-GCN program: H' = relu(layernorm(dropout([A_hat H | H]) W)), the last layer
/// without norm and activation.
///
/// With `.conv = {.precomputed = true}` the input is [A X | X], `.in` counts both halves, and layer 0 only
/// transforms.
/// Source   Chiang et al., Cluster-GCN, 2019, and the authors' models.py
template <Real T = float>
using ClusterGcnNet = GnnStack<ClusterGcnConv<T>>;

}  // namespace tessera
