// SPDX-License-Identifier: MIT
#include "tessera/kernels/elementwise.hpp"

#include "support/catch.hpp"
#include "support/dense_cases.hpp"

using namespace tessera;
using test::Dense;

namespace {

/// got(i, j) against expected(i, j) with one rounding more than the double result has.
template <class T, class Expected>
void check_each(const Dense<T>& got, Expected expected) {
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < got.rows(); ++i) {
    for (std::size_t j = 0; j < got.cols(); ++j) {
      const double want = expected(i, j);
      // Operands lie in [-1, 1], alpha is 2.5: intermediate results stay below 4.
      wrong += !(std::abs(static_cast<double>(got(i, j)) - want) <= 2 * 4 * test::unit_roundoff<T>());
    }
  }
  CHECK(wrong == 0);
  CHECK(got.gaps_untouched());
}

template <class T>
void all_four(std::size_t rows, std::size_t cols) {
  const auto a = Dense<T>::random(rows, cols, 1, 3);
  const auto b = Dense<T>::random(rows, cols, 2);
  const auto at = [](const Dense<T>& m, std::size_t i, std::size_t j) {
    return static_cast<double>(m(i, j));
  };
  Dense<T> y(rows, cols, 1);
  add(a, b, y.view());
  check_each(y, [&](auto i, auto j) { return at(a, i, j) + at(b, i, j); });
  multiply(a, b, y.view());
  check_each(y, [&](auto i, auto j) { return at(a, i, j) * at(b, i, j); });
  scale(T(2.5), a, y.view());
  check_each(y, [&](auto i, auto j) { return 2.5 * at(a, i, j); });
  auto z = Dense<T>::random(rows, cols, 3, 1);
  const auto before = z;
  axpy(T(2.5), a, z.view());
  check_each(z, [&](auto i, auto j) { return at(before, i, j) + 2.5 * at(a, i, j); });
  auto in_place = a;
  add(in_place, in_place, in_place.view());
  check_each(in_place, [&](auto i, auto j) { return 2 * at(a, i, j); });
}

}  // namespace

TEST_CASE("elementwise: values at every level, extent and stride", "[elementwise]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const std::size_t rows : {0u, 1u, 211u}) {
      for (const std::size_t cols : {0u, 1u, 16u, 131u}) {
        all_four<float>(rows, cols);
        all_four<double>(rows, cols);
      }
    }
  }
}

TEST_CASE("elementwise: same bits at any number of threads", "[elementwise]") {
  const auto a = Dense<float>::random(2003, 61, 1);
  CHECK(test::same_at_any_thread_count([&] {
    auto y = Dense<float>::random(2003, 61, 2);
    axpy(0.3f, a, y.view());
    return y;
  }));
}

TEST_CASE("elementwise: wrong extents are refused", "[elementwise]") {
  Dense<float> a(2, 3), b(3, 2);
  REQUIRE_THROWS_AS(add(a, b, a.view()), ShapeError);
  REQUIRE_THROWS_AS(multiply(b, a, a.view()), ShapeError);
  REQUIRE_THROWS_AS(scale(1.0f, a, b.view()), ShapeError);
  REQUIRE_THROWS_AS(axpy(1.0f, a, b.view()), ShapeError);
}
