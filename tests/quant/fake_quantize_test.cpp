// SPDX-License-Identifier: MIT
#include "tessera/quant/fake_quantize.hpp"

#include <cstdint>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/autograd/no_tape.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

OwnedGrid<double> grid_of(MatrixView<const double> x, int bits) {
  Tensor<double> state = Tensor<double>::zeros(3, 1);
  observe<double>(state.view(), x, {}, {});
  return OwnedGrid<double>(std::as_const(state).view(), QuantFormat{.bits = bits}, "q");
}

}  // namespace

TEST_CASE("a fake quantiser gives what a code stands for", "[quant]") {
  const Tensor<double> x = random_matrix<double>(9, 5, 2);
  const ValueRange<double> range = value_range(x.view());
  const QuantParams p = quant_params(range.min, range.max, {.bits = 4});
  NoTape<double> ctx;
  const Var y = fake_quantize(ctx, ctx.input(x.view()), grid_of(x.view(), 4));
  for (std::size_t i = 0; i < 9; ++i) {
    for (std::size_t j = 0; j < 5; ++j) CHECK(ctx.value(y)(i, j) == tessera::fake_quantize(x(i, j), p));
  }
}

TEST_CASE("gradients pass a fake quantiser as told, forwards too", "[quant]") {
  const Tensor<double> x = random_matrix<double>(9, 5, 2);
  const Tensor<double> g = random_matrix<double>(9, 5, 3);
  const ValueRange<double> range = value_range(x.view());
  const QuantParams p = quant_params(range.min, range.max, {.bits = 3});
  const std::vector<std::uint8_t> keep{0, 1, 0, 0, 1, 0, 0, 0, 0};
  const QuantGradient gradient = GENERATE(QuantGradient::straight, QuantGradient::clipped);
  Tape<double> tape;
  Tensor<double> grad = Tensor<double>::zeros(9, 5);
  const Var leaf = tape.parameter({x.view(), grad.view()});
  const Var y = fake_quantize(tape, leaf, grid_of(x.view(), 3), {.gradient = gradient, .rows = {keep, {}}});
  tape.backward(y, g.view());
  tape.set_tangent(leaf, g.view());
  tape.jvp();
  std::size_t stopped = 0;
  for (std::size_t i = 0; i < 9; ++i) {
    for (std::size_t j = 0; j < 5; ++j) {
      const std::int32_t code = quantize(x(i, j), p);
      const bool passes =
          gradient == QuantGradient::straight || keep[i] != 0 || (code > p.qmin && code < p.qmax);
      stopped += passes ? 0u : 1u;
      CHECK(grad(i, j) == (passes ? g(i, j) : 0.0));
      CHECK(tape.tangent(y)(i, j) == (passes ? g(i, j) : 0.0));
    }
  }
  if (gradient == QuantGradient::clipped) CHECK(stopped > 0);
}

TEST_CASE("a noisy quantiser leaves a random share of elements, value and gradient, alone", "[quant]") {
  const Tensor<double> x = random_matrix<double>(60, 50, 2);
  const Tensor<double> g = random_matrix<double>(60, 50, 3);
  const DropoutMask exact{0.5f, make_key(1, 2, Purpose::dropout), 7};
  Tape<double> tape;
  Tensor<double> grad = Tensor<double>::zeros(60, 50);
  const Var leaf = tape.parameter({x.view(), grad.view()});
  const Var y =
      fake_quantize(tape, leaf, grid_of(x.view(), 2), {.gradient = QuantGradient::clipped, .exact = exact});
  std::size_t untouched = 0;
  for (std::size_t i = 0; i < 60; ++i) {
    for (std::size_t j = 0; j < 50; ++j) {
      const bool same = tape.value(y)(i, j) == x(i, j);
      CHECK(same == !dropout_keeps(exact, i, j));
      untouched += same ? 1u : 0u;
    }
  }
  // Binomial(3000, 0.5): four standard deviations are 110.
  CHECK(untouched > 1500 - 110);
  CHECK(untouched < 1500 + 110);
  tape.backward(y, g.view());
  for (std::size_t i = 0; i < 60; ++i) {
    for (std::size_t j = 0; j < 50; ++j) {
      if (!dropout_keeps(exact, i, j)) CHECK(grad(i, j) == g(i, j));
    }
  }
}
