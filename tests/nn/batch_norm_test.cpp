// SPDX-License-Identifier: MIT
#include "tessera/nn/layers/batch_norm.hpp"

#include <cmath>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/autograd/grad_check.hpp"
#include "tessera/nn/optim/adam.hpp"

using namespace tessera;
using namespace tessera::testing;
using Vars = std::span<const Var>;

namespace {

std::vector<Tensor<double>> inputs() {
  std::vector<Tensor<double>> out;
  out.push_back(random_matrix<double>(7, 5, 1));
  out.push_back(random_matrix<double>(1, 5, 2));
  out.push_back(random_matrix<double>(1, 5, 3));
  return out;
}

}  // namespace

TEST_CASE("batch_norm: derivatives", "[batch_norm]") {
  // As in ops_test: central differences leave 1e-10 of rounding; the adjoint identity is exact but for it.
  std::vector<Tensor<double>> in = inputs();
  SECTION("by its own statistics") {
    const GradCheck r = grad_check([](auto& c, Vars v) { return batch_norm(c, v[0], v[1], v[2], 1e-3); }, in);
    CHECK(r.vjp_error < 1e-6);
    CHECK(r.jvp_error < 1e-6);
    CHECK(r.adjoint_error < 1e-12);
  }
  SECTION("by constants") {
    const std::vector<double> mean{0.1, 0.2, 0.3, 0.4, 0.5}, variance{1, 2, 3, 4, 5};
    const GradCheck r = grad_check(
        [&](auto& c, Vars v) { return batch_norm_by(c, v[0], v[1], v[2], 1e-3, mean, variance); }, in);
    CHECK(r.vjp_error < 1e-6);
    CHECK(r.jvp_error < 1e-6);
    CHECK(r.adjoint_error < 1e-12);
  }
}

TEST_CASE("BatchNorm: running averages follow torch.nn.BatchNorm1d", "[batch_norm]") {
  // torch: BatchNorm1d(1), momentum 0.1, one training batch [1, 2, 6]: mean 3, unbiased variance 7.
  ParameterBlock<double> block;
  const BatchNorm<double> norm(block, "norm", 1);
  Tensor<double> x(3, 1);
  x(0, 0) = 1;
  x(1, 0) = 2;
  x(2, 0) = 6;
  NoTape<double> ctx;
  norm(ctx, block, ctx.input(std::as_const(x).view()), Pass{.training = true});
  const auto mean = [&] { return std::as_const(block).value(block.find("norm.running_mean"))(0, 0); };
  const auto variance = [&] { return std::as_const(block).value(block.find("norm.running_var"))(0, 0); };
  CHECK(std::abs(mean() - 0.3) < 1e-15);
  CHECK(std::abs(variance() - (0.9 + 0.7)) < 1e-15);

  SECTION("inference reads them and leaves them") {
    const Var y = norm(ctx, block, ctx.input(std::as_const(x).view()), Pass{});
    CHECK(std::abs(ctx.value(y)(2, 0) - (6 - 0.3) / std::sqrt(1.6 + 1e-5)) < 1e-14);
    CHECK(std::abs(mean() - 0.3) < 1e-15);
  }
  SECTION("one row has no variance: beta comes out, nothing is remembered") {
    const Var y =
        norm(ctx, block, ctx.input(std::as_const(x).view().middle_rows(0, 1)), Pass{.training = true});
    CHECK(ctx.value(y)(0, 0) == 0);
    CHECK(std::abs(mean() - 0.3) < 1e-15);
  }
  SECTION("they are state: counted as no parameter, untouched by an optimiser, part of a clone") {
    CHECK(block.num_parameters() == 2);
    const Adam adam{.lr = 0.1, .weight_decay = 0.5};
    auto state = adam.start(block);
    for (double& g : block.grad(norm.weight()).row(0)) g = 1;
    adam.step(state, block, 1.0);
    CHECK(std::as_const(block).value(norm.weight())(0, 0) < 1);
    CHECK(std::abs(mean() - 0.3) < 1e-15);
    CHECK(std::as_const(block).clone().value(block.find("norm.running_mean"))(0, 0) == mean());
  }
}

TEST_CASE("BatchNorm: options that cannot be are refused", "[batch_norm]") {
  ParameterBlock<float> block;
  CHECK_THROWS_AS(BatchNorm<float>(block, "a", 2, {.momentum = 1.5}), ConfigError);
  CHECK_THROWS_AS(BatchNorm<float>(block, "b", 2, {.eps = -1}), ConfigError);
  const BatchNorm<float> norm(block, "c", 2);
  NoTape<float> ctx;
  Tensor<float> wrong(3, 4);
  CHECK_THROWS_AS(norm(ctx, block, ctx.input(std::as_const(wrong).view()), Pass{.training = true}),
                  ShapeError);
}
