// SPDX-License-Identifier: MIT
#include "tessera/kernels/epilogue_apply.hpp"

#include <cstddef>
#include <span>
#include <vector>

#include "support/catch.hpp"
#include "support/dense_cases.hpp"
#include "tessera/kernels/reference/dense.hpp"

using namespace tessera;
using test::Dense;

namespace {

/// Every combination of bias, activation and dropout.
template <class T, class Check>
void for_each_epilogue(std::size_t cols, Check check) {
  const auto bias = test::random_values<T>(cols, 5);
  for (int bits = 0; bits < 8; ++bits) {
    Epilogue<T> epilogue;
    if ((bits & 1) != 0) epilogue.bias = bias;
    if ((bits & 2) != 0) epilogue.activation = Activation::relu;
    if ((bits & 4) != 0) epilogue.dropout = {0.4f, make_key(1, 1, Purpose::dropout), 2};
    INFO("combination " << bits);
    check(epilogue);
  }
}

}  // namespace

TEST_CASE("reference epilogue: hand-checked", "[epilogue]") {
  Dense<double> y(1, 2);
  y(0, 0) = -3;
  y(0, 1) = 1;
  const double bias[] = {1, 2};
  Epilogue<double> epilogue;
  epilogue.bias = bias;
  epilogue.activation = Activation::relu;
  reference::apply_epilogue(y.view(), epilogue);
  CHECK(y(0, 0) == 0);
  CHECK(y(0, 1) == 3);
}

TEST_CASE("apply_epilogue: equals its twin in every combination, extent and level", "[epilogue]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const std::size_t cols : {1u, 7u, 16u, 131u, 257u}) {
      for (const std::size_t rows : {0u, 1u, 53u}) {
        for_each_epilogue<float>(cols, [&](const Epilogue<float>& epilogue) {
          auto y = Dense<float>::random(rows, cols, 1, 2);
          auto want = y;
          apply_epilogue(y.view(), epilogue);
          reference::apply_epilogue(want.view(), epilogue);
          CHECK(y.same_bits(want));
        });
      }
    }
  }
}

TEST_CASE("epilogue_backward: agrees with its twin, which sees the input", "[epilogue]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const std::size_t rows : {0u, 1u, 53u, 1009u}) {
      constexpr std::size_t kCols = 67;
      for_each_epilogue<float>(kCols, [&](const Epilogue<float>& epilogue) {
        const auto z = Dense<float>::random(rows, kCols, 1);
        const auto grad = Dense<float>::random(rows, kCols, 2, 1);
        auto y = z;
        apply_epilogue(y.view(), epilogue);
        Dense<float> got(rows, kCols, 1), want(rows, kCols, 1);
        auto bias_got = Dense<float>::random(1, kCols, 3);
        auto bias_want = bias_got;
        epilogue_backward(y, grad, epilogue, got.view(), bias_got.view().row(0));
        reference::epilogue_backward(z.view(), grad.view(), epilogue, want.view(), bias_want.view().row(0));
        CHECK(got.same_bits(want));
        // Terms are below 1 / 0.6; both sides round once per term.
        const double bound = 2 * static_cast<double>(rows + 2) * test::unit_roundoff<float>() *
                             (1 + static_cast<double>(rows) / 0.6);
        CHECK(test::misses(bias_got, bias_want.widened(), bound) == 0);

        auto in_place = grad;
        epilogue_backward(y, in_place, epilogue, in_place.view());
        CHECK(in_place.same_bits(want));
      });
    }
  }
}

TEST_CASE("epilogue_backward: numeric gradient in double", "[epilogue]") {
  for_each_epilogue<double>(13, [&](const Epilogue<double>& epilogue) {
    auto z = Dense<double>::random(9, 13, 1);
    const auto weight = Dense<double>::random(9, 13, 2);
    const auto loss = [&] {
      auto y = z;
      apply_epilogue(y.view(), epilogue);
      double sum = 0;
      for (std::size_t i = 0; i < 9; ++i) {
        for (std::size_t j = 0; j < 13; ++j) sum += weight(i, j) * y(i, j);
      }
      return sum;
    };
    auto y = z;
    apply_epilogue(y.view(), epilogue);
    Dense<double> grad(9, 13);
    epilogue_backward(y, weight, epilogue, grad.view());
    CHECK(test::gradient_error(z, grad, loss) < test::gradient_tolerance(std::abs(loss())));
  });
}

TEST_CASE("epilogue_backward: bias gradient has the same bits at any number of threads", "[epilogue]") {
  const auto grad = Dense<float>::random(5003, 19, 1);
  const auto y = Dense<float>::random(5003, 19, 2);
  Epilogue<float> epilogue;
  epilogue.activation = Activation::relu;
  CHECK(test::same_at_any_thread_count([&] {
    Dense<float> pre(5003, 19);
    auto bias = Dense<float>::random(1, 19, 4);
    epilogue_backward(y, grad, epilogue, pre.view(), bias.view().row(0));
    return bias;
  }));
}

TEST_CASE("epilogue: wrong extents are refused", "[epilogue]") {
  Dense<float> y(2, 3), g(2, 4);
  const float bias[2] = {};
  Epilogue<float> epilogue;
  epilogue.bias = bias;
  REQUIRE_THROWS_AS(apply_epilogue(y.view(), epilogue), ShapeError);
  REQUIRE_THROWS_AS(epilogue_backward(y, g, {}, y.view()), ShapeError);
  REQUIRE_THROWS_AS(epilogue_backward(y, y, {}, y.view(), g.view().row(0)), ShapeError);
}

TEST_CASE("a row finished at a level has that level's bits, whatever level is active") {
  Epilogue<float> epilogue;
  epilogue.activation = Activation::elu;
  const auto finished = [&](Isa active) {
    const IsaScope scope(active);
    std::vector<float> x(1037);
    for (std::size_t j = 0; j < x.size(); ++j) x[j] = -5.0f + 0.005f * static_cast<float>(j);
    detail::apply_epilogue_row(Level<Isa::baseline>{}, std::span<float>(x), 0, epilogue);
    return x;
  };
  const std::vector<float> want = finished(Isa::baseline);
  CHECK(want[0] < -0.99f);
  for (const Isa active : {Isa::avx2, Isa::avx512}) {
    if (active <= detected_isa()) CHECK(finished(active) == want);
  }
}
