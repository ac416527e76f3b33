// SPDX-License-Identifier: MIT
#include "tessera/nn/ops/fixed_point.hpp"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/nn/init/uniform.hpp"
#include "tessera/nn/ops/add.hpp"
#include "tessera/nn/ops/aggregate.hpp"
#include "tessera/nn/ops/linear.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

constexpr std::size_t kNodes = 12;
constexpr std::size_t kWidth = 3;

/// f(z, x) = act(mean(z) W) + x. A mean never enlarges, so |W| < 1 contracts.
struct Map {
  ParameterBlock<double>* block;
  Parameter weight;
  Adjacency a;
  Activation activation;

  template <class Ctx>
  Var operator()(Ctx& ctx, Var z, Var x) const {
    const Var w = ctx.parameter((*std::as_const(block))[weight]);
    return add(ctx, linear(ctx, aggregate(ctx, a, z, Reduce::mean), w, {.activation = activation}), x);
  }
  ParameterView<double> anchor() const { return (*std::as_const(block))[weight]; }
};

struct Case {
  OwnedAdjacency graph = random_block(kNodes, kNodes, 4, 3);
  ParameterBlock<double> block;
  Parameter weight = block.add("w", kWidth, kWidth);
  Tensor<double> x{kNodes, kWidth};
  Tensor<double> cotangent{kNodes, kWidth};

  Case() {
    fill_uniform(block.value(weight), 0.3, {make_key(7, 0, Purpose::init), 0});
    fill_uniform(x.view(), 1.0, {make_key(7, 0, Purpose::init), 1});
    fill_uniform(cotangent.view(), 1.0, {make_key(7, 0, Purpose::init), 2});
  }
  Map map(Activation activation) { return {&block, weight, graph.view(), activation}; }
};

constexpr AndersonOptions kTight{.memory = 5, .max_steps = 200, .tolerance = 1e-14};

/// <cotangent, z(x, W)>, z from a thousand plain steps.
double objective(Case& c, Activation activation) {
  Tensor<double> z = Tensor<double>::zeros(kNodes, kWidth);
  for (int k = 0; k < 1000; ++k) {
    NoTape<double> ctx;
    const Var y =
        c.map(activation)(ctx, ctx.input(std::as_const(z).view()), ctx.input(std::as_const(c.x).view()));
    z = Tensor<double>::copy_of(ctx.value(y));
  }
  return detail::inner_product<double>(z.view(), c.cotangent.view());
}

}  // namespace

TEST_CASE("anderson solves a linear system that plain iteration solves slowly") {
  // z = 0.95 R z + b with R a rotation of pairs: eigenvalues near the unit circle.
  const Tensor<double> b = Tensor<double>::filled(4, 2, 1.0);
  const auto g = [&](MatrixView<const double> z, MatrixView<double> to) {
    for (std::size_t i = 0; i < 4; ++i) {
      to(i, 0) = 0.95 * z(i, 1) + b(i, 0);
      to(i, 1) = -0.95 * z(i, 0) + b(i, 1);
    }
  };
  const Tensor<double> start = Tensor<double>::zeros(4, 2);
  const AndersonResult<double> mixed =
      anderson<double>(start.view(), {.max_steps = 20, .tolerance = 1e-10}, g);
  const AndersonResult<double> plain =
      anderson<double>(start.view(), {.memory = 1, .max_steps = 20, .tolerance = 1e-10}, g);
  CHECK(mixed.residual <= 1e-10);
  CHECK(mixed.steps < 20);
  CHECK(plain.residual > 1e-2);
  // (I - 0.95 R)^(-1) 1 in closed form.
  const double scale = 1 / (1 + 0.95 * 0.95);
  CHECK(std::abs(mixed.value(0, 0) - (1 + 0.95) * scale) <= 1e-9);
  CHECK(std::abs(mixed.value(0, 1) - (1 - 0.95) * scale) <= 1e-9);
  CHECK_THROWS_AS(anderson<double>(start.view(), {.memory = 9}, g), ConfigError);
  CHECK_THROWS_AS(anderson<double>(start.view(), {.max_steps = 0}, g), ConfigError);
}

TEST_CASE("fixed_point: value and gradients are those of the equation") {
  const Activation activation = GENERATE(Activation::none, Activation::elu);
  Case c;
  Tensor<double> grad_x = Tensor<double>::zeros(kNodes, kWidth);
  Tape<double> tape;
  const Var x = tape.parameter(ParameterView<double>{c.x.view(), grad_x.view()});
  double residual = 1;
  const Var z = fixed_point(tape, x, kWidth, c.map(activation), kTight, &residual);
  CHECK(residual <= 1e-13);
  const double value = detail::inner_product<double>(tape.value(z), c.cotangent.view());
  CHECK(std::abs(value - objective(c, activation)) <= 1e-11);
  tape.backward(z, c.cotangent.view());

  const double h = 1e-5;
  const auto slope = [&](double& at) {
    const double before = at;
    at = before + h;
    const double up = objective(c, activation);
    at = before - h;
    const double down = objective(c, activation);
    at = before;
    return (up - down) / (2 * h);
  };
  for (std::size_t i = 0; i < kNodes; i += 5) {
    for (std::size_t j = 0; j < kWidth; ++j) CHECK(std::abs(slope(c.x(i, j)) - grad_x(i, j)) <= 1e-8);
  }
  const MatrixView<double> w = c.block.value(c.weight);
  const MatrixView<double> grad_w = c.block.grad(c.weight);
  for (std::size_t i = 0; i < kWidth; ++i) {
    for (std::size_t j = 0; j < kWidth; ++j) CHECK(std::abs(slope(w(i, j)) - grad_w(i, j)) <= 1e-7);
  }
}

TEST_CASE("fixed_point: linear case against the inverse") {
  // z = M z W + x; with W = r I this is (I - r M) z = x for every column.
  Case c;
  const double r = 0.7;
  const MatrixView<double> w = c.block.value(c.weight);
  for (std::size_t i = 0; i < kWidth; ++i) {
    for (std::size_t j = 0; j < kWidth; ++j) w(i, j) = i == j ? r : 0;
  }
  NoTape<double> ctx;
  const Var z =
      fixed_point(ctx, ctx.input(std::as_const(c.x).view()), kWidth, c.map(Activation::none), kTight);
  const CsrView<> a = c.graph.view().forward;
  for (std::size_t i = 0; i < kNodes; ++i) {
    for (std::size_t j = 0; j < kWidth; ++j) {
      double mean = 0;
      for (const NodeId k : a.neighbors(i)) mean += ctx.value(z)(k, j) / static_cast<double>(a.degree(i));
      CHECK(std::abs(ctx.value(z)(i, j) - r * mean - c.x(i, j)) <= 1e-12);
    }
  }
}

TEST_CASE("fixed_point: the same bits at 1, 2, 4 threads") {
  Case c;
  std::vector<double> first;
  for (const std::size_t threads : {1u, 2u, 4u}) {
    c.block.zero_grads();
    with_threads(threads, [&] {
      Tape<double> tape;
      const Var z =
          fixed_point(tape, tape.input(std::as_const(c.x).view()), kWidth, c.map(Activation::elu), {});
      tape.backward(z, c.cotangent.view());
      return 0;
    });
    const auto grads = c.block.grads();
    if (first.empty()) first.assign(grads.begin(), grads.end());
    CHECK(std::ranges::equal(grads, first));
  }
}
