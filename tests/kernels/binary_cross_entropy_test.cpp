// SPDX-License-Identifier: MIT
#include "tessera/kernels/binary_cross_entropy.hpp"

#include <vector>

#include "support/catch.hpp"
#include "support/dense_cases.hpp"
#include "tessera/kernels/reference/dense.hpp"

using namespace tessera;
using test::Dense;

namespace {

/// Targets of 0, 1 and some in between; every eleventh is missing.
Dense<float> random_targets(std::size_t rows, std::size_t cols) {
  auto out = Dense<float>::random(rows, cols, 9, 1);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) {
      float& t = out(i, j);
      t = t < -0.3f ? 0.0f : t < 0.6f ? 1.0f : t;
      if ((i * cols + j) % 11 == 3) t = std::numeric_limits<float>::quiet_NaN();
    }
  }
  return out;
}

std::vector<float> random_weights(std::size_t count, std::uint64_t seed) {
  auto out = test::random_values<float>(count, seed);
  for (float& w : out) w = w < -0.5f ? 0.0f : w + 1;
  return out;
}

}  // namespace

TEST_CASE("binary_cross_entropy: hand-checked", "[binary_cross_entropy]") {
  Dense<double> z(1, 3), grad(1, 3);
  Dense<float> t(1, 3);
  z(0, 0) = 0;
  z(0, 1) = std::log(3.0);
  z(0, 2) = 5;
  t(0, 0) = 1;
  t(0, 1) = 0;
  t(0, 2) = std::numeric_limits<float>::quiet_NaN();
  const LossSum loss = binary_cross_entropy(z, t, {}, grad.view());
  CHECK(loss.weight_sum == 2);
  CHECK(test::close(loss.loss_sum, std::log(2.0) + std::log(4.0)));
  CHECK(test::close(grad(0, 0), -0.25));
  CHECK(test::close(grad(0, 1), 0.375));
  CHECK(grad(0, 2) == 0);
}

TEST_CASE("binary_cross_entropy: agrees with its twin at every level, extent and option",
          "[binary_cross_entropy]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const std::size_t rows : {0u, 1u, 1009u}) {
      for (const std::size_t cols : {0u, 1u, 50u}) {
        for (int bits = 0; bits < 4; ++bits) {
          const auto z = Dense<float>::random(rows, cols, 1, 2);
          const auto t = random_targets(rows, cols);
          const auto weight = random_weights((bits & 1) != 0 ? rows : 0, 4);
          const auto pos_weight = random_weights((bits & 2) != 0 ? cols : 0, 5);
          const LossSum got = binary_cross_entropy<float>(z, t, weight, {}, {.pos_weight = pos_weight});
          const LossSum want = reference::binary_cross_entropy<float>(z, t, weight, pos_weight);
          CHECK(test::close(got.weight_sum, want.weight_sum, static_cast<double>(rows + 1)));
          // A handful of float roundings per element on values below 2 (q) x 2 (row) x 2.
          const double bound = 8 * 8 * static_cast<double>(rows * cols) * test::unit_roundoff<float>();
          CHECK(std::abs(got.loss_sum - want.loss_sum) <= bound);
        }
      }
    }
  }
}

TEST_CASE("binary_cross_entropy: numeric gradient in double", "[binary_cross_entropy]") {
  const auto t = random_targets(9, 6);
  const auto weight = random_weights(9, 4);
  const auto pos_weight = random_weights(6, 5);
  for (int bits = 0; bits < 4; ++bits) {
    auto z = Dense<double>::random(9, 6, 1);
    const std::span<const float> rows =
        (bits & 1) != 0 ? std::span<const float>(weight) : std::span<const float>();
    BinaryCrossEntropyOptions options;
    if ((bits & 2) != 0) options.pos_weight = pos_weight;
    const auto loss = [&] { return binary_cross_entropy<double>(z, t, rows, {}, options).mean(); };
    Dense<double> grad(9, 6);
    binary_cross_entropy(z, t, rows, grad.view(), options);
    CHECK(test::gradient_error(z, grad, loss) < test::gradient_tolerance(loss()));
    auto in_place = z;
    binary_cross_entropy(in_place, t, rows, in_place.view(), options);
    CHECK(in_place.same_bits(grad));
  }
}

TEST_CASE("binary_cross_entropy: logits of 1e4 stay finite", "[binary_cross_entropy]") {
  Dense<float> z(1, 4), grad(1, 4), t(1, 4);
  const float logits[] = {1e4f, -1e4f, 1e4f, -1e4f};
  const float targets[] = {1, 0, 0, 1};
  for (std::size_t j = 0; j < 4; ++j) {
    z(0, j) = logits[j];
    t(0, j) = targets[j];
  }
  const LossSum loss = binary_cross_entropy(z, t, {}, grad.view());
  CHECK(loss.loss_sum == 2e4);
  CHECK(grad(0, 0) == 0);
  CHECK(grad(0, 1) == 0);
  CHECK(grad(0, 2) == 0.25f);
  CHECK(grad(0, 3) == -0.25f);
}

TEST_CASE("binary_cross_entropy: nothing counted gives zero", "[binary_cross_entropy]") {
  const auto z = Dense<float>::random(3, 4, 1);
  const auto t = random_targets(3, 4);
  const std::vector<float> none(3, 0.0f);
  Dense<float> grad(3, 4);
  const LossSum loss = binary_cross_entropy(z, t, none, grad.view());
  CHECK(loss.mean() == 0);
  for (std::size_t i = 0; i < 3; ++i) {
    for (const float g : grad.view().row(i)) CHECK(g == 0);
  }
}

TEST_CASE("binary_cross_entropy: same bits at any number of threads", "[binary_cross_entropy]") {
  const auto z = Dense<float>::random(3001, 50, 1);
  const auto t = random_targets(3001, 50);
  CHECK(test::same_at_any_thread_count([&] {
    Dense<double> out(1, 2);
    Dense<float> grad(3001, 50);
    const LossSum loss = binary_cross_entropy(z, t, {}, grad.view());
    out(0, 0) = loss.loss_sum;
    out(0, 1) = static_cast<double>(grad(3000, 7));
    return out;
  }));
}

TEST_CASE("binary_cross_entropy: wrong extents and options are refused", "[binary_cross_entropy]") {
  Dense<float> z(2, 3), t(3, 2), ok(2, 3);
  const std::vector<float> one(1);
  REQUIRE_THROWS_AS(binary_cross_entropy(z, t, {}, z.view()), ShapeError);
  REQUIRE_THROWS_AS(binary_cross_entropy(z, ok, one, z.view()), ShapeError);
  REQUIRE_THROWS_AS(binary_cross_entropy(z, ok, {}, t.view()), ShapeError);
  REQUIRE_THROWS_AS(binary_cross_entropy(z, ok, {}, z.view(), {.pos_weight = one}), ShapeError);
  REQUIRE_THROWS_AS(binary_cross_entropy(z, ok, {}, z.view(), {.divisor = -1}), ConfigError);
}
