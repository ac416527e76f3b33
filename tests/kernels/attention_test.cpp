// SPDX-License-Identifier: MIT
#include "tessera/kernels/attention.hpp"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/dense_cases.hpp"
#include "support/sparse_cases.hpp"
#include "tessera/kernels/head_dots.hpp"
#include "tessera/kernels/reference/attention.hpp"

namespace {

using namespace tessera;
using test::Dense;
using test::SparseCase;

/// Inputs, outputs and gradients of one problem.
template <class T>
struct Problem {
  AttentionOptions options;
  Dense<T> x, source, target, grad;
  Dense<T> y, norm, grad_x, grad_source, grad_target;

  Problem(const SparseCase& c, std::size_t heads, std::size_t width, float dropout)
      : options{heads, 0.2, {dropout, make_key(1, 2, Purpose::dropout), 3}},
        x(Dense<T>::random(c.num_cols, heads * width, 1, 3)),
        source(Dense<T>::random(c.num_cols, heads, 2)),
        target(Dense<T>::random(c.num_rows(), heads, 3, 1)),
        grad(Dense<T>::random(c.num_rows(), heads * width, 4, 2)),
        y(c.num_rows(), heads * width, 1),
        norm(c.num_rows(), 2 * heads),
        grad_x(c.num_cols, heads * width, 1),
        grad_source(c.num_cols, heads),
        grad_target(c.num_rows(), heads) {}

  void run(const SparseCase& c, const SparseCase& transpose) {
    attention_sum<T>(c.view(), x, source, target, options, y.view(), norm.view());
    attention_sum_backward<T>(c.view(), transpose.view(), x, source, target, options, norm, grad,
                              grad_x.view(), grad_source.view(), grad_target.view());
  }
};

/// The largest |got - want| over 1 + |want|; NaN stays.
template <class T>
double worst(const Dense<T>& got, const Dense<double>& want) {
  double out = 0;
  for (std::size_t i = 0; i < got.rows(); ++i) {
    for (std::size_t j = 0; j < got.cols(); ++j) {
      const double d = std::abs(static_cast<double>(got(i, j)) - want(i, j)) / (1 + std::abs(want(i, j)));
      if (!(d <= out)) out = d;
    }
  }
  return out;
}

/// Roundings: shares of a row add up to 1 and gradients of a source to at most its entries, so sums of n terms err by
/// (n + D) u, exponentials and quotients by a few u on top.
template <class T>
void check(const SparseCase& c, std::size_t heads, std::size_t width, float dropout) {
  const SparseCase transpose = test::transpose_of(c.view());
  std::size_t longest = 0;
  for (std::size_t i = 0; i < c.num_rows(); ++i) longest = std::max(longest, c.view().degree(i));
  for (std::size_t j = 0; j < transpose.num_rows(); ++j) {
    longest = std::max(longest, transpose.view().degree(j));
  }
  Problem<T> fast(c, heads, width, dropout);
  fast.run(c, transpose);
  Dense<double> y(c.num_rows(), heads * width), grad_x(c.num_cols, heads * width),
      grad_source(c.num_cols, heads), grad_target(c.num_rows(), heads);
  reference::attention<double>(c.view(), fast.x.widened().view(), fast.source.widened().view(),
                               fast.target.widened().view(), fast.options, fast.grad.widened().view(),
                               y.view(), grad_x.view(), grad_source.view(), grad_target.view());
  const double u = test::unit_roundoff<T>();
  const double bound = (static_cast<double>(longest + width) + 40) * u * (dropout > 0 ? 4 : 2);
  INFO(c.name << ", " << heads << " heads of " << width << ", dropout " << dropout);
  CHECK(worst(fast.y, y) <= bound);
  CHECK(worst(fast.grad_x, grad_x) <= bound);
  CHECK(worst(fast.grad_source, grad_source) <= bound);
  CHECK(worst(fast.grad_target, grad_target) <= bound);
  CHECK(fast.y.gaps_untouched());
  CHECK(fast.grad_x.gaps_untouched());
}

using Sizes = std::vector<std::pair<std::size_t, std::size_t>>;

TEST_CASE("attention: equals its twin, gradients included, on awkward matrices at every level",
          "[attention]") {
  for (const Isa level : test::dense_levels()) {
    const IsaScope scope(level);
    for (const SparseCase& c : test::awkward_cases(false)) {
      for (const auto& [heads, width] : Sizes{{1, 7}, {8, 16}, {8, 8}, {3, 5}, {6, 121}, {12, 20}, {2, 1}}) {
        check<double>(c, heads, width, 0.0f);
        check<float>(c, heads, width, 0.0f);
        check<float>(c, heads, width, 0.25f);
      }
    }
  }
}

TEST_CASE("attention: dropout of 1/2 is exact in double", "[attention]") {
  for (const SparseCase& c : test::awkward_cases(false)) check<double>(c, 8, 4, 0.5f);
}

TEST_CASE("attention: same bits at any thread count", "[attention]") {
  const auto cases = test::awkward_cases(false);
  const SparseCase& hub = cases.back();
  const SparseCase transpose = test::transpose_of(hub.view());
  CHECK(test::same_at_any_thread_count([&] {
    Problem<float> p(hub, 4, 9, 0.3f);
    p.run(hub, transpose);
    return p.y;
  }));
  CHECK(test::same_at_any_thread_count([&] {
    Problem<float> p(hub, 4, 9, 0.3f);
    p.run(hub, transpose);
    return p.grad_x;
  }));
}

TEST_CASE("attention: identities of the softmax", "[attention]") {
  const auto cases = test::awkward_cases(false);
  const SparseCase& c = cases[4];
  SECTION("scores of 1e4 stay finite and shares of ones sum to one") {
    Problem<float> p(c, 2, 3, 0.0f);
    for (float& s : p.source.view().row(5)) s = 1e4f;
    for (float& s : p.source.view().row(6)) s = -1e4f;
    for (std::size_t j = 0; j < p.x.rows(); ++j) {
      for (float& value : p.x.view().row(j)) value = 1;
    }
    p.run(c, test::transpose_of(c.view()));
    for (std::size_t i = 0; i < c.num_rows(); ++i) {
      for (const float value : p.y.view().row(i)) {
        if (c.view().degree(i) == 0) CHECK(value == 0.0f);
        if (c.view().degree(i) > 0) CHECK(std::abs(value - 1.0f) < 1e-5f);
      }
    }
  }
  SECTION("one entry alone gets exactly 1") {
    const SparseCase loop = test::awkward_cases(false)[2];
    Problem<float> p(loop, 8, 16, 0.0f);
    p.run(loop, test::transpose_of(loop.view()));
    for (std::size_t f = 0; f < p.y.cols(); ++f) CHECK(p.y(0, f) == p.x(0, f));
  }
  SECTION("equal scores average") {
    Problem<double> p(c, 1, 4, 0.0f);
    for (std::size_t j = 0; j < p.source.rows(); ++j) p.source(j, 0) = 0.25;
    p.run(c, test::transpose_of(c.view()));
    for (std::size_t i = 0; i < c.num_rows(); ++i) {
      for (std::size_t f = 0; f < 4; ++f) {
        double mean = 0;
        for (const NodeId j : c.view().neighbors(i)) mean += p.x(j, f);
        if (c.view().degree(i) > 0) mean /= static_cast<double>(c.view().degree(i));
        CHECK(std::abs(p.y(i, f) - mean) < 1e-14);
      }
    }
  }
  SECTION("a masked source has no share, a row of them gives 0, NaN spreads over its rows only") {
    Problem<float> p(c, 1, 4, 0.0f);
    const float infinity = std::numeric_limits<float>::infinity();
    for (std::size_t j = 0; j < p.source.rows(); ++j) p.source(j, 0) = -infinity;
    p.source(7, 0) = std::numeric_limits<float>::quiet_NaN();
    attention_sum<float>(c.view(), p.x, p.source, p.target, p.options, p.y.view(), p.norm.view());
    for (std::size_t i = 0; i < c.num_rows(); ++i) {
      bool touched = false;
      for (const NodeId j : c.view().neighbors(i)) touched = touched || j == 7;
      CHECK(std::isnan(p.y(i, 0)) == touched);
      if (!touched) CHECK(p.y(i, 0) == 0.0f);
    }
  }
}

TEST_CASE("attention: wrong arguments are named", "[attention]") {
  const SparseCase c = test::awkward_cases(false)[3];
  Problem<float> p(c, 2, 3, 0.0f);
  const auto run = [&] {
    attention_sum<float>(c.view(), p.x, p.source, p.target, p.options, p.y.view(), p.norm.view());
  };
  p.options.heads = 4;
  CHECK_THROWS_AS(run(), ConfigError);
  p.options.heads = 3;
  CHECK_THROWS_AS(run(), ShapeError);
  p.options = {2, 0.0, {}};
  CHECK_THROWS_AS(run(), ConfigError);
  p.options = {2, 0.2, {1.5f, {}, 0}};
  CHECK_THROWS_AS(run(), ConfigError);
}

TEST_CASE("head_dots: one inner product per head, gradients by hand", "[attention]") {
  const auto x = Dense<double>::random(5, 6, 1, 1);
  const auto weight = test::random_values<double>(6, 2);
  const auto g = Dense<double>::random(5, 2, 3);
  Dense<double> y(5, 2), grad_x(5, 6);
  for (std::size_t i = 0; i < 5; ++i) {
    for (double& value : grad_x.view().row(i)) value = 1;
  }
  std::vector<double> grad_weight(6, 2.0);
  head_dots<double>(x, weight, y.view());
  head_dots_backward<double>(x, weight, g, grad_x.view(), grad_weight);
  for (std::size_t h = 0; h < 2; ++h) {
    for (std::size_t f = h * 3; f < h * 3 + 3; ++f) {
      double sum = 2;
      for (std::size_t i = 0; i < 5; ++i) {
        sum += g(i, h) * x(i, f);
        CHECK(test::close(grad_x(i, f), 1 + g(i, h) * weight[f]));
      }
      CHECK(test::close(grad_weight[f], sum, 5));
    }
    for (std::size_t i = 0; i < 5; ++i) {
      const double want = x(i, h * 3) * weight[h * 3] + x(i, h * 3 + 1) * weight[h * 3 + 1] +
                          x(i, h * 3 + 2) * weight[h * 3 + 2];
      CHECK(test::close(y(i, h), want, 3));
    }
  }
  Dense<double> wrong(5, 4);
  CHECK_THROWS_AS(head_dots<double>(x, weight, wrong.view()), ShapeError);
}

}  // namespace
