// SPDX-License-Identifier: MIT
#include "tessera/nn/losses/squared_error.hpp"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "tessera/nn/concepts.hpp"

using namespace tessera;

static_assert(Loss<SquaredError, float> && Loss<AbsoluteError, double>);

namespace {

constexpr float kNone = std::numeric_limits<float>::quiet_NaN();

struct Result {
  double value;
  Tensor<double> grad;
};

template <class L>
Result evaluate_loss(const L& loss, MatrixView<const double> z, const Targets& targets) {
  Result out{0, Tensor<double>::zeros(z.rows(), z.cols())};
  Tape<double> tape;
  const Var v = loss(tape, tape.parameter(ParameterView<double>{z, out.grad.view()}), targets);
  out.value = tape.value(v)(0, 0);
  tape.backward(v);
  return out;
}

}  // namespace

TEST_CASE("squared and absolute error by hand; what is missing does not count") {
  Tensor<double> z = Tensor<double>::zeros(2, 2);
  z(0, 0) = 1;
  z(0, 1) = 5;
  z(1, 0) = -2;
  z(1, 1) = 3;
  Tensor<float> y = Tensor<float>::zeros(2, 2);
  y(0, 0) = 0.5f;
  y(0, 1) = kNone;
  y(1, 0) = 1;
  y(1, 1) = 3;
  const std::vector<float> weights{1, 2};
  const Targets plain{.indicators = y.view()};
  const Targets weighted{.indicators = y.view(), .weights = weights};

  const Result squared = evaluate_loss(SquaredError{}, z.view(), plain);
  CHECK(squared.value == (0.25 + 9 + 0) / 3);
  CHECK(squared.grad(0, 0) == 1.0 / 3);
  CHECK(squared.grad(0, 1) == 0);
  CHECK(squared.grad(1, 0) == -6 * (1.0 / 3));
  CHECK(evaluate_loss(SquaredError{}, z.view(), weighted).value == (0.25 + 18) / 5);

  const Result absolute = evaluate_loss(AbsoluteError{}, z.view(), weighted);
  CHECK(absolute.value == (0.5 + 6) / 5);
  CHECK(absolute.grad(0, 0) == 0.2);
  CHECK(absolute.grad(1, 0) == -0.4);
  CHECK(absolute.grad(1, 1) == 0);

  y.fill(kNone);
  const Result none = evaluate_loss(SquaredError{}, z.view(), plain);
  CHECK(none.value == 0);
  CHECK(none.grad(1, 0) == 0);
}

TEST_CASE("squared_error refuses targets of another shape") {
  const Tensor<double> z = Tensor<double>::zeros(2, 2);
  const Tensor<float> y = Tensor<float>::zeros(2, 1);
  CHECK_THROWS_AS(evaluate_loss(SquaredError{}, z.view(), Targets{.indicators = y.view()}), ShapeError);
}
