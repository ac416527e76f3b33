// SPDX-License-Identifier: MIT
#pragma once

#include <cstdint>

namespace tessera {

/// How the rows of the neighbours become one row. All but `symmetric` ignore weights; rows without entries give 0,
/// and sqrt(eps) for std.
enum class Aggregator : std::uint8_t {
  symmetric,  ///< weighted by the adjacency
  sum,
  mean,
  max,
  min,
  var,  ///< population variance, never below 0
  std   ///< sqrt(var + eps)
};

/// Under the square root of Aggregator::std.
inline constexpr double kStdEps = 1e-5;

}  // namespace tessera
