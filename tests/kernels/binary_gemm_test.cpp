// SPDX-License-Identifier: MIT
#include "tessera/kernels/binary_gemm.hpp"

#include <cmath>
#include <cstddef>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/int8_cases.hpp"
#include "support/sparse_cases.hpp"

namespace tessera {
namespace {

float sgn(float x) { return x >= 0 ? 1.0f : -1.0f; }

TEST_CASE("packed signs are the signs", "[binary]") {
  for (const std::size_t cols : {0u, 1u, 63u, 64u, 65u, 130u, 200u}) {
    Tensor<float> x = test::random_matrix<float>(37, cols, cols);
    if (cols > 3) {
      x(0, 0) = 0.0f;
      x(0, 1) = -0.0f;
      x(0, 2) = std::numeric_limits<float>::quiet_NaN();
    }
    for (const Isa isa : test::isa_levels()) {
      const IsaScope scope(isa);
      BitMatrix bits;
      pack_signs(x, bits);
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < 37; ++i) {
        for (std::size_t j = 0; j < cols; ++j) wrong += static_cast<float>(bits.sign(i, j)) != sgn(x(i, j));
        if (cols % 64 != 0) wrong += bits.row(i)[cols / 64] >> (cols % 64) != 0;
      }
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("binary products equal the dots of signs at every level", "[binary]") {
  for (std::size_t depth = 1; depth <= 200; depth += depth < 70 ? 1 : 13) {
    const std::size_t rows = depth % 7, cols = depth % 37 + 1;
    const auto x = test::random_matrix<float>(rows, depth, depth);
    const auto w = test::random_matrix<float>(depth, cols, depth + 1);
    const auto alpha = test::random_floats(cols, 0.1, 1, 3), beta = test::random_floats(rows, 0.1, 1, 4),
               bias = test::random_floats(cols, -1, 1, 5);
    const BinaryWeights packed(w.view());
    for (const Isa isa : test::isa_levels()) {
      const IsaScope scope(isa);
      BitMatrix bits;
      pack_signs(x, bits);
      Tensor<float> y(rows, cols), scaled(rows, cols);
      binary_gemm(bits, packed, {}, y);
      binary_gemm(bits, packed, {alpha, beta, bias}, scaled);
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < rows; ++i) {
        for (std::size_t j = 0; j < cols; ++j) {
          float dot = 0;
          for (std::size_t k = 0; k < depth; ++k) dot += sgn(x(i, k)) * sgn(w(k, j));
          wrong += y(i, j) != dot;
          wrong += scaled(i, j) != std::fma(dot * beta[i], alpha[j], bias[j]);
        }
      }
      CAPTURE(depth, name(isa));
      CHECK(wrong == 0);
    }
  }
}

TEST_CASE("many rows, whose bits tiles multiply as bytes, give the same dots", "[binary]") {
  const std::size_t rows = 4096 + 45, depth = GENERATE(1u, 64u, 130u), cols = 37;
  const auto x = test::random_matrix<float>(rows, depth, 3);
  const auto w = test::random_matrix<float>(depth, cols, 4);
  const auto alpha = test::random_floats(cols, 0.1, 1, 5), beta = test::random_floats(rows, 0.1, 1, 6),
             bias = test::random_floats(cols, -1, 1, 7);
  const BinaryWeights packed(w.view());
  BitMatrix bits;
  pack_signs(x, bits);
  Tensor<float> want(rows, cols);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      float dot = 0;
      for (std::size_t k = 0; k < depth; ++k) dot += sgn(x(i, k)) * sgn(w(k, j));
      want(i, j) = std::fma(dot * beta[i], alpha[j], bias[j]);
    }
  }
  for (const Int8Isa isa : test::int8_levels()) {
    const Int8IsaScope scope(isa);
    CAPTURE(depth, name(isa));
    for (const std::size_t threads : {1u, 4u}) {
      Tensor<float> y(rows, cols);
      with_threads(threads, [&] { binary_gemm(bits, packed, {alpha, beta, bias}, y); });
      CHECK(test::same_bits(y, want));
    }
  }
}

TEST_CASE("long binary rows do not overflow their bytes", "[binary]") {
  const std::size_t depth = 64 * 70;
  const Tensor<float> x = Tensor<float>::filled(1, depth, 1.0f);
  const BinaryWeights w(Tensor<float>::filled(depth, 3, -1.0f).view());
  for (const Isa isa : test::isa_levels()) {
    const IsaScope scope(isa);
    BitMatrix bits;
    pack_signs(x, bits);
    Tensor<float> y(1, 3);
    binary_gemm(bits, w, {}, y);
    CHECK(y(0, 2) == -static_cast<float>(depth));
  }
}

TEST_CASE("Bi-GCN's published example", "[binary]") {
  // x = (.5, -1.2, .3, -.1), w = (1, .2, -.4, .6): beta .525, alpha .55, dot -2.
  Tensor<float> x(1, 4), w(4, 1);
  const float xs[] = {0.5f, -1.2f, 0.3f, -0.1f}, ws[] = {1.0f, 0.2f, -0.4f, 0.6f};
  for (std::size_t k = 0; k < 4; ++k) {
    x(0, k) = xs[k];
    w(k, 0) = ws[k];
  }
  BitMatrix bits;
  pack_signs(x, bits);
  const std::vector<float> alpha{0.55f}, beta{0.525f};
  Tensor<float> y(1, 1);
  binary_gemm(bits, BinaryWeights(w.view()), {alpha, beta, {}}, y);
  CHECK(std::abs(y(0, 0) + 0.5775f) <= 2 * 0x1p-24f);
  CHECK_THROWS_AS(binary_gemm(bits, BinaryWeights(x.view()), {}, y), ShapeError);
  CHECK_THROWS_AS(binary_gemm(bits, BinaryWeights(w.view()), {beta, beta, ws}, y), ShapeError);
}

}  // namespace
}  // namespace tessera
