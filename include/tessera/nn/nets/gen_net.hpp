// SPDX-License-Identifier: MIT
#pragma once

#include "tessera/nn/layers/gen_conv.hpp"
#include "tessera/nn/nets/gnn_stack.hpp"

namespace tessera {

/// DeeperGCN's convolutions in a stack, for tasks on nodes; the published order of norm, activation and residual is
/// that of `RevGenNet` without its reversing.
///
/// Source   Li, Xiong, Thabet & Ghanem, DeeperGCN, 2020
template <Real T = float>
using GenNet = GnnStack<GenConv<T>>;

}  // namespace tessera
