// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "support/graph_models.hpp"
#include "tessera/nn/nets/graph_net.hpp"

namespace examples {

/// A network about whole graphs with the options' read-out and sizes.
template <class Conv>
typename tessera::GraphNet<Conv>::Options graph_net_options(const GraphModelOptions& o, std::size_t features,
                                                            std::size_t out, std::uint64_t seed) {
  typename tessera::GraphNet<Conv>::Options net{.in = features,
                                                .hidden = o.hidden,
                                                .out = out,
                                                .layers = o.layers,
                                                .dropout = o.dropout,
                                                .head_dropout = o.head_dropout,
                                                .seed = seed};
  if (o.readout == "layers") {
    net.readout = tessera::GraphReadout::layers;
  } else {
    if (o.readout == "concat") net.readout = tessera::GraphReadout::concat;
    net.embed = true;
    net.residual = true;
    net.head_layers = 2;
  }
  net.attend = o.reduce == "attention";
  net.reduce = o.reduce == "sum"    ? tessera::Reduce::sum
               : o.reduce == "mean" ? tessera::Reduce::mean
                                    : tessera::Reduce::max;
  return net;
}

}  // namespace examples
