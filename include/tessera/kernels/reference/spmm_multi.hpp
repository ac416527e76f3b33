// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/core/scalar.hpp"
#include "tessera/kernels/spmm_multi.hpp"

namespace tessera::reference {

/// spmm_multi as its definition says: one column after the other, the variance in two passes. Arguments are trusted;
/// `saved` must be complete.
template <Real T>
void spmm_multi(CsrView<> a, MatrixView<const T> x, std::span<const Aggregator> aggregators, MatrixView<T> y,
                const MultiSaved<T>& saved) {
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    const std::span<const NodeId> row = a.neighbors(i);
    const T n = static_cast<T>(row.size());
    for (std::size_t f = 0; f < x.cols(); ++f) {
      T weighted{0}, sum{0}, largest{0}, smallest{0}, variance{0};
      std::int32_t arg_max = -1, arg_min = -1;
      for (std::size_t k = 0; k < row.size(); ++k) {
        const T value = x(row[k], f);
        weighted += value * (a.weighted() ? static_cast<T>(a.weights(i)[k]) : T{1});
        sum += value;
        if (k == 0 || value > largest) largest = value, arg_max = static_cast<std::int32_t>(row[k]);
        if (k == 0 || value < smallest) smallest = value, arg_min = static_cast<std::int32_t>(row[k]);
      }
      const T mean = row.empty() ? T{0} : sum / n;
      for (const NodeId j : row) variance += (x(j, f) - mean) * (x(j, f) - mean) / n;
      for (std::size_t k = 0; k < aggregators.size(); ++k) {
        T& out = y(i, k * x.cols() + f);
        switch (aggregators[k]) {
          case Aggregator::symmetric:
            out = weighted;
            break;
          case Aggregator::sum:
            out = sum;
            break;
          case Aggregator::mean:
            out = mean;
            break;
          case Aggregator::max:
            out = largest;
            break;
          case Aggregator::min:
            out = smallest;
            break;
          case Aggregator::var:
            out = variance;
            break;
          case Aggregator::std:
            out = std::sqrt(variance + static_cast<T>(kStdEps));
            break;
        }
      }
      saved.mean(i, f) = mean;
      saved.arg_max(i, f) = arg_max;
      saved.arg_min(i, f) = arg_min;
    }
  }
}

}  // namespace tessera::reference
