// SPDX-License-Identifier: MIT
#include "tessera/core/bf16.hpp"

#include <bit>
#include <cmath>
#include <limits>

#include "support/catch.hpp"
#include "tessera/core/rng.hpp"

using tessera::bf16;

TEST_CASE("Every bfloat16 survives the way through float", "[bf16]") {
  for (std::uint32_t bits = 0; bits < 0x10000; ++bits) {
    bf16 x;
    x.bits = static_cast<std::uint16_t>(bits);
    const float f = x;
    if (std::isnan(f)) {
      REQUIRE(std::isnan(static_cast<float>(bf16(f))));
    } else {
      REQUIRE(bf16(f).bits == x.bits);
    }
  }
}

TEST_CASE("Rounding is to nearest, ties to even", "[bf16]") {
  CHECK(bf16(1.0f).bits == 0x3f80);
  CHECK(bf16(1.0f + 0x1p-8f).bits == 0x3f80);             // a tie, down to even
  CHECK(bf16(1.0f + 3 * 0x1p-8f).bits == 0x3f82);         // a tie, up to even
  CHECK(bf16(1.0f + 0x1p-8f + 0x1p-20f).bits == 0x3f81);  // above the tie
  CHECK(std::isinf(static_cast<float>(bf16(std::numeric_limits<float>::max()))));
  tessera::CounterRng rng(tessera::make_key(1, 0, tessera::Purpose::noise), 0, 0);
  for (int i = 0; i < 10000; ++i) {
    const auto x = static_cast<float>(rng.normal());
    // 8 significant bits: half a step is at most 2^-8 of the value.
    REQUIRE(std::abs(static_cast<float>(bf16(x)) - x) <= 0x1p-8f * std::abs(x));
  }
}

TEST_CASE("A NaN whose payload lies in the lower half stays a NaN", "[bf16]") {
  const float nan = std::bit_cast<float>(0x7f800001u);
  CHECK(std::isnan(static_cast<float>(bf16(nan))));
}
