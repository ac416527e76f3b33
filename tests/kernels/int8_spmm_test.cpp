// SPDX-License-Identifier: MIT
#include "tessera/kernels/int8_spmm.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

#include "support/catch.hpp"
#include "support/int8_cases.hpp"
#include "support/sparse_cases.hpp"
#include "tessera/kernels/reference/int8.hpp"

namespace tessera {
namespace {

using test::SparseCase;

TEST_CASE("int8_spmm equals its reference bit for bit at every level and width", "[int8]") {
  const bool weighted = GENERATE(false, true);
  const CodeRange range{3, 0, 255};
  for (const SparseCase& matrix : test::awkward_cases(false)) {
    const CsrView<> a = matrix.view();
    for (const std::size_t cols : {1u, 7u, 16u, 33u, 64u, 100u, 256u, 900u}) {
      if (cols == 900 && a.num_rows == 1000) continue;  // the bipartite and hub cases cover several tiles
      const auto x = test::random_codes<std::uint8_t>(a.num_cols, cols, 0, 255, 3);
      std::vector<std::uint8_t> weight;
      const auto codes = test::random_codes<std::uint8_t>(1, weighted ? a.num_edges() : 0, 0, 255, 4);
      for (std::size_t e = 0; e < codes.cols(); ++e) weight.push_back(codes(0, e));
      const auto row = test::random_floats(a.num_rows, 0.001, 0.1, 5);
      const auto bias = test::random_floats(cols, -50, 50, 6);
      const Int8Neighbors in{x, 17, weight, row, 1, bias, a.num_cols >= a.num_rows ? 0.7f : 0.0f};
      const Int8Neighbors plain{x, 200, weight, {}, 0.01f, {}, 0};
      Tensor<float> want(a.num_rows, cols), want_plain(a.num_rows, cols);
      for (std::size_t i = 0; i < a.num_rows; ++i) {
        for (std::size_t f = 0; f < cols; ++f) {
          want(i, f) = reference::int8_spmm_at(a, in, i, f);
          want_plain(i, f) = reference::int8_spmm_at(a, plain, i, f);
        }
      }
      for (const Isa isa : test::isa_levels()) {
        const IsaScope scope(isa);
        Tensor<float> real(a.num_rows, cols);
        Tensor<std::uint8_t> got(a.num_rows, cols);
        CAPTURE(matrix.name, cols, name(isa), weighted);
        int8_spmm(a, plain, real);
        CHECK(test::same_bits(real, want_plain));
        int8_spmm(a, in, real);
        CHECK(test::same_bits(real, want));
        int8_spmm(a, in, range, got);
        std::size_t wrong = 0;
        for (std::size_t i = 0; i < a.num_rows; ++i) {
          for (std::size_t f = 0; f < cols; ++f) wrong += got(i, f) != reference::code_of(want(i, f), range);
        }
        CHECK(wrong == 0);
      }
    }
  }
}

TEST_CASE("int8_spmm gives the same codes for any number of threads", "[int8]") {
  const SparseCase matrix = test::awkward_cases(false).back();  // has a hub
  const auto x = test::random_codes<std::uint8_t>(matrix.num_cols, 100, 0, 255, 8);
  const Int8Neighbors in{x, 90, {}, {}, 0.01f, {}, 0};
  Tensor<std::uint8_t> want(matrix.num_rows(), 100);
  with_threads(1, [&] { int8_spmm(matrix.view(), in, CodeRange{128, 0, 255}, want); });
  for (const std::size_t threads : {2u, 4u, 16u}) {
    Tensor<std::uint8_t> got(matrix.num_rows(), 100);
    with_threads(threads, [&] { int8_spmm(matrix.view(), in, CodeRange{128, 0, 255}, got); });
    CHECK(test::same_bits(got, want));
  }
}

TEST_CASE("sums beyond 32 bits are split: exact for rows of any degree", "[int8]") {
  CHECK(int8_spmm_max_degree(false) == 8421504);
  CHECK(int8_spmm_max_degree(true) == 33025);
  const std::size_t degree = int8_spmm_max_degree(false) + 5000;
  const std::size_t columns = 3;
  const std::vector<NodeId> col(degree, 1);
  const std::vector<EdgeId> row_ptr{0, degree};
  Tensor<std::uint8_t> x = Tensor<std::uint8_t>::filled(2, columns, 255);
  Tensor<float> y(1, columns);
  const CsrView<> a{1, 2, row_ptr, col, {}};
  int8_spmm(a, {x, 0, {}, {}, 1, {}, 0}, y);
  CHECK(y(0, 2) == static_cast<float>(degree * 255));
  // The same with weights, from 33 026 neighbours on, and cancelling: (255 - 254) * 255 each.
  for (const std::size_t n : {std::size_t{33025}, std::size_t{33026}, std::size_t{70000}}) {
    const std::vector<EdgeId> bounds{0, n};
    const std::vector<std::uint8_t> weight(n, 255);
    const CsrView<> b{1, 2, bounds, std::span(col).first(n), {}};
    int8_spmm(b, {x, 0, weight, {}, 1, {}, 0}, y);
    CHECK(y(0, 0) == static_cast<float>(n * 255 * 255));
    int8_spmm(b, {x, 254, weight, {}, 1, {}, 0}, y);
    CHECK(y(0, 0) == static_cast<float>(n * 255));
  }
}

TEST_CASE("an isolated node has the bias and the zero code", "[int8]") {
  const std::vector<EdgeId> row_ptr{0, 0};
  const CsrView<> a{1, 1, row_ptr, {}, {}};
  const auto x = test::random_codes<std::uint8_t>(1, 5, 0, 255, 8);
  Tensor<std::uint8_t> y(1, 5);
  int8_spmm(a, {x, 90, {}, {}, 0.3f, {}, 0}, CodeRange{77, 0, 255}, y);
  for (const std::uint8_t q : y.row(0)) CHECK(q == 77);
}

TEST_CASE("int8_spmm refuses what does not fit", "[int8]") {
  const SparseCase a{"", 3, {0, 1, 3}, {1, 0, 2}, {}};
  Tensor<std::uint8_t> x = Tensor<std::uint8_t>::zeros(3, 4);
  Tensor<std::uint8_t> y(2, 4), narrow(2, 3);
  const std::vector<float> three(3);
  const std::vector<std::uint8_t> two(2);
  CHECK_THROWS_AS(int8_spmm(a.view(), {x}, CodeRange{}, narrow), ShapeError);
  CHECK_THROWS_AS(int8_spmm(a.view(), {y}, CodeRange{}, y), ShapeError);
  CHECK_THROWS_AS(int8_spmm(a.view(), {x, 0, two}, CodeRange{}, y), ShapeError);
  CHECK_THROWS_AS(int8_spmm(a.view(), {x, 0, {}, three}, CodeRange{}, y), ShapeError);
  CHECK_THROWS_AS(int8_spmm(a.view(), {x, 0, {}, {}, 1, three}, CodeRange{}, y), ShapeError);
  CHECK_THROWS_AS(int8_spmm(a.view(), {x}, CodeRange{300, 0, 255}, y), ConfigError);
}

}  // namespace
}  // namespace tessera
