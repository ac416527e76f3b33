// SPDX-License-Identifier: MIT
#include "tessera/nn/ops/drop_nodes.hpp"

#include <cmath>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/autograd/grad_check.hpp"

using namespace tessera;
using namespace tessera::testing;

TEST_CASE("drop_nodes: rows are kept and scaled, or 0, at the rate asked for", "[drop_nodes]") {
  constexpr std::size_t kRows = 20000;
  const DropoutMask mask{0.3f, make_key(2, 1, Purpose::dropout), 5};
  const auto x = random_matrix<float>(kRows, 3, 1);
  NoTape<float> ctx;
  const auto y = ctx.value(drop_nodes(ctx, ctx.input(x.view()), mask));
  std::size_t kept = 0;
  std::size_t wrong = 0;
  for (std::size_t i = 0; i < kRows; ++i) {
    const bool keeps = dropout_keeps(mask, i, 0);
    kept += keeps ? 1u : 0u;
    for (std::size_t j = 0; j < 3; ++j) {
      const double want = keeps ? static_cast<double>(x(i, j)) / 0.7 : 0.0;
      if (!(std::abs(static_cast<double>(y(i, j)) - want) <= 1e-6)) ++wrong;
    }
  }
  CHECK(wrong == 0);
  // Six standard deviations of a binomial, and the rate's own step of 2^-16.
  const double n = static_cast<double>(kRows);
  CHECK(std::abs(static_cast<double>(kept) - 0.7 * n) < 6 * std::sqrt(0.21 * n) + n * 0x1p-16);
}

TEST_CASE("drop_nodes: derivatives", "[drop_nodes]") {
  std::vector<Tensor<double>> in;
  in.push_back(random_matrix<double>(9, 4, 1));
  const DropoutMask mask{0.4f, make_key(2, 1, Purpose::dropout), 1};
  const GradCheck r =
      grad_check([&](auto& c, std::span<const Var> v) { return drop_nodes(c, v[0], mask); }, in);
  CHECK(r.vjp_error < 1e-6);
  CHECK(r.jvp_error < 1e-6);
  CHECK(r.adjoint_error < 1e-12);
}

TEST_CASE("drop_nodes: nothing, everything, no row, and what cannot be", "[drop_nodes]") {
  const auto x = random_matrix<float>(5, 3, 1);
  NoTape<float> ctx;
  const Var v = ctx.input(x.view());
  CHECK(drop_nodes(ctx, v, {}) == v);
  const auto y = ctx.value(drop_nodes(ctx, v, {1.0f, {}, 0}));
  for (std::size_t i = 0; i < 5; ++i) {
    for (const float value : y.row(i)) CHECK(value == 0);
  }
  CHECK(ctx.value(drop_nodes(ctx, ctx.input(x.view().middle_rows(0, 0)), {0.5f, {}, 0})).rows() == 0);
  CHECK_THROWS_AS(drop_nodes(ctx, v, {1.5f, {}, 0}), ConfigError);
}
