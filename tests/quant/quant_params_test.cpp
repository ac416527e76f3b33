// SPDX-License-Identifier: MIT
#include "tessera/quant/quant_params.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>

#include "support/catch.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/tensor.hpp"

using namespace tessera;

namespace {

constexpr std::array<float, 9> kInputs{-0.7f, -0.5f, -0.003f, 0.0f, 0.004f, 0.73f, 1.999f, 2.0f, 3.1f};

void check_codes(const QuantParams& p, const std::array<int, 9>& want) {
  for (std::size_t i = 0; i < kInputs.size(); ++i) {
    CAPTURE(i);
    CHECK(quantize(kInputs[i], p) == want[i]);
    CHECK(quantize(static_cast<double>(kInputs[i]), p) == want[i]);
  }
}

double ulp(float x) { return x * 6e-8; }

}  // namespace

TEST_CASE("the codes of a range are the published ones", "[quant]") {
  const double min = -0.5;
  const double max = 2;
  const QuantParams s8 = quant_params(min, max, {});
  CHECK(std::abs(s8.scale - 0.00980392157) < ulp(0.0098f));
  CHECK(s8.zero_point == -77);
  check_codes(s8, {-128, -128, -77, -77, -77, -3, 127, 127, 127});
  CHECK(std::abs(fake_quantize(0.73f, s8) - 0.7254902) < ulp(0.73f));

  const QuantParams u8 = quant_params(min, max, {.is_signed = false});
  CHECK(u8.zero_point == 51);
  check_codes(u8, {0, 0, 51, 51, 51, 125, 255, 255, 255});

  const QuantParams s4 = quant_params(min, max, {.bits = 4});
  CHECK(std::abs(s4.scale - 1.0 / 6) < ulp(0.17f));
  CHECK(s4.zero_point == -5);
  check_codes(s4, {-8, -8, -5, -5, -5, -1, 7, 7, 7});

  const QuantParams m8 = quant_params(min, max, {.symmetric = true});
  CHECK(std::abs(m8.scale - 0.01568627451) < ulp(0.0157f));
  CHECK(m8.zero_point == 0);
  check_codes(m8, {-45, -32, 0, 0, 0, 47, 127, 127, 127});
  CHECK(std::abs(fake_quantize(2.0f, m8) - 1.9921569) < 2 * ulp(2.0f));

  const QuantParams m4 = quant_params(min, max, {.bits = 4, .symmetric = true});
  CHECK(std::abs(m4.scale - 0.26666667) < ulp(0.27f));
  check_codes(m4, {-3, -2, 0, 0, 0, 3, 7, 7, 7});
}

TEST_CASE("edges of the range", "[quant]") {
  SECTION("nothing but zero") {
    const QuantParams p = quant_params(0, 0, {});
    CHECK(p.scale == 1.0f);
    CHECK(fake_quantize(0.0f, p) == 0.0f);
    CHECK(fake_quantize(0.0f, quant_params(0, 0, {.is_signed = false, .symmetric = true})) == 0.0f);
  }
  SECTION("a constant is a code itself") {
    const float c = GENERATE(3.7f, -3.7f);
    const QuantParams p = quant_params(c, c, {});
    CHECK(quantize(c, p) == (c > 0 ? p.qmax : p.qmin));
    CHECK(std::abs(fake_quantize(c, p) - c) <= 4 * ulp(4.0f));
  }
  SECTION("a tiny range collapses to zero") {
    const QuantParams p = quant_params(-1e-9, 1e-9, {});
    CHECK(fake_quantize(1e-9f, p) == 0.0f);
  }
  SECTION("numbers beyond it saturate") {
    const QuantParams p = quant_params(-1, 1, {});
    CHECK(quantize(1e30f, p) == 127);
    CHECK(quantize(-1e30f, p) == -128);
    CHECK(quantize(std::numeric_limits<float>::infinity(), p) == 127);
    CHECK(quantize(std::numeric_limits<float>::quiet_NaN(), p) == -128);
  }
  SECTION("a narrow range has its largest magnitude as a code") {
    const QuantParams p = quant_params(-2, 1.5, {.symmetric = true, .narrow_range = true});
    CHECK(p.qmin == -127);
    CHECK(quantize(-2.0f, p) == -127);
    CHECK(quantize(2.0f, p) == 127);
  }
  SECTION("the middle code of an unsigned symmetric format") {
    const int bits = GENERATE(4, 6, 8);
    const QuantParams p = quant_params(-1, 1, {.bits = bits, .is_signed = false, .symmetric = true});
    CHECK(p.zero_point == 1 << (bits - 1));
  }
  SECTION("bad input") {
    CHECK_THROWS_AS(quant_params(0, 1, {.bits = 1}), ConfigError);
    CHECK_THROWS_AS(quant_params(0, 1, {.bits = 17}), ConfigError);
    CHECK_THROWS_AS(quant_params(0, 1, {.narrow_range = true}), ConfigError);
    CHECK_THROWS_AS(quant_params(2, 1, {}), ConfigError);
    CHECK_THROWS_AS(quant_params(0, std::numeric_limits<double>::infinity(), {}), ConfigError);
    CHECK_THROWS_AS(quant_params(std::numeric_limits<double>::quiet_NaN(), 1, {}), ConfigError);
  }
}

TEST_CASE("quantising is a projection with an error of half a step", "[quant]") {
  const int bits = GENERATE(3, 4, 8);
  const bool is_signed = GENERATE(true, false);
  const bool symmetric = GENERATE(true, false);
  const QuantParams p =
      quant_params(-0.83, 1.91, {.bits = bits, .is_signed = is_signed, .symmetric = symmetric});
  CounterRng rng(make_key(7, 0, Purpose::init), 0, 0);
  float previous_x = -3.0f;
  for (int k = 0; k < 20000; ++k) {
    // Rising, so that monotony is seen between neighbours.
    const float x = previous_x + 3e-4f * static_cast<float>(rng.uniform());
    const float y = fake_quantize(x, p);
    REQUIRE(fake_quantize(y, p) == y);
    REQUIRE(fake_quantize(previous_x, p) <= y);
    const float low = dequantize(p.qmin, p);
    const float high = dequantize(p.qmax, p);
    // Half a step, and roundings of x / s (two, of at most 2^bits) and of the product.
    const double slack = 0.5 * p.scale + p.scale * std::ldexp(2.0, bits - 24) + ulp(2.0f);
    if (x >= low && x <= high) REQUIRE(std::abs(x - y) <= slack);
    previous_x = x;
  }
  CHECK(fake_quantize(0.0f, p) == 0.0f);
}

TEST_CASE("matrices are quantised element by element", "[quant]") {
  const QuantParams p = quant_params(-1, 2, {.is_signed = false});
  Tensor<float> x(2, 3);
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t f = 0; f < 3; ++f) x(i, f) = 0.4f * static_cast<float>(i * 3 + f) - 1.0f;
  }
  Tensor<std::uint8_t> q(2, 3);
  quantize(std::as_const(x).view(), p, q.view());
  Tensor<float> y(2, 3);
  dequantize(std::as_const(q).view(), p, y.view());
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t f = 0; f < 3; ++f) CHECK(y(i, f) == fake_quantize(x(i, f), p));
  }
  Tensor<std::uint8_t> small(2, 2);
  CHECK_THROWS_AS(quantize(std::as_const(x).view(), p, small.view()), ShapeError);
  CHECK_THROWS_AS(dequantize(std::as_const(small).view(), p, y.view()), ShapeError);
}
