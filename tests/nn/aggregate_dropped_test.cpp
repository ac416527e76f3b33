// SPDX-License-Identifier: MIT
#include "tessera/nn/ops/aggregate_dropped.hpp"

#include <cmath>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/autograd/grad_check.hpp"
#include "tessera/nn/layers/gcn_conv.hpp"
#include "tessera/nn/layers/sage_conv.hpp"

using namespace tessera;
using namespace tessera::testing;
using Vars = std::span<const Var>;

namespace {

DropoutMask draw(std::uint32_t call, float probability = 0.3f) {
  return {probability, make_key(4, 2, Purpose::dropout), call};
}

/// The definition, entry by entry.
Tensor<double> reference(CsrView<> a, MatrixView<const double> x, bool mean, const DropoutMask& mask) {
  Tensor<double> y = Tensor<double>::zeros(a.num_rows, x.cols());
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    const double count = static_cast<double>(a.end(i) - a.begin(i));
    for (auto e = a.begin(i); e < a.end(i); ++e) {
      if (!edge_dropout_keeps(mask, static_cast<NodeId>(i), a.col[e])) continue;
      const double w =
          (mean ? 1 / count : static_cast<double>(a.weight[e])) / (1 - static_cast<double>(mask.probability));
      for (std::size_t j = 0; j < x.cols(); ++j) y(i, j) += w * x(a.col[e], j);
    }
  }
  return y;
}

}  // namespace

TEST_CASE("aggregate_dropped: the definition and its derivatives", "[aggregate_dropped]") {
  const Reduce reduce = GENERATE(Reduce::sum, Reduce::mean);
  const OwnedAdjacency level = random_block(12, 17, 6, 1);
  std::vector<Tensor<double>> in;
  in.push_back(random_matrix<double>(17, 5, 1));
  in.push_back(random_matrix<double>(1, 5, 2));
  NoTape<double> ctx;
  const Var y =
      aggregate_dropped(ctx, level.view(), ctx.input(std::as_const(in[0]).view()), reduce, {}, draw(3));
  const auto want =
      reference(level.forward.view(), std::as_const(in[0]).view(), reduce == Reduce::mean, draw(3));
  // Each weight, a float, carries up to three roundings; a row has at most 17 terms of size below 2 / 0.7.
  CHECK(max_difference<double>(ctx.value(y), want.view()) < 17 * (2 / 0.7) * 3 * 0x1p-24);
  const GradCheck r = grad_check(
      [&](auto& c, Vars v) {
        const Finish finish{.bias = v[1], .activation = Activation::elu};
        return aggregate_dropped(c, level.view(), v[0], reduce, finish, draw(3));
      },
      in);
  CHECK(r.vjp_error < 1e-6);
  CHECK(r.jvp_error < 1e-6);
  // The two passes compute the same float weights.
  CHECK(r.adjoint_error < 1e-12);
}

TEST_CASE("aggregate_dropped: the mean over draws is what nothing dropped gives", "[aggregate_dropped]") {
  const Reduce reduce = GENERATE(Reduce::sum, Reduce::mean);
  const OwnedAdjacency level = random_block(8, 10, 5, 2);
  const CsrView<> a = level.forward.view();
  const auto x = random_matrix<double>(10, 3, 1);
  constexpr int kDraws = 4000;
  auto sum = Tensor<double>::zeros(8, 3);
  NoTape<double> ctx;
  const auto all =
      Tensor<double>::copy_of(ctx.value(aggregate(ctx, level.view(), ctx.input(x.view()), reduce)));
  for (int k = 0; k < kDraws; ++k) {
    NoTape<double> once;
    const Var y = aggregate_dropped(once, level.view(), once.input(x.view()), reduce, {},
                                    draw(static_cast<std::uint32_t>(k)));
    for (std::size_t i = 0; i < 8; ++i) {
      for (std::size_t j = 0; j < 3; ++j) sum(i, j) += once.value(y)(i, j);
    }
  }
  for (std::size_t i = 0; i < 8; ++i) {
    for (std::size_t j = 0; j < 3; ++j) {
      // Each entry adds (w x)^2 p / (1 - p) to the variance of one draw; six deviations of the mean, and rounding.
      double variance = 0;
      for (auto e = a.begin(i); e < a.end(i); ++e) {
        const double w = reduce == Reduce::mean ? 1 / static_cast<double>(a.end(i) - a.begin(i))
                                                : static_cast<double>(a.weight[e]);
        variance += std::pow(w * x(a.col[e], j), 2) * 0.3 / 0.7;
      }
      CHECK(std::abs(sum(i, j) / kDraws - all(i, j)) < 6 * std::sqrt(variance / kDraws) + 1e-5);
    }
  }
}

TEST_CASE("aggregate_dropped: nothing and everything dropped, and what cannot be", "[aggregate_dropped]") {
  const OwnedAdjacency level = random_block(12, 17, 6, 1);
  const auto x = random_matrix<float>(17, 5, 1);
  NoTape<float> ctx;
  const Var v = ctx.input(x.view());
  CHECK(same_bits<float>(ctx.value(aggregate_dropped(ctx, level.view(), v, Reduce::mean, {}, {})),
                         ctx.value(aggregate(ctx, level.view(), v, Reduce::mean))));
  const auto none = ctx.value(aggregate_dropped(ctx, level.view(), v, Reduce::sum, {}, draw(0, 1.0f)));
  for (std::size_t i = 0; i < 12; ++i) {
    for (const float value : none.row(i)) CHECK(value == 0);
  }
  CHECK_THROWS_AS(aggregate_dropped(ctx, level.view(), v, Reduce::max, {}, draw(0)), ConfigError);
  CHECK_THROWS_AS(aggregate_dropped(ctx, level.view(), v, Reduce::sum, {}, draw(0, 1.5f)), ConfigError);
  CHECK_THROWS_AS(
      aggregate_dropped(ctx, level.view(), ctx.input(x.view().middle_rows(0, 3)), Reduce::sum, {}, draw(0)),
      ShapeError);
  ParameterBlock<float> block;
  CHECK_THROWS_AS(GcnConv<float>(block, "a", 2, 2, {.entry_dropout = -0.5f}), ConfigError);
  CHECK_THROWS_AS(SageConv<float>(block, "b", 2, 2, {.reduce = Reduce::max, .entry_dropout = 0.5f}),
                  ConfigError);
}
