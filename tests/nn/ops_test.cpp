// SPDX-License-Identifier: MIT
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/autograd/grad_check.hpp"
#include "tessera/nn/ops/add.hpp"
#include "tessera/nn/ops/aggregate.hpp"
#include "tessera/nn/ops/aggregate_concat.hpp"
#include "tessera/nn/ops/dropout.hpp"
#include "tessera/nn/ops/finish.hpp"
#include "tessera/nn/ops/layer_norm.hpp"
#include "tessera/nn/ops/linear.hpp"
#include "tessera/nn/ops/normalize_rows.hpp"
#include "tessera/nn/ops/rows.hpp"

namespace {

using namespace tessera;
using namespace tessera::testing;

constexpr DropoutMask kMask{0.3f, make_key(1, 2, Purpose::dropout), 4};

/// Central differences with h = 1e-6 leave about u |f| / h = 1e-10 |f| of rounding; layers.md section 14 asks
/// for 1e-6. The adjoint identity is exact but for rounding.
template <class F>
void check_operator(F&& f, std::vector<Tensor<double>> inputs) {
  const GradCheck result = grad_check(std::forward<F>(f), inputs);
  CHECK(result.vjp_error < 1e-6);
  CHECK(result.jvp_error < 1e-6);
  CHECK(result.adjoint_error < 1e-12);
}

template <class... T>
std::vector<Tensor<double>> tensors(T&&... t) {
  std::vector<Tensor<double>> out;
  (out.push_back(std::move(t)), ...);
  return out;
}

using Vars = std::span<const Var>;

TEST_CASE("derivatives of dense operators") {
  const auto x = [] { return random_matrix<double>(7, 5, 1); };
  const auto w = [] { return random_matrix<double>(5, 18, 2); };
  const auto b = [] { return random_matrix<double>(1, 18, 3); };

  SECTION("linear") {
    check_operator([](auto& c, Vars v) { return linear(c, v[0], v[1]); }, tensors(x(), w()));
  }
  SECTION("linear with bias") {
    check_operator([](auto& c, Vars v) { return linear(c, v[0], v[1], {.bias = v[2]}); },
                   tensors(x(), w(), b()));
  }
  SECTION("linear with bias, relu and dropout") {
    check_operator(
        [](auto& c, Vars v) {
          return linear(c, v[0], v[1], {.bias = v[2], .activation = Activation::relu, .dropout = kMask});
        },
        tensors(x(), w(), b()));
  }
  SECTION("linear with dropout alone") {
    check_operator([](auto& c, Vars v) { return linear(c, v[0], v[1], {.dropout = kMask}); },
                   tensors(x(), w()));
  }
  SECTION("matmul of a matrix with itself") {
    check_operator([](auto& c, Vars v) { return matmul(c, v[0], v[0]); },
                   tensors(random_matrix<double>(6, 6, 4)));
  }
  SECTION("linear pair") {
    check_operator(
        [](auto& c, Vars v) {
          return linear_pair(c, v[0], v[1], v[2], v[3], {.bias = v[4], .activation = Activation::relu});
        },
        tensors(x(), w(), random_matrix<double>(7, 3, 5), random_matrix<double>(3, 18, 6), b()));
  }
  SECTION("add_linear") {
    check_operator(
        [](auto& c, Vars v) {
          return add_linear(c, v[3], v[0], v[1], {.bias = v[2], .activation = Activation::relu});
        },
        tensors(x(), w(), b(), random_matrix<double>(7, 18, 7)));
  }
  SECTION("relu, add, rows and columns") {
    check_operator([](auto& c, Vars v) { return relu(c, v[0]); }, tensors(x()));
    check_operator([](auto& c, Vars v) { return add(c, v[0], v[0]); }, tensors(x()));
    check_operator([](auto& c, Vars v) { return add(c, v[0], v[1]); },
                   tensors(x(), random_matrix<double>(7, 5, 8)));
    check_operator([](auto& c, Vars v) { return add(c, head_rows(c, v[0], 3), head_rows(c, v[1], 3)); },
                   tensors(x(), random_matrix<double>(7, 5, 8)));
    check_operator([](auto& c, Vars v) { return concat_columns(c, v[0], v[1]); },
                   tensors(x(), random_matrix<double>(7, 2, 9)));
  }
  SECTION("dropout") {
    check_operator([](auto& c, Vars v) { return dropout(c, v[0], kMask); }, tensors(x()));
    check_operator([](auto& c, Vars v) { return add(c, v[0], dropout(c, v[0], kMask)); }, tensors(x()));
  }
  SECTION("finish in place") {
    check_operator(
        [](auto& c, Vars v) {
          return finish_in_place(c, add(c, v[0], v[0]),
                                 {.bias = v[1], .activation = Activation::relu, .dropout = kMask});
        },
        tensors(x(), random_matrix<double>(1, 5, 9)));
  }
  SECTION("normalize_rows") {
    check_operator([](auto& c, Vars v) { return normalize_rows(c, v[0]); }, tensors(x()));
  }
  SECTION("layer_norm") {
    for (const double eps : {1e-9, 1e-5, 0.5}) {
      check_operator([eps](auto& c, Vars v) { return layer_norm(c, v[0], v[1], v[2], eps); },
                     tensors(x(), random_matrix<double>(1, 5, 8), random_matrix<double>(1, 5, 9)));
    }
  }
}

TEST_CASE("derivatives of aggregations") {
  const OwnedAdjacency block = random_block(9, 14, 4, 1);
  const Adjacency a = block.view();
  const auto x = [] { return random_matrix<double>(14, 19, 1); };
  for (const Reduce reduce : {Reduce::sum, Reduce::mean, Reduce::max}) {
    check_operator([&](auto& c, Vars v) { return aggregate(c, a, v[0], reduce); }, tensors(x()));
    check_operator(
        [&](auto& c, Vars v) {
          return aggregate(c, a, v[0], reduce,
                           {.bias = v[1], .activation = Activation::relu, .dropout = kMask});
        },
        tensors(x(), random_matrix<double>(1, 19, 3)));
    // Used twice, so the second contribution is added to the first.
    check_operator(
        [&](auto& c, Vars v) { return add(c, aggregate(c, a, v[0], reduce), head_rows(c, v[0], 9)); },
        tensors(x()));
  }
  for (const Reduce reduce : {Reduce::sum, Reduce::mean}) {
    check_operator([&](auto& c, Vars v) { return aggregate_concat(c, a, v[0], reduce, kMask); },
                   tensors(x()));
  }
  NoTape<double> ctx;
  const Tensor<double> value = x();
  CHECK_THROWS_AS(aggregate_concat(ctx, a, ctx.input(value.view()), Reduce::max), ConfigError);
}

TEST_CASE("aggregations agree with dense matrices") {
  const OwnedAdjacency block = random_block(11, 17, 5, 2);
  const Adjacency a = block.view();
  const auto x = random_matrix<double>(17, 13, 1);
  const Tensor<double> m = dense(a.forward);
  NoTape<double> ctx;
  const Var v = ctx.input(x.view());
  // A row sums at most 17 products of at most 2: 17 u 34 bounds the rounding of either side.
  const double bound = 2 * 17 * 34 * 1.2e-16;
  const Tensor<double> product = multiply(m.view(), x.view());
  CHECK(max_difference<double>(ctx.value(aggregate(ctx, a, v)), product.view()) <= bound);

  const auto mean = ctx.value(aggregate(ctx, a, v, Reduce::mean));
  const auto largest = ctx.value(aggregate(ctx, a, v, Reduce::max));
  for (std::size_t i = 0; i < 11; ++i) {
    for (std::size_t j = 0; j < 13; ++j) {
      double sum = 0;
      double top = -std::numeric_limits<double>::infinity();
      for (const NodeId source : a.forward.neighbors(i)) {
        sum += x(source, j);
        top = std::max(top, x(source, j));
      }
      const std::size_t n = a.forward.degree(i);
      CHECK(std::abs(mean(i, j) - (n == 0 ? 0 : sum / static_cast<double>(n))) <= bound);
      CHECK(largest(i, j) == (n == 0 ? 0 : top));
    }
  }
  const auto both = ctx.value(aggregate_concat(ctx, a, v));
  CHECK(same_bits<double>(both.middle_cols(0, 13), ctx.value(aggregate(ctx, a, v))));
  CHECK(same_bits<double>(both.middle_cols(13, 13), x.view().middle_rows(0, 11)));
}

TEST_CASE("shapes that do not fit are named") {
  const OwnedAdjacency block = random_block(9, 14, 4, 1);
  const auto x = random_matrix<double>(13, 3, 1);
  const auto bias = random_matrix<double>(1, 4, 1);
  auto grad = Tensor<double>::zeros(14, 3);
  const auto full = random_matrix<double>(14, 3, 1);
  Tape<double> tape;
  const Var v = tape.input(x.view());
  CHECK_THROWS_AS(aggregate(tape, block.view(), v), ShapeError);
  CHECK_THROWS_AS(aggregate_concat(tape, block.view(), v), ShapeError);
  const Var leaf = tape.parameter({full.view(), grad.view()});
  Adjacency forward_only = block.view();
  forward_only.transpose = {};
  CHECK_THROWS_AS(aggregate(tape, forward_only, leaf), ShapeError);
  CHECK(tape.value(aggregate(tape, forward_only, tape.input(full.view()))).rows() == 9);
  CHECK_THROWS_AS(aggregate(tape, block.view(), leaf, Reduce::sum, {.bias = tape.input(bias.view())}),
                  ShapeError);
  CHECK_THROWS_AS(dropout(tape, v, DropoutMask{1.5f, {}, 0}), ConfigError);
  CHECK_THROWS_AS(layer_norm(tape, v, tape.input(bias.view()), tape.input(bias.view()), 1e-5), ShapeError);
}

TEST_CASE("matrices without rows or columns pass") {
  const auto x = random_matrix<double>(0, 5, 1);
  const auto w = random_matrix<double>(5, 3, 1);
  const auto b = random_matrix<double>(1, 3, 2);
  auto w_grad = Tensor<double>::zeros(5, 3);
  auto b_grad = Tensor<double>::zeros(1, 3);
  Tape<double> tape;
  const Var y = linear(tape, tape.input(x.view()), tape.parameter({w.view(), w_grad.view()}),
                       {.bias = tape.parameter({b.view(), b_grad.view()}), .activation = Activation::relu});
  tape.backward(y, random_matrix<double>(0, 3, 1).view());
  CHECK(max_difference<double>(w_grad.view(), Tensor<double>::zeros(5, 3)) == 0);
  CHECK(max_difference<double>(b_grad.view(), Tensor<double>::zeros(1, 3)) == 0);
}

TEST_CASE("zero rows normalise to zero") {
  const auto x = Tensor<double>::zeros(2, 3);
  auto grad = Tensor<double>::zeros(2, 3);
  Tape<double> tape;
  const Var y = normalize_rows(tape, tape.parameter({x.view(), grad.view()}));
  CHECK(tape.value(y)(1, 1) == 0);
  tape.backward(y, Tensor<double>::filled(2, 3, 1.0).view());
  CHECK(grad(0, 0) == 1e12);  // PyTorch's: G / 1e-12
}

}  // namespace
