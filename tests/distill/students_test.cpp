// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <limits>
#include <set>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/distill_cases.hpp"
#include "support/graph_factories.hpp"
#include "support/nn_cases.hpp"
#include "support/numeric_gradient.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/distill/authors_split.hpp"
#include "tessera/distill/cpf.hpp"
#include "tessera/distill/glnn.hpp"
#include "tessera/distill/heuristic_temperature.hpp"
#include "tessera/distill/perturb.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/graph/validate.hpp"
#include "tessera/kernels/softmax.hpp"
#include "tessera/nn/nets/mlp_net.hpp"

using namespace tessera;
using testing::random_matrix;

TEST_CASE("NumpyRandom: numpy's permutations") {
  CHECK(NumpyRandom(0).permutation(5) == std::vector<NodeId>{2, 0, 1, 3, 4});
  CHECK(NumpyRandom(0).next32() == 2357136044u);
  CHECK(NumpyRandom(7).permutation(0).empty());
}

TEST_CASE(
    "ltd_split and cpf_split: parts of the published sizes, disjoint, and refused where a class is small") {
  std::vector<std::int32_t> classes(400);
  for (std::size_t i = 0; i < 400; ++i) classes[i] = static_cast<std::int32_t>(i % 3);
  const LtdSplit split = ltd_split(classes, 3);
  std::vector<std::size_t> count(4, 0);
  for (std::size_t i = 0; i < 400; ++i) {
    ++count[static_cast<std::size_t>(split.roles[i])];
    CHECK(!(split.distill[i] >= 0 && split.evaluate[i] >= 0));
    CHECK((split.distill[i] >= 0 || split.evaluate[i] >= 0) == (split.roles[i] == Role::train));
  }
  CHECK(count == std::vector<std::size_t>{0, 120, 30, 250});
  const Array<Role> roles = cpf_split(classes, 3, 1);
  CHECK(std::count(roles.begin(), roles.end(), Role::train) == 60);
  CHECK(std::count(roles.begin(), roles.end(), Role::val) == 90);
  // The first draw is the same: the generators agree until the parts differ.
  const Array<Role> same = cpf_split(classes, 3, 0);
  for (std::size_t i = 0; i < 400; ++i) CHECK((same[i] == Role::train) == (split.distill[i] >= 0));
  CHECK_THROWS_AS(cpf_split(std::span(classes).first(120), 3, 0), ConfigError);
}

TEST_CASE("largest_component and restrict_nodes: a part of a task, renumbered") {
  Dataset data;
  data.graph = testing::undirected(6, {{0, 1}, {2, 3}, {3, 5}});
  CHECK(largest_component(data.graph.view()) == std::vector<NodeId>{2, 3, 5});
  data.features = random_matrix<float>(6, 2, 1);
  data.features(3, 1) = 0;
  for (int c = 0; c < 6; ++c) data.labels.classes.push_back(c % 2);
  data.labels.num_classes = 2;
  data.roles.assign(6, Role::test);
  const std::vector<NodeId> nodes = {2, 3, 5};
  const Dataset part = restrict_nodes(data, nodes, true);
  validate(part);
  CHECK(part.graph.num_edges() == 4);
  CHECK(part.features(0, 0) == 1);
  CHECK(part.features(1, 1) == 0);
  CHECK(part.labels.classes[2] == 1);
}

namespace {

/// A walkable graph with self loops.
struct Walk {
  explicit Walk(const CsrGraph& graph)
      : prepared(prepare_adjacency(graph.view(), true, {Normalization::none, true, 0.0f}, true)) {}
  Adjacency view() const { return prepared.adjacency(); }
  PreparedAdjacency prepared;
};

template <Real T>
Tensor<T> answer(const CpfStudent<T>& student, const Walk& walk, MatrixView<const T> x,
                 std::span<const std::int32_t> classes) {
  NoTape<T> ctx;
  return Tensor<T>::copy_of(ctx.value(student.forward(ctx, walk.view(), ctx.input(x), classes, Pass{})));
}

void set(ParameterBlock<double>& block, const char* name, double value) {
  const Parameter p = block.find(name);
  for (std::size_t i = 0; i < p.rows; ++i)
    for (double& w : block.value(p).row(i)) w = value;
}

}  // namespace

TEST_CASE("CpfStudent: gradients of every parameter and of the loss") {
  const CsrGraph graph =
      testing::undirected(8, {{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 5}, {5, 6}, {0, 6}, {2, 5}});
  const Walk walk(graph);
  const Tensor<double> x = random_matrix<double>(8, 4, 1);
  Tensor<double> p(8, 3);
  softmax<double>(random_matrix<double>(8, 3, 2).view(), p.view());
  const std::vector<std::int32_t> classes = {0, -1, -1, 2, -1, -1, -1, -1};
  const auto attention = GENERATE(CpfAttention::inductive, CpfAttention::transductive);
  const auto alpha = GENERATE(CpfAlpha::per_node, CpfAlpha::shared);
  CpfStudent<double> student({.nodes = 8,
                              .in = 4,
                              .hidden = 5,
                              .out = 3,
                              .steps = 3,
                              .dropout = 0.2f,
                              .attention_dropout = 0.2f,
                              .attention = attention,
                              .alpha = alpha,
                              .seed = 3});
  const Pass pass{.training = true, .dropout_key = make_key(1, 2, Purpose::dropout)};
  const auto run = [&](bool backward) {
    Tape<double> tape;
    const Var o = student.forward(tape, walk.view(), tape.input(x.view()), classes, pass);
    const Var loss = probability_distance(tape, o, std::as_const(p).view(), classes);
    if (backward) tape.backward(loss);
    return tape.value(loss)(0, 0);
  };
  const auto error = testing::gradient_error(student.parameters(), run);
  CHECK(error.size > 1e-3);
  CHECK(error.worst < 1e-6 * error.size);
}

TEST_CASE("CpfStudent: limits, clamped labels, no steps") {
  const CsrGraph graph = testing::undirected(6, {{0, 1}, {1, 2}, {2, 3}, {3, 4}});  // 5 sees itself alone
  const Walk walk(graph);
  const Tensor<double> x = random_matrix<double>(6, 4, 1);
  const std::vector<std::int32_t> classes = {0, -1, -1, -1, 2, -1};
  CpfStudent<double>::Options o{.nodes = 6, .in = 4, .hidden = 5, .out = 3, .steps = 2};
  CpfStudent<double> student(o);
  set(student.parameters(), "attention", 0);
  set(student.parameters(), "alpha", 40);
  const Tensor<double> f = answer<double>(student, walk, x.view(), classes);
  CHECK((f(0, 0) == 1 && f(0, 1) == 0 && f(4, 2) == 1));
  // Two steps of the mean over neighbours and itself, by hand.
  Tensor<double> want = Tensor<double>::filled(6, 3, 1.0 / 3);
  for (int step = 0; step < 2; ++step) {
    for (const std::size_t v : {0u, 4u})
      for (std::size_t c = 0; c < 3; ++c) want(v, c) = static_cast<std::size_t>(classes[v]) == c ? 1 : 0;
    Tensor<double> next = Tensor<double>::zeros(6, 3);
    for (std::size_t v = 0; v < 6; ++v) {
      const auto row = walk.view().forward.neighbors(v);
      for (const NodeId u : row)
        for (std::size_t c = 0; c < 3; ++c) next(v, c) += want(u, c) / static_cast<double>(row.size());
    }
    want = std::move(next);
  }
  for (const std::size_t v : {1u, 2u, 3u, 5u})
    for (std::size_t c = 0; c < 3; ++c) CHECK(std::abs(f(v, c) - want(v, c)) < 1e-14);
  CHECK(std::abs(f(5, 1) - 1.0 / 3) < 1e-14);

  set(student.parameters(), "alpha", -40);
  const Tensor<double> features_only = answer<double>(student, walk, x.view(), classes);
  CpfStudent<double>::Options once = o;
  once.steps = 1;
  CpfStudent<double> single(once);
  set(single.parameters(), "alpha", -40);
  const Tensor<double> one = answer<double>(single, walk, x.view(), classes);
  for (const std::size_t v : {1u, 2u, 3u, 5u})
    for (std::size_t c = 0; c < 3; ++c) {
      CHECK(features_only(v, c) >= 0);
      CHECK(std::abs(features_only(v, c) - one(v, c)) < 1e-14);  // no step sees another's result
    }

  o.steps = 0;
  const Tensor<double> start = answer<double>(CpfStudent<double>(o), walk, x.view(), classes);
  CHECK((start(0, 0) == 1 && start(1, 2) == 1.0 / 3));
  o.hidden = 0;
  CHECK_THROWS_AS(CpfStudent<double>(o), ConfigError);
  CHECK_THROWS_AS(answer<double>(student, walk, random_matrix<double>(5, 4, 1).view(), classes), ShapeError);
}

TEST_CASE("probability_distance: zero at equality, labelled rows left out") {
  const Tensor<double> o = random_matrix<double>(4, 3, 1);
  Tensor<double> p(4, 3);
  softmax<double>(o.view(), p.view());
  const std::vector<std::int32_t> some = {-1, 1, -1, -1};
  Tape<double> tape;
  CHECK(tape.value(probability_distance(tape, tape.input(o.view()), std::as_const(p).view(), some))(0, 0) <
        1e-14);
  p(1, 0) = 5;
  CHECK(tape.value(probability_distance(tape, tape.input(o.view()), std::as_const(p).view(), some))(0, 0) <
        1e-14);
  p(2, 1) += 0.3;
  p(3, 0) -= 0.4;
  CHECK(std::abs(tape.value(probability_distance(tape, tape.input(o.view()), std::as_const(p).view(), some))(
                     0, 0) -
                 0.5) < 1e-14);
}

namespace {

TeacherOutputs right_teacher(const Dataset& data) {
  Tensor<float> logits = Tensor<float>::zeros(data.num_nodes(), data.num_classes());
  for (std::size_t i = 0; i < data.num_nodes(); ++i)
    logits(i, static_cast<std::size_t>(data.labels.classes[i])) = 40;  // one-hot to the last bit
  return TeacherOutputs(std::move(logits));
}

MlpNet<> perceptron(const Dataset& data) {
  return MlpNet<>(
      {.in = data.num_features(), .hidden = 16, .out = data.num_classes(), .dropout = 0.1f, .seed = 1});
}

}  // namespace

TEST_CASE(
    "fit_glnn and fit_cpf: learn from soft labels; hidden nodes are never read; threads do not matter") {
  Dataset data = testing::community_task(600, 3);
  const TeacherOutputs teacher = right_teacher(data);
  ProductionSplit split = production_split(data.roles, 0.2, 4);
  const auto tests = static_cast<std::size_t>(std::count(data.roles.begin(), data.roles.end(), Role::test));
  CHECK(split.hidden.size() == tests / 5);
  CHECK(split.hidden.size() + split.observed.size() == 600);
  for (const NodeId v : split.hidden) {
    CHECK(data.roles[v] == Role::test);
    for (float& x : data.features.row(v)) x = std::numeric_limits<float>::quiet_NaN();
  }
  const auto train = [&](std::size_t threads, GlnnOptions options) {
    return with_threads(threads, [&] {
      MlpNet<> student = perceptron(data);
      options.epochs = 30;
      options.batch_size = 100;
      const DistillReport report = fit_glnn(student, data.features.view(), data.labels.classes.span(),
                                            data.roles.span(), teacher, split.observed, options);
      return std::pair{report.val_accuracy, std::vector<float>(student.parameters().values().begin(),
                                                               student.parameters().values().end())};
    });
  };
  const auto soft = train(1, {});
  for (const float w : soft.second) CHECK(std::isfinite(w));
  const auto labels = train(1, {.lambda = 1});
  CHECK(soft.first > labels.first);
  CHECK(train(4, {}) == soft);
  CHECK_THROWS_AS(train(1, {.lambda = 1.5}), ConfigError);
  CHECK_THROWS_AS(production_split(data.roles, 2, 0), ConfigError);

  const Dataset whole = testing::community_task(600, 3);
  const Walk walk(whole.graph);
  Tensor<float> p(600, 3);
  Tensor<float> scratch;
  softmax<float>(teacher.logits<float>({}, 600, scratch), p.view());
  CpfStudent<> student(
      {.nodes = 600, .in = whole.num_features(), .hidden = 16, .out = 3, .steps = 4, .dropout = 0.2f});
  const DistillReport fit =
      fit_cpf(student, walk.view(), whole.features.view(), std::as_const(p).view(),
              whole.labels.classes.span(), whole.roles.span(), {.lr = 0.01, .epochs = 60});
  CHECK(fit.test_accuracy > 0.8);
}

TEST_CASE("heuristic_temperatures: the median asked for, higher where the student is undecided") {
  Tensor<double> z = Tensor<double>::zeros(51, 3);
  for (std::size_t i = 0; i < 51; ++i) z(i, 0) = 0.1 * static_cast<double>(i);
  const std::vector<double> entropy(51, 0.5);
  std::vector<double> tau(51);
  heuristic_temperatures<double>(z.view(), entropy, {.k = 2, .median = 0.7}, tau);
  CHECK(std::abs(tau[25] - 0.7) < 1e-12);
  CHECK(std::is_sorted(tau.rbegin(), tau.rend()));
  for (const double t : tau) CHECK((t > -0.4 && t < 1.6));
  CHECK_THROWS_AS(heuristic_temperatures<double>(z.view(), entropy, {.k = 0}, tau), ConfigError);
  CHECK_THROWS_AS(heuristic_temperatures<double>(z.view(), std::span(entropy).first(3), {}, tau), ShapeError);
}

TEST_CASE("Noise: shares of links, deviations of columns") {
  const CsrGraph graph = testing::random_undirected(300, 2000, 1);
  const std::size_t links = graph.num_edges() / 2;
  const CsrGraph fewer = noisy_links(graph.view(), 0.5, 0, 3);
  // Binomial: five standard deviations.
  const double spread = 5 * std::sqrt(static_cast<double>(links) * 0.25);
  CHECK(std::abs(static_cast<double>(fewer.num_edges()) / 2 - 0.5 * static_cast<double>(links)) < spread);
  CHECK(noisy_links(graph.view(), 0, 0, 3).num_edges() == graph.num_edges());
  CHECK(noisy_links(graph.view(), 0, 0.5, 3).num_edges() > graph.num_edges());
  Tensor<float> x = random_matrix<float>(4000, 2, 1);
  for (std::size_t i = 0; i < 4000; ++i) x(i, 1) = 3;  // no deviation, no noise
  const Tensor<float> y = noisy_features(x.view(), 0.5, 2);
  double square = 0;
  double mean = 0;
  double own = 0;
  for (std::size_t i = 0; i < 4000; ++i) {
    const double d = static_cast<double>(y(i, 0) - x(i, 0));
    square += d * d / 4000;
    mean += static_cast<double>(x(i, 0)) / 4000;
    own += static_cast<double>(x(i, 0)) * static_cast<double>(x(i, 0)) / 4000;
    CHECK(y(i, 1) == 3);
  }
  // A sample variance of 4000 normals: relative deviation sqrt(2 / 4000), five of them.
  CHECK(std::abs(square / (0.25 * (own - mean * mean)) - 1) < 5 * std::sqrt(2.0 / 4000));
  CHECK_THROWS_AS(noisy_features(x.view(), -1, 0), ConfigError);
  CHECK_THROWS_AS(noisy_links(graph.view(), 2, 0, 0), ConfigError);
}
