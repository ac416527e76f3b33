// SPDX-License-Identifier: MIT
#pragma once

#include "tessera/kernels/epilogue.hpp"
#include "tessera/nn/layers/norm_kind.hpp"

namespace tessera {

/// What networks of one kind of layer do unless their options say otherwise; each layer brings its own.
struct StackDefaults {
  bool input_dropout = false;
  NormKind norm = NormKind::none;
  double layer_norm_eps = 1e-5;
  bool decay_first_layer_only = false;
  bool drops_own_input = false;  ///< the layer takes the dropout mask of what enters its weights
  Activation activation = Activation::relu;
};

}  // namespace tessera
