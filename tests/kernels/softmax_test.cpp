// SPDX-License-Identifier: MIT
#include "tessera/kernels/softmax.hpp"

#include "support/catch.hpp"
#include "support/dense_cases.hpp"
#include "tessera/kernels/reference/dense.hpp"

using namespace tessera;
using test::Dense;

namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

template <class Forward, class Backward>
double numeric_error(Forward forward, Backward backward) {
  auto x = Dense<double>::random(6, 9, 1);
  const auto weight = Dense<double>::random(6, 9, 2);
  Dense<double> y(6, 9), grad(6, 9);
  const auto loss = [&] {
    forward(x, y);
    double sum = 0;
    for (std::size_t i = 0; i < 6; ++i) {
      for (std::size_t j = 0; j < 9; ++j) sum += weight(i, j) * y(i, j);
    }
    return sum;
  };
  const double size = std::abs(loss());
  backward(y, weight, grad);
  return test::gradient_error(x, grad, loss) / test::gradient_tolerance(size);
}

}  // namespace

TEST_CASE("softmax and log_softmax: agree with their twins at every level and extent", "[softmax]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const std::size_t rows : {0u, 1u, 401u}) {
      for (const std::size_t cols : {0u, 1u, 2u, 7u, 41u, 128u}) {
        const auto x = Dense<float>::random(rows, cols, 1, 1);
        Dense<float> p(rows, cols, 2), log_p(rows, cols, 2);
        Dense<double> want(rows, cols), want_log(rows, cols);
        softmax(x, p.view());
        log_softmax(x, log_p.view());
        reference::softmax<double>(x.widened(), want);
        reference::softmax<double>(x.widened(), want_log, true);
        // C additions, and a few roundings of exp and log (which may err by an ulp) on values below 2 + log
        // C.
        const double gamma = (static_cast<double>(cols) + 16) * test::unit_roundoff<float>();
        CHECK(test::misses(p, want, gamma) == 0);
        CHECK(test::misses(log_p, want_log, gamma * 8) == 0);
        CHECK(p.gaps_untouched());
        for (std::size_t i = 0; i < rows && cols > 0; ++i) {
          double sum = 0;
          for (const float v : p.view().row(i)) sum += static_cast<double>(v);
          REQUIRE(std::abs(sum - 1) <= gamma);
        }
      }
    }
  }
}

TEST_CASE("softmax: huge scores stay finite, masks count nothing, NaN shows", "[softmax]") {
  Dense<float> x(5, 3), p(5, 3), log_p(5, 3);
  const float rows[5][3] = {
      {1e4f, -1e4f, 0}, {-1e4f, -1e4f, -1e4f}, {-kInf, 1, -kInf}, {-kInf, -kInf, -kInf}, {0, kInf, 0}};
  for (std::size_t i = 0; i < 5; ++i) {
    for (std::size_t j = 0; j < 3; ++j) x(i, j) = rows[i][j];
  }
  softmax(x, p.view());
  log_softmax(x, log_p.view());
  CHECK(p(0, 0) == 1);
  CHECK(p(0, 1) == 0);
  CHECK(log_p(0, 1) == -2e4f);
  CHECK(p(1, 0) == 1.0f / 3);
  CHECK(p(2, 1) == 1);
  CHECK(p(2, 0) == 0);
  for (std::size_t j = 0; j < 3; ++j) CHECK(p(3, j) == 0);
  CHECK(std::isnan(p(4, 1)));
  x(0, 1) = std::numeric_limits<float>::quiet_NaN();
  softmax(x, x.view());
  for (std::size_t j = 0; j < 3; ++j) CHECK(std::isnan(x(0, j)));
}

TEST_CASE("softmax: adding a constant to a row changes nothing", "[softmax]") {
  auto x = Dense<double>::random(10, 12, 1);
  Dense<double> p(10, 12), shifted(10, 12);
  softmax(x, p.view());
  for (std::size_t i = 0; i < 10; ++i) {
    for (double& v : x.view().row(i)) v += 64;
  }
  softmax(x, shifted.view());
  CHECK(test::misses(shifted, p, 64 * 16 * test::unit_roundoff<double>()) == 0);
}

TEST_CASE("softmax_backward and log_softmax_backward: numeric gradients in double", "[softmax]") {
  CHECK(numeric_error([](auto& x, auto& y) { softmax(x, y.view()); },
                      [](auto& y, auto& g, auto& out) { softmax_backward(y, g, out.view()); }) < 1);
  CHECK(numeric_error([](auto& x, auto& y) { log_softmax(x, y.view()); },
                      [](auto& y, auto& g, auto& out) { log_softmax_backward(y, g, out.view()); }) < 1);
}

TEST_CASE("softmax: wrong extents are refused", "[softmax]") {
  Dense<float> x(2, 3), y(3, 2);
  REQUIRE_THROWS_AS(softmax(x, y.view()), ShapeError);
  REQUIRE_THROWS_AS(log_softmax(x, y.view()), ShapeError);
  REQUIRE_THROWS_AS(softmax_backward(x, y, x.view()), ShapeError);
  REQUIRE_THROWS_AS(log_softmax_backward(y, x, x.view()), ShapeError);
}
