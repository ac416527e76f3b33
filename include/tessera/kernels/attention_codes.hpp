// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <span>

#include "tessera/core/ids.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/fake_quantize.hpp"

namespace tessera {

/// What of attention is rounded to codes (kernels/quant_attention.hpp); nothing by default.
///
/// Shapes   grids of one scale, or of none: exact; keep [M] or empty
template <Real T>
struct AttentionCodes {
  QuantGrid<T> score;                  ///< of r, before the rectifier
  QuantGrid<T> message;                ///< of alpha'_e x_j
  bool shares = false;                 ///< alpha in 255ths of its row's largest, divided by their sum
  std::span<const std::uint8_t> keep;  ///< sources whose scores and messages stay exact
  QuantGradient gradient = QuantGradient::straight;  ///< of scores and messages; shares pass all of it

  bool rounds_scores() const noexcept { return !score.scale.empty(); }
  bool rounds_messages() const noexcept { return !message.scale.empty(); }
  bool keeps(NodeId j) const noexcept { return !keep.empty() && keep[j] != 0; }
  bool clips() const noexcept { return gradient != QuantGradient::straight; }
  bool inclusive() const noexcept { return gradient == QuantGradient::clipped_inclusive; }
};

namespace detail {

/// Code of a row's largest share: relative to it, a hub's small shares keep their digits.
inline constexpr double kShareCodes = 255;

}  // namespace detail
}  // namespace tessera
