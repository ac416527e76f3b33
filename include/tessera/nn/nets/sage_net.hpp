// SPDX-License-Identifier: MIT
#pragma once

#include "tessera/nn/layers/sage_conv.hpp"
#include "tessera/nn/nets/gnn_stack.hpp"

namespace tessera {

/// GraphSAGE with the mean aggregator: SAGE layers, ReLU, dropout between them.
///
/// Source   Hamilton, Ying & Leskovec, Inductive representation learning on large graphs, 2017
template <Real T = float>
using SageNet = GnnStack<SageConv<T>>;

}  // namespace tessera
