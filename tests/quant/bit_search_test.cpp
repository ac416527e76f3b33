// SPDX-License-Identifier: MIT
#include "tessera/quant/bit_search.hpp"

#include <cmath>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/autograd/no_tape.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

QuantPlan one_point(std::size_t columns) {
  QuantPlan plan;
  plan.points.emplace_back();
  plan.points[0].name = "quant.0.input";
  plan.points[0].columns = columns;
  plan.points[0].format = {.is_signed = false};
  return plan;
}

Tensor<double> state_of(MatrixView<const double> x) {
  Tensor<double> state = Tensor<double>::zeros(3, 1);
  observe<double>(state.view(), x, {}, {});
  return state;
}

void set_logits(BitSearch<double>& search, std::vector<double> logits) {
  const MatrixView<double> row = search.parameters().value(search.parameters().find("quant.0.input"));
  for (std::size_t k = 0; k < logits.size(); ++k) row(0, k) = logits[k];
}

}  // namespace

TEST_CASE("the largest logit's width is what the forward pass uses", "[quant]") {
  const QuantPlan plan = one_point(5);
  BitSearch<double> search(plan, {.widths = {2, 4, 8}});
  const Tensor<double> x = random_matrix<double>(20, 5, 3);
  const Tensor<double> state = state_of(x.view());
  for (std::size_t k = 0; k < 3; ++k) {
    std::vector<double> logits(3, -50.0);
    logits[k] = 50;
    set_logits(search, logits);
    const int bits = search.options().widths[k];
    CHECK(search.chosen(0) == bits);
    const QuantFormat format{.bits = bits, .is_signed = false};
    const OwnedGrid<double> grid(state.view(), format, "q");
    Tensor<double> want(20, 5);
    fake_quantize<double>(x.view(), grid.view(), want.view());
    NoTape<double> ctx;
    const Var y = search.mix(ctx, ctx.input(x.view()), 0, plan.points[0].format, state.view(), "q", {});
    CHECK(same_bits<double>(ctx.value(y), want.view()));
    CHECK(std::abs(search.expected_bits() - bits) < 1e-12);
    CHECK(std::abs(search.shares(0)[k] - 1) < 1e-12);
  }
}

TEST_CASE("logits learn from what every width would have given", "[quant]") {
  const QuantPlan plan = one_point(5);
  BitSearch<double> search(plan, {.widths = {2, 4, 8}, .temperature = 0.7});
  set_logits(search, {0.3, -0.2, 0.1});
  const Tensor<double> x = random_matrix<double>(20, 5, 3);
  const Tensor<double> g = random_matrix<double>(20, 5, 9);
  const Tensor<double> state = state_of(x.view());
  Tape<double> tape;
  search.parameters().zero_grads();
  const Var y = search.mix(tape, tape.input(x.view()), 0, plan.points[0].format, state.view(), "q", {});
  tape.backward(y, g.view());

  // The gradient of sum over k of pi_k <g, o_k>, by differences of the softmax.
  std::vector<double> inner;
  for (const int bits : {2, 4, 8}) {
    const OwnedGrid<double> grid(state.view(), QuantFormat{.bits = bits, .is_signed = false}, "q");
    Tensor<double> o(20, 5);
    fake_quantize<double>(x.view(), grid.view(), o.view());
    inner.push_back(detail::inner_product<double>(g.view(), o.view()));
  }
  const auto mixture = [&](std::vector<double> logits) {
    set_logits(search, std::move(logits));
    double sum = 0;
    double total = 0;
    for (std::size_t k = 0; k < 3; ++k) {
      sum += search.shares(0)[k] * inner[k];
      total += search.shares(0)[k];
    }
    CHECK(std::abs(total - 1) < 1e-15);
    return sum;
  };
  const auto grad = search.parameters().grad(search.parameters().find("quant.0.input"));
  for (std::size_t k = 0; k < 3; ++k) {
    std::vector<double> up{0.3, -0.2, 0.1};
    std::vector<double> down = up;
    up[k] += 1e-5;
    down[k] -= 1e-5;
    CHECK(std::abs((mixture(up) - mixture(down)) / 2e-5 - grad(0, k)) < 1e-7);
  }
}

TEST_CASE("the price of bits pushes towards fewer", "[quant]") {
  QuantPlan plan = one_point(5);
  plan.points.emplace_back();
  plan.points[1].name = "quant.0.weight";
  plan.points[1].elements = 15;
  BitSearch<double> search(plan, {.widths = {2, 4, 8}, .beta = 2});
  search.parameters().zero_grads();
  CHECK(std::abs(search.expected_bits() - 14.0 / 3) < 1e-12);
  search.add_size_gradient();
  const auto small = search.parameters().grad(search.parameters().find("quant.0.input"));
  const auto large = search.parameters().grad(search.parameters().find("quant.0.weight"));
  CHECK(small(0, 0) < 0);
  CHECK(small(0, 2) > 0);
  CHECK(std::abs(large(0, 2) / small(0, 2) - 3) < 1e-12);  // three times the elements
}

TEST_CASE("searches that cannot be are refused", "[quant]") {
  const QuantPlan plan = one_point(5);
  CHECK_THROWS_AS(BitSearch<double>(plan, {.widths = {}}), ConfigError);
  CHECK_THROWS_AS(BitSearch<double>(plan, {.widths = {1}}), ConfigError);
  CHECK_THROWS_AS(BitSearch<double>(plan, {.temperature = 0}), ConfigError);
}
