// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <string_view>

#include "tessera/core/error.hpp"

namespace tessera {

/// What GAT and GATv2 layers have in common.
struct AttentionLayerOptions {
  std::size_t heads = 8;
  std::size_t out_heads = 1;   ///< of a network's last layer, which averages them
  float entry_dropout = 0.6f;  ///< of the attention shares
  double slope = 0.2;          ///< of the leaky ReLU below 0
  bool concat = true;          ///< heads side by side; false: averaged
  bool bias = true;

  /// The options of layer l of L: the last one averages `out_heads` heads.
  AttentionLayerOptions of_layer(std::size_t l, std::size_t layers) const noexcept {
    AttentionLayerOptions out = *this;
    if (l + 1 < layers) return out;
    out.heads = out_heads;
    out.concat = false;
    return out;
  }

  /// Columns of all heads together, for a layer of output width `out`.
  ///
  /// Errors   ConfigError naming the layer if the heads do not divide `out`
  std::size_t width(std::string_view layer, std::size_t out) const {
    if (heads == 0 || (concat && out % heads != 0)) {
      throw ConfigError(message(layer, ": heads is ", heads, ", want a divisor of the output width ", out));
    }
    return concat ? out : out * heads;
  }
};

}  // namespace tessera
