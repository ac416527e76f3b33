// SPDX-License-Identifier: MIT
#include "tessera/core/tensor.hpp"

#include <cstdint>
#include <limits>

#include "support/catch.hpp"

using namespace tessera;

TEST_CASE("Wide rows start on cache lines, narrow rows are packed", "[tensor]") {
  CHECK(Tensor<float>(3, 7).stride() == 7);
  CHECK(Tensor<float>(3, 15).stride() == 15);
  CHECK(Tensor<float>(3, 16).stride() == 16);
  CHECK(Tensor<float>(3, 17).stride() == 32);
  CHECK(Tensor<double>(3, 9).stride() == 16);
  CHECK(Tensor<bf16>(3, 33).stride() == 64);
  CHECK(Tensor<std::int8_t>(3, 65).stride() == 128);
  Tensor<float> t(5, 17);
  for (std::size_t i = 0; i < t.rows(); ++i) {
    CHECK(reinterpret_cast<std::uintptr_t>(t.row(i).data()) % 64 == 0);
  }
}

TEST_CASE("Views share elements with their tensor", "[tensor]") {
  auto t = Tensor<double>::zeros(4, 3);
  t(2, 1) = 5;
  const MatrixView<const double> view = t;
  CHECK(view(2, 1) == 5);
  CHECK(view.middle_rows(2, 2)(0, 1) == 5);
  CHECK(view.middle_cols(1, 2)(2, 0) == 5);
  t.view().middle_rows(1, 1)(0, 0) = 7;
  CHECK(view(1, 0) == 7);
  CHECK(view.middle_rows(4, 0).empty());
}

TEST_CASE("Copies are explicit and deep, moves leave nothing behind", "[tensor]") {
  auto a = Tensor<float>::filled(2, 20, 3.0f);
  auto b = Tensor<float>::copy_of(a);
  b(1, 19) = 4;
  CHECK(a(1, 19) == 3);
  CHECK(b(1, 18) == 3);
  const Tensor<float> c = std::move(a);
  CHECK(c(1, 19) == 3);
  CHECK(a.size() == 0);
  STATIC_REQUIRE(!std::is_copy_constructible_v<Tensor<float>>);
}

TEST_CASE("Empty tensors and absurd extents", "[tensor]") {
  CHECK(Tensor<float>(0, 5).empty());
  CHECK(Tensor<float>(5, 0).empty());
  constexpr std::size_t kHuge = std::numeric_limits<std::size_t>::max();
  CHECK_THROWS_AS(Tensor<float>(kHuge / 8, 64), ShapeError);
  CHECK_THROWS_AS(Tensor<float>(2, kHuge), ShapeError);
}

TEST_CASE("A shrinking resize keeps the block", "[tensor]") {
  Tensor<float> t(100, 64);
  const float* before = t.data();
  t.resize(10, 64);
  CHECK(t.data() == before);
}
