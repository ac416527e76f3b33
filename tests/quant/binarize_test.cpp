// SPDX-License-Identifier: MIT
#include "tessera/quant/binarize.hpp"

#include <cmath>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/autograd/no_tape.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

/// The gradient of <g, op(x)> with respect to x.
template <class Op>
Tensor<double> gradient(const Tensor<double>& x, const Tensor<double>& g, Op&& op) {
  Tape<double> tape;
  Tensor<double> grad = Tensor<double>::zeros(x.rows(), x.cols());
  const Var y = op(tape, tape.parameter({x.view(), grad.view()}));
  tape.backward(y, g.view());
  return grad;
}

Tensor<double> row(std::vector<double> numbers) {
  Tensor<double> out(1, numbers.size());
  for (std::size_t j = 0; j < numbers.size(); ++j) out(0, j) = numbers[j];
  return out;
}

}  // namespace

TEST_CASE("binary products are the published ones", "[quant]") {
  // x = (.5, -1.2, .3, -.1), w = (1, .2, -.4, .6): beta .525, alpha .55, signs' product -2.
  const Tensor<double> x = row({0.5, -1.2, 0.3, -0.1});
  Tensor<double> w(4, 1);
  const double numbers[] = {1, 0.2, -0.4, 0.6};
  for (std::size_t k = 0; k < 4; ++k) w(k, 0) = numbers[k];
  NoTape<double> ctx;
  const Var xb = binarize_rows(ctx, ctx.input(x.view()));
  const Var wb = binarize_weight(ctx, ctx.input(w.view()));
  CHECK(std::abs(ctx.value(xb)(0, 1) + 0.525) < 1e-15);
  CHECK(std::abs(ctx.value(wb)(2, 0) + 0.55) < 1e-15);
  double sum = 0;
  for (std::size_t k = 0; k < 4; ++k) sum += ctx.value(xb)(0, k) * ctx.value(wb)(k, 0);
  CHECK(std::abs(sum + 0.5775) < 1e-15);
}

TEST_CASE("zero has the sign of what can be packed", "[quant]") {
  CHECK(sign_of(0.0f) == 1.0f);
  CHECK(sign_of(-0.0f) == 1.0f);
  CHECK(sign_of(-1e-30f) == -1.0f);
}

TEST_CASE("signs pass gradients where numbers are at most 1", "[quant]") {
  const Tensor<double> x = row({-3, -1, -0.2, 0, 0.7, 1, 1.0001});
  const Tensor<double> g = row({1, 2, 3, 4, 5, 6, 7});
  const std::vector<double> want{0, 2, 3, 4, 5, 6, 0};
  const auto by_sign = gradient(x, g, [](auto& ctx, Var v) { return sign(ctx, v); });
  const auto by_rows = gradient(x, g, [](auto& ctx, Var v) { return binarize_rows(ctx, v); });
  for (std::size_t j = 0; j < want.size(); ++j) {
    CHECK(by_sign(0, j) == want[j]);
    CHECK(by_rows(0, j) == want[j]);
  }
}

TEST_CASE("a binary weight's gradient has a part of its scale", "[quant]") {
  // Two inputs, two outputs: dW = alpha [|W| <= 1] G + sgn(W) / 2 (sgn(W_0) G_0 + sgn(W_1) G_1).
  Tensor<double> w(2, 2);
  w(0, 0) = 0.5;
  w(1, 0) = -2.5;
  w(0, 1) = -0.25;
  w(1, 1) = -0.75;
  Tensor<double> g(2, 2);
  g(0, 0) = 1;
  g(1, 0) = 3;
  g(0, 1) = -2;
  g(1, 1) = 4;
  const auto d = gradient(w, g, [](auto& ctx, Var v) { return binarize_weight(ctx, v); });
  CHECK(std::abs(d(0, 0) - (1.5 * 1 + 0.5 * (1 - 3))) < 1e-15);
  CHECK(std::abs(d(1, 0) - (0 - 0.5 * (1 - 3))) < 1e-15);
  CHECK(std::abs(d(0, 1) - (0.5 * -2 - 0.5 * (2 - 4))) < 1e-15);
  CHECK(std::abs(d(1, 1) - (0.5 * 4 - 0.5 * (2 - 4))) < 1e-15);
}

TEST_CASE("tanh and column scales have their derivatives", "[quant]") {
  const Tensor<double> x = random_matrix<double>(3, 4, 1);
  const Tensor<double> g = random_matrix<double>(3, 4, 2);
  const Tensor<double> factor = random_matrix<double>(1, 4, 3);
  const auto value = [&](const Tensor<double>& at, const Tensor<double>& f) {
    NoTape<double> ctx;
    const Var y = scale_columns(ctx, tanh(ctx, ctx.input(at.view())), ctx.input(f.view()));
    double sum = 0;
    for (std::size_t i = 0; i < 3; ++i) {
      for (std::size_t j = 0; j < 4; ++j) sum += g(i, j) * ctx.value(y)(i, j);
    }
    return sum;
  };
  const auto dx = gradient(
      x, g, [&](auto& ctx, Var v) { return scale_columns(ctx, tanh(ctx, v), ctx.input(factor.view())); });
  const auto df = gradient(
      factor, g, [&](auto& ctx, Var v) { return scale_columns(ctx, tanh(ctx, ctx.input(x.view())), v); });
  const double h = 1e-5;
  const auto moved = [&](const Tensor<double>& t, std::size_t i, std::size_t j, double by) {
    Tensor<double> out = Tensor<double>::copy_of(t.view());
    out(i, j) += by;
    return out;
  };
  for (std::size_t j = 0; j < 4; ++j) {
    // Central differences: h^2 / 6 times third derivatives below 2, and rounding 1e-16 / h.
    CHECK(std::abs((value(moved(x, 1, j, h), factor) - value(moved(x, 1, j, -h), factor)) / (2 * h) -
                   dx(1, j)) < 1e-9);
    CHECK(std::abs((value(x, moved(factor, 0, j, h)) - value(x, moved(factor, 0, j, -h))) / (2 * h) -
                   df(0, j)) < 1e-9);
  }
  NoTape<double> ctx;
  CHECK_THROWS_AS(scale_columns(ctx, ctx.input(x.view()), ctx.input(x.view())), ShapeError);
}
