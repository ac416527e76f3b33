// SPDX-License-Identifier: MIT
#include "tessera/kernels/batch_norm.hpp"

#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "support/dense_cases.hpp"

using namespace tessera;
using test::Dense;

namespace {

/// The definition, column by column in double.
struct Naive {
  std::vector<double> mean, variance;
  Dense<double> y;

  Naive(const Dense<double>& x, const std::vector<double>& gamma, const std::vector<double>& beta, double eps)
      : mean(x.cols()), variance(x.cols()), y(x.rows(), x.cols()) {
    const auto n = static_cast<double>(std::max<std::size_t>(1, x.rows()));
    for (std::size_t j = 0; j < x.cols(); ++j) {
      for (std::size_t i = 0; i < x.rows(); ++i) mean[j] += x(i, j) / n;
      for (std::size_t i = 0; i < x.rows(); ++i) variance[j] += (x(i, j) - mean[j]) * (x(i, j) - mean[j]) / n;
      for (std::size_t i = 0; i < x.rows(); ++i) {
        y(i, j) = (gamma.empty() ? 1.0 : gamma[j]) * (x(i, j) - mean[j]) / std::sqrt(variance[j] + eps) +
                  (beta.empty() ? 0.0 : beta[j]);
      }
    }
  }
};

template <class T>
std::vector<T> inverse(const std::vector<T>& variance, double eps) {
  std::vector<T> out;
  for (const T v : variance) out.push_back(T{1} / std::sqrt(v + static_cast<T>(eps)));
  return out;
}

}  // namespace

TEST_CASE("batch_norm: hand-checked", "[batch_norm]") {
  Dense<double> x(2, 1), y(2, 1);
  x(0, 0) = 1;
  x(1, 0) = 5;  // mean 3, variance 4
  std::vector<double> mean(1), variance(1);
  column_statistics(x, std::span(mean), variance);
  CHECK(mean[0] == 3);
  CHECK(variance[0] == 4);
  const double gamma[] = {2}, beta[] = {7};
  batch_norm(x, gamma, beta, mean, inverse(variance, 0), y.view());
  CHECK(y(0, 0) == 5);
  CHECK(y(1, 0) == 9);
}

TEST_CASE("batch_norm: agrees with its definition at every level and extent", "[batch_norm]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const std::size_t rows : {0u, 1u, 2u, 301u, 5000u}) {
      for (const std::size_t cols : {1u, 16u, 17u, 131u}) {
        const auto x = Dense<float>::random(rows, cols, 1, 3);
        const auto gamma = test::random_values<float>(cols, 2);
        const auto beta = test::random_values<float>(cols, 3);
        std::vector<float> mean(cols), variance(cols);
        column_statistics(x, std::span(mean), variance);
        Dense<float> got(rows, cols, 1);
        batch_norm(x, gamma, beta, mean, inverse(variance, 1e-5), got.view());
        const Naive want(x.widened(), {gamma.begin(), gamma.end()}, {beta.begin(), beta.end()}, 1e-5);
        // Sums run over at most 4096 rows in float and then in double: n + 8 roundings of terms below 1.
        const double u =
            test::unit_roundoff<float>() * (std::min<double>(static_cast<double>(rows), 4096) + 8);
        for (std::size_t j = 0; j < cols; ++j) {
          REQUIRE(std::abs(static_cast<double>(mean[j]) - want.mean[j]) <= u);
          REQUIRE(std::abs(static_cast<double>(variance[j]) - want.variance[j]) <= 4 * u);
          const double inv = 1 / std::sqrt(want.variance[j] + 1e-5);
          for (std::size_t i = 0; i < rows; ++i) {
            // dy = gamma (d mean inv + (x - mean) d inv), |d inv| <= inv^3 / 2 |d variance|, |x - mean| <= 2.
            const double bound =
                u * inv + 2 * u * 4 * inv * inv * inv + 8 * test::unit_roundoff<float>() * (2 * inv + 1);
            REQUIRE(std::abs(static_cast<double>(got(i, j)) - want.y(i, j)) <= bound);
          }
        }
        CHECK(got.gaps_untouched());
      }
    }
  }
}

TEST_CASE("batch_norm_backward: numeric gradients in double", "[batch_norm]") {
  constexpr std::size_t kRows = 9, kCols = 5;
  for (const bool affine : {false, true}) {
    auto x = Dense<double>::random(kRows, kCols, 1);
    auto gamma = test::random_values<double>(affine ? kCols : 0, 2);
    auto beta = test::random_values<double>(affine ? kCols : 0, 3);
    const auto g = Dense<double>::random(kRows, kCols, 4);
    const auto value = [&] {
      const Naive naive(x, gamma, beta, 1e-3);
      double sum = 0;
      for (std::size_t i = 0; i < kRows; ++i) {
        for (std::size_t j = 0; j < kCols; ++j) sum += naive.y(i, j) * g(i, j);
      }
      return sum;
    };
    // A central difference with h errs by about u |f| / h + h^2 |f'''|.
    const double h = 1e-5;
    const auto difference = [&](double& at) {
      const double was = at;
      at = was + h;
      const double plus = value();
      at = was - h;
      const double minus = value();
      at = was;
      return (plus - minus) / (2 * h);
    };
    std::vector<double> mean(kCols), variance(kCols), grad_gamma(gamma.size(), 0.5),
        grad_beta(beta.size(), 0.5);
    column_statistics(x, std::span(mean), variance);
    Dense<double> grad_x(kRows, kCols);
    batch_norm_backward(g, x, gamma, mean, inverse(variance, 1e-3), grad_x.view(), grad_gamma, grad_beta);
    for (std::size_t i = 0; i < kRows; ++i) {
      for (std::size_t j = 0; j < kCols; ++j) REQUIRE(std::abs(grad_x(i, j) - difference(x(i, j))) < 1e-7);
    }
    for (std::size_t j = 0; j < gamma.size(); ++j) {
      CHECK(std::abs(grad_gamma[j] - 0.5 - difference(gamma[j])) < 1e-7);
      CHECK(std::abs(grad_beta[j] - 0.5 - difference(beta[j])) < 1e-7);
    }
  }
}

TEST_CASE("batch_norm: same bits at any thread count", "[batch_norm]") {
  const auto x = Dense<float>::random(20'000, 33, 1);
  const auto g = Dense<float>::random(20'000, 33, 2);
  const auto run = [&](std::size_t threads) {
    return with_threads(threads, [&] {
      std::vector<float> mean(33), variance(33);
      column_statistics(x, std::span(mean), variance);
      Dense<float> grad(20'000, 33);
      batch_norm_backward(g, x, {}, mean, inverse(variance, 1e-5), grad.view());
      return grad;
    });
  };
  const auto one = run(1);
  for (const std::size_t threads : {2u, 4u, 9u}) CHECK(run(threads).same_bits(one));
}

TEST_CASE("batch_norm: extents that do not fit are refused", "[batch_norm]") {
  Dense<float> x(3, 2), y(3, 2), other(2, 2);
  std::vector<float> two(2), one(1);
  CHECK_THROWS_AS(column_statistics(x, std::span(one), two), ShapeError);
  CHECK_THROWS_AS(batch_norm(other, {}, {}, two, two, y.view()), ShapeError);
  CHECK_THROWS_AS(batch_norm(x, one, {}, two, two, y.view()), ShapeError);
  CHECK_THROWS_AS(batch_norm_backward(other, x, {}, two, two, y.view()), ShapeError);
}
