// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

#include "tessera/core/rng.hpp"

namespace tessera {

/// Elementwise function applied after a transform.
enum class Activation {
  none,
  relu,  ///< max(z, 0)
  elu    ///< z where z > 0, e^z - 1 elsewhere
};

/// Inverted dropout described by its keys, so that backward can draw the mask again.
///
/// Element (i, j) of an [N, F] matrix is kept iff its number is at least p, and then multiplied by 1 / (1 -
/// p). The number is a pure function of (key, call, i, j). p = 0 is the identity, p = 1 gives zeros.
struct DropoutMask {
  float probability = 0.0f;
  RngKey key;              ///< (seed, step, Purpose::dropout)
  std::uint32_t call = 0;  ///< which dropout of the step: unique per operator
};

/// What happens to a finished row on its way out of a kernel: y = dropout(activation(row + bias)).
template <class T>
struct Epilogue {
  std::span<const T> bias;  ///< [F] or empty
  Activation activation = Activation::none;
  DropoutMask dropout;
};

}  // namespace tessera
