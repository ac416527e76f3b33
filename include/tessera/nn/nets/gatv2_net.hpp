// SPDX-License-Identifier: MIT
#pragma once

#include "tessera/nn/layers/gatv2_conv.hpp"
#include "tessera/nn/nets/gnn_stack.hpp"

namespace tessera {

/// The network of GatNet with GATv2 layers; `hidden` counts all heads together.
///
/// Source   Brody, Alon & Yahav, How attentive are graph attention networks?, ICLR 2022
template <Real T = float>
using Gatv2Net = GnnStack<Gatv2Conv<T>>;

}  // namespace tessera
