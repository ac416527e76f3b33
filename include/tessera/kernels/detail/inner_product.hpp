// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>

#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/scalar.hpp"

namespace tessera::detail {

/// <a, b> over fixed blocks of rows, in double.
template <Real T>
double inner_product(MatrixView<const T> a, MatrixView<const T> b) {
  return parallel_sum<double>(a.rows(), 256, [&](std::size_t i, std::size_t end) {
    double sum = 0;
    for (; i < end; ++i) {
      for (std::size_t j = 0; j < a.cols(); ++j) {
        sum += static_cast<double>(a(i, j)) * static_cast<double>(b(i, j));
      }
    }
    return sum;
  });
}

}  // namespace tessera::detail
