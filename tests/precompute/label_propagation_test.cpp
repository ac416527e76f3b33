// SPDX-License-Identifier: MIT
#include "tessera/precompute/label_propagation.hpp"

#include <cmath>
#include <filesystem>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/precompute_cases.hpp"
#include "tessera/io/load.hpp"
#include "tessera/train/metrics.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

struct Task {
  CsrGraph graph;
  std::vector<std::int32_t> classes;
  std::vector<NodeId> labelled;
  static constexpr std::size_t kClasses = 4;

  Task(CsrGraph g, std::size_t every) : graph(std::move(g)), classes(graph.num_nodes(), kUnlabelled) {
    for (std::size_t i = 0; i < classes.size(); i += every) {
      classes[i] = static_cast<std::int32_t>(i / every % kClasses);
      labelled.push_back(static_cast<NodeId>(i));
    }
  }
  Matrix start() const {
    Matrix y = Matrix::zeros(graph.num_nodes(), kClasses);
    for (const NodeId i : labelled) y(i, static_cast<std::size_t>(classes[i])) = 1;
    return y;
  }
};

/// The iteration on dense matrices.
Matrix naive(const Matrix& m, const Matrix& start, double alpha, std::size_t steps, double low, double high) {
  Matrix e = Matrix::copy_of(start.view());
  for (; steps > 0; --steps) {
    e = multiply(m, e);
    for (std::size_t i = 0; i < e.rows(); ++i) {
      for (std::size_t c = 0; c < e.cols(); ++c) {
        e(i, c) = std::min(std::max(alpha * e(i, c) + (1 - alpha) * start(i, c), low), high);
      }
    }
  }
  return e;
}

}  // namespace

TEST_CASE("label propagation: equals the dense iteration", "[label_propagation]") {
  const Task task(random_undirected(70, 150, 1), 5);
  for (const OperatorKind kind : {OperatorKind::symmetric, OperatorKind::row, OperatorKind::column}) {
    const OperatorSpec spec{.kind = kind};
    const PropagationOperator op(task.graph, spec);
    for (const std::size_t steps : {0u, 1u, 2u, 37u}) {
      const Matrix got = label_propagation<double>(op, task.classes, task.labelled, Task::kClasses,
                                                   {.alpha = 0.9, .iterations = steps});
      const Matrix want = naive(dense_operator(task.graph, spec), task.start(), 0.9, steps, 0, 1);
      CHECK(max_difference(got, want) < 1e-13);  // 37 sums of at most 20 terms below 1
      for (std::size_t i = 0; i < got.rows(); ++i) {
        for (const double v : got.row(i)) CHECK((v >= 0 && v <= 1));
      }
    }
  }
}

TEST_CASE("label propagation: converges to (1 - alpha) (I - alpha M)^-1 Y", "[label_propagation]") {
  const Task task(random_undirected(500, 1500, 2), 7);
  const PropagationOperator op(task.graph, {.kind = OperatorKind::symmetric});
  const Matrix got = label_propagation<double>(op, task.classes, task.labelled, Task::kClasses,
                                               {.alpha = 0.9, .iterations = 400, .clip = false});
  // The fixed point solves (I - alpha M) Z = (1 - alpha) Y: check the residual; I - alpha M is at least 0.1.
  const Matrix m = dense_operator(task.graph, {.kind = OperatorKind::symmetric});
  const Matrix next = naive(m, task.start(), 0.9, 0, -1e9, 1e9);
  const Matrix mz = multiply(m, got);
  for (std::size_t i = 0; i < 500; ++i) {
    for (std::size_t c = 0; c < Task::kClasses; ++c) {
      REQUIRE(std::abs(got(i, c) - 0.9 * mz(i, c) - 0.1 * next(i, c)) < 1e-11);
    }
  }
}

TEST_CASE("label propagation: the edges of what it can do", "[label_propagation]") {
  Links links{{0, 1}, {1, 2}, {3, 4}};
  const CsrGraph graph = undirected(6, links);  // a component without labels; node 5 alone
  const PropagationOperator op(graph, {.kind = OperatorKind::symmetric});
  const std::vector<std::int32_t> classes{1, -1, -1, -1, -1, 0};
  const std::vector<NodeId> labelled{0, 5};
  const auto scores = label_propagation<double>(op, classes, labelled, 2, {.alpha = 0.5, .iterations = 30});
  const auto lost = without_opinion(std::as_const(scores).view());
  CHECK(std::vector<int>(lost.begin(), lost.end()) == std::vector<int>{0, 0, 0, 1, 1, 0});
  CHECK(std::abs(scores(5, 0) - 0.5) < 1e-15);  // (1 - alpha) Y, for ever
  CHECK(scores(2, 1) > 0);

  SECTION("alpha 1 smooths; reset holds the labels") {
    const auto held =
        label_propagation<double>(op, classes, labelled, 2, {.alpha = 1, .iterations = 31, .reset = true});
    CHECK(held(0, 1) == 1);
    CHECK(held(5, 0) == 1);
    CHECK(held(2, 1) > 0.1);
  }
  SECTION("what cannot be is refused") {
    const auto run = [&](double alpha, std::vector<std::int32_t> c, std::vector<NodeId> l) {
      return label_propagation<float>(op, c, l, 2, {.alpha = alpha});
    };
    CHECK_THROWS_AS(run(1.1, classes, labelled), ConfigError);
    CHECK_THROWS_AS(run(0.5, classes, {}), ConfigError);
    CHECK_THROWS_AS(run(0.5, classes, {1}), IndexError);  // no class
    CHECK_THROWS_AS(run(0.5, classes, {6}), IndexError);
    CHECK_THROWS_AS(run(0.5, {2, 0, 0, 0, 0, 0}, {0}), IndexError);
    CHECK_THROWS_AS(run(0.5, {0}, {0}), ShapeError);
    const PropagationOperator series(graph, {.kind = OperatorKind::ppr});
    CHECK_THROWS_AS(label_propagation<float>(series, classes, labelled, 2), ConfigError);
  }
}

TEST_CASE("label propagation: the same bits at any thread count", "[label_propagation]") {
  const Task task(random_undirected(3000, 40'000, 3), 11);
  const PropagationOperator op(task.graph, {.kind = OperatorKind::symmetric});
  const auto run = [&](std::size_t threads) {
    return with_threads(threads,
                        [&] { return label_propagation(op, task.classes, task.labelled, Task::kClasses); });
  };
  const Tensor<float> one = run(1);
  for (const std::size_t threads : {2u, 4u, 7u}) CHECK(same_bits<float>(run(threads).view(), one.view()));
}

TEST_CASE("label propagation: reaches what others report on citation graphs", "[label_propagation]") {
  struct Case {
    const char* name;
    double alpha;
    std::size_t iterations;
    double accuracy;  ///< DGL's example and our own check in float32, of 1000 test nodes
    double grain;
  };
  for (const Case& c : {Case{"cora", 0.99, 100, 0.692, 0.001}, Case{"citeseer", 0.99, 100, 0.511, 0.002}}) {
    const std::filesystem::path folder = std::filesystem::path(TESSERA_DATA_DIR) / c.name / "planetoid";
    if (!std::filesystem::is_directory(folder)) {
      WARN("no " << folder.string() << ": label propagation is not compared there");
      continue;
    }
    const Dataset data = io::load(folder.string());
    const PropagationOperator op(data.graph, {.kind = OperatorKind::symmetric});
    const Tensor<float> scores =
        label_propagation(op, data.labels.classes, data.nodes(Role::train), data.num_classes(),
                          {.alpha = c.alpha, .iterations = c.iterations});
    INFO(c.name);
    const double got = accuracy(scores.view(), data.labels.classes, data.nodes(Role::test));
    CAPTURE(got);
    CHECK(std::abs(got - c.accuracy) <= c.grain + 1e-9);
  }
}
