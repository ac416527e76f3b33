// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>
#include <limits>

#include "tessera/core/matrix_view.hpp"
#include "tessera/core/scalar.hpp"

namespace tessera {

/// A matrix known to a tape: its number in the order of recording. It means something only to the tape that
/// made it, and only until that tape is rewound.
struct Var {
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  std::uint32_t id = kNone;

  /// False for a default-constructed Var, which stands for an absent optional operand such as a bias.
  constexpr explicit operator bool() const noexcept { return id != kNone; }
  friend constexpr bool operator==(Var, Var) = default;
};

/// The two places a trainable leaf lives in: where its value is read and where its gradient is added.
///
/// Shapes   value [R, C], grad [R, C]
template <Real T>
struct ParameterView {
  MatrixView<const T> value;
  MatrixView<T> grad;
};

}  // namespace tessera
