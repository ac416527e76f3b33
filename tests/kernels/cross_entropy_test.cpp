// SPDX-License-Identifier: MIT
#include "tessera/kernels/cross_entropy.hpp"

#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/dense_cases.hpp"
#include "tessera/kernels/reference/dense.hpp"

using namespace tessera;
using test::Dense;

namespace {

std::vector<std::int32_t> random_labels(std::size_t count, std::size_t classes) {
  CounterRng rng(make_key(3, 0, Purpose::generate), 0, 0);
  std::vector<std::int32_t> out(count);
  for (auto& label : out) label = static_cast<std::int32_t>(rng.below(classes + 1)) - 1;
  return out;
}

std::vector<float> random_weights(std::size_t count, std::uint64_t seed) {
  auto out = test::random_values<float>(count, seed);
  for (float& w : out) w = w < -0.5f ? 0.0f : w + 1;
  return out;
}

}  // namespace

TEST_CASE("softmax_cross_entropy: hand-checked", "[cross_entropy]") {
  Dense<double> z(3, 2), grad(3, 2);
  z(0, 0) = z(0, 1) = 5;
  z(1, 0) = std::log(3.0);
  z(1, 1) = 0;
  z(2, 0) = z(2, 1) = 0;
  const std::int32_t labels[] = {0, 0, -1};
  const LossSum loss = softmax_cross_entropy(z, labels, {}, grad.view());
  CHECK(loss.weight_sum == 2);
  CHECK(test::close(loss.loss_sum, std::log(2.0) + std::log(4.0 / 3.0)));
  CHECK(test::close(loss.mean(), loss.loss_sum / 2));
  CHECK(test::close(grad(0, 0), -0.25));
  CHECK(test::close(grad(1, 1), 0.125));
  CHECK(grad(2, 0) == 0);
}

TEST_CASE("softmax_cross_entropy: agrees with its twin at every level, extent and option",
          "[cross_entropy]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const std::size_t rows : {0u, 1u, 2003u}) {
      for (const std::size_t classes : {1u, 7u, 41u}) {
        for (int bits = 0; bits < 8; ++bits) {
          const auto z = Dense<float>::random(rows, classes, 1, 2);
          const auto labels = random_labels(rows, classes);
          const auto weight = random_weights((bits & 1) != 0 ? rows : 0, 4);
          const auto class_weight = random_weights((bits & 2) != 0 ? classes : 0, 5);
          const double eta = (bits & 4) != 0 ? 0.1 : 0;
          const CrossEntropyOptions options{.label_smoothing = eta, .class_weight = class_weight};
          const LossSum got = softmax_cross_entropy<float>(z, labels, weight, {}, options);
          const LossSum want = reference::softmax_cross_entropy<float>(z, labels, weight, eta, class_weight);
          CHECK(test::close(got.weight_sum, want.weight_sum, static_cast<double>(rows + 1)));
          // One float sum of C exponentials per row, then a logarithm in double; weights are at most 2 x 2.
          const double bound = 4 * static_cast<double>(rows * (classes + 4)) * test::unit_roundoff<float>();
          CHECK(std::abs(got.loss_sum - want.loss_sum) <= bound + 1e-10);
        }
      }
    }
  }
}

TEST_CASE("softmax_cross_entropy: numeric gradient in double", "[cross_entropy]") {
  const auto labels = random_labels(12, 5);
  const auto weight = random_weights(12, 4);
  const auto class_weight = random_weights(5, 5);
  for (int bits = 0; bits < 8; ++bits) {
    auto z = Dense<double>::random(12, 5, 1);
    CrossEntropyOptions options{.label_smoothing = (bits & 4) != 0 ? 0.2 : 0.0};
    if ((bits & 2) != 0) options.class_weight = class_weight;
    const std::span<const float> rows =
        (bits & 1) != 0 ? std::span<const float>(weight) : std::span<const float>();
    const auto loss = [&] { return softmax_cross_entropy<double>(z, labels, rows, {}, options).mean(); };
    Dense<double> grad(12, 5);
    softmax_cross_entropy(z, labels, rows, grad.view(), options);
    INFO("options " << bits);
    CHECK(test::gradient_error(z, grad, loss) < test::gradient_tolerance(loss()));

    auto in_place = z;
    softmax_cross_entropy(in_place, labels, rows, in_place.view(), options);
    CHECK(in_place.same_bits(grad));
  }
}

TEST_CASE("softmax_cross_entropy: a divisor replaces the weight sum in the gradient only",
          "[cross_entropy]") {
  const auto z = Dense<double>::random(20, 4, 1);
  const auto labels = random_labels(20, 4);
  Dense<double> grad(20, 4), scaled(20, 4);
  const LossSum a = softmax_cross_entropy(z, labels, {}, grad.view());
  const LossSum b = softmax_cross_entropy(z, labels, {}, scaled.view(), {.divisor = 10});
  CHECK(a.loss_sum == b.loss_sum);
  for (std::size_t i = 0; i < 20; ++i) {
    for (std::size_t j = 0; j < 4; ++j) {
      CHECK(test::close(scaled(i, j) * 10, grad(i, j) * a.weight_sum));
    }
  }
}

TEST_CASE("softmax_cross_entropy: logits of 1e4 stay finite, no labels give zero", "[cross_entropy]") {
  Dense<float> z(2, 3), grad(2, 3);
  for (std::size_t j = 0; j < 3; ++j) {
    z(0, j) = j == 0 ? 1e4f : -1e4f;
    z(1, j) = j == 0 ? -1e4f : 1e4f;
  }
  const std::int32_t labels[] = {0, 0};
  const LossSum loss = softmax_cross_entropy(z, labels, {}, grad.view());
  CHECK(test::close(loss.loss_sum, 2e4 + std::log(2.0)));
  CHECK(grad(0, 0) == 0);
  CHECK(grad(1, 0) == -0.5f);
  const std::int32_t none[] = {-1, -1};
  const LossSum nothing = softmax_cross_entropy(z, none, {}, grad.view());
  CHECK(nothing.mean() == 0);
  for (std::size_t j = 0; j < 3; ++j) CHECK(grad(1, j) == 0);
}

TEST_CASE("softmax_cross_entropy: same bits at any number of threads", "[cross_entropy]") {
  const auto z = Dense<float>::random(5003, 13, 1);
  const auto labels = random_labels(5003, 13);
  CHECK(test::same_at_any_thread_count([&] {
    Dense<double> out(1, 2);
    Dense<float> grad(5003, 13);
    const LossSum loss = softmax_cross_entropy(z, labels, {}, grad.view());
    out(0, 0) = loss.loss_sum;
    out(0, 1) = static_cast<double>(grad(5000, 7));
    return out;
  }));
}

TEST_CASE("softmax_cross_entropy: bad labels, extents and options are refused", "[cross_entropy]") {
  Dense<float> z(2, 3), grad(2, 2);
  const std::int32_t good[] = {0, 2};
  const std::int32_t high[] = {0, 3};
  const std::int32_t low[] = {-2, 1};
  const std::vector<float> one(1);
  REQUIRE_THROWS_AS(softmax_cross_entropy(z, high, {}, z.view()), IndexError);
  REQUIRE_THROWS_AS(softmax_cross_entropy(z, low, {}, z.view()), IndexError);
  REQUIRE_THROWS_AS(softmax_cross_entropy(z, std::span(good).first(1), {}, z.view()), ShapeError);
  REQUIRE_THROWS_AS(softmax_cross_entropy(z, good, one, z.view()), ShapeError);
  REQUIRE_THROWS_AS(softmax_cross_entropy(z, good, {}, grad.view()), ShapeError);
  REQUIRE_THROWS_AS(softmax_cross_entropy(z, good, {}, z.view(), {.class_weight = one}), ShapeError);
  REQUIRE_THROWS_AS(softmax_cross_entropy(z, good, {}, z.view(), {.label_smoothing = 2}), ConfigError);
  REQUIRE_THROWS_AS(softmax_cross_entropy(z, good, {}, z.view(), {.divisor = -1}), ConfigError);
}
