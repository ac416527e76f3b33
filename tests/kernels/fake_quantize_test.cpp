// SPDX-License-Identifier: MIT
#include "tessera/kernels/fake_quantize.hpp"

#include <cmath>
#include <cstdint>
#include <limits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/dense_cases.hpp"
#include "support/nn_cases.hpp"
#include "tessera/core/isa.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

/// A grid of its own numbers.
template <class T>
struct Grid {
  std::vector<T> scale, inverse, low, high;

  explicit Grid(std::size_t channels) {
    for (std::size_t c = 0; c < channels; ++c) {
      scale.push_back(T(0.1) + T(0.03) * static_cast<T>(c));
      inverse.push_back(T{1} / scale.back());
      low.push_back(T(-5) + static_cast<T>(c % 3));
      high.push_back(T(4) + static_cast<T>(c % 2));
    }
  }
  QuantGrid<T> view() const { return {scale, inverse, low, high}; }
};

/// The definition, by the library's own rounding of one number.
template <class T>
T rounded(T x, const Grid<T>& g, std::size_t column, T factor) {
  const std::size_t c = g.scale.size() == 1 ? 0 : column;
  const T v = g.scale.size() == 1 ? x * (g.inverse[c] * factor) : x * g.inverse[c];
  const T code = std::nearbyint(std::min(std::max(v, g.low[c]), g.high[c]));
  return code * (g.scale.size() == 1 ? g.scale[c] / factor : g.scale[c]);
}

std::vector<std::uint8_t> every_third(std::size_t n) {
  std::vector<std::uint8_t> keep(n);
  for (std::size_t i = 0; i < n; ++i) keep[i] = i % 3 == 1 ? 1 : 0;
  return keep;
}

}  // namespace

TEMPLATE_TEST_CASE("fake quantisation equals its definition at every level", "[kernels]", float, double) {
  using T = TestType;
  const std::size_t rows = GENERATE(std::size_t{0}, std::size_t{1}, std::size_t{7}, std::size_t{300});
  const std::size_t cols = GENERATE(std::size_t{1}, std::size_t{5}, std::size_t{67});
  const bool per_column = GENERATE(false, true);
  const Grid<T> grid(per_column ? cols : 1);
  const Tensor<T> x = random_matrix<T>(rows, cols, 3);
  const auto keep = every_third(rows);
  std::vector<float> factor(rows);
  for (std::size_t i = 0; i < rows; ++i) factor[i] = 0.5f + 0.25f * static_cast<float>(i % 4);
  const QuantRows treated{keep, per_column ? std::span<const float>{} : std::span<const float>(factor)};
  for (const Isa isa : test::dense_levels()) {
    const IsaScope scope(isa);
    Tensor<T> y(rows, cols);
    fake_quantize<T>(x.view(), grid.view(), y.view(), treated);
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < cols; ++j) {
        const T f = per_column ? T{1} : static_cast<T>(factor[i]);
        REQUIRE(y(i, j) == (keep[i] != 0 ? x(i, j) : rounded(x(i, j), grid, j, f)));
      }
    }
  }
}

TEST_CASE("gradients pass where the code lies strictly inside", "[kernels]") {
  const std::vector<float> one{1.0f}, low{-3.0f}, high{2.0f};
  const QuantGrid<float> grid{one, one, low, high};
  // Codes of 1: -4, -3.4 round to the extremes or beyond; -2.6 to -3; -2.4 to -2; halves go to even.
  const std::vector<float> x{-9.0f, -3.4f, -2.6f, -2.4f, 0.0f,
                             1.4f,  1.6f,  2.4f,  2.6f,  std::numeric_limits<float>::quiet_NaN()};
  const std::vector<float> strict{0, 0, 0, 1, 1, 1, 0, 0, 0, 0};
  const std::vector<float> inclusive{0, 1, 1, 1, 1, 1, 1, 1, 0, 0};
  const std::vector<float> g(x.size(), 1.0f);
  std::vector<float> out(x.size());
  const auto view = [](auto& v) { return MatrixView(v.data(), 1, v.size()); };
  const auto run = [&](QuantGradient gradient) {
    fake_quantize_backward<float>(view(x), grid, view(g), view(out), gradient);
    return out;
  };
  CHECK(run(QuantGradient::clipped) == strict);
  CHECK(run(QuantGradient::clipped_inclusive) == inclusive);
  CHECK(run(QuantGradient::straight) == g);
  const std::vector<std::uint8_t> keep{1};
  fake_quantize_backward<float>(view(x), grid, view(g), view(out), QuantGradient::clipped, {keep, {}});
  CHECK(out == g);
}

TEST_CASE("ranges leave out kept rows and NaN, for any number of threads", "[kernels]") {
  Tensor<float> x = random_matrix<float>(2000, 33, 5);
  const auto keep = every_third(2000);
  x(1, 4) = 100.0f;
  x(400, 2) = -200.0f;  // kept: 400 % 3 == 1
  x(6, 0) = std::numeric_limits<float>::quiet_NaN();
  float least = 1, largest = -1;
  for (std::size_t i = 0; i < 2000; ++i) {
    for (std::size_t j = 0; j < 33 && keep[i] == 0; ++j) {
      if (x(i, j) < least) least = x(i, j);
      if (x(i, j) > largest) largest = x(i, j);
    }
  }
  for (const std::size_t threads : {1u, 2u, 8u}) {
    const auto seen = with_threads(threads, [&] { return value_range(std::as_const(x).view(), {keep, {}}); });
    CHECK(seen.min == least);
    CHECK(seen.max == largest);
  }
  CHECK(value_range(std::as_const(x).view()).max == 100.0f);
  const std::vector<std::uint8_t> all(2000, 1);
  CHECK(value_range(std::as_const(x).view(), {all, {}}).empty());
  CHECK(value_range(MatrixView<const float>(nullptr, 0, 4)).empty());

  Array<float> min(33), max(33);
  column_ranges<float>(std::as_const(x).view(), min.span(), max.span());
  CHECK(max[4] == 100.0f);
  CHECK(min[2] == -200.0f);
}

TEST_CASE("shapes that do not fit are refused", "[kernels]") {
  const Grid<float> grid(3);
  const Tensor<float> x = random_matrix<float>(4, 5, 1);
  Tensor<float> y(4, 5);
  CHECK_THROWS_AS(fake_quantize<float>(x.view(), grid.view(), y.view()), ShapeError);
  const Grid<float> one(1);
  const std::vector<std::uint8_t> keep(3);
  CHECK_THROWS_AS(fake_quantize<float>(x.view(), one.view(), y.view(), {keep, {}}), ShapeError);
  CHECK_THROWS_AS(value_range(x.view(), {keep, {}}), ShapeError);
  Tensor<float> small(3, 5);
  CHECK_THROWS_AS(fake_quantize<float>(x.view(), one.view(), small.view()), ShapeError);
}
