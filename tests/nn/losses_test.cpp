// SPDX-License-Identifier: MIT
#include <array>
#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/autograd/grad_check.hpp"
#include "tessera/nn/losses/binary_cross_entropy.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/ops/add.hpp"

namespace {

using namespace tessera;
using namespace tessera::testing;
using Vars = std::span<const Var>;

static_assert(Loss<CrossEntropy, float> && Loss<CrossEntropy, double>);
static_assert(Loss<BinaryCrossEntropy, float> && Loss<BinaryCrossEntropy, double>);
static_assert(!Loss<Pass, float>);

const std::vector<std::int32_t> kClasses{2, 0, -1, 1, 3, -1, 3};
const std::vector<float> kWeights{0.5f, 1.0f, 4.0f, 0.0f, 2.0f, 1.0f, 0.25f};

template <class L>
double value_of(const L& loss, MatrixView<const double> z, const Targets& targets) {
  NoTape<double> ctx;
  return ctx.value(loss(ctx, ctx.input(z), targets))(0, 0);
}

/// The definition, with a target distribution (1 - s) onehot + s / C.
double cross_entropy_twin(MatrixView<const double> z, const Targets& t, double smoothing) {
  double sum = 0;
  double weight_sum = 0;
  for (std::size_t i = 0; i < z.rows(); ++i) {
    if (t.classes[i] < 0) continue;
    const double w = t.weights.empty() ? 1.0 : static_cast<double>(t.weights[i]);
    double total = 0;
    for (const double element : z.row(i)) total += std::exp(element);
    for (std::size_t c = 0; c < z.cols(); ++c) {
      const double target = (c == static_cast<std::size_t>(t.classes[i]) ? 1 - smoothing : 0.0) +
                            smoothing / static_cast<double>(z.cols());
      sum -= w * target * (z(i, c) - std::log(total));
    }
    weight_sum += w;
  }
  return weight_sum > 0 ? sum / weight_sum : 0;
}

TEST_CASE("cross entropy is its definition") {
  const auto z = random_matrix<double>(7, 4, 1);
  for (const double smoothing : {0.0, 0.1, 0.9}) {
    for (const bool weighted : {false, true}) {
      const Targets t{.classes = kClasses,
                      .weights = weighted ? std::span<const float>(kWeights) : std::span<const float>()};
      const CrossEntropy loss{.label_smoothing = smoothing};
      CHECK(std::abs(value_of(loss, z.view(), t) - cross_entropy_twin(z.view(), t, smoothing)) < 1e-13);
      std::vector<Tensor<double>> inputs;
      inputs.push_back(random_matrix<double>(7, 4, 1));
      const GradCheck result = grad_check([&](auto& c, Vars v) { return loss(c, v[0], t); }, inputs);
      CHECK(result.vjp_error < 1e-6);
      CHECK(result.jvp_error < 1e-6);
      CHECK(result.adjoint_error < 1e-12);
      // Two losses of the same logits: gradients add, scaled by their cotangents.
      const GradCheck twice = grad_check(
          [&](auto& c, Vars v) {
            const Var l = loss(c, v[0], t);
            return add(c, add(c, l, l), loss(c, v[0], t));
          },
          inputs);
      CHECK(twice.vjp_error < 1e-6);
    }
  }
}

TEST_CASE("cross entropy of nothing is 0 with gradient 0") {
  const auto z = random_matrix<double>(3, 4, 1);
  auto grad = Tensor<double>::zeros(3, 4);
  const std::vector<std::int32_t> none(3, -1);
  Tape<double> tape;
  const Var l = CrossEntropy{}(tape, tape.parameter({z.view(), grad.view()}), {.classes = none});
  CHECK(tape.value(l)(0, 0) == 0);
  tape.backward(l);
  CHECK(max_difference<double>(grad.view(), Tensor<double>::zeros(3, 4)) == 0);
  const auto empty = random_matrix<double>(0, 4, 1);
  CHECK(value_of(CrossEntropy{}, empty.view(), {}) == 0);
}

TEST_CASE("binary cross entropy is its definition") {
  auto bits = Tensor<float>::zeros(7, 5);
  for (std::size_t i = 0; i < 7; ++i) {
    for (std::size_t j = 0; j < 5; ++j) bits(i, j) = (i * 3 + j * 2) % 4 == 0 ? 1.0f : 0.0f;
  }
  const auto z = random_matrix<double>(7, 5, 2);
  for (const float q : {1.0f, 2.5f}) {
    const std::vector<float> pos_weight(5, q);
    for (const bool weighted : {false, true}) {
      const Targets t{.indicators = bits.view(),
                      .weights = weighted ? std::span<const float>(kWeights) : std::span<const float>()};
      double sum = 0;
      double count = 0;
      for (std::size_t i = 0; i < 7; ++i) {
        const double w = weighted ? static_cast<double>(kWeights[i]) : 1.0;
        for (std::size_t j = 0; j < 5; ++j) {
          const double p = 1 / (1 + std::exp(-z(i, j)));
          sum -= w * (bits(i, j) > 0 ? static_cast<double>(q) * std::log(p) : std::log(1 - p));
          count += w;
        }
      }
      const BinaryCrossEntropy loss{.pos_weight = pos_weight};
      CHECK(std::abs(value_of(loss, z.view(), t) - sum / count) < 1e-13);
      std::vector<Tensor<double>> inputs;
      inputs.push_back(random_matrix<double>(7, 5, 2));
      const GradCheck result = grad_check([&](auto& c, Vars v) { return loss(c, v[0], t); }, inputs);
      CHECK(result.vjp_error < 1e-6);
      CHECK(result.jvp_error < 1e-6);
      CHECK(result.adjoint_error < 1e-12);
    }
  }
  SECTION("missing labels are not counted") {
    auto holes = Tensor<float>::copy_of(bits.view());
    const double all = value_of(BinaryCrossEntropy{}, z.view().middle_rows(0, 6),
                                {.indicators = bits.view().middle_rows(0, 6)});
    for (float& bit : holes.row(6)) bit = std::numeric_limits<float>::quiet_NaN();
    CHECK(std::abs(value_of(BinaryCrossEntropy{}, z.view(), {.indicators = holes.view()}) - all) < 1e-13);
  }
  SECTION("large logits stay finite") {
    auto far = random_matrix<double>(7, 5, 2);
    for (std::size_t i = 0; i < 7; ++i) {
      for (double& element : far.row(i)) element *= 1e4;
    }
    CHECK(std::isfinite(value_of(BinaryCrossEntropy{}, far.view(), {.indicators = bits.view()})));
    CHECK(std::isfinite(value_of(CrossEntropy{.label_smoothing = 0.1}, far.view(), {.classes = kClasses})));
  }
}

TEST_CASE("targets that do not fit are refused") {
  const auto z = random_matrix<double>(7, 4, 1);
  const auto bits = Tensor<float>::zeros(7, 3);
  const std::vector<float> short_weights(6, 1.0f);
  const Targets good{.classes = kClasses};
  CHECK_THROWS_AS(value_of(CrossEntropy{}, z.view().middle_rows(0, 6), good), ShapeError);
  CHECK_THROWS_AS(value_of(CrossEntropy{}, z.view(), {.classes = kClasses, .weights = short_weights}),
                  ShapeError);
  CHECK_THROWS_AS(value_of(CrossEntropy{.label_smoothing = 1.5}, z.view(), good), ConfigError);
  CHECK_THROWS_AS(value_of(BinaryCrossEntropy{}, z.view(), {.indicators = bits.view()}), ShapeError);
  CHECK_THROWS_AS(value_of(CrossEntropy{.class_weight = short_weights}, z.view(), good), ShapeError);
  const std::vector<std::int32_t> beyond(7, 4);
  CHECK_THROWS_AS(value_of(CrossEntropy{}, z.view(), {.classes = beyond}), IndexError);
}

}  // namespace
