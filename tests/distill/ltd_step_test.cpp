// SPDX-License-Identifier: MIT
#include "tessera/distill/ltd_step.hpp"

#include <cmath>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "support/nn_cases.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/distill/temperature_net.hpp"
#include "tessera/kernels/spmm.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/nn/nets/appnp_net.hpp"
#include "tessera/nn/nets/gat_net.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/mlp_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"

using namespace tessera;
using testing::random_matrix;

namespace {

constexpr std::size_t kNodes = 14;  // the last one isolated
constexpr std::size_t kFeatures = 5;
constexpr std::size_t kClasses = 3;

CsrGraph small_graph() {
  return testing::undirected(kNodes, {{0, 1},
                                      {1, 2},
                                      {2, 3},
                                      {3, 4},
                                      {4, 5},
                                      {5, 6},
                                      {6, 7},
                                      {7, 8},
                                      {8, 9},
                                      {9, 10},
                                      {10, 11},
                                      {11, 12},
                                      {0, 5},
                                      {2, 9},
                                      {3, 12},
                                      {1, 7},
                                      {4, 10}});
}

AnyModel<double> student_of(const std::string& name) {
  if (name == "gcn") return GcnNet<double>({.in = kFeatures, .hidden = 6, .out = kClasses, .dropout = 0.3f});
  if (name == "gat") return GatNet<double>({.in = kFeatures, .hidden = 8, .out = kClasses, .dropout = 0.3f});
  if (name == "appnp") {
    return AppnpNet<double>(
        {.in = kFeatures, .hidden = 6, .out = kClasses, .steps = 4, .dropout = 0.3f, .entry_dropout = 0.3f});
  }
  if (name == "sage") {
    return SageNet<double>({.in = kFeatures,
                            .hidden = 6,
                            .out = kClasses,
                            .dropout = 0.3f,
                            .conv = {.root_weight = false, .self_loops = true}});
  }
  return MlpNet<double>({.in = kFeatures, .out = kClasses, .layers = 1, .dropout = 0});  // sgc
}

/// A problem small enough to differentiate by brute force.
struct Case {
  explicit Case(const std::string& name) : student(student_of(name)) {
    graph = small_graph();
    prepared = prepare_adjacency(graph.view(), true, student.aggregation(), true);
    x = random_matrix<double>(kNodes, kFeatures, 1);
    if (name == "sgc") {
      const PreparedAdjacency s = prepare_adjacency(graph.view(), true, {});
      for (int hop = 0; hop < 2; ++hop) {
        Tensor<double> next(kNodes, kFeatures);
        spmm_sum<double, double>(s.adjacency().forward, std::as_const(x).view(), next.view());
        x = std::move(next);
      }
    }
    t = random_matrix<double>(kNodes, kClasses, 2);
    entropy = neighbour_entropy(graph.view(), std::as_const(t).view());
    distill.assign(kNodes, -1);
    evaluate.assign(kNodes, -1);
    for (std::size_t i = 0; i < 4; ++i) distill[i] = static_cast<std::int32_t>(i % kClasses);
    for (std::size_t i = 4; i < 9; ++i) evaluate[i] = static_cast<std::int32_t>((i + 1) % kClasses);
    evaluate[kNodes - 1] = 1;
  }

  LtdProblem<double> problem() const {
    return {prepared.adjacency(), x.view(), t.view(), entropy.span(), distill, evaluate};
  }

  AnyModel<double> student;
  CsrGraph graph;
  PreparedAdjacency prepared;
  Tensor<double> x;
  Tensor<double> t;
  Array<double> entropy;
  std::vector<std::int32_t> distill;
  std::vector<std::int32_t> evaluate;
};

const RngKey kKey = make_key(7, 3, Purpose::dropout);

std::vector<double> copy(std::span<const double> x) { return {x.begin(), x.end()}; }

}  // namespace

TEST_CASE("LtdStep: the hypergradient is that of the unrolled step") {
  const std::string name = GENERATE("gcn", "gat", "appnp", "sage", "sgc");
  const bool attached = GENERATE(false, true);
  const double epsilon = name == "gcn" ? GENERATE(0.0, 1e-3) : 0.0;
  CAPTURE(name, attached, epsilon);
  Case c(name);
  TemperatureNet<double> net({.classes = kClasses, .hidden = 5, .k = 2, .seed = 4});
  const LtdOptions o{.alpha = 0.05, .beta = 0, .lambda = 2, .epsilon = epsilon, .attached = attached};
  LtdStep<AnyModel<double>> step;
  const std::vector<double> theta = copy(std::as_const(c.student.parameters()).values());
  const auto run = [&] {
    std::copy(theta.begin(), theta.end(), c.student.parameters().values().begin());
    return step.run(c.student, net, c.problem(), o, kKey, true).evaluate;
  };
  run();
  const std::vector<double> grads = copy(net.parameters().grads());
  double largest = 0;
  for (const double g : grads) largest = std::max(largest, std::abs(g));
  REQUIRE(largest > 1e-6);
  const double h = 1e-5;
  for (const ParameterInfo& p : net.parameters().parameters()) {
    for (std::size_t k = p.offset; k < p.offset + p.size(); ++k) {
      double& w = net.parameters().values()[k];
      const double before = w;
      w = before + h;
      const double up = run();
      w = before - h;
      const double down = run();
      w = before;
      CHECK(std::abs((up - down) / (2 * h) - grads[k]) <= 1e-6 * largest);
    }
  }
}

TEST_CASE("LtdStep: forward mode of every student is the transpose of its backward") {
  const std::string name = GENERATE("gcn", "gat", "appnp", "sage", "sgc");
  CAPTURE(name);
  Case c(name);
  ParameterBlock<double>& block = c.student.parameters();
  Tape<double> tape;
  block.zero_grads();
  const LtdProblem<double> p = c.problem();
  const Var z =
      std::as_const(c.student).forward(tape, AdjacencyStack(std::span(&p.graph, 1)), tape.input(p.features),
                                       Pass{.training = true, .dropout_key = kKey});
  const Tensor<double> u = random_matrix<double>(kNodes, kClasses, 8);
  tape.backward(z, u.view());
  std::vector<double> v(block.values().size());
  for (std::size_t i = 0; i < v.size(); ++i) v[i] = std::sin(static_cast<double>(3 * i + 1));
  const std::vector<double> pulled = copy(block.grads());
  for (std::uint32_t id = 0; id < tape.size(); ++id) {
    if (!tape.needs_grad(Var{id})) continue;
    const MatrixView<double> g = tape.grad(Var{id});
    if (g.data() < block.grads().data() || g.data() >= block.grads().data() + v.size()) continue;
    const auto offset = static_cast<std::size_t>(g.data() - block.grads().data());
    tape.set_tangent(Var{id}, {v.data() + offset, g.rows(), g.cols(), g.stride()});
  }
  tape.jvp();
  REQUIRE(tape.has_tangent(z));
  double forward = 0;
  for (std::size_t i = 0; i < kNodes; ++i)
    for (std::size_t k = 0; k < kClasses; ++k) forward += u(i, k) * tape.tangent(z)(i, k);
  double backward = 0;
  for (std::size_t i = 0; i < v.size(); ++i) backward += pulled[i] * v[i];
  CHECK(std::abs(forward) > 1e-3);
  CHECK(std::abs(forward - backward) < 1e-10 * std::abs(forward));
  tape.clear_tangents();
}

TEST_CASE("LtdStep: other hypergradients") {
  Case c("sgc");
  TemperatureNet<double> net({.classes = kClasses, .hidden = 5, .k = 2, .seed = 4});
  LtdOptions o{.alpha = 0.05, .beta = 0};
  LtdStep<AnyModel<double>> step;
  const std::vector<double> theta = copy(std::as_const(c.student.parameters()).values());
  const auto gradient = [&](Hypergradient kind) {
    o.hypergradient = kind;
    std::copy(theta.begin(), theta.end(), c.student.parameters().values().begin());
    step.run(c.student, net, c.problem(), o, kKey, true);
    return copy(net.parameters().grads());
  };
  const auto exact = gradient(Hypergradient::exact);
  const auto difference = gradient(Hypergradient::finite_difference);
  const auto logit = gradient(Hypergradient::logit_space);
  double worst = 0;
  double largest = 0;
  double other = 0;
  for (std::size_t i = 0; i < exact.size(); ++i) {
    worst = std::max(worst, std::abs(exact[i] - difference[i]));
    largest = std::max(largest, std::abs(exact[i]));
    other = std::max(other, std::abs(exact[i] - logit[i]));
  }
  // log softmax along a line of length 0.01: the central difference misses third derivatives, below 1, times 1e-4.
  CHECK(worst < 1e-4 * largest);
  CHECK(other > 1e-2 * largest);
  o.attached = true;
  CHECK_THROWS_AS(gradient(Hypergradient::finite_difference), ConfigError);
}

TEST_CASE(
    "LtdStep: the student takes a plain step of the soft-target loss, and labels of V_E stay out of it") {
  Case c("gcn");
  TemperatureNet<double> net({.classes = kClasses, .hidden = 5, .seed = 4});
  // The length of z is held fixed by the attached mode: it must not matter here.
  for (double& w : net.parameters().value(net.parameters().find("lins.0.weight")).row(kClasses)) w = 0;
  LtdStep<AnyModel<double>> step;
  const std::vector<double> theta = copy(std::as_const(c.student.parameters()).values());
  const bool attached = GENERATE(false, true);
  LtdOptions o{.alpha = 0.01, .lambda = 3, .attached = attached};
  step.run(c.student, net, c.problem(), o, kKey, false);
  const std::vector<double> moved = copy(std::as_const(c.student.parameters()).values());

  o.alpha = 0;
  const auto loss = [&] { return step.run(c.student, net, c.problem(), o, kKey, false).distill; };
  std::copy(theta.begin(), theta.end(), c.student.parameters().values().begin());
  loss();
  const std::vector<double> tau = copy(step.temperatures());
  for (std::size_t i = 0; i < kNodes; ++i) CHECK((tau[i] > -0.2 && tau[i] < 0.8));
  double largest = 0;
  for (std::size_t k = 0; k < theta.size(); ++k)
    largest = std::max(largest, std::abs(moved[k] - theta[k]) / 0.01);
  if (attached) {
    for (std::size_t k = 0; k < theta.size(); k += 3) {
      double& w = c.student.parameters().values()[k];
      w = theta[k] + 1e-6;
      const double up = loss();
      w = theta[k] - 1e-6;
      const double down = loss();
      w = theta[k];
      CHECK(std::abs((up - down) / 2e-6 - (theta[k] - moved[k]) / 0.01) < 1e-6 * largest);
    }
  } else {
    Case other("gcn");
    for (auto& y : other.evaluate) y = y < 0 ? y : (y + 1) % 3;
    o.alpha = 0.01;
    step.run(other.student, net, other.problem(), o, kKey, false);
    CHECK(copy(std::as_const(other.student.parameters()).values()) == moved);
  }
}

TEST_CASE(
    "LtdStep: with no node to evaluate on the temperatures stay, with none to distil the soft targets "
    "teach") {
  Case c("gcn");
  Case fixed("gcn");
  TemperatureNet<double> net({.classes = kClasses, .hidden = 5, .seed = 4});
  const std::vector<double> omega = copy(std::as_const(net.parameters()).values());
  for (Case* some : {&c, &fixed}) {
    std::fill(some->evaluate.begin(), some->evaluate.end(), -1);
    std::fill(some->distill.begin(), some->distill.end(), -1);
  }
  const std::vector<double> theta = copy(std::as_const(c.student.parameters()).values());
  LtdStep<AnyModel<double>> step;
  const LtdOptions o{.alpha = 0.05, .beta = 0.1};
  CHECK(step.run(c.student, net, c.problem(), o, kKey, true).evaluate == 0);
  CHECK(copy(std::as_const(net.parameters()).values()) == omega);
  step.run(fixed.student, net, fixed.problem(), o, kKey, false);
  CHECK(copy(std::as_const(c.student.parameters()).values()) ==
        copy(std::as_const(fixed.student.parameters()).values()));
  CHECK(copy(std::as_const(c.student.parameters()).values()) != theta);
}

TEST_CASE("LtdRow: golden values") {
  const std::vector<double> t = {2, -1, 0.5};
  const std::vector<double> zeta = {0.1, -0.2, 0.3};
  const std::vector<double> z = {0.3, 0.8, -0.4};
  detail::LtdRow<double> row(3);
  row.set(z, t, 0.7, 0);
  CHECK(std::abs(row.pull(zeta) + 0.0344519620) < 6e-11);
  CHECK(std::abs(row.curvature() + 0.2213809509) < 6e-11);
  row.set(z, t, -0.15, 0);
  CHECK(std::abs(row.pull(zeta) - 0.0015132760) < 6e-11);
  row.set(z, t, 0.7, 1e-6);
  CHECK(std::abs(row.pull(zeta) + 0.0344515511) < 6e-11);
  row.set(z, t, 0.7, 0);
  CHECK(std::abs(row.pull(std::vector<double>{4, 4, 4})) < 1e-15);
  const std::vector<double> flat = {1, 1, 1};
  row.set(z, flat, 0.7, 0);
  CHECK(std::abs(row.pull(zeta)) < 1e-15);
}

TEST_CASE("TemperatureNet: golden values, ranges, refusals") {
  TemperatureNet<double> net({.classes = 2, .hidden = 3});
  for (double& w : net.parameters().values()) w = 0;
  const Tensor<double> z = random_matrix<double>(1, 2, 1);
  const std::vector<double> entropy = {0.3};
  TemperatureNet<double>::Pass pass;
  const double s[] = {-4, -2, -std::log(4.0), 0, 2, 4};
  const double want[] = {-0.1820138, -0.0807971, 1e-4, 0.3, 0.6807971, 0.7820138};
  for (std::size_t i = 0; i < 6; ++i) {
    net.parameters().value(net.parameters().find("lins.1.bias"))(0, 0) = s[i];
    net.forward(z.view(), entropy, kKey, pass);
    CHECK(std::abs(pass.tau[0] - want[i]) < 6e-8);
    CHECK((pass.slope[0] == 0) == (i == 2));
  }
  CHECK_THROWS_AS(TemperatureNet<double>({.classes = 0}), ConfigError);
  CHECK_THROWS_AS(TemperatureNet<double>({.classes = 2, .dropout = 1.0f}), ConfigError);
  CHECK_THROWS_AS(net.forward(random_matrix<double>(1, 3, 1).view(), entropy, kKey, pass), ShapeError);
  CHECK_THROWS_AS(net.forward(random_matrix<double>(2, 2, 1).view(), entropy, kKey, pass), ShapeError);
}

TEST_CASE("neighbour_entropy: of the mean of the neighbours, without the node itself") {
  Tensor<double> t(4, 3);
  const double p[3][3] = {{0.5, 0.45, 0.05}, {0.3, 0.55, 0.15}, {0.9, 0.05, 0.05}};
  for (std::size_t i = 0; i < 3; ++i)
    for (std::size_t c = 0; c < 3; ++c) t(i, c) = std::log(p[i][c]);
  for (std::size_t c = 0; c < 3; ++c) t(3, c) = 1;
  // Node 2 sees 0, 1 and itself; 3 is isolated.
  const CsrGraph graph = testing::undirected(4, {{0, 2}, {1, 2}});
  const Array<double> h = neighbour_entropy(graph.view(), std::as_const(t).view());
  CHECK(std::abs(h[2] - 0.9433483923) < 6e-11);
  CHECK(h[3] == 1e-4);
}

TEST_CASE("LtdStep: the same bits on any number of threads") {
  const auto at = [](std::size_t threads) {
    return with_threads(threads, [] {
      Case c("gat");
      TemperatureNet<double> net({.classes = kClasses, .hidden = 5, .seed = 4});
      LtdStep<AnyModel<double>> step;
      for (std::uint64_t e = 0; e < 3; ++e)
        step.run(c.student, net, c.problem(), {.alpha = 0.01, .beta = 0.1}, make_key(1, e, Purpose::dropout),
                 true);
      std::vector<double> out = copy(std::as_const(c.student.parameters()).values());
      for (const double w : net.parameters().values()) out.push_back(w);
      return out;
    });
  };
  const auto one = at(1);
  CHECK(at(4) == one);
}
