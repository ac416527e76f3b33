// SPDX-License-Identifier: MIT
#pragma once

#include "tessera/nn/layers/egc_conv.hpp"
#include "tessera/nn/nets/gnn_stack.hpp"

namespace tessera {

/// Efficient graph convolutions in a stack.
///
/// The paper's network for ogbn-arxiv is `{.hidden = 184, .layers = 3, .dropout = 0.2f, .norm = NormKind::batch, .residual =
/// true, .linear_ends = true}` (EGC-S), with `.hidden = 136` and `.conv = {.heads = 4, .aggregators =
/// {Aggregator::symmetric, Aggregator::max, Aggregator::mean}}` EGC-M.
/// Source   Tailor, Opolka, Lio & Lane, Do we need anisotropic graph neural networks?, ICLR 2022
template <Real T = float>
using EgcNet = GnnStack<EgcConv<T>>;

}  // namespace tessera
