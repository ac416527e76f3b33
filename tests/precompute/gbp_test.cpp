// SPDX-License-Identifier: MIT
#include "tessera/precompute/gbp.hpp"

#include <cmath>
#include <utility>

#include "support/catch.hpp"
#include "support/precompute_cases.hpp"

using namespace tessera;
using namespace tessera::testing;

TEST_CASE("gbp: pushing stays within its bound and gets closer as the threshold falls", "[gbp]") {
  for (const bool weighted : {false, true}) {
    CsrGraph graph = loopy_graph(70, 250, 1);
    if (weighted) graph = with_random_weights(std::move(graph), 2);
    const Tensor<float> x = random_matrix<float>(70, 5, 3);
    Matrix wide(70, 5);
    for (std::size_t i = 0; i < 70; ++i) {
      for (std::size_t f = 0; f < 5; ++f) wide(i, f) = static_cast<double>(x(i, f));
    }
    for (const double r : {0.0, 0.4, 1.0}) {
      // sum of alpha (1 - alpha)^l B^l x, to the end
      const Matrix b = dense_operator(graph, {.kind = OperatorKind::general, .exponent = r});
      constexpr double kAlpha = 0.15;
      Matrix term = Matrix::copy_of(std::as_const(wide).view());
      Matrix want = Matrix::zeros(70, 5);
      double left = kAlpha;
      for (int l = 0; l < 400; ++l) {
        for (std::size_t i = 0; i < 70; ++i) {
          for (std::size_t f = 0; f < 5; ++f) want(i, f) += left * term(i, f);
        }
        left *= 1 - kAlpha;
        term = multiply(b, term);
      }
      const PropagationOperator op(graph, {.kind = OperatorKind::general, .exponent = r});
      double before = 1e9;
      for (const double threshold : {1e-1, 1e-3, 1e-5, 1e-9}) {
        GbpCounts counts;
        const Tensor<float> got =
            gbp_push(graph, x.view(), {.alpha = kAlpha, .exponent = r, .threshold = threshold}, &counts);
        double worst = 0;
        for (std::size_t f = 0; f < 5; ++f) {
          double above = 0, below = 0;
          for (std::size_t i = 0; i < 70; ++i) {
            (wide(i, f) > 0 ? above : below) += std::abs(wide(i, f)) * op.unscale(i);
          }
          for (std::size_t i = 0; i < 70; ++i) {
            const double error = static_cast<double>(got(i, f)) - want(i, f);
            const double bound = op.scale(i) * (1 - kAlpha) * threshold;
            const double rounding = 1e-7 * std::abs(want(i, f)) + 1e-12;
            REQUIRE(error <= bound * below + rounding);  // what is missing of the negative part
            REQUIRE(-error <= bound * above + rounding);
            worst = std::max(worst, std::abs(error));
          }
        }
        CHECK(worst <= before);
        if (threshold < 1e-2) CHECK(counts.pushes > 0);
        before = worst;
      }
    }
  }
}

TEST_CASE("gbp: columns of zeros, thread counts, bad options", "[gbp]") {
  const CsrGraph graph = loopy_graph(40, 100, 4);
  const Tensor<float> zero = Tensor<float>::zeros(40, 3);
  CHECK(same_bits<float>(gbp_push(graph, zero.view()).view(), zero.view()));
  const Tensor<float> x = random_matrix<float>(40, 9, 5);
  const Tensor<float> one = with_threads(1, [&] { return gbp_push(graph, x.view()); });
  const Tensor<float> four = with_threads(4, [&] { return gbp_push(graph, x.view()); });
  CHECK(same_bits<float>(one.view(), four.view()));
  CHECK_THROWS_AS(gbp_push(graph, x.view(), {.alpha = 0}), ConfigError);
  CHECK_THROWS_AS(gbp_push(graph, x.view(), {.exponent = -1}), ConfigError);
  CHECK_THROWS_AS(gbp_push(graph, x.view(), {.threshold = 0}), ConfigError);
  CHECK_THROWS_AS(gbp_push(random_directed(40, 100, 1), x.view()), ConfigError);
  CHECK_THROWS_AS(gbp_push(graph, Tensor<float>(39, 2).view()), ShapeError);
}
