// SPDX-License-Identifier: MIT
#include "tessera/kernels/column_sum.hpp"

#include <vector>

#include "support/catch.hpp"
#include "support/dense_cases.hpp"
#include "tessera/kernels/reference/dense.hpp"

using namespace tessera;
using test::Dense;

TEST_CASE("column_sum: hand-checked, replacing and adding", "[column_sum]") {
  Dense<double> x(3, 2);
  for (std::size_t i = 0; i < 3; ++i) {
    x(i, 0) = static_cast<double>(i);
    x(i, 1) = 10;
  }
  std::vector<double> out = {5, 5};
  column_sum(x, std::span<double>(out));
  CHECK(out == std::vector<double>{3, 30});
  column_sum(x, std::span<double>(out), Accumulate::yes);
  CHECK(out == std::vector<double>{6, 60});
}

TEST_CASE("column_sum: agrees with its twin at every level and extent", "[column_sum]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const std::size_t rows : {0u, 1u, 63u, 64u, 65u, 5001u}) {
      for (const std::size_t cols : {0u, 1u, 7u, 16u, 1031u}) {
        const auto x = Dense<float>::random(rows, cols, 1, 2);
        auto got = Dense<float>::random(1, cols, 2);
        auto want = got.widened();
        reference::column_sum<double>(x.widened(), want.view().row(0), Accumulate::yes);
        column_sum(x, got.view().row(0), Accumulate::yes);
        const double terms = static_cast<double>(rows + 2);
        CHECK(test::misses(got, want, terms * terms * test::unit_roundoff<float>()) == 0);
      }
    }
  }
}

TEST_CASE("column_sum: same bits at any number of threads", "[column_sum]") {
  const auto x = Dense<float>::random(20011, 33, 1);
  CHECK(test::same_at_any_thread_count([&] {
    Dense<float> out(1, 33);
    column_sum(x, out.view().row(0));
    return out;
  }));
}

TEST_CASE("column_sum: wrong extents are refused", "[column_sum]") {
  Dense<float> x(2, 3), out(1, 2);
  REQUIRE_THROWS_AS(column_sum(x, out.view().row(0)), ShapeError);
}
