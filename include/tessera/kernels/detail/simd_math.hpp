// SPDX-License-Identifier: MIT
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <type_traits>

#include "tessera/kernels/detail/simd.hpp"

namespace tessera::detail {

/// e^x for floats x <= 0 as scale * (1 + q): scale a power of two, |q| at most 0.42. Floats below -87.3 count as
/// -87.3; NaN gives anything.
///
/// Source   x = n ln 2 + r with |r| <= ln 2 / 2, ln 2 in two parts, and the polynomial of Cephes' expf
template <std::size_t W>
TESSERA_ALWAYS_INLINE void simd_split_exp(const Simd<float, W>& x, Simd<float, W>& scale,
                                          Simd<float, W>& q) noexcept {
  using Lanes = Simd<float, W>;
  using Ints = Simd<std::int32_t, W>;
  constexpr float kRound = 12582912.0f;  // 1.5 * 2^23: adding it leaves the nearest integer in the low bits
  Lanes low{};
  low += -87.33654f;
  const Lanes t = x > low ? x : low;
  const Lanes shifted = t * 1.44269504088896341f + kRound;
  const Lanes n = shifted - kRound;
  const Lanes r = (t - n * 0.693359375f) - n * -2.12194440e-4f;
  Lanes p = r * 1.9875691500e-4f + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  q = p * r * r + r;
  const Ints exponent = (reinterpret_cast<Ints>(shifted) - (0x4b400000 - 127)) << 23;
  scale = reinterpret_cast<Lanes>(exponent);
}

/// x = exp(x) lane by lane for x <= 0 or NaN, which stays. Floats below -87.3 give 0 (their exponentials are
/// subnormal), others are within two units in the last place; doubles go through std::exp.
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void simd_exp_nonpositive(Simd<T, W>& x) noexcept {
  static_assert(W > 1);
  if constexpr (std::is_same_v<T, double>) {
    for (std::size_t l = 0; l < W; ++l) x[l] = std::exp(x[l]);
  } else {
    using Lanes = Simd<float, W>;
    Lanes scale, q;
    simd_split_exp<W>(x, scale, q);
    const Lanes y = x < -87.33654f ? Lanes{} : scale * q + scale;
    x = x != x ? x : y;
  }
}

/// x = exp(x) - 1 lane by lane for x <= 0 or NaN, which stays; exact to a few units in the last place near 0 too.
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void simd_expm1_nonpositive(Simd<T, W>& x) noexcept {
  static_assert(W > 1);
  if constexpr (std::is_same_v<T, double>) {
    for (std::size_t l = 0; l < W; ++l) x[l] = std::expm1(x[l]);
  } else {
    using Lanes = Simd<float, W>;
    Lanes scale, q;
    simd_split_exp<W>(x, scale, q);
    const Lanes y = scale * q + (scale - 1.0f);
    x = x != x ? x : y;
  }
}

/// x = sqrt(x) lane by lane for normal x > 0; infinity and NaN stay; within two units in the last place. Doubles and single
/// lanes go through std::sqrt.
///
/// Source   reciprocal root by three Newton steps from a shifted exponent, then one step on the root itself
template <std::size_t W, class T>
TESSERA_ALWAYS_INLINE void simd_sqrt_positive(Simd<T, W>& x) noexcept {
  if constexpr (W == 1) {
    x = std::sqrt(x);
  } else if constexpr (std::is_same_v<T, double>) {
    for (std::size_t l = 0; l < W; ++l) x[l] = std::sqrt(x[l]);
  } else {
    using Lanes = Simd<float, W>;
    using Ints = Simd<std::int32_t, W>;
    Lanes y = reinterpret_cast<Lanes>(0x5f375a86 - (reinterpret_cast<Ints>(x) >> 1));
    const Lanes half = x * 0.5f;
    y *= 1.5f - half * y * y;
    y *= 1.5f - half * y * y;
    y *= 1.5f - half * y * y;
    const Lanes root = x * y;
    const Lanes better = root + 0.5f * y * (x - root * root);
    x = x - x == Lanes{} ? better : x;  // neither infinite nor NaN
  }
}

}  // namespace tessera::detail
