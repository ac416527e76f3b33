// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>

#include "tessera/nn/init/uniform.hpp"

namespace tessera {

/// Kaiming's uniform initialisation: U(-b, b) with b = sqrt(2 / (1 + slope^2)) sqrt(3 / F_in).
///
/// The default slope, sqrt(5), is PyTorch's for Linear and gives b = 1 / sqrt(F_in).
/// Shapes   weight [F_in, F_out]
/// Source   He et al., Delving deep into rectifiers, 2015, eq. (10)
template <Real T>
void kaiming_uniform(MatrixView<T> weight, InitStream stream, double slope = std::sqrt(5.0)) {
  if (weight.empty()) return;
  const double gain = std::sqrt(2.0 / (1.0 + slope * slope));
  fill_uniform(weight, gain * std::sqrt(3.0 / static_cast<double>(weight.rows())), stream);
}

/// PyTorch's initialisation of the bias of a Linear map: U(-1 / sqrt(F_in), 1 / sqrt(F_in)).
template <Real T>
void fan_in_uniform(MatrixView<T> bias, std::size_t fan_in, InitStream stream) {
  if (fan_in == 0) return;
  fill_uniform(bias, 1.0 / std::sqrt(static_cast<double>(fan_in)), stream);
}

}  // namespace tessera
