// SPDX-License-Identifier: MIT
#include "tessera/nn/optim/lbfgs.hpp"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/ops/linear.hpp"

using namespace tessera;
using namespace tessera::testing;

static_assert(Optimizer<Lbfgs, float> && Optimizer<Lbfgs, double>);

namespace {

/// torch.optim.LBFGS's inner iteration, as its code reads, on vectors that grow.
struct Torch {
  std::vector<std::vector<double>> s, y;
  std::vector<double> d, g_before;
  double t = 0, h = 1;
  int n = 0;

  static double dot(const std::vector<double>& a, const std::vector<double>& b) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
    return sum;
  }
  void step(std::vector<double>& x, const std::vector<double>& g, double lr, std::size_t history) {
    if (++n == 1) {
      d.assign(g.size(), 0);
      for (std::size_t i = 0; i < g.size(); ++i) d[i] = -g[i];
    } else {
      std::vector<double> dy(g.size()), ds(g.size());
      for (std::size_t i = 0; i < g.size(); ++i) {
        dy[i] = g[i] - g_before[i];
        ds[i] = d[i] * t;
      }
      const double ys = dot(dy, ds);
      if (ys > 1e-10) {
        if (s.size() == history) {
          s.erase(s.begin());
          y.erase(y.begin());
        }
        s.push_back(ds);
        y.push_back(dy);
        h = ys / dot(dy, dy);
      }
      std::vector<double> q(g.size()), al(s.size());
      for (std::size_t i = 0; i < g.size(); ++i) q[i] = -g[i];
      for (std::size_t k = s.size(); k-- > 0;) {
        al[k] = dot(s[k], q) / dot(y[k], s[k]);
        for (std::size_t i = 0; i < q.size(); ++i) q[i] -= al[k] * y[k][i];
      }
      for (double& v : q) v *= h;
      for (std::size_t k = 0; k < s.size(); ++k) {
        const double be = dot(y[k], q) / dot(y[k], s[k]);
        for (std::size_t i = 0; i < q.size(); ++i) q[i] += (al[k] - be) * s[k][i];
      }
      d = q;
    }
    g_before = g;
    double taxi = 0;
    for (const double v : g) taxi += std::abs(v);
    t = n == 1 ? std::min(1.0, 1 / taxi) * lr : lr;
    if (dot(g, d) > -1e-9) {  // tolerance_change
      t = 0;
      return;
    }
    for (std::size_t i = 0; i < x.size(); ++i) x[i] += t * d[i];
  }
};

}  // namespace

TEST_CASE("lbfgs: follows torch.optim.LBFGS on a quadratic", "[lbfgs]") {
  // f(x) = 1/2 x^T A x - b^T x with A = diag(1 ... 5) plus a small coupling; history shorter than the run.
  constexpr std::size_t kSize = 5;
  const auto gradient = [](const double* x, double* g) {
    for (std::size_t i = 0; i < kSize; ++i) {
      g[i] = static_cast<double>(i + 1) * x[i] - 1;
      for (std::size_t j = 0; j < kSize; ++j) g[i] += i == j ? 0 : 0.1 * x[j];
    }
  };
  ParameterBlock<double> block;
  const Parameter p = block.add("x", 1, kSize);
  const Lbfgs lbfgs{.history = 3, .tolerance = 1e-9};
  auto state = lbfgs.start(block);
  Torch torch;
  std::vector<double> x(kSize, 0.0), g(kSize);
  for (int step = 0; step < 14; ++step) {
    gradient(x.data(), g.data());
    gradient(block.value(p).row(0).data(), block.grad(p).row(0).data());
    lbfgs.step(state, block, 1.0);
    torch.step(x, g, 1.0, 3);
    // Two ways to add the same numbers up; the map from gradient to step stretches rounding by at most cond(A)^2,
    // and the differences it is made of shrink to 1e-5.
    for (std::size_t i = 0; i < kSize; ++i) REQUIRE(std::abs(block.value(p)(0, i) - x[i]) < 1e-9);
  }
  gradient(block.value(p).row(0).data(), block.grad(p).row(0).data());
  // It stops where g^T A^-1 g <= 1e-9 and A <= 5.5.
  for (const double v : block.grad(p).row(0)) CHECK(std::abs(v) < 1e-4);
}

TEST_CASE("lbfgs: logistic regression goes down monotonically and converges", "[lbfgs]") {
  const std::size_t n = 120;
  Tensor<double> x = random_matrix<double>(n, 6, 1);
  std::vector<std::int32_t> classes;
  for (std::size_t i = 0; i < n; ++i) {
    classes.push_back(static_cast<std::int32_t>(i % 3));
    x(i, i % 3) += i % 10 == 0 ? 0.0 : 1.0;  // mostly separable
  }
  ParameterBlock<double> block;
  const Parameter w = block.add("w", 6, 3), b = block.add("b", 1, 3);
  const Lbfgs lbfgs{.tolerance = 1e-6};
  auto state = lbfgs.start(block);
  double before = std::numeric_limits<double>::infinity();
  double largest = 0;
  for (int step = 0; step < 60; ++step) {
    Tape<double> tape;
    block.zero_grads();
    const Var z = linear(tape, tape.input(std::as_const(x).view()), tape.parameter(block[w]),
                         {.bias = tape.parameter(block[b])});
    const Var loss = CrossEntropy{}(tape, z, {classes, {}, {}});
    const double now = tape.value(loss)(0, 0);
    CHECK(now <= before + 1e-12);
    before = now;
    tape.backward(loss);
    largest = 0;
    for (const double g : block.grads()) largest = std::max(largest, std::abs(g));
    lbfgs.step(state, block, 1.0);
  }
  CHECK(largest < 1e-5);
  CHECK(before < std::log(3.0) / 2);
}

TEST_CASE("lbfgs: converged it stays, broken it says so", "[lbfgs]") {
  ParameterBlock<float> block;
  const Parameter p = block.add("x", 1, 2);
  const Lbfgs lbfgs;
  auto state = lbfgs.start(block);
  lbfgs.step(state, block, 1.0);
  CHECK(block.value(p)(0, 0) == 0);
  block.grad(p)(0, 1) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(lbfgs.step(state, block, 1.0), Error);
  CHECK(block.value(p)(0, 1) == 0);
  CHECK_THROWS_AS(Lbfgs{.history = 0}.start(block), ConfigError);
  CHECK_THROWS_AS(Lbfgs{.lr = -1}.start(block), ConfigError);
}
