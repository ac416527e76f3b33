// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>

#include "tessera/core/matrix_view.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/scalar.hpp"

namespace tessera {

/// Names the numbers that one parameter is filled with.
struct InitStream {
  RngKey key;                ///< make_key(seed, 0, Purpose::init)
  std::uint32_t number = 0;  ///< which parameter of the model
};

/// Fills `values` with numbers uniform in [-bound, bound), element (i, j) from a counter of its own.
///
/// Threads  result independent of T and of the stride
template <Real T>
void fill_uniform(MatrixView<T> values, double bound, InitStream stream) {
  constexpr std::size_t kRowGrain = 64;
  parallel_for(values.rows(), kRowGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t i = begin; i < end; ++i) {
      for (std::size_t j = 0; j < values.cols(); ++j) {
        CounterRng rng(stream.key, stream.number, i * values.cols() + j);
        values(i, j) = static_cast<T>((2.0 * rng.uniform() - 1.0) * bound);
      }
    }
  });
}

}  // namespace tessera
