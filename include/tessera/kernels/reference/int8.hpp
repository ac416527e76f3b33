// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/matrix_view.hpp"
#include "tessera/kernels/int8_gemm.hpp"
#include "tessera/kernels/int8_spmm.hpp"

// Integer kernels as their definitions say, one number after the other, in 64-bit sums. Arguments are trusted.

namespace tessera::reference {

/// The code of v steps.
inline std::uint8_t code_of(float v, const CodeRange& range) {
  const float low = static_cast<float>(range.qmin - range.zero_point);
  const float high = static_cast<float>(range.qmax - range.zero_point);
  return static_cast<std::uint8_t>(static_cast<std::int32_t>(std::nearbyint(std::clamp(v, low, high))) +
                                   range.zero_point);
}

/// The sum of one element of a product, its offset included.
inline std::int64_t int8_product_sum_at(const Int8Product& p, std::size_t i, std::size_t j) {
  std::int64_t sum = p.weights.deep() ? p.deep_offset[j] : p.offset[j];
  for (std::size_t k = 0; k < p.x.cols(); ++k) {
    sum += std::int64_t{p.x(i, k)} * (p.weights.code(k, j) - p.weights.zero_point());
  }
  return sum;
}

/// One element of int8_linear.
inline float int8_linear_at(const Int8Product& p, std::size_t i, std::size_t j) {
  const float x = static_cast<float>(int8_product_sum_at(p, i, j)) * (p.row.empty() ? 1.0f : p.row[i]);
  const float v = std::fma(x, p.multiplier[j], p.bias.empty() ? 0.0f : p.bias[j]);
  return p.addend.data() == nullptr ? v : v + p.addend(i, j);
}

/// One element of int8_linear_pair.
inline float int8_pair_at(const Int8Product& first, const Int8Product& second, std::size_t i, std::size_t j) {
  return std::fma(static_cast<float>(int8_product_sum_at(second, i, j)), second.multiplier[j],
                  int8_linear_at(first, i, j));
}

/// One element of int8_spmm.
inline float int8_spmm_at(const CsrView<>& a, const Int8Neighbors& in, std::size_t i, std::size_t f) {
  std::int64_t sum = 0;
  for (std::size_t e = a.begin(i); e < a.end(i); ++e) {
    const std::int64_t weight = in.weight.empty() ? 1 : in.weight[e];
    sum += weight * (std::int64_t{in.x(a.col[e], f)} - in.zero_point);
  }
  const float bias = in.bias.empty() ? 0.0f : in.bias[f];
  const float v = std::fma(static_cast<float>(sum), in.row.empty() ? in.factor : in.row[i], bias);
  if (in.own_factor == 0.0f) return v;
  return std::fma(static_cast<float>(std::int32_t{in.x(i, f)} - in.zero_point), in.own_factor, v);
}

}  // namespace tessera::reference
