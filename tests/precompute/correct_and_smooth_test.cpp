// SPDX-License-Identifier: MIT
#include "tessera/precompute/correct_and_smooth.hpp"

#include <cmath>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/precompute_cases.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

constexpr std::size_t kClasses = 3;

struct Task {
  CsrGraph graph = random_undirected(60, 140, 4);
  std::vector<std::int32_t> classes;
  std::vector<NodeId> labelled;
  Matrix z{60, kClasses};

  Task() {
    const Matrix noise = random_matrix<double>(60, kClasses, 5);
    for (std::size_t i = 0; i < 60; ++i) {
      classes.push_back(static_cast<std::int32_t>(i * 7 % kClasses));
      if (i % 3 == 0) labelled.push_back(static_cast<NodeId>(i));
      double sum = 0;
      for (std::size_t c = 0; c < kClasses; ++c) sum += z(i, c) = std::exp(2 * noise(i, c));
      for (double& v : z.row(i)) v /= sum;
    }
  }
};

/// prop(M, E, alpha, n, post) of the paper's code, on dense matrices.
template <class Post>
Matrix prop(const Matrix& m, const Matrix& e0, double alpha, std::size_t n, Post&& post) {
  Matrix e = Matrix::copy_of(e0.view());
  for (; n > 0; --n) {
    e = multiply(m, e);
    for (std::size_t i = 0; i < e.rows(); ++i) {
      for (std::size_t c = 0; c < e.cols(); ++c) e(i, c) = alpha * e(i, c) + (1 - alpha) * e0(i, c);
    }
    post(e);
  }
  return e;
}

void clip(Matrix& e, double low, double high) {
  for (std::size_t i = 0; i < e.rows(); ++i) {
    for (double& v : e.row(i)) v = std::min(std::max(v, low), high);
  }
}

Matrix residual_of(const Task& task) {
  Matrix e = Matrix::zeros(60, kClasses);
  for (const NodeId i : task.labelled) {
    for (std::size_t c = 0; c < kClasses; ++c) {
      e(i, c) = (static_cast<std::size_t>(task.classes[i]) == c ? 1.0 : 0.0) - task.z(i, c);
    }
  }
  return e;
}

double norm(const Matrix& e, std::size_t i) {
  double sum = 0;
  for (const double v : e.row(i)) sum += std::abs(v);
  return sum;
}

constexpr OperatorKind kKinds[] = {OperatorKind::symmetric, OperatorKind::row, OperatorKind::column};

}  // namespace

TEST_CASE("correct and smooth: equals the paper's steps on dense matrices", "[correct_and_smooth]") {
  const Task task;
  const Matrix e0 = residual_of(task);
  for (const OperatorKind first : kKinds) {
    for (const OperatorKind second : kKinds) {
      for (const bool fixed : {false, true}) {
        const PropagationOperator op1(task.graph, {.kind = first}), op2(task.graph, {.kind = second});
        const Matrix m1 = dense_operator(task.graph, {.kind = first});
        const Matrix m2 = dense_operator(task.graph, {.kind = second});
        const double alpha = fixed ? 1.0 : 0.87;
        const Matrix spread = prop(m1, e0, alpha, 50, [&](Matrix& e) {
          if (!fixed) return clip(e, -1, 1);
          for (const NodeId i : task.labelled)
            std::copy(e0.row(i).begin(), e0.row(i).end(), e.row(i).begin());
        });
        double sigma = 0;
        for (const NodeId i : task.labelled) sigma += norm(e0, i) / static_cast<double>(task.labelled.size());
        Matrix g(60, kClasses);
        for (std::size_t i = 0; i < 60; ++i) {
          double s = fixed ? 1.7 : sigma / norm(spread, i);
          if (!fixed && s > 1000) s = 1;
          for (std::size_t c = 0; c < kClasses; ++c) {
            g(i, c) = task.z(i, c) + s * spread(i, c);
            if (std::isnan(g(i, c))) g(i, c) = task.z(i, c);
          }
        }
        const CorrectOptions how{
            .scaling = fixed ? ResidualScale::fixed : ResidualScale::automatic, .alpha = 0.87, .scale = 1.7};
        // A scale divides by a spread norm: near the cut at 1000 rounding is magnified that much.
        CHECK(max_difference(correct<double>(op1, task.z, task.classes, task.labelled, how), g) < 1e-10);
        for (const NodeId i : task.labelled) {
          for (std::size_t c = 0; c < kClasses; ++c)
            g(i, c) = static_cast<std::size_t>(task.classes[i]) == c ? 1 : 0;
        }
        const Matrix want = prop(m2, g, 0.81, 50, [&](Matrix& e) { clip(e, 0, 1); });
        const Matrix got = correct_and_smooth<double>(op1, op2, std::as_const(task.z).view(), task.classes,
                                                      task.labelled, how, {.alpha = 0.81});
        CHECK(max_difference(got, want) < 1e-10);
      }
    }
  }
}

TEST_CASE("correct: a perfect base stays what it is", "[correct_and_smooth]") {
  Task task;
  for (std::size_t i = 0; i < 60; ++i) {
    for (std::size_t c = 0; c < kClasses; ++c)
      task.z(i, c) = static_cast<std::size_t>(task.classes[i]) == c ? 1 : 0;
  }
  const PropagationOperator op(task.graph, {.kind = OperatorKind::symmetric});
  const Matrix got = correct<double>(op, task.z, task.classes, task.labelled);
  CHECK(max_difference(got, task.z) == 0);  // 0 / 0: the fallback
}

TEST_CASE("correct and smooth: alpha 0 and isolated nodes", "[correct_and_smooth]") {
  const Task task;
  const PropagationOperator op(task.graph, {.kind = OperatorKind::symmetric});
  // alpha 0 spreads nothing: a labelled row is moved by its own residual, brought to the mean size.
  const Matrix moved = correct<double>(op, task.z, task.classes, task.labelled, {.alpha = 0});
  const Matrix e0 = residual_of(task);
  double sigma = 0;
  for (const NodeId i : task.labelled) sigma += norm(e0, i) / static_cast<double>(task.labelled.size());
  for (const NodeId i : task.labelled) {
    for (std::size_t c = 0; c < kClasses; ++c) {
      CHECK(std::abs(moved(i, c) - task.z(i, c) - sigma / norm(e0, i) * e0(i, c)) < 1e-14);
    }
  }
  const Matrix still = smooth<double>(op, task.z, task.classes, task.labelled, {.alpha = 0});
  for (std::size_t i = 0; i < 60; ++i) {
    const bool known = i % 3 == 0;
    for (std::size_t c = 0; c < kClasses; ++c) {
      CHECK(still(i, c) ==
            (known ? (static_cast<std::size_t>(task.classes[i]) == c ? 1.0 : 0.0) : task.z(i, c)));
    }
  }

  SECTION("an isolated node more changes no other row") {
    Links links;
    for (std::size_t i = 0; i < 60; ++i) {
      for (const NodeId j : task.graph.view().neighbors(i)) links.push_back({j, static_cast<NodeId>(i)});
    }
    const CsrGraph bigger = directed(61, links);
    const PropagationOperator more(bigger.view(), true, {.kind = OperatorKind::symmetric});
    Matrix z = Matrix::filled(61, kClasses, 1.0 / 3);
    for (std::size_t i = 0; i < 60; ++i)
      std::copy(task.z.row(i).begin(), task.z.row(i).end(), z.row(i).begin());
    std::vector<std::int32_t> classes = task.classes;
    classes.push_back(kUnlabelled);
    const Matrix want =
        correct_and_smooth<double>(op, op, std::as_const(task.z).view(), task.classes, task.labelled);
    const Matrix got =
        correct_and_smooth<double>(more, more, std::as_const(z).view(), classes, task.labelled);
    CHECK(same_bits<double>(got.view().middle_rows(0, 60), want.view()));
    for (const double v : got.row(60)) CHECK(std::abs(v - (1 - 0.81) / 3) < 1e-14);
  }
}

TEST_CASE("correct and smooth: what cannot be is refused", "[correct_and_smooth]") {
  Task task;
  const PropagationOperator op(task.graph, {.kind = OperatorKind::symmetric});
  const auto run = [&](const CorrectOptions& how) {
    return correct<double>(op, task.z, task.classes, task.labelled, how);
  };
  CHECK_THROWS_AS(run({.alpha = -0.1}), ConfigError);
  CHECK_THROWS_AS(run({.alpha = std::nan("")}), ConfigError);
  CHECK_THROWS_AS(smooth<double>(op, task.z, task.classes, {}, {}), ConfigError);
  const Matrix wrong(59, kClasses);
  CHECK_THROWS_AS(smooth<double>(op, wrong, task.classes, task.labelled), ShapeError);
  task.z(17, 1) = 4;  // logits
  CHECK_THROWS_AS(run({}), ConfigError);
}
