// SPDX-License-Identifier: MIT
#pragma once

#include "tessera/nn/layers/gin_conv.hpp"
#include "tessera/nn/nets/gnn_stack.hpp"

namespace tessera {

/// Graph isomorphism layers in a stack, for tasks on nodes.
///
/// Source   Xu, Hu, Leskovec & Jegelka, How powerful are graph neural networks?, ICLR 2019
template <Real T = float>
using GinNet = GnnStack<GinConv<T>>;

}  // namespace tessera
