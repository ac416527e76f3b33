// SPDX-License-Identifier: MIT
#pragma once

#include "tessera/nn/layers/linear.hpp"
#include "tessera/nn/nets/gnn_stack.hpp"

namespace tessera {

/// A multilayer perceptron on the node's own features; edges are ignored.
template <Real T = float>
using MlpNet = GnnStack<LinearLayer<T>>;

}  // namespace tessera
