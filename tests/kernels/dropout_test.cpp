// SPDX-License-Identifier: MIT
#include "tessera/kernels/dropout.hpp"

#include <cmath>

#include "support/catch.hpp"
#include "support/dense_cases.hpp"
#include "tessera/kernels/reference/dense.hpp"

using namespace tessera;
using test::Dense;

namespace {
DropoutMask mask_of(float p, std::uint32_t call = 1) { return {p, make_key(7, 3, Purpose::dropout), call}; }
}  // namespace

TEST_CASE("dropout: the draw is the documented one", "[dropout]") {
  const DropoutMask mask = mask_of(0.25f, 9);
  // Column 128 + 16 * 5 + 3: group 16 * 1 + 3, piece 5, hence the high half of word 2.
  const std::size_t i = (std::size_t{1} << 32) + 11;
  const auto words = philox4x32({11, 9, 19, 1}, mask.key);
  CHECK(dropout_keeps(mask, i, 128 + 16 * 5 + 3) == ((words[2] >> 16) + 0.5 >= 0.25 * 65536));
}

TEST_CASE("dropout: agrees with its twin at every level, width and scalar", "[dropout]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const std::size_t cols : {0u, 1u, 15u, 16u, 17u, 127u, 128u, 129u, 300u}) {
      const auto x = Dense<float>::random(37, cols, 1, 3);
      Dense<float> y(37, cols, 3), want(37, cols, 3);
      dropout(x, y.view(), mask_of(0.3f));
      reference::dropout(x.view(), want.view(), mask_of(0.3f));
      CHECK(y.same_bits(want));

      const auto xd = Dense<double>::random(37, cols, 1);
      Dense<double> yd(37, cols), want_d(37, cols);
      dropout_backward(xd, yd.view(), mask_of(0.3f));
      reference::dropout(xd.view(), want_d.view(), mask_of(0.3f));
      CHECK(yd.same_bits(want_d));
    }
  }
}

TEST_CASE("dropout: in place, and the same bits at any number of threads", "[dropout]") {
  const auto x = Dense<float>::random(2003, 41, 1);
  Dense<float> y(2003, 41), z = x;
  dropout(x, y.view(), mask_of(0.5f));
  dropout(z, z.view(), mask_of(0.5f));
  CHECK(z.same_bits(y));
  CHECK(test::same_at_any_thread_count([&] {
    Dense<float> out(2003, 41);
    dropout(x, out.view(), mask_of(0.5f));
    return out;
  }));
}

TEST_CASE("dropout: p = 0 is the identity, p = 1 gives zeros, even of NaN", "[dropout]") {
  auto x = Dense<float>::random(5, 19, 1);
  x(2, 2) = std::numeric_limits<float>::quiet_NaN();
  Dense<float> y(5, 19);
  dropout(x, y.view(), mask_of(0.0f));
  CHECK(y.same_bits(x));
  dropout(x, y.view(), mask_of(1.0f));
  Dense<double> zero(5, 19);
  for (std::size_t i = 0; i < 5; ++i) {
    for (double& v : zero.view().row(i)) v = 0;
  }
  CHECK(test::misses(y, zero, 0.0) == 0);
}

TEST_CASE("dropout: the probability must lie in [0, 1]", "[dropout]") {
  Dense<float> x(1, 1);
  for (const float p : {-0.1f, 1.1f, std::numeric_limits<float>::quiet_NaN()}) {
    REQUIRE_THROWS_AS(dropout(x, x.view(), mask_of(p)), ConfigError);
  }
  Dense<float> y(1, 2);
  REQUIRE_THROWS_AS(dropout(x, y.view(), mask_of(0.5f)), ShapeError);
}

TEST_CASE("dropout: keep rate and mean are right within five deviations", "[dropout]") {
  constexpr std::size_t kRows = 1000, kCols = 300;
  constexpr double kCount = kRows * kCols;
  for (const float p : {0.1f, 0.5f, 0.6f, 0.9f}) {
    Dense<double> x(kRows, kCols), y(kRows, kCols);
    for (std::size_t i = 0; i < kRows; ++i) {
      for (double& v : x.view().row(i)) v = 1;
    }
    dropout(x, y.view(), mask_of(p));
    double kept = 0, sum = 0;
    for (std::size_t i = 0; i < kRows; ++i) {
      for (const double v : y.view().row(i)) {
        kept += v != 0;
        sum += v;
      }
    }
    const double keep = 1 - static_cast<double>(p);
    const double deviation = std::sqrt(keep * (1 - keep) / kCount);
    CHECK(std::abs(kept / kCount - keep) < 5 * deviation + 0x1p-17);
    CHECK(std::abs(sum / kCount - 1) < (5 * deviation + 0x1p-17) / keep);
  }
}

TEST_CASE("dropout: rows, columns, calls and keys draw independently", "[dropout]") {
  // The number of agreements of two independent masks at p = 1/2 is binomial.
  const auto agreement = [](DropoutMask a, DropoutMask b, std::size_t di, std::size_t dj) {
    double same = 0;
    for (std::size_t i = 0; i < 200; ++i) {
      for (std::size_t j = 0; j < 200; ++j)
        same += dropout_keeps(a, i, j) == dropout_keeps(b, i + di, j + dj);
    }
    return std::abs(same / 40000 - 0.5) / std::sqrt(0.25 / 40000);
  };
  DropoutMask other = mask_of(0.5f);
  other.key = make_key(7, 4, Purpose::dropout);
  const DropoutMask mask = mask_of(0.5f);
  CHECK(agreement(mask, other, 0, 0) < 5);
  CHECK(agreement(mask, mask_of(0.5f, 2), 0, 0) < 5);
  CHECK(agreement(mask, mask, 1, 0) < 5);
  CHECK(agreement(mask, mask, 0, 1) < 5);
  CHECK(agreement(mask, mask, 0, 16) < 5);
  CHECK(agreement(mask, mask, 0, 32) < 5);
  CHECK(agreement(mask, mask, 0, 128) < 5);
}
