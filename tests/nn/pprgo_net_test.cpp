// SPDX-License-Identifier: MIT
#include "tessera/nn/nets/pprgo_net.hpp"

#include <cmath>
#include <vector>

#include "support/catch.hpp"
#include "tessera/nn/autograd/grad_check.hpp"

using namespace tessera;

namespace {

static_assert(Model<PprgoNet<double>>);

/// A directed matrix [3, 4] with its transpose.
struct Small {
  std::vector<EdgeId> row_ptr{0, 2, 3, 5};
  std::vector<NodeId> col{0, 3, 1, 0, 2};
  std::vector<float> weight{0.5f, 0.25f, 1.0f, 0.125f, 2.0f};
  std::vector<EdgeId> t_row_ptr{0, 2, 3, 4, 5};
  std::vector<NodeId> t_col{0, 2, 1, 2, 0};
  std::vector<float> t_weight{0.5f, 0.125f, 1.0f, 2.0f, 0.25f};
  Adjacency adjacency() const {
    return {{3, 4, row_ptr, col, weight}, {4, 3, t_row_ptr, t_col, t_weight}, {}};
  }
};

/// A ring of n nodes, row-normalised: its own transpose.
struct Ring {
  std::vector<EdgeId> row_ptr{0};
  std::vector<NodeId> col;
  std::vector<float> weight;
  explicit Ring(std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
      col.push_back(static_cast<NodeId>((i + n - 1) % n));
      col.push_back(static_cast<NodeId>((i + 1) % n));
      row_ptr.push_back(col.size());
    }
    weight.assign(col.size(), 0.5f);
  }
  Adjacency adjacency() const {
    const CsrView<> a{row_ptr.size() - 1, row_ptr.size() - 1, row_ptr, col, weight};
    return {a, a, {}};
  }
};

Tensor<double> numbers(std::size_t rows, std::size_t cols) {
  Tensor<double> out(rows, cols);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) out(i, j) = std::sin(static_cast<double>(7 * i + 3 * j + 1));
  }
  return out;
}

}  // namespace

TEST_CASE("teleport: value and gradients") {
  const Small small;
  const Tensor<double> q = numbers(4, 2);
  const Tensor<double> h = numbers(5, 2);
  NoTape<double> ctx;
  const Var y = teleport(ctx, small.adjacency(), ctx.input(q), ctx.input(h), 0.25);
  for (std::size_t f = 0; f < 2; ++f) {
    CHECK(std::abs(ctx.value(y)(0, f) - (0.75 * (0.5 * q(0, f) + 0.25 * q(3, f)) + 0.25 * h(0, f))) < 1e-15);
    CHECK(std::abs(ctx.value(y)(2, f) - (0.75 * (0.125 * q(0, f) + 2 * q(2, f)) + 0.25 * h(2, f))) < 1e-15);
  }
  std::vector<Tensor<double>> at;
  at.push_back(numbers(4, 2));
  at.push_back(numbers(3, 2));
  const GradCheck check = grad_check(
      [&](auto& context, std::span<const Var> x) {
        return teleport(context, small.adjacency(), x[0], x[1], 0.25);
      },
      at);
  CHECK(check.vjp_error < 1e-7);
  CHECK(check.jvp_error < 1e-7);
  CHECK(check.adjoint_error < 1e-12);
  REQUIRE_THROWS_AS(teleport(ctx, small.adjacency(), ctx.input(q), ctx.input(numbers(2, 2)), 0.25),
                    ShapeError);
}

TEST_CASE("PprgoNet: forward mixes the perceptron's outputs by the scores") {
  PprgoNet<double> net({.in = 3, .hidden = 5, .out = 2, .dropout = 0.5f, .seed = 4});
  const Small small;
  const Tensor<double> x = numbers(4, 3);
  NoTape<double> ctx;
  const Adjacency scores = small.adjacency();
  const Tensor<double> z = ctx.take(net.forward(ctx, AdjacencyStack({&scores, 1}), ctx.input(x), Pass{}));
  const ParameterBlock<double>& block = net.parameters();
  REQUIRE(block.parameters().size() == 2);  // no bias
  const auto matrix = [&](std::size_t p) {
    const ParameterInfo& info = block.parameters()[p];
    return block[Parameter{p, info.offset, info.rows, info.cols}].value;
  };
  Tensor<double> h = Tensor<double>::zeros(4, 2);
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t k = 0; k < 5; ++k) {
      double sum = 0;
      for (std::size_t j = 0; j < 3; ++j) sum += x(i, j) * matrix(0)(j, k);
      for (std::size_t f = 0; f < 2; ++f) h(i, f) += std::max(0.0, sum) * matrix(1)(k, f);
    }
  }
  for (std::size_t f = 0; f < 2; ++f) {
    CHECK(std::abs(z(0, f) - (0.5 * h(0, f) + 0.25 * h(3, f))) < 1e-14);
    CHECK(std::abs(z(1, f) - h(1, f)) < 1e-14);
    CHECK(std::abs(z(2, f) - (0.125 * h(0, f) + 2 * h(2, f))) < 1e-14);
  }
}

TEST_CASE("PprgoNet: inference with many power steps is the exact PageRank of the logits") {
  constexpr std::size_t kNodes = 9;
  constexpr double kAlpha = 0.2;
  const Ring ring(kNodes);
  PprgoNet<double> net({.in = 3, .hidden = 4, .out = 2, .alpha = kAlpha, .power_steps = 200, .seed = 1});
  REQUIRE(net.num_layers() == 3);
  const Tensor<double> x = numbers(kNodes, 3);
  NoTape<double> ctx;
  Var v = ctx.input(x);
  for (std::size_t l = 0; l < 2; ++l) v = net.layer(ctx, l, ring.adjacency(), v, Pass{});
  const Tensor<double> h = Tensor<double>::copy_of(ctx.value(v));
  const Var q = net.layer(ctx, 2, ring.adjacency(), v, Pass{});
  // alpha (I - (1 - alpha) P)^-1 H solves Q = (1 - alpha) P Q + alpha H; the error shrinks by 0.8 per step.
  const double rest = 4 * std::pow(1 - kAlpha, 200);
  for (std::size_t i = 0; i < kNodes; ++i) {
    for (std::size_t f = 0; f < 2; ++f) {
      const double around =
          0.5 * (ctx.value(q)((i + 1) % kNodes, f) + ctx.value(q)((i + kNodes - 1) % kNodes, f));
      CHECK(std::abs(ctx.value(q)(i, f) - ((1 - kAlpha) * around + kAlpha * h(i, f))) <= rest + 1e-14);
    }
  }
}

TEST_CASE("PprgoNet refuses what it cannot work with") {
  REQUIRE_THROWS_AS(PprgoNet<>({.in = 3, .out = 2, .alpha = 0}), ConfigError);
  REQUIRE_THROWS_AS(PprgoNet<>({.in = 0, .out = 2}), ConfigError);
  PprgoNet<double> net({.in = 3, .out = 2});
  const Small small;
  const Tensor<double> x = numbers(4, 2);
  NoTape<double> ctx;
  REQUIRE_THROWS_AS(net.layer(ctx, 2, small.adjacency(), ctx.input(x), Pass{}), ShapeError);
  REQUIRE_THROWS_AS(net.layer(ctx, 3, small.adjacency(), ctx.input(x), Pass{}), IndexError);
}
