// SPDX-License-Identifier: MIT
#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/nn/autograd/grad_check.hpp"
#include "tessera/nn/layers/graph_norm.hpp"
#include "tessera/nn/layers/message_norm.hpp"
#include "tessera/nn/layers/norm.hpp"
#include "tessera/nn/layers/pair_norm.hpp"

using namespace tessera;
using namespace tessera::testing;
using Vars = std::span<const Var>;

namespace {

constexpr double kEps = 1e-3;

std::vector<Tensor<double>> matrices(std::initializer_list<std::array<std::size_t, 2>> shapes) {
  std::vector<Tensor<double>> out;
  for (const auto& [rows, cols] : shapes) out.push_back(random_matrix<double>(rows, cols, out.size() + 1));
  return out;
}

double column_mean(MatrixView<const double> x, std::size_t j) {
  double sum = 0;
  for (std::size_t i = 0; i < x.rows(); ++i) sum += x(i, j);
  return sum / static_cast<double>(x.rows());
}

/// The definition, column by column.
Tensor<double> reference_graph_norm(MatrixView<const double> x, MatrixView<const double> gamma,
                                    MatrixView<const double> beta, MatrixView<const double> k) {
  Tensor<double> y(x.rows(), x.cols());
  for (std::size_t j = 0; j < x.cols(); ++j) {
    const double mean = column_mean(x, j);
    double squares = 0;
    for (std::size_t i = 0; i < x.rows(); ++i) squares += std::pow(x(i, j) - k(0, j) * mean, 2);
    const double length = std::sqrt(squares / static_cast<double>(x.rows()) + kEps);
    for (std::size_t i = 0; i < x.rows(); ++i)
      y(i, j) = gamma(0, j) * (x(i, j) - k(0, j) * mean) / length + beta(0, j);
  }
  return y;
}

Tensor<double> centred(MatrixView<const double> x) {
  Tensor<double> y(x.rows(), x.cols());
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) y(i, j) = x(i, j) - column_mean(x, j);
  }
  return y;
}

double length(MatrixView<const double> x, std::size_t i) {
  double sum = 0;
  for (const double value : x.row(i)) sum += value * value;
  return std::sqrt(sum);
}

Tensor<double> reference_pair_norm(MatrixView<const double> x, double scale, bool individually) {
  Tensor<double> y = centred(x);
  double squares = 0;
  for (std::size_t i = 0; i < x.rows(); ++i) squares += std::pow(length(y.view(), i), 2);
  const double all = std::sqrt(squares / static_cast<double>(x.rows()) + kEps);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    const double by = scale / (individually ? kEps + length(y.view(), i) : all);
    for (double& value : y.row(i)) value *= by;
  }
  return y;
}

/// As in ops_test: central differences leave 1e-10 of rounding; the adjoint identity is exact but for it.
template <class F>
void check_derivatives(F f, std::vector<Tensor<double>>& in) {
  const GradCheck r = grad_check(f, in);
  CHECK(r.vjp_error < 1e-6);
  CHECK(r.jvp_error < 1e-6);
  CHECK(r.adjoint_error < 1e-12);
}

}  // namespace

TEST_CASE("graph_norm: the definition, its derivatives", "[norms]") {
  std::vector<Tensor<double>> in = matrices({{7, 5}, {1, 5}, {1, 5}, {1, 5}});
  NoTape<double> ctx;
  const auto run = [](auto& c, Vars v) { return graph_norm(c, v[0], v[1], v[2], v[3], kEps); };
  std::vector<Var> v;
  for (const auto& t : in) v.push_back(ctx.input(t.view()));
  const auto want = reference_graph_norm(std::as_const(in[0]).view(), std::as_const(in[1]).view(),
                                         std::as_const(in[2]).view(), std::as_const(in[3]).view());
  CHECK(max_difference<double>(ctx.value(run(ctx, Vars(v))), want.view()) < 1e-13);
  check_derivatives(run, in);
  SECTION("of one row") {
    std::vector<Tensor<double>> one = matrices({{1, 5}, {1, 5}, {1, 5}, {1, 5}});
    check_derivatives(run, one);
  }
  SECTION("of a constant column") {
    for (std::size_t i = 0; i < 7; ++i) in[0](i, 2) = 0.75;
    check_derivatives(run, in);
  }
}

TEST_CASE("graph_norm: what k does", "[norms]") {
  const auto x = random_matrix<double>(9, 3, 1);
  ParameterBlock<double> block;
  const GraphNorm<double> norm(block, "norm", 3, kEps);
  NoTape<double> ctx;
  const auto run = [&](MatrixView<const double> rows) {
    return ctx.value(norm(ctx, block, ctx.input(rows)));
  };
  SECTION("1, its start: columns of mean 0 and variance v / (v + eps); one row gives the bias") {
    const MatrixView<const double> y = run(x.view());
    const auto c = centred(x.view());
    for (std::size_t j = 0; j < 3; ++j) {
      double variance = 0, squares = 0;
      for (std::size_t i = 0; i < 9; ++i) variance += c(i, j) * c(i, j) / 9, squares += y(i, j) * y(i, j) / 9;
      CHECK(std::abs(column_mean(y, j)) < 1e-14);
      CHECK(std::abs(squares - variance / (variance + kEps)) < 1e-13);
    }
    const MatrixView<const double> one = run(x.view().middle_rows(0, 1));
    for (const double value : one.row(0)) CHECK(value == 0);
  }
  SECTION("0: nothing is centred, signs stay") {
    for (double& k : block.value(norm.mean_scale()).row(0)) k = 0;
    const MatrixView<const double> y = run(x.view());
    for (std::size_t i = 0; i < 9; ++i) {
      for (std::size_t j = 0; j < 3; ++j) CHECK((y(i, j) > 0) == (x(i, j) > 0));
    }
  }
  SECTION("no row, a constant column") {
    CHECK(run(x.view().middle_rows(0, 0)).rows() == 0);
    Tensor<double> same(4, 3);
    for (std::size_t i = 0; i < 4; ++i) std::fill(same.row(i).begin(), same.row(i).end(), 0.5);
    const MatrixView<const double> y = run(std::as_const(same).view());
    for (std::size_t i = 0; i < 4; ++i) {
      for (const double value : y.row(i)) CHECK(value == 0);
    }
  }
}

TEST_CASE("pair_norm and mean subtraction: the definitions, their derivatives", "[norms]") {
  const bool individually = GENERATE(false, true);
  std::vector<Tensor<double>> in = matrices({{7, 5}});
  const PairNorm norm({.scale = 1.5, .individually = individually, .eps = kEps});
  const auto run = [&](auto& c, Vars v) { return norm(c, v[0]); };
  NoTape<double> ctx;
  const Var x = ctx.input(std::as_const(in[0]).view());
  CHECK(max_difference<double>(ctx.value(norm(ctx, x)),
                               reference_pair_norm(std::as_const(in[0]).view(), 1.5, individually).view()) <
        1e-13);
  CHECK(max_difference<double>(ctx.value(subtract_mean(ctx, x)),
                               centred(std::as_const(in[0]).view()).view()) < 1e-14);
  check_derivatives(run, in);
  check_derivatives([](auto& c, Vars v) { return subtract_mean(c, v[0]); }, in);
  SECTION("of a constant column") {
    for (std::size_t i = 0; i < 7; ++i) in[0](i, 1) = -0.25;
    check_derivatives(run, in);
  }
  SECTION("of one row, which gives 0") {
    std::vector<Tensor<double>> one = matrices({{1, 5}});
    const Var y = norm(ctx, ctx.input(std::as_const(one[0]).view()));
    for (const double value : ctx.value(y).row(0)) CHECK(value == 0);
    check_derivatives(run, one);
  }
  SECTION("of no row") {
    const Var y = norm(ctx, ctx.input(std::as_const(in[0]).view().middle_rows(0, 0)));
    CHECK(ctx.value(y).rows() == 0);
  }
}

TEST_CASE("pair_norm: the sum of squared distances of all pairs is 2 N^2 scale^2", "[norms]") {
  const auto x = random_matrix<double>(12, 4, 3);
  NoTape<double> ctx;
  const MatrixView<const double> y = ctx.value(pair_norm(ctx, ctx.input(x.view()), 2.0, 1e-14));
  double sum = 0;
  for (std::size_t a = 0; a < 12; ++a) {
    for (std::size_t b = 0; b < 12; ++b) {
      for (std::size_t j = 0; j < 4; ++j) sum += std::pow(y(a, j) - y(b, j), 2);
    }
  }
  CHECK(std::abs(sum / (2 * 144 * 4.0) - 1) < 1e-12);
}

TEST_CASE("message_norm: the length of x times scale, the direction of m", "[norms]") {
  std::vector<Tensor<double>> in = matrices({{6, 4}, {6, 4}, {1, 1}});
  const auto run = [](auto& c, Vars v) { return message_norm(c, v[0], v[1], v[2]); };
  check_derivatives(run, in);
  in[2](0, 0) = 1.25;
  NoTape<double> ctx;
  const auto y =
      ctx.value(message_norm(ctx, ctx.input(std::as_const(in[0]).view()),
                             ctx.input(std::as_const(in[1]).view()), ctx.input(std::as_const(in[2]).view())));
  for (std::size_t i = 0; i < 6; ++i) {
    const double by = 1.25 * length(std::as_const(in[0]).view(), i) / length(std::as_const(in[1]).view(), i);
    for (std::size_t j = 0; j < 4; ++j) CHECK(std::abs(y(i, j) - by * std::as_const(in[1])(i, j)) < 1e-14);
  }
}

TEST_CASE("message_norm: rows of zeros give and pass on no direction", "[norms]") {
  auto x = random_matrix<double>(3, 4, 1);
  auto m = random_matrix<double>(3, 4, 2);
  std::fill(x.row(0).begin(), x.row(0).end(), 0.0);
  std::fill(m.row(1).begin(), m.row(1).end(), 0.0);
  const auto g = random_matrix<double>(3, 4, 3);
  ParameterBlock<double> block;
  const MessageNorm<double> norm(block, "norm");
  block.zero_grads();
  Tensor<double> dx = Tensor<double>::zeros(3, 4), dm = Tensor<double>::zeros(3, 4);
  Tape<double> tape;
  const Var y = norm(tape, block, tape.parameter({std::as_const(x).view(), dx.view()}),
                     tape.parameter({std::as_const(m).view(), dm.view()}));
  for (const std::size_t i : {0u, 1u}) {
    for (const double value : tape.value(y).row(i)) CHECK(value == 0);
  }
  tape.backward(y, g.view());
  for (const std::size_t i : {0u, 1u}) {
    for (const double value : dx.row(i)) CHECK(value == 0);
    for (const double value : dm.row(i)) CHECK(value == 0);
  }
  // Row 2 alone moves the scale, by |x| <g, m> / |m|.
  double along = 0;
  for (std::size_t j = 0; j < 4; ++j) along += g(2, j) * m(2, j);
  const double want = length(std::as_const(x).view(), 2) * along / length(std::as_const(m).view(), 2);
  CHECK(std::abs(block.grad(norm.scale())(0, 0) - want) < 1e-14);
}

TEST_CASE("norms: any thread count gives the same bits, forwards and backwards", "[norms]") {
  const auto x = random_matrix<float>(1500, 33, 1);
  const auto m = random_matrix<float>(1500, 33, 2);
  const auto g = random_matrix<float>(1500, 33, 3);
  ParameterBlock<float> block;
  const GraphNorm<float> graph(block, "graph", 33);
  const MessageNorm<float> messages(block, "message");
  const auto run = [&] {
    block.zero_grads();
    Tensor<float> grad = Tensor<float>::zeros(1500, 33);
    Tape<float> tape;
    Var y = tape.parameter({x.view(), grad.view()});
    y = graph(tape, block, y);
    y = messages(tape, block, y, tape.input(m.view()));
    y = PairNorm()(tape, y);
    y = PairNorm({.individually = true})(tape, y);
    tape.backward(y, g.view());
    std::vector<float> out;
    const auto keep = [&](auto row) { out.insert(out.end(), row.begin(), row.end()); };
    for (std::size_t i = 0; i < 1500; ++i) keep(tape.value(y).row(i)), keep(grad.row(i));
    keep(block.grads());
    return out;
  };
  std::vector<float> want;
  with_threads(1, [&] { want = run(); });
  for (const std::size_t threads : {2u, 4u, 16u}) {
    std::vector<float> got;
    with_threads(threads, [&] { got = run(); });
    CHECK(same_bits<float>(std::span<const float>(got), std::span<const float>(want)));
  }
}

TEST_CASE("Norm: every kind is its norm", "[norms]") {
  const auto x = random_matrix<double>(6, 4, 1);
  ParameterBlock<double> block;
  NoTape<double> ctx;
  const Var v = ctx.input(x.view());
  const auto check = [&](NormKind kind, Var want) {
    ParameterBlock<double> own;
    const Norm<double> norm(own, "norm", 4, kind, kEps);
    norm.reset_parameters(own);
    CHECK(same_bits<double>(ctx.value(norm(ctx, own, v, Pass{})), ctx.value(want)));
  };
  check(NormKind::layer, LayerNorm<double>(block, "a", 4, kEps)(ctx, block, v));
  check(NormKind::batch, BatchNorm<double>(block, "b", 4)(ctx, block, v, Pass{}));
  check(NormKind::graph, GraphNorm<double>(block, "c", 4)(ctx, block, v));
  check(NormKind::pair, PairNorm()(ctx, v));
  check(NormKind::pair_individual, PairNorm({.individually = true})(ctx, v));
  check(NormKind::mean, subtract_mean(ctx, v));
  CHECK_THROWS_AS(Norm<double>(block, "d", 4, NormKind::none), ConfigError);
}

TEST_CASE("norms: what cannot be is refused", "[norms]") {
  NoTape<float> ctx;
  const auto x = random_matrix<float>(3, 4, 1);
  const auto row = random_matrix<float>(1, 4, 1);
  const auto wrong = random_matrix<float>(1, 3, 1);
  const Var v = ctx.input(x.view()), r = ctx.input(row.view()), w = ctx.input(wrong.view());
  CHECK_THROWS_AS(graph_norm(ctx, v, r, r, w, 1e-5), ShapeError);
  CHECK_THROWS_AS(graph_norm(ctx, v, w, r, r, 1e-5), ShapeError);
  CHECK_THROWS_AS(graph_norm(ctx, v, r, r, r, 0), ConfigError);
  CHECK_THROWS_AS(PairNorm({.eps = 0}), ConfigError);
  CHECK_THROWS_AS(PairNorm({.scale = std::nan("")}), ConfigError);
  CHECK_THROWS_AS(message_norm(ctx, v, r, r), ShapeError);
  CHECK_THROWS_AS(message_norm(ctx, v, v, r), ShapeError);
}
