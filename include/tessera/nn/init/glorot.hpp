// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>

#include "tessera/nn/init/uniform.hpp"

namespace tessera {

/// Glorot's uniform initialisation: U(-a, a) with a = gain sqrt(6 / (F_in + F_out)).
///
/// Shapes   weight [F_in, F_out]
/// Source   Glorot & Bengio, Understanding the difficulty of training deep feedforward neural networks, 2010,
///          eq. (16)
template <Real T>
void glorot_uniform(MatrixView<T> weight, InitStream stream, double gain = 1.0) {
  if (weight.empty()) return;
  fill_uniform(weight, gain * std::sqrt(6.0 / static_cast<double>(weight.rows() + weight.cols())), stream);
}

}  // namespace tessera
