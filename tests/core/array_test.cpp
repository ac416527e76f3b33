// SPDX-License-Identifier: MIT
#include "tessera/core/array.hpp"

#include <cstdint>

#include "support/catch.hpp"

using tessera::Array;
using tessera::BufferPool;

TEST_CASE("An array grows, keeps its values and shrinks without letting go", "[array]") {
  Array<std::int32_t> a;
  for (std::int32_t i = 0; i < 1000; ++i) a.push_back(i);
  REQUIRE(a.size() == 1000);
  for (std::int32_t i = 0; i < 1000; ++i) REQUIRE(a[static_cast<std::size_t>(i)] == i);
  const auto capacity = a.capacity();
  a.resize(3);
  CHECK(a.capacity() == capacity);
  CHECK(a[2] == 2);
  a.assign(5, 9);
  CHECK(a[4] == 9);
  a.clear();
  CHECK(a.empty());
}

TEST_CASE("An array that changes size within its capacity never asks the pool", "[array]") {
  Array<double> a(1000);
  const auto before = BufferPool::global().stats().used_bytes;
  for (std::size_t n : {1u, 1000u, 10u, 500u}) a.resize(n);
  CHECK(BufferPool::global().stats().used_bytes == before);
}

TEST_CASE("Copies are explicit, moves empty their source", "[array]") {
  Array<int> a(4, 7);
  const auto b = Array<int>::copy_of(a);
  a[0] = 1;
  CHECK(b[0] == 7);
  Array<int> c = std::move(a);
  CHECK(a.empty());
  CHECK(c[0] == 1);
  STATIC_REQUIRE(!std::is_copy_constructible_v<Array<int>>);
}
