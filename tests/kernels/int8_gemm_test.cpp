// SPDX-License-Identifier: MIT
#include "tessera/kernels/int8_gemm.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "support/catch.hpp"
#include "support/int8_cases.hpp"
#include "support/sparse_cases.hpp"
#include "tessera/kernels/reference/int8.hpp"

namespace tessera {
namespace {

using test::random_codes;

struct Shape {
  std::size_t rows, depth, cols;
};

constexpr Shape kShapes[] = {{0, 5, 3},      {1, 1, 1},      {1, 64, 16},  {3, 7, 4},
                             {33, 63, 17},   {32, 64, 32},   {97, 65, 33}, {48, 128, 7},
                             {100, 200, 47}, {31, 602, 256}, {5, 0, 3}};

/// A product over random codes, with what it borrows.
struct Case {
  Tensor<std::uint8_t> x;
  Tensor<std::int8_t> codes;
  Int8Weights w;
  std::vector<std::int32_t> offset;
  std::vector<float> multiplier, row, bias;
  Tensor<float> addend;

  Case(const Shape& s, std::int32_t zero_point, std::uint64_t seed)
      : x(random_codes<std::uint8_t>(s.rows, s.depth, 0, 255, seed)),
        codes(random_codes<std::int8_t>(s.depth, s.cols, -128, 127, seed + 1)),
        w(codes.view(), zero_point),
        offset(test::random_ints(s.cols, -100000, 100000, seed + 2)),
        multiplier(test::random_floats(s.cols, 1e-5, 1e-3, seed + 3)),
        row(test::random_floats(s.rows, 0.1, 1, seed + 4)),
        bias(test::random_floats(s.cols, -30, 30, seed + 5)),
        addend(test::random_matrix<float>(s.rows, s.cols, seed + 6)) {}

  Int8Product product(bool scaled) const {
    if (!scaled) return {x, w, offset, multiplier};
    return {x, w, offset, multiplier, row, bias, addend};
  }
};

TEST_CASE("int8_gemm gives the sums of its definition at every level", "[int8]") {
  for (const Shape& s : kShapes) {
    const Case c(s, 0, 5);
    for (const Int8Isa isa : test::int8_levels()) {
      const Int8IsaScope scope(isa);
      Tensor<std::int32_t> got = Tensor<std::int32_t>::filled(s.rows, s.cols, -7);
      int8_gemm(c.x, c.w, got);
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < s.rows; ++i) {
        for (std::size_t j = 0; j < s.cols; ++j) {
          std::int64_t want = 0;
          for (std::size_t k = 0; k < s.depth; ++k) want += std::int64_t{c.x(i, k)} * c.codes(k, j);
          wrong += got(i, j) != want;
        }
      }
      CAPTURE(name(isa), s.rows, s.depth, s.cols);
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("products of the largest codes are exact: no level saturates", "[int8]") {
  const std::size_t depth = 600;
  Tensor<std::uint8_t> x = Tensor<std::uint8_t>::filled(5, depth, 255);
  for (const int w : {127, -128}) {
    const Int8Weights weights(Tensor<std::int8_t>::filled(depth, 20, static_cast<std::int8_t>(w)).view());
    for (const Int8Isa isa : test::int8_levels()) {
      const Int8IsaScope scope(isa);
      Tensor<std::int32_t> y(5, 20);
      int8_gemm(x, weights, y);
      CAPTURE(name(isa));
      CHECK(y(0, 0) == 255 * w * 600);
      CHECK(y(4, 19) == 255 * w * 600);
    }
  }
}

TEST_CASE("int8_linear and its pair equal their reference bit for bit at every level", "[int8]") {
  const std::int32_t zero_point = GENERATE(0, 3, -128);
  const bool scaled = GENERATE(false, true);
  const CodeRange range{11, 0, 255};
  const CodeRange clipped = CodeRange{100, 20, 130}.relu();
  for (const Shape& s : kShapes) {
    const Case a(s, zero_point, 15), b({s.rows, s.depth / 2 + 1, s.cols}, zero_point, 25);
    for (const Int8Isa isa : test::int8_levels()) {
      const Int8IsaScope scope(isa);
      Tensor<std::uint8_t> codes(s.rows, s.cols), narrow(s.rows, s.cols), pair(s.rows, s.cols);
      Tensor<float> real(s.rows, s.cols), pair_real(s.rows, s.cols);
      const Int8Product one = a.product(scaled), two = b.product(false);
      int8_linear(one, range, codes);
      int8_linear(one, clipped, narrow);
      int8_linear(one, real);
      int8_linear_pair(one, two, range, pair);
      int8_linear_pair(one, two, pair_real);
      std::size_t wrong = 0, clip = 0;
      for (std::size_t i = 0; i < s.rows; ++i) {
        for (std::size_t j = 0; j < s.cols; ++j) {
          const float want = reference::int8_linear_at(one, i, j);
          const float want_pair = reference::int8_pair_at(one, two, i, j);
          wrong += real(i, j) != want;
          wrong += pair_real(i, j) != want_pair;
          wrong += codes(i, j) != reference::code_of(want, range);
          wrong += narrow(i, j) != reference::code_of(want, clipped);
          wrong += pair(i, j) != reference::code_of(want_pair, range);
          clip += narrow(i, j) < 100 || narrow(i, j) > 130;
        }
      }
      CAPTURE(name(isa), s.rows, s.depth, s.cols, zero_point, scaled);
      CHECK(wrong == 0);
      CHECK(clip == 0);
    }
  }
}

TEST_CASE("products whose sums pass 32 bits are split, and exact at every level", "[int8]") {
  // 255 * 128 * 65792 is below 2^31; a zero point of -128 halves that.
  CHECK(Int8Weights::max_depth(0) == 65792);
  CHECK(Int8Weights::max_depth(-128) == 32896);
  const std::int32_t zero_point = GENERATE(0, 50, -128);
  const std::size_t most = Int8Weights::max_depth(zero_point);
  for (const std::size_t depth : {most, most + 1, 2 * most + 77}) {
    const std::size_t rows = 5, cols = 3;
    Case deep({rows, depth, cols}, zero_point, 61);
    const Case shallow({rows, 40, cols}, zero_point, 71);
    // The sums of a row and a column of the largest codes.
    std::fill(deep.x.row(1).begin(), deep.x.row(1).end(), std::uint8_t{255});
    for (std::size_t k = 0; k < depth; ++k) deep.codes(k, 2) = zero_point < 0 ? 127 : -128;
    deep.w = Int8Weights(deep.codes.view(), zero_point);
    REQUIRE(deep.w.deep() == (depth > most));
    REQUIRE(deep.w.parts().size() == (depth + most - 1) / most);
    std::size_t moved = 0;
    for (std::size_t k = 0; k < depth; ++k) {
      for (std::size_t j = 0; j < cols; ++j) moved += deep.w.code(k, j) != deep.codes(k, j);
    }
    CHECK(moved == 0);
    std::vector<std::int64_t> offset;
    for (std::size_t j = 0; j < cols; ++j) {
      offset.push_back(std::int64_t{-3} * deep.w.column_sums()[j] + std::int64_t{deep.offset[j]});
    }
    Int8Product one = deep.product(true);
    const Int8Product two = shallow.product(false);
    if (deep.w.deep()) {
      one.deep_offset = offset;
      one.offset = {};
    }
    Int8Product later = one;
    later.row = {};
    later.bias = {};
    later.addend = {};
    const CodeRange range{11, 0, 255};
    if (depth > 2 * most) CHECK(std::abs(reference::int8_product_sum_at(one, 1, 2)) > 2147483647);
    Tensor<float> want(rows, cols), want_pair(rows, cols), want_later(rows, cols);
    for (std::size_t i = 0; i < rows; ++i) {
      for (std::size_t j = 0; j < cols; ++j) {
        want(i, j) = reference::int8_linear_at(one, i, j);
        want_pair(i, j) = reference::int8_pair_at(one, two, i, j);
        want_later(i, j) = reference::int8_pair_at(two, later, i, j);
      }
    }
    for (const Int8Isa isa : test::int8_levels()) {
      const Int8IsaScope scope(isa);
      CAPTURE(name(isa), depth, zero_point);
      Tensor<float> real(rows, cols);
      Tensor<std::uint8_t> codes(rows, cols);
      int8_linear(one, real);
      CHECK(test::same_bits(real, want));
      int8_linear_pair(one, two, real);
      CHECK(test::same_bits(real, want_pair));
      int8_linear_pair(two, later, real);
      CHECK(test::same_bits(real, want_later));
      int8_linear(one, range, codes);
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < cols; ++j) wrong += codes(i, j) != reference::code_of(want(i, j), range);
      }
      CHECK(wrong == 0);
    }
    if (!deep.w.deep()) continue;
    Tensor<std::int32_t> sums(rows, cols);
    CHECK_THROWS_AS(int8_gemm(deep.x, deep.w, sums), ShapeError);
    CHECK_THROWS_AS(int8_linear(deep.product(true), want), ShapeError);  // offsets of 32 bits
  }
}

TEST_CASE("int8_quantize rounds halves to even and clamps, at every level", "[int8]") {
  for (const std::size_t cols : {1u, 9u, 16u, 37u}) {
    Tensor<float> x = test::random_matrix<float>(50, cols, 3);
    for (std::size_t i = 0; i < 50; ++i) {
      for (float& v : x.row(i)) v = i % 2 == 0 ? std::round(v * 200) / 2 : v * 1e30f;
    }
    const auto row = test::random_floats(50, 0.1, 2, 4);
    for (const Isa isa : test::isa_levels()) {
      const IsaScope scope(isa);
      for (const bool scaled : {false, true}) {
        Tensor<std::uint8_t> y(50, cols);
        int8_quantize(x, 1.0f, scaled ? std::span<const float>(row) : std::span<const float>{}, {20, 1, 200},
                      y);
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < 50; ++i) {
          for (std::size_t j = 0; j < cols; ++j) {
            const double v = scaled ? static_cast<double>(x(i, j) * row[i]) : static_cast<double>(x(i, j));
            wrong += y(i, j) != static_cast<std::uint8_t>(std::clamp(std::nearbyint(v) + 20, 1.0, 200.0));
          }
        }
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("moving a zero point with its codes changes nothing", "[int8]") {
  // x - zx = (x + c) - (zx + c), in the offsets; w - zw = (w + c) - (zw + c), in the weights' zero point.
  const Shape s{20, 70, 18};
  const Case a(s, 0, 31);
  Tensor<std::uint8_t> low(s.rows, s.depth), high(s.rows, s.depth);
  Tensor<std::int8_t> w(s.depth, s.cols), moved(s.depth, s.cols);
  for (std::size_t k = 0; k < s.depth; ++k) {
    for (std::size_t i = 0; i < s.rows; ++i) {
      low(i, k) = static_cast<std::uint8_t>(a.x(i, k) / 2);
      high(i, k) = static_cast<std::uint8_t>(low(i, k) + 90);
    }
    for (std::size_t j = 0; j < s.cols; ++j) {
      w(k, j) = static_cast<std::int8_t>(a.codes(k, j) / 2);
      moved(k, j) = static_cast<std::int8_t>(w(k, j) + 50);
    }
  }
  const auto real = [&](const Tensor<std::uint8_t>& x, int zx, const Tensor<std::int8_t>& codes, int zw) {
    const Int8Weights weights(codes.view(), zw);
    std::vector<std::int32_t> offset(s.cols);
    for (std::size_t j = 0; j < s.cols; ++j) {
      offset[j] = -zx * weights.column_sums()[j] + static_cast<std::int32_t>(s.depth) * zx * zw;
    }
    Tensor<float> y(s.rows, s.cols);
    int8_linear({x, weights, offset, a.multiplier}, y);
    return y;
  };
  const auto want = real(low, 7, w, 0);
  CHECK(test::same_bits(real(high, 97, w, 0), want));
  CHECK(test::same_bits(real(low, 7, moved, 50), want));
  CHECK(test::same_bits(real(high, 97, moved, 50), want));
}

TEST_CASE("int8_linear gives the same bits for any number of threads, on strided views", "[int8]") {
  const Case c({3000, 130, 40}, 0, 41);
  Tensor<std::uint8_t> want(3000, 40);
  with_threads(1, [&] { int8_linear(c.product(true), CodeRange{}, want); });
  for (const std::size_t threads : {2u, 4u, 16u}) {
    Tensor<std::uint8_t> wide = Tensor<std::uint8_t>::filled(3000, 64, 9);
    with_threads(threads, [&] { int8_linear(c.product(true), CodeRange{}, wide.view().middle_cols(5, 40)); });
    std::size_t wrong = 0;
    for (std::size_t i = 0; i < 3000; ++i) {
      for (std::size_t j = 0; j < 64; ++j) wrong += wide(i, j) != (j >= 5 && j < 45 ? want(i, j - 5) : 9);
    }
    CHECK(wrong == 0);
  }
}

TEST_CASE("integer products refuse what does not fit", "[int8]") {
  const Case c({4, 8, 3}, 0, 51);
  Tensor<std::uint8_t> y(4, 3), other(4, 4);
  CHECK_THROWS_AS(int8_linear(c.product(false), CodeRange{}, other), ShapeError);
  CHECK_THROWS_AS(int8_linear({c.x, c.w, std::span(c.offset).first(2), c.multiplier}, CodeRange{}, y),
                  ShapeError);
  CHECK_THROWS_AS(int8_linear(c.product(false), CodeRange{0, 0, 256}, y), ConfigError);
  CHECK_THROWS_AS(int8_linear(c.product(false), CodeRange{0, 9, 3}, y), ConfigError);
  CHECK_THROWS_AS(int8_linear_pair(c.product(false), c.product(true), CodeRange{}, y), ShapeError);
  const MatrixView<const std::int8_t> narrow(nullptr, 3, 0), endless(nullptr, std::size_t{1} << 24, 0);
  CHECK_NOTHROW(Int8Weights(narrow, -128));
  CHECK_THROWS_AS(Int8Weights(narrow, -129), ConfigError);
  CHECK_THROWS_AS(Int8Weights(narrow, 128), ConfigError);
  CHECK_THROWS_AS(Int8Weights(endless), ShapeError);
}

}  // namespace
}  // namespace tessera
