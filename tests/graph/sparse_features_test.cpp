// SPDX-License-Identifier: MIT
#include "tessera/graph/sparse_features.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/core/tensor.hpp"

namespace {

using namespace tessera;

/// About one element in `one_in` is a small whole number that is not 0.
Tensor<float> words(std::size_t rows, std::size_t cols, std::uint64_t one_in) {
  Tensor<float> x(rows, cols);
  for (std::size_t i = 0; i < rows; ++i) {
    CounterRng rng(make_key(11, 0, Purpose::generate), 0, i);
    for (std::size_t f = 0; f < cols; ++f) {
      x(i, f) = rng.below(one_in) == 0 ? static_cast<float>(1 + rng.below(9)) : 0.0f;
    }
  }
  return x;
}

Tensor<float> dense(CsrView<> a) {
  Tensor<float> x(a.num_rows, a.num_cols);
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    for (std::size_t f = 0; f < a.num_cols; ++f) x(i, f) = 0;
    for (auto e = a.begin(i); e < a.end(i); ++e) x(i, a.col[e]) = a.weight[e];
  }
  return x;
}

bool is_matrix(const Adjacency& entries, const Tensor<float>& x) {
  const Tensor<float> forward = dense(entries.forward);
  const Tensor<float> transpose = dense(entries.transpose);
  bool same = forward.rows() == x.rows() && forward.cols() == x.cols() && transpose.rows() == x.cols() &&
              transpose.cols() == x.rows();
  for (std::size_t i = 0; same && i < x.rows(); ++i) {
    for (std::size_t f = 0; f < x.cols(); ++f)
      same = same && forward(i, f) == x(i, f) && transpose(f, i) == x(i, f);
  }
  return same;
}

}  // namespace

TEST_CASE("Sparse features are the entries of the matrix, both ways round", "[graph][sparse_features]") {
  for (const std::size_t rows : {std::size_t{0}, std::size_t{1}, std::size_t{700}}) {
    const Tensor<float> x = words(rows, 37, 20);
    const SparseFeatures sparse(x.view());
    CHECK(sparse.rows() == rows);
    CHECK(sparse.cols() == 37);
    CHECK(is_matrix(sparse.adjacency(), x));
  }
  Tensor<float> odd(1, 3);
  odd(0, 0) = -0.0f;
  odd(0, 1) = std::numeric_limits<float>::quiet_NaN();
  odd(0, 2) = -1.0f;
  const SparseFeatures sparse(odd.view());
  REQUIRE(sparse.num_entries() == 2);
  CHECK(std::isnan(sparse.adjacency().forward.weight[0]));
}

TEST_CASE("Gathered sparse features are the rows asked for, in order, repeated ones too",
          "[graph][sparse_features]") {
  const Tensor<float> x = words(500, 60, 15);
  const SparseFeatures all(x.view());
  SparseFeatures some;
  for (const std::size_t count : {std::size_t{300}, std::size_t{0}, std::size_t{41}}) {
    std::vector<NodeId> rows;
    for (std::size_t k = 0; k < count; ++k) rows.push_back(static_cast<NodeId>(k * k % 500));
    some.gather(all, rows);
    Tensor<float> want(count, 60);
    for (std::size_t k = 0; k < count; ++k) {
      for (std::size_t f = 0; f < 60; ++f) want(k, f) = x(rows[k], f);
    }
    CHECK(is_matrix(some.adjacency(), want));
  }
}

TEST_CASE("The density of a small matrix is exact, that of a large one is sampled",
          "[graph][sparse_features]") {
  CHECK(estimated_density(MatrixView<const float>()) == 0);
  Tensor<float> x(8, 5);
  for (std::size_t i = 0; i < 8; ++i) {
    for (std::size_t f = 0; f < 5; ++f) x(i, f) = f == 0 && i < 4 ? 2.0f : 0.0f;
  }
  CHECK(estimated_density(x.view()) == 0.1);
  // 4096 x 20 draws at 1/10: six standard deviations are 0.0063.
  CHECK(std::abs(estimated_density(words(20'000, 20, 10).view()) - 0.1) < 0.0063);
}
