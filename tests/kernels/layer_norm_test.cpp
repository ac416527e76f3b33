// SPDX-License-Identifier: MIT
#include "tessera/kernels/layer_norm.hpp"

#include <vector>

#include "support/catch.hpp"
#include "support/dense_cases.hpp"
#include "tessera/kernels/reference/dense.hpp"

using namespace tessera;
using test::Dense;

namespace {

template <class T>
struct Affine {
  std::vector<T> gamma, beta;
};

}  // namespace

TEST_CASE("reference layer_norm: hand-checked", "[layer_norm]") {
  Dense<double> x(1, 2), y(1, 2);
  x(0, 0) = 1;
  x(0, 1) = 5;  // mean 3, variance 4
  const double gamma[] = {2, 1};
  const double beta[] = {0, 7};
  reference::layer_norm<double>(x, gamma, beta, y, 0.0);
  CHECK(y(0, 0) == -2);
  CHECK(y(0, 1) == 8);
}

TEST_CASE("layer_norm: agrees with its twin at every level and extent", "[layer_norm]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const std::size_t rows : {0u, 1u, 301u}) {
      for (const std::size_t cols : {1u, 2u, 16u, 17u, 131u}) {
        for (const bool affine : {false, true}) {
          const auto x = Dense<float>::random(rows, cols, 1, 3);
          const auto gamma = test::random_values<float>(affine ? cols : 0, 2);
          const auto beta = test::random_values<float>(affine ? cols : 0, 3);
          std::vector<float> mean(rows), inv_std(rows);
          Dense<float> got(rows, cols, 1);
          layer_norm(x, gamma, beta, got.view(), mean, inv_std);
          Dense<double> want(rows, cols);
          const std::vector<double> gamma_wide(gamma.begin(), gamma.end());
          const std::vector<double> beta_wide(beta.begin(), beta.end());
          reference::layer_norm<double>(x.widened(), gamma_wide, beta_wide, want, 1e-5);
          // A mean of F terms below 1 errs by at most (F + 1) u; inv_std <= 1 / sqrt(1e-5) magnifies it, and
          // the squares in the variance magnify it once more relative to the result's own size sqrt(F).
          for (std::size_t i = 0; i < rows; ++i) {
            const double size = static_cast<double>(cols) + 8;
            const double inv = static_cast<double>(inv_std[i]);
            const double bound = size * test::unit_roundoff<float>() * (inv + std::sqrt(size) * (1 + inv));
            for (std::size_t j = 0; j < cols; ++j) {
              REQUIRE(std::abs(static_cast<double>(got(i, j)) - want(i, j)) <= bound);
            }
          }
          CHECK(got.gaps_untouched());
        }
      }
    }
  }
}

TEST_CASE("layer_norm: a constant row gives beta, a shifted row the same values", "[layer_norm]") {
  Dense<double> x(1, 8), y(1, 8);
  for (double& v : x.view().row(0)) v = 3;
  std::vector<double> mean(1), inv_std(1), beta(8, 0.25);
  layer_norm(x, {}, beta, y.view(), mean, inv_std);
  for (const double v : y.view().row(0)) CHECK(v == 0.25);
  CHECK(mean[0] == 3);
  CHECK(inv_std[0] == 1 / std::sqrt(1e-5));
}

TEST_CASE("layer_norm_backward: numeric gradients in double", "[layer_norm]") {
  constexpr std::size_t kRows = 7, kCols = 11;
  for (const bool affine : {false, true}) {
    auto x = Dense<double>::random(kRows, kCols, 1);
    auto gamma = Dense<double>::random(1, affine ? kCols : 0, 2);
    auto beta = Dense<double>::random(1, affine ? kCols : 0, 3);
    const auto weight = Dense<double>::random(kRows, kCols, 4);
    std::vector<double> mean(kRows), inv_std(kRows);
    Dense<double> y(kRows, kCols);
    const auto loss = [&] {
      layer_norm(x, gamma.view().row(0), beta.view().row(0), y.view(), mean, inv_std);
      double sum = 0;
      for (std::size_t i = 0; i < kRows; ++i) {
        for (std::size_t j = 0; j < kCols; ++j) sum += weight(i, j) * y(i, j);
      }
      return sum;
    };
    const double tolerance = test::gradient_tolerance(std::abs(loss()));
    Dense<double> grad(kRows, kCols), grad_gamma(1, kCols), grad_beta(1, kCols);
    for (std::size_t j = 0; j < kCols; ++j) grad_gamma(0, j) = grad_beta(0, j) = 0;
    layer_norm_backward(weight, x, gamma.view().row(0), mean, inv_std, grad.view(), grad_gamma.view().row(0),
                        grad_beta.view().row(0));
    CHECK(test::gradient_error(x, grad, loss) < tolerance);
    CHECK(test::gradient_error(gamma, grad_gamma, loss) < tolerance);
    CHECK(test::gradient_error(beta, grad_beta, loss) < tolerance);

    auto in_place = weight;
    loss();
    layer_norm_backward(in_place, x, gamma.view().row(0), mean, inv_std, in_place.view());
    CHECK(in_place.same_bits(grad));
  }
}

TEST_CASE("layer_norm_backward: same bits at any number of threads", "[layer_norm]") {
  const auto x = Dense<float>::random(3001, 40, 1);
  const auto g = Dense<float>::random(3001, 40, 2);
  const auto gamma = test::random_values<float>(40, 3);
  CHECK(test::same_at_any_thread_count([&] {
    std::vector<float> mean(3001), inv_std(3001);
    Dense<float> y(3001, 40), affine(2, 40);
    for (std::size_t j = 0; j < 40; ++j) affine(0, j) = affine(1, j) = 0;
    layer_norm(x, gamma, {}, y.view(), mean, inv_std);
    layer_norm_backward(g, x, gamma, mean, inv_std, y.view(), affine.view().row(0), affine.view().row(1));
    Dense<float> out(3003, 40);
    for (std::size_t j = 0; j < 40; ++j) {
      for (std::size_t i = 0; i < 3001; ++i) out(i, j) = y(i, j);
      out(3001, j) = affine(0, j);
      out(3002, j) = affine(1, j);
    }
    return out;
  }));
}

TEST_CASE("layer_norm: wrong extents and options are refused", "[layer_norm]") {
  Dense<float> x(2, 3), y(2, 3);
  std::vector<float> two(2), three(3);
  REQUIRE_THROWS_AS(layer_norm(x, two, {}, y.view(), two, two), ShapeError);
  REQUIRE_THROWS_AS(layer_norm(x, three, {}, y.view(), three, two), ShapeError);
  REQUIRE_THROWS_AS(layer_norm(x, {}, {}, y.view(), two, two, {.epsilon = -1}), ConfigError);
  REQUIRE_THROWS_AS(layer_norm_backward(x, x, two, two, two, y.view()), ShapeError);
}
