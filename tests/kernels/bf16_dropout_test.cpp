// SPDX-License-Identifier: MIT
#include "tessera/kernels/bf16_dropout.hpp"

#include "support/catch.hpp"
#include "support/dense_cases.hpp"
#include "tessera/kernels/convert.hpp"
#include "tessera/kernels/reference/dense.hpp"

using namespace tessera;
using test::Dense;

namespace {

DropoutMask mask_of(float p) { return {p, make_key(7, 3, Purpose::dropout), 1}; }

/// The twin of dropout on the widened elements, rounded.
template <class X>
Dense<bf16> wanted(const Dense<X>& x, const DropoutMask& mask, std::size_t gap) {
  Dense<float> wide(x.rows(), x.cols()), y(x.rows(), x.cols());
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) wide(i, j) = static_cast<float>(x(i, j));
  }
  reference::dropout<float>(wide.view(), y.view(), mask);
  Dense<bf16> out(x.rows(), x.cols(), gap);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) out(i, j) = bf16(y(i, j));
  }
  return out;
}

}  // namespace

TEST_CASE("bf16_dropout is dropout of the widened, rounded, at every level and width", "[bf16][dropout]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const std::size_t cols : {0u, 1u, 15u, 17u, 128u, 129u, 300u}) {
      for (const float p : {0.0f, 0.3f, 1.0f}) {
        Dense<bf16> y(37, cols, 3);
        const auto narrow = Dense<bf16>::random(37, cols, 1, 3);
        bf16_dropout<bf16>(narrow, y.view(), mask_of(p));
        CHECK(y.same_bits(wanted(narrow, mask_of(p), 3)));
        const auto wide = Dense<float>::random(37, cols, 2, 1);
        bf16_dropout<float>(wide, y.view(), mask_of(p));
        CHECK(y.same_bits(wanted(wide, mask_of(p), 3)));
      }
    }
  }
}

TEST_CASE("bf16_dropout_backward is bf16_dropout under the mask remembered, at every level and width",
          "[bf16][dropout]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const std::size_t cols : {0u, 1u, 15u, 17u, 128u, 129u, 300u}) {
      for (const float p : {0.0f, 0.3f, 1.0f}) {
        const auto x = Dense<bf16>::random(37, cols, 1, 3);
        Dense<bf16> y(37, cols, 3);
        Bf16DropoutBits bits(37, cols);
        bf16_dropout<bf16>(x, y.view(), mask_of(p), &bits);
        CHECK(y.same_bits(wanted(x, mask_of(p), 3)));
        auto grad = Dense<bf16>::random(37, cols, 5, 3);
        const auto drawn_again = wanted(grad, mask_of(p), 3);
        bf16_dropout_backward(grad.view(), bits, mask_of(p));
        CHECK(grad.same_bits(drawn_again));
        Dense<float> wide = Dense<float>::random(37, cols, 6);
        Bf16DropoutBits same(37, cols);
        bf16_dropout<float>(wide, y.view(), mask_of(p), &same);
        std::size_t differing = 0;
        for (std::size_t i = 0; i < 37; ++i) {
          for (std::size_t j = 0; j < cols; ++j) {
            if ((same.row(i)[j / 16] >> (j % 16) & 1) != (bits.row(i)[j / 16] >> (j % 16) & 1)) ++differing;
          }
        }
        CHECK(differing == 0);
      }
    }
  }
}

TEST_CASE("bf16_dropout: in place, and the same bits at any number of threads", "[bf16][dropout]") {
  const auto x = Dense<bf16>::random(2003, 41, 1);
  Dense<bf16> y(2003, 41), z = x;
  bf16_dropout<bf16>(x, y.view(), mask_of(0.5f));
  bf16_dropout<bf16>(z, z.view(), mask_of(0.5f));
  CHECK(y.same_bits(z));
  CHECK(test::same_at_any_thread_count([&] {
    Dense<bf16> out(2003, 41);
    bf16_dropout<bf16>(x, out.view(), mask_of(0.5f));
    return out;
  }));
}

TEST_CASE("bf16_dropout: wrong extents and probabilities are refused", "[bf16][dropout]") {
  Dense<bf16> x(2, 3), y(2, 4);
  REQUIRE_THROWS_AS(bf16_dropout<bf16>(x, y.view(), mask_of(0.5f)), ShapeError);
  REQUIRE_THROWS_AS(bf16_dropout<bf16>(x, x.view(), mask_of(1.5f)), ConfigError);
  Bf16DropoutBits bits(2, 33);
  REQUIRE_THROWS_AS(bf16_dropout<bf16>(x, x.view(), mask_of(0.5f), &bits), ShapeError);
  REQUIRE_THROWS_AS(bf16_dropout_backward(x.view(), bits, mask_of(0.5f)), ShapeError);
  Bf16DropoutBits as_many_words(6, 1);
  Dense<bf16> wide(2, 33);
  REQUIRE_THROWS_AS(bf16_dropout_backward(wide.view(), as_many_words, mask_of(0.5f)), ShapeError);
  Bf16DropoutBits fits(2, 3);
  REQUIRE_THROWS_AS(bf16_dropout_backward(x.view(), fits, mask_of(1.5f)), ConfigError);
}
