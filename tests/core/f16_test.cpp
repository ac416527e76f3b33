// SPDX-License-Identifier: MIT
#include "tessera/core/f16.hpp"

#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>

#include "support/catch.hpp"

using tessera::f16;

namespace {

/// The value of a pattern, from the definition of binary16.
double value_of(std::uint16_t bits) {
  const int exponent = (bits >> 10) & 31;
  const double fraction = bits & 1023;
  const double sign = bits >> 15 != 0 ? -1 : 1;
  if (exponent == 31) return fraction == 0 ? sign * std::numeric_limits<double>::infinity() : std::nan("");
  return sign * (exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25));
}

f16 of_bits(std::uint32_t bits) {
  f16 out;
  out.bits = static_cast<std::uint16_t>(bits);
  return out;
}

}  // namespace

TEST_CASE("f16: all patterns widen exactly and come back", "[f16]") {
  for (std::uint32_t bits = 0; bits < 65536; ++bits) {
    const f16 half = of_bits(bits);
    const float wide = half;
    const double want = value_of(half.bits);
    if (std::isnan(want)) {
      REQUIRE(std::isnan(wide));
      REQUIRE(f16(wide).bits == (bits | 0x200u));
    } else {
      REQUIRE(static_cast<double>(wide) == want);
      REQUIRE(f16(wide).bits == bits);
    }
  }
}

TEST_CASE("f16: floats round to the nearest, ties to even", "[f16]") {
  for (std::uint32_t bits = 0; bits < 0x7c00; ++bits) {
    const double low = value_of(static_cast<std::uint16_t>(bits));
    const double high = bits == 0x7bff ? 65536.0 : value_of(static_cast<std::uint16_t>(bits + 1));
    const auto middle = static_cast<float>((low + high) / 2);  // exact
    const std::uint32_t even = bits % 2 == 0 ? bits : bits + 1;
    REQUIRE(f16(middle).bits == even);
    REQUIRE(f16(std::nextafter(middle, 0.0f)).bits == bits);
    REQUIRE(f16(std::nextafter(middle, 1e9f)).bits == bits + 1);
    REQUIRE(f16(-middle).bits == (even | 0x8000u));
  }
  CHECK(f16(std::numeric_limits<float>::infinity()).bits == 0x7c00);
  CHECK(f16(1e30f).bits == 0x7c00);
  CHECK(f16(1e-30f).bits == 0);
  CHECK(f16(-0.0f).bits == 0x8000);
}
