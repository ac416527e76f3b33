// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "support/options.hpp"
#include "tessera/nn/layers/norm_kind.hpp"

namespace examples {

/// What the data and the run say about a model.
struct Sizes {
  std::size_t features;
  std::size_t classes;
  std::uint64_t seed;
};

/// The options every stack of layers has. Graph isomorphism layers are one map without a norm, behind dropout: with few
/// labelled nodes the norm of two maps, over all nodes, fits those and little else.
template <class Net>
typename Net::Options stack_options(const Options& o, const Sizes& sizes) {
  typename Net::Options net{.in = sizes.features,
                            .hidden = o.hidden,
                            .out = sizes.classes,
                            .layers = o.layers,
                            .dropout = o.dropout};
  if (o.layer_norm) net.norm = tessera::NormKind::layer;
  net.residual = o.residual;
  net.seed = sizes.seed;
  net.decay_first_layer_only = o.decay == "first";
  if constexpr (requires { net.conv.mlp_layers; }) {
    net.conv.mlp_layers = 1;
    net.input_dropout = true;
  }
  return net;
}

}  // namespace examples
