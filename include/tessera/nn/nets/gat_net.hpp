// SPDX-License-Identifier: MIT
#pragma once

#include "tessera/nn/layers/gat_conv.hpp"
#include "tessera/nn/nets/gnn_stack.hpp"

namespace tessera {

/// The graph attention network: attention layers with their heads side by side, ELU, dropout on features, hidden rows
/// and attention shares; the last layer averages `conv.out_heads` heads.
///
/// The network of the citation data is `{.hidden = 64, .dropout = 0.6f}` with eight heads of eight; `hidden` counts all
/// heads together.
/// Source   Velickovic et al., Graph attention networks, ICLR 2018, section 3.3
template <Real T = float>
using GatNet = GnnStack<GatConv<T>>;

}  // namespace tessera
