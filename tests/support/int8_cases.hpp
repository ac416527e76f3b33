// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "tessera/core/rng.hpp"
#include "tessera/core/tensor.hpp"
#include "tessera/kernels/int8_isa.hpp"

// Random codes for integer kernels.

namespace tessera::test {

/// Every level this processor can run.
inline std::vector<Int8Isa> int8_levels() {
  std::vector<Int8Isa> out;
  for (const Int8Isa isa :
       {Int8Isa::baseline, Int8Isa::avx2, Int8Isa::avx_vnni, Int8Isa::avx512_vnni, Int8Isa::amx}) {
    if (has_int8_isa(isa)) out.push_back(isa);
  }
  return out;
}

/// Uniform integers in [low, high].
template <class Code>
Tensor<Code> random_codes(std::size_t rows, std::size_t cols, int low, int high, std::uint64_t seed) {
  Tensor<Code> out(rows, cols);
  CounterRng rng(make_key(seed, 2, Purpose::generate), 0, 0);
  for (std::size_t i = 0; i < rows; ++i) {
    for (Code& q : out.row(i)) {
      q = static_cast<Code>(low + static_cast<int>(rng.below(static_cast<std::uint64_t>(high - low + 1))));
    }
  }
  return out;
}

inline std::vector<float> random_floats(std::size_t count, double low, double high, std::uint64_t seed) {
  std::vector<float> out(count);
  CounterRng rng(make_key(seed, 3, Purpose::generate), 0, 0);
  for (float& v : out) v = static_cast<float>(low + (high - low) * rng.uniform());
  return out;
}

inline std::vector<std::int32_t> random_ints(std::size_t count, int low, int high, std::uint64_t seed) {
  std::vector<std::int32_t> out(count);
  const auto codes = random_codes<std::int32_t>(1, count, low, high, seed);
  for (std::size_t i = 0; i < count; ++i) out[i] = codes(0, i);
  return out;
}

}  // namespace tessera::test
