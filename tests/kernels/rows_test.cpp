// SPDX-License-Identifier: MIT
#include "tessera/kernels/rows.hpp"

#include <vector>

#include "support/catch.hpp"
#include "support/dense_cases.hpp"
#include "tessera/kernels/reference/dense.hpp"

using namespace tessera;
using test::Dense;

namespace {

std::vector<NodeId> random_ids(std::size_t count, std::size_t below) {
  CounterRng rng(make_key(3, 0, Purpose::generate), 0, 0);
  std::vector<NodeId> out(count);
  for (NodeId& id : out) id = static_cast<NodeId>(rng.below(below));
  return out;
}

template <class X, class Y>
void gathers(std::size_t count, std::size_t cols) {
  const auto x = Dense<X>::random(41, cols, 1, 3);
  const auto ids = random_ids(count, 41);
  Dense<Y> got(count, cols, 2), want(count, cols, 2);
  gather_rows(x.view(), std::span<const NodeId>(ids), got.view());
  reference::gather_rows(x.view(), std::span<const NodeId>(ids), want.view());
  CHECK(got.same_bits(want));
}

}  // namespace

TEST_CASE("gather_rows: equals its twin for every pair of types and level", "[rows]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const std::size_t count : {0u, 1u, 7u, 1500u}) {
      for (const std::size_t cols : {0u, 1u, 16u, 37u}) {
        gathers<float, float>(count, cols);
        gathers<float, bf16>(count, cols);
        gathers<bf16, float>(count, cols);
        gathers<bf16, bf16>(count, cols);
        gathers<double, float>(count, cols);
        gathers<float, double>(count, cols);
        gathers<bf16, double>(count, cols);
      }
    }
  }
}

TEST_CASE("gather_rows: double to double keeps all its bits", "[rows]") {
  Dense<double> x(1, 1), y(1, 1);
  x(0, 0) = 1.0 / 3.0;
  const NodeId id = 0;
  gather_rows(std::as_const(x).view(), std::span<const NodeId>(&id, 1), y.view());
  CHECK(y(0, 0) == x(0, 0));
}

TEST_CASE("scatter_add_rows: equals its twin bit for bit, repeats included", "[rows]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const std::size_t count : {0u, 1u, 7u, 3001u}) {
      for (const std::size_t cols : {0u, 1u, 16u, 100u}) {
        const auto z = Dense<float>::random(count, cols, 1, 1);
        const auto ids = random_ids(count, 23);
        auto got = Dense<float>::random(23, cols, 2, 1);
        auto want = got;
        scatter_add_rows(z, ids, got.view());
        reference::scatter_add_rows<float>(z, ids, want);
        CHECK(got.same_bits(want));
      }
    }
  }
  const auto z = Dense<float>::random(3001, 100, 1);
  const auto ids = random_ids(3001, 23);
  CHECK(test::same_at_any_thread_count([&] {
    auto y = Dense<float>::random(23, 100, 2);
    scatter_add_rows(z, ids, y.view());
    return y;
  }));
}

TEST_CASE("scatter_add_rows is the adjoint of gather_rows", "[rows]") {
  const auto x = Dense<double>::random(23, 9, 1);
  const auto g = Dense<double>::random(400, 9, 2);
  const auto ids = random_ids(400, 23);
  Dense<double> gathered(400, 9), scattered(23, 9);
  for (std::size_t i = 0; i < 23; ++i) {
    for (double& v : scattered.view().row(i)) v = 0;
  }
  gather_rows(x.view(), std::span<const NodeId>(ids), gathered.view());
  scatter_add_rows(g, ids, scattered.view());
  double left = 0, right = 0;
  for (std::size_t j = 0; j < 9; ++j) {
    for (std::size_t i = 0; i < 400; ++i) left += gathered(i, j) * g(i, j);
    for (std::size_t i = 0; i < 23; ++i) right += x(i, j) * scattered(i, j);
  }
  CHECK(std::abs(left - right) < 3600 * 3 * test::unit_roundoff<double>() * 3600);
}

TEST_CASE("row_scale: equals its twin, in place too", "[rows]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    const auto x = Dense<float>::random(700, 37, 1, 4);
    const auto factor = test::random_values<float>(700, 2);
    Dense<float> got(700, 37, 4), want(700, 37, 4);
    row_scale(x, factor, got.view());
    reference::row_scale<float>(x, factor, want);
    CHECK(got.same_bits(want));
    auto in_place = x;
    row_scale(in_place, factor, in_place.view());
    CHECK(test::misses(in_place, want.widened(), 0.0) == 0);
  }
}

TEST_CASE("rows: wrong extents are refused", "[rows]") {
  Dense<float> x(3, 4), y(2, 4);
  const std::vector<NodeId> ids = {0, 1, 2};
  const std::vector<float> factor(3);
  REQUIRE_THROWS_AS(gather_rows(std::as_const(x).view(), std::span<const NodeId>(ids), y.view()), ShapeError);
  REQUIRE_THROWS_AS(scatter_add_rows(y, ids, x.view()), ShapeError);
  REQUIRE_THROWS_AS(row_scale(y, factor, y.view()), ShapeError);
}
