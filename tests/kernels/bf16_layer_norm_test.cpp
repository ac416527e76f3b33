// SPDX-License-Identifier: MIT
#include "tessera/kernels/bf16_layer_norm.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "support/dense_cases.hpp"
#include "tessera/kernels/reference/dense.hpp"

using namespace tessera;
using test::Dense;

namespace {

constexpr double kEpsilon = 1e-3;
constexpr double kUnit = 0x1p-24;

template <class T>
Epilogue<T> epilogue_of(Activation activation, float p) {
  return {{}, activation, {p, make_key(1, 1, Purpose::dropout), 2}};
}

std::vector<double> widened(const std::vector<float>& x) { return {x.begin(), x.end()}; }

/// What rows of `cols` numbers below 1 and their norm leave: `y`, kept as bf16, and two numbers per row.
struct Normed {
  Dense<bf16> y;
  std::vector<float> mean, inv_std;
};

Normed norm_of(const Dense<bf16>& x, const std::vector<float>& gamma, const std::vector<float>& beta,
               const Epilogue<float>& epilogue) {
  Normed out{Dense<bf16>(x.rows(), x.cols(), 1), std::vector<float>(x.rows()), std::vector<float>(x.rows())};
  bf16_layer_norm(x, gamma, beta, out.y.view(), out.mean, out.inv_std, {kEpsilon}, epilogue);
  return out;
}

template <class F>
void for_each_epilogue(F&& body) {
  for (const Activation activation : {Activation::none, Activation::relu, Activation::elu}) {
    for (const float p : {0.0f, 0.4f}) body(activation, p);
  }
}

}  // namespace

TEST_CASE("bf16_layer_norm agrees with its twin at every level, extent and epilogue", "[bf16][layer_norm]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const std::size_t rows : {0u, 1u, 101u}) {
      for (const std::size_t cols : {1u, 2u, 16u, 17u, 131u}) {
        for_each_epilogue([&](Activation activation, float p) {
          const auto x = Dense<bf16>::random(rows, cols, 1, 3);
          const auto gamma = test::random_values<float>(cols, 2);
          const auto beta = test::random_values<float>(cols, 3);
          const Normed got = norm_of(x, gamma, beta, epilogue_of<float>(activation, p));
          Dense<double> want(rows, cols);
          reference::layer_norm<double>(x.widened(), widened(gamma), widened(beta), want, kEpsilon);
          reference::apply_epilogue(want.view(), epilogue_of<double>(activation, p));
          // A mean of F terms below 1 errs by at most (F + 1) u; inv_std magnifies it, and the squares in the variance
          // magnify it once more relative to the result's own size sqrt(F). Then one rounding to 8 bits.
          const double size = static_cast<double>(cols) + 8;
          std::size_t wrong = 0;
          for (std::size_t i = 0; i < rows; ++i) {
            const double inv = static_cast<double>(got.inv_std[i]);
            const double before = size * kUnit * (inv + std::sqrt(size) * (1 + inv)) / (1.0 - 0.4);
            for (std::size_t j = 0; j < cols; ++j) {
              const double bound = before + 0x1p-8 * (std::abs(want(i, j)) + before);
              wrong += std::abs(static_cast<double>(static_cast<float>(got.y(i, j))) - want(i, j)) <= bound
                           ? 0u
                           : 1u;
            }
          }
          INFO(rows << " rows, " << cols << " columns, p " << p);
          CHECK(wrong == 0);
          CHECK(got.y.gaps_untouched());
        });
      }
    }
  }
}

namespace {

/// Gradients beside those in double from the same means and deviations.
template <class G>
void backward_agrees(std::size_t rows, std::size_t cols, Activation activation, float p) {
  const auto x = Dense<bf16>::random(rows, cols, 1);
  const auto grad = Dense<G>::random(rows, cols, 4, 2);
  const auto gamma = test::random_values<float>(cols, 2);
  const auto beta = test::random_values<float>(cols, 3);
  const Normed forward = norm_of(x, gamma, beta, epilogue_of<float>(activation, p));
  Dense<bf16> got(rows, cols, 1);
  std::vector<float> grad_gamma(cols, 0.5f), grad_beta(cols, 0.25f);
  bf16_layer_norm_backward<G>(forward.y, grad, x, gamma, forward.mean, forward.inv_std,
                              epilogue_of<float>(activation, p), got.view(), grad_gamma, grad_beta);
  Dense<double> open(rows, cols), want(rows, cols);
  std::vector<double> want_gamma(cols, 0.5), want_beta(cols, 0.25);
  epilogue_backward<double>(forward.y.widened(), grad.widened(), epilogue_of<double>(activation, p),
                            open.view());
  layer_norm_backward<double>(open, x.widened(), widened(gamma), widened(forward.mean),
                              widened(forward.inv_std), want.view(), want_gamma, want_beta);
  // With s = 1 / (1 - p) the larger of |grad| that passes, |n| <= sqrt(F), its mean at most 1 (ELU's slope too): the
  // three terms are at most s, s and s sqrt(F), each with at most F + 8 roundings.
  const auto width = static_cast<double>(cols);
  const double passes = 1 / (1 - static_cast<double>(p));
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < rows; ++i) {
    const double inv = static_cast<double>(forward.inv_std[i]);
    const double before = (width + 8) * kUnit * inv * passes * (2 + std::sqrt(width));
    for (std::size_t j = 0; j < cols; ++j) {
      const double bound = before + 0x1p-8 * (std::abs(want(i, j)) + before);
      wrong += std::abs(static_cast<double>(static_cast<float>(got(i, j))) - want(i, j)) <= bound ? 0u : 1u;
    }
  }
  CHECK(wrong == 0);
  CHECK(got.gaps_untouched());
  const double terms = static_cast<double>(rows) + 1;
  const double bound = (terms + 8) * kUnit * terms * passes * std::sqrt(width + 1);
  for (std::size_t j = 0; j < cols; ++j) {
    REQUIRE(std::abs(static_cast<double>(grad_gamma[j]) - want_gamma[j]) <= bound);
    REQUIRE(std::abs(static_cast<double>(grad_beta[j]) - want_beta[j]) <= bound);
  }
}

}  // namespace

TEST_CASE("bf16_layer_norm_backward agrees with gradients in double", "[bf16][layer_norm]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const std::size_t rows : {0u, 1u, 150u}) {
      for (const std::size_t cols : {1u, 16u, 17u, 131u}) {
        for_each_epilogue([&](Activation activation, float p) {
          INFO(rows << " rows, " << cols << " columns, p " << p);
          backward_agrees<bf16>(rows, cols, activation, p);
          backward_agrees<float>(rows, cols, activation, p);
        });
      }
    }
  }
}

TEST_CASE("bf16_layer_norm: in place, and the same bits at any number of threads", "[bf16][layer_norm]") {
  const auto x = Dense<bf16>::random(1501, 70, 1);
  const auto grad = Dense<bf16>::random(1501, 70, 2);
  const auto gamma = test::random_values<float>(70, 3);
  const auto beta = test::random_values<float>(70, 4);
  const auto epilogue = epilogue_of<float>(Activation::relu, 0.2f);
  CHECK(test::same_at_any_thread_count([&] {
    Dense<bf16> y = x;
    std::vector<float> mean(1501), inv_std(1501);
    Dense<float> out(3002, 72);
    for (float& v : out.view().row(3001)) v = 0;
    for (float& v : out.view().row(3000)) v = 0;
    bf16_layer_norm(y, gamma, beta, y.view(), mean, inv_std, {}, epilogue);
    Dense<bf16> g = grad;
    bf16_layer_norm_backward<bf16>(y, g, x, gamma, mean, inv_std, epilogue, g.view(),
                                   out.view().row(3001).first(70), out.view().row(3000).first(70));
    for (std::size_t i = 0; i < 1500; ++i) {
      for (std::size_t j = 0; j < 70; ++j) {
        out(2 * i, j) = static_cast<float>(y(i, j));
        out(2 * i + 1, j) = static_cast<float>(g(i, j));
      }
      out(2 * i, 70) = mean[i];
      out(2 * i, 71) = inv_std[i];
    }
    return out;
  }));
}

TEST_CASE("bf16_layer_norm: a constant row gives beta", "[bf16][layer_norm]") {
  Dense<bf16> x(1, 24);
  for (bf16& v : x.view().row(0)) v = bf16(3.0f);
  const std::vector<float> gamma(24, 2.0f), beta(24, 0.25f);
  const Normed got = norm_of(x, gamma, beta, {});
  CHECK(got.mean[0] == 3);
  for (std::size_t j = 0; j < 24; ++j) CHECK(static_cast<float>(got.y(0, j)) == 0.25f);
}

TEST_CASE("bf16_layer_norm: wrong extents and options are refused", "[bf16][layer_norm]") {
  Dense<bf16> x(2, 3), y(2, 3);
  std::vector<float> two(2), three(3);
  REQUIRE_THROWS_AS(bf16_layer_norm(x, two, three, y.view(), two, two, {}, {}), ShapeError);
  REQUIRE_THROWS_AS(bf16_layer_norm(x, three, {}, y.view(), two, two, {}, {}), ShapeError);
  REQUIRE_THROWS_AS(bf16_layer_norm(x, three, three, y.view(), three, two, {}, {}), ShapeError);
  REQUIRE_THROWS_AS(bf16_layer_norm(x, three, three, y.view(), two, two, {.epsilon = -1}, {}), ConfigError);
  REQUIRE_THROWS_AS(bf16_layer_norm_backward<bf16>(y, x, x, two, two, two, {}, y.view(), {}, {}), ShapeError);
  REQUIRE_THROWS_AS(bf16_layer_norm_backward<bf16>({}, x, x, three, two, two,
                                                   epilogue_of<float>(Activation::relu, 0), y.view(), {}, {}),
                    ShapeError);
}
