// SPDX-License-Identifier: MIT
#pragma once

#include <string_view>

#include "tessera/core/error.hpp"
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

namespace detail {

/// Whether a convolution says that it reads x by `dropout`, `head_rows` and products with weights alone.
template <class Conv>
bool multiplies_input(const typename Conv::Options& options) noexcept {
  if constexpr (requires { Conv::multiplies_input(options); }) {
    return Conv::multiplies_input(options);
  } else {
    return false;
  }
}

/// For networks that hand their convolutions no mask for entries.
template <class ConvOptions>
void refuse_entry_dropout(std::string_view operation, const ConvOptions& options) {
  if constexpr (requires { options.entry_dropout; }) {
    if (options.entry_dropout == 0.0f) return;
    throw ConfigError(
        message(operation, ": conv.entry_dropout is ", options.entry_dropout, ", this network wants 0"));
  }
}

}  // namespace detail

}  // namespace tessera
