// SPDX-License-Identifier: MIT
#include "tessera/distill/soft_target.hpp"

#include <array>
#include <cmath>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"

using namespace tessera;
using testing::random_matrix;

namespace {

struct Result {
  double loss = 0;
  Tensor<double> grad;
  std::vector<double> grad_tau;
};

Result run(MatrixView<const double> z, MatrixView<const double> t, const SoftTargetOptions& options,
           std::vector<double> tau = {}, std::vector<float> weight = {}) {
  Result out;
  out.grad = Tensor<double>(z.rows(), z.cols());
  out.grad_tau.resize(z.rows());
  out.loss = soft_target<double>(z, t, tau, weight, out.grad.view(), out.grad_tau, options).mean();
  return out;
}

Tensor<double> row(std::vector<double> x) {
  Tensor<double> out(1, x.size());
  std::copy(x.begin(), x.end(), out.row(0).begin());
  return out;
}

constexpr double kPrinted = 6e-11;  // golden values carry ten decimals

}  // namespace

TEST_CASE("soft_target: the golden values of one node") {
  const Tensor<double> t = row({2, -1, 0.5});
  const Tensor<double> z = row({0.3, 0.8, -0.4});

  SECTION("a common temperature of 4") {
    const SoftTargetOptions plain{.teacher_temperature = 4, .student_temperature = 4};
    CHECK(std::abs(run(z.view(), t.view(), plain).loss - 0.06445923683119603) < 1e-15);
    SoftTargetOptions squared = plain;
    squared.factor = 16;
    const Result r = run(z.view(), t.view(), squared);
    CHECK(std::abs(r.loss - 1.0313477892991365) < 1e-14);
    const std::array<double, 3> dz = {-0.5065260857, 0.6498959426, -0.1433698569};
    for (std::size_t c = 0; c < 3; ++c) CHECK(std::abs(r.grad(0, c) - dz[c]) < kPrinted);
    CHECK(std::abs(soft_target_temperature_slope<double>(z.view(), t.view(), 4) - 0.0288119090) < kPrinted);
    // Mixed derivative, as the change of dL/dz with T.
    const double h = 1e-5;
    const auto at = [&](double temperature) {
      return run(z.view(), t.view(),
                 {.teacher_temperature = temperature,
                  .student_temperature = temperature,
                  .factor = temperature * temperature});
    };
    const Result above = at(4 + h);
    const Result below = at(4 - h);
    const std::array<double, 3> mixed = {0.0039895021, 0.0120896067, -0.0160791089};
    for (std::size_t c = 0; c < 3; ++c)
      CHECK(std::abs((above.grad(0, c) - below.grad(0, c)) / (2 * h) - mixed[c]) < 1e-9);
    // With the labels: alpha 0.9, y = 1.
    const double ce = 0.6459113653670534;
    CHECK(std::abs(0.9 * r.loss + 0.1 * ce - 0.9928041469059282) < 1e-14);
    SoftTargetOptions elements = squared;
    elements.reduction = Reduction::element_mean;
    CHECK(std::abs(0.9 * run(z.view(), t.view(), elements).loss + 0.1 * ce - 0.3739954733264463) < 1e-14);
  }

  SECTION("the teacher alone, by node") {
    SoftTargetOptions o{.form = SoftForm::cross_entropy};
    CHECK(std::abs(run(z.view(), t.view(), o, {0.7}).grad_tau[0] - 0.1589343264) < kPrinted);
    CHECK(std::abs(run(z.view(), t.view(), o, {-0.15}).grad_tau[0] + 0.0036318020) < kPrinted);
    o.form = SoftForm::kl;
    CHECK(std::abs(run(z.view(), t.view(), o, {0.7}).grad_tau[0] + 0.7331819200) < kPrinted);
    // p - dL/dz = q.
    const std::array<double, 3> q = {0.8841084533, 0.0121686802, 0.1037228669};
    const std::array<double, 3> reversed = {2.0611e-9, 0.9999546001, 4.5398e-5};
    double sum = 0;
    for (std::size_t c = 0; c < 3; ++c) sum += std::exp(z(0, c));
    const Result a = run(z.view(), t.view(), o, {0.7});
    const Result b = run(z.view(), t.view(), o, {-0.15});
    for (std::size_t c = 0; c < 3; ++c) {
      CHECK(std::abs(std::exp(z(0, c)) / sum - a.grad(0, c) - q[c]) <
            5e-10);  // as printed they sum to 1 + 4e-10
      CHECK(std::abs(std::exp(z(0, c)) / sum - b.grad(0, c) - reversed[c]) < 5e-10);  // five digits
    }
  }
}

TEST_CASE("soft_target: gradients are those of central differences") {
  const std::size_t n = 5;
  const std::size_t classes = 4;
  Tensor<double> z = random_matrix<double>(n, classes, 1);
  const Tensor<double> t = random_matrix<double>(n, classes, 2);
  std::vector<double> tau = {0.7, -0.4, 3, 1, -2};
  const std::vector<float> weight = {1, 0, 0.5f, 2, 1};
  const auto reduction = GENERATE(Reduction::node_mean, Reduction::element_mean, Reduction::sum);
  const auto form = GENERATE(SoftForm::kl, SoftForm::cross_entropy);
  const double epsilon = GENERATE(0.0, 1e-2);
  const double student = GENERATE(1.0, 2.5, -1.5);
  if (epsilon > 0 && form == SoftForm::kl) return;
  const SoftTargetOptions o{
      .student_temperature = student, .factor = 3, .form = form, .epsilon = epsilon, .reduction = reduction};
  const Result at = run(z.view(), t.view(), o, tau, weight);
  const double h = 1e-6;
  const auto difference = [&](double& x) {
    const double before = x;
    x = before + h;
    const double up = run(z.view(), t.view(), o, tau, weight).loss;
    x = before - h;
    const double down = run(z.view(), t.view(), o, tau, weight).loss;
    x = before;
    return (up - down) / (2 * h);
  };
  for (std::size_t i = 0; i < n; ++i) {
    double row_sum = 0;
    for (std::size_t c = 0; c < classes; ++c) {
      row_sum += at.grad(i, c);
      CHECK(std::abs(at.grad(i, c) - difference(z(i, c))) <= 1e-6 * std::max(1e-2, std::abs(at.grad(i, c))));
    }
    CHECK(std::abs(row_sum) < 1e-14);
    CHECK(std::abs(at.grad_tau[i] - difference(tau[i])) <= 1e-6 * std::max(1e-2, std::abs(at.grad_tau[i])));
  }
}

TEST_CASE("soft_target: zero where student and teacher agree up to a constant, positive elsewhere") {
  const Tensor<double> t = random_matrix<double>(20, 6, 3);
  Tensor<double> z(20, 6);
  for (std::size_t i = 0; i < 20; ++i) {
    for (std::size_t c = 0; c < 6; ++c) z(i, c) = t(i, c) + 10.0 * static_cast<double>(i);
  }
  const SoftTargetOptions o{.teacher_temperature = 3, .student_temperature = 3, .factor = 9};
  const Result same = run(z.view(), t.view(), o);
  CHECK(std::abs(same.loss) < 1e-12);
  for (std::size_t i = 0; i < 20; ++i) {
    for (std::size_t c = 0; c < 6; ++c) CHECK(std::abs(same.grad(i, c)) < 1e-13);
  }
  const Tensor<double> other = random_matrix<double>(20, 6, 4);
  CHECK(run(other.view(), t.view(), o).loss > 0);
  CHECK(std::abs(run(other.view(), t.view(), o).loss - run(other.view(), z.view(), o).loss) < 1e-12);
}

TEST_CASE("soft_target: the gradient tends to the difference of centred logits as T grows") {
  const Tensor<double> t = random_matrix<double>(1, 5, 5);
  const Tensor<double> z = random_matrix<double>(1, 5, 6);
  double mean = 0;
  for (std::size_t c = 0; c < 5; ++c) mean += (z(0, c) - t(0, c)) / 5;
  for (const double temperature : {100.0, 1000.0}) {
    const Result r = run(z.view(), t.view(),
                         {.teacher_temperature = temperature,
                          .student_temperature = temperature,
                          .factor = temperature * temperature});
    // The next term of the expansion is of second order in logits below 1 over T.
    for (std::size_t c = 0; c < 5; ++c)
      CHECK(std::abs(r.grad(0, c) - (z(0, c) - t(0, c) - mean) / 5) < 2 / temperature);
  }
}

TEST_CASE("soft_target: extremes stay finite, empty sets and one class cost nothing") {
  const Tensor<float> t = Tensor<float>::filled(3, 1, 7.0f);
  Tensor<float> grad(3, 1);
  CHECK(soft_target<float>(t.view(), t.view(), {}, {}, grad.view(), {}, {}).mean() == 0);
  for (std::size_t i = 0; i < 3; ++i) CHECK(grad(i, 0) == 0);
  Tensor<float> none(0, 4);
  CHECK(soft_target<float>(none.view(), none.view(), {}, {}, {}, {}, {}).mean() == 0);
  const std::vector<float> nothing(3, 0.0f);
  CHECK(soft_target<float>(t.view(), t.view(), {}, nothing, grad.view(), {}, {}).mean() == 0);
  CHECK(soft_indicators<float>(none.view(), none.view(), {}, {}, {}).mean() == 0);

  Tensor<float> big(1, 3);
  big(0, 0) = 1e5f;
  big(0, 1) = -1e5f;
  big(0, 2) = 0;
  Tensor<float> z = Tensor<float>::zeros(1, 3);
  Tensor<float> g(1, 3);
  for (const float tau : {1e-4f, -1e-4f, 1.0f}) {
    std::vector<float> one = {tau};
    std::vector<float> slope(1);
    const double loss = soft_target<float>(z.view(), big.view(), one, {}, g.view(), slope, {}).mean();
    CHECK(std::abs(loss - std::log(3.0)) < 1e-6);
    CHECK(std::isfinite(slope[0]));
    CHECK(g(0, tau < 0 ? 1 : 0) < -0.6f);
  }
}

TEST_CASE("soft_target: refuses temperatures of 0 and shapes that do not fit") {
  const Tensor<double> z = Tensor<double>::zeros(2, 3);
  const Tensor<double> narrow = Tensor<double>::zeros(2, 2);
  CHECK_THROWS_AS(run(z.view(), z.view(), {.teacher_temperature = 0}), ConfigError);
  CHECK_THROWS_AS(run(z.view(), z.view(), {.student_temperature = 0}), ConfigError);
  CHECK_THROWS_AS(run(z.view(), z.view(), {}, {1, 0}), ConfigError);
  CHECK_THROWS_AS(run(z.view(), z.view(), {.epsilon = 1e-6}), ConfigError);
  CHECK_THROWS_AS(run(z.view(), narrow.view(), {}), ShapeError);
  CHECK_THROWS_AS(run(z.view(), z.view(), {}, {1, 1, 1}), ShapeError);
  CHECK_THROWS_AS(run(z.view(), z.view(), {}, {}, {1}), ShapeError);
}

TEST_CASE("soft_indicators: mean over elements of sigmoid cross entropy, with its gradient") {
  Tensor<double> z = random_matrix<double>(4, 3, 8);
  const Tensor<double> t = random_matrix<double>(4, 3, 9);
  const std::vector<float> weight = {1, 1, 0, 1};
  const SoftTargetOptions o{.factor = 4};
  Tensor<double> grad(4, 3);
  const double loss = soft_indicators<double>(z.view(), t.view(), weight, grad.view(), o).mean();
  double want = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t c = 0; c < 3; ++c) {
      const double r = 1 / (1 + std::exp(-t(i, c)));
      const double p = 1 / (1 + std::exp(-z(i, c)));
      want -= static_cast<double>(weight[i]) * (r * std::log(p) + (1 - r) * std::log(1 - p)) * 4 / 9;
      CHECK(std::abs(grad(i, c) - static_cast<double>(weight[i]) * (p - r) * 4 / 9) < 1e-15);
    }
  }
  CHECK(std::abs(loss - want) < 1e-14);
}

TEST_CASE("soft_target: the same bits on any number of threads") {
  const Tensor<float> z = random_matrix<float>(3000, 7, 10);
  const Tensor<float> t = random_matrix<float>(3000, 7, 11);
  std::vector<float> tau(3000);
  for (std::size_t i = 0; i < tau.size(); ++i) tau[i] = 0.1f + static_cast<float>(i % 13);
  const auto at = [&](std::size_t threads) {
    return with_threads(threads, [&] {
      std::pair<double, Tensor<float>> out{0, Tensor<float>(3000, 7)};
      out.first = soft_target<float>(z.view(), t.view(), tau, {}, out.second.view(), {}, {}).mean();
      return out;
    });
  };
  const auto one = at(1);
  for (const std::size_t threads : {2u, 4u, 16u}) {
    const auto many = at(threads);
    CHECK(many.first == one.first);
    CHECK(testing::same_bits(std::as_const(many.second).view(), one.second.view()));
  }
}
