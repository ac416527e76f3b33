// SPDX-License-Identifier: MIT
// Distillation without data: watched batch norms, inverted teachers (GFKD), an adversarial generator (DFAD-GNN).
#include <algorithm>
#include <cmath>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "support/numeric_gradient.hpp"
#include "support/whole_graphs.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/distill/distill.hpp"
#include "tessera/distill/fit_dfad.hpp"
#include "tessera/distill/invert_teacher.hpp"
#include "tessera/distill/logit.hpp"
#include "tessera/distill/norm_tape.hpp"
#include "tessera/graph/graph_dataset_view.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/nn/layers/gin_conv.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/graph_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/sampling/graph_batch_sampler.hpp"
#include "tessera/train/evaluate.hpp"
#include "tessera/train/trainer.hpp"

using namespace tessera;
using testing::random_matrix;

namespace {

template <class T>
using Gin = GraphNet<GinConv<T>>;

template <class T>
Gin<T> gin(std::size_t in, std::size_t hidden, std::size_t layers, std::uint64_t seed) {
  return Gin<T>({.in = in,
                 .hidden = hidden,
                 .out = 2,
                 .layers = layers,
                 .readout = GraphReadout::layers,
                 .reduce = Reduce::mean,
                 .seed = seed});
}

/// Running averages that are not those of a fresh network.
template <class Net>
void season(Net& net) {
  ParameterBlock<double>& block = net.parameters();
  for (const ParameterInfo& p : block.parameters()) {
    if (p.trained) continue;
    for (std::size_t k = 0; k < p.size(); ++k)
      block.values()[p.offset + k] = 0.5 + 0.1 * static_cast<double>((k * 7) % 5);
  }
}

/// A teacher of rings and stars, who sees their links alone.
struct Lesson {
  GraphDataset data = testing::rings_and_stars(160);
  Gin<float> teacher = gin<float>(1, 16, 2, 3);

  Lesson() {
    data.features = Tensor<float>::filled(data.num_nodes(), 1, 1.0f);
    fit(teacher, CrossEntropy{}, data, 60);
  }

  template <class Net, class L>
  static void fit(Net& net, const L& loss, const GraphDataset& on, std::size_t epochs) {
    Trainer trainer{net, GraphBatchSampler(on.node_ptr, {.batch_size = 32}), loss, Adam{.lr = 0.01}};
    trainer.fit(GraphDatasetView(on), {.epochs = epochs, .seed = 1});
  }

  /// How often a network is right about the test graphs.
  template <class Net>
  double accuracy(const Net& net) const {
    return evaluate(net, GraphDatasetView(data), CrossEntropy{}).test.metric;
  }
};

}  // namespace

TEST_CASE("NormTape sees what enters a batch norm at inference and what the norm remembers") {
  const Tensor<double> x = random_matrix<double>(9, 3, 1);
  const std::vector<double> mean = {0.5, -1, 2};
  const std::vector<double> variance = {1, 0.25, 3};
  Tensor<double> ones = Tensor<double>::filled(1, 3, 1.0);
  Tensor<double> none = Tensor<double>::zeros(1, 3);
  NormTape<double> tape(1e-3);
  batch_norm_by(tape, tape.input(x.view()), tape.input(ones.view()), tape.input(none.view()), 1e-3, mean,
                variance);
  REQUIRE(tape.norms().size() == 1);
  double of_mean = 0;
  double of_variance = 0;
  for (std::size_t j = 0; j < 3; ++j) {
    double m = 0;
    double v = 0;
    for (std::size_t i = 0; i < 9; ++i) m += x(i, j) / 9;
    for (std::size_t i = 0; i < 9; ++i) v += (x(i, j) - m) * (x(i, j) - m) / 9;
    of_mean += (m - mean[j]) * (m - mean[j]);
    of_variance += (v - variance[j]) * (v - variance[j]);
  }
  const double want = 2 * (std::sqrt(of_mean) + std::sqrt(of_variance));
  CHECK(std::abs(tape.value(norm_distance(tape, 2))(0, 0) - want) < 1e-13);
  tape.rewind();
  CHECK(tape.norms().empty());
  CHECK_THROWS_AS(norm_distance(tape), ConfigError);
  // In training a norm goes by the batch itself: nothing to compare.
  batch_norm(tape, tape.input(x.view()), tape.input(ones.view()), tape.input(none.view()), 1e-3);
  CHECK(tape.norms().empty());
}

TEST_CASE("GFKD: the gradient of invented features, through the teacher and its batch norms") {
  Gin<double> teacher = gin<double>(3, 5, 2, 1);
  season(teacher);
  const std::vector<std::size_t> node_ptr = {0, 4, 9, 12};
  const detail::JoinedGraphs joined(node_ptr);
  const CsrGraph links = joined.link(
      false, [](std::size_t g, std::size_t i, std::size_t j) { return (g + 2 * i + 3 * j) % 4 < 2; });
  const detail::JoinedBatch batch(joined, links, teacher.aggregation());
  const std::vector<std::int32_t> classes = {0, 1, 1};
  const bool one_hot = GENERATE(false, true);
  const InvertOptions o{.one_hot = one_hot, .norm_weight = 0.3, .entropy_weight = 0.2};
  ParameterBlock<double> block;
  const Parameter phi = block.add("phi", 12, 3);
  const Tensor<double> start = random_matrix<double>(12, 3, 5);
  for (std::size_t i = 0; i < 12; ++i)
    for (std::size_t j = 0; j < 3; ++j) block.value(phi)(i, j) = start(i, j);
  std::vector<double> frozen(teacher.parameters().grads().begin(), teacher.parameters().grads().end());
  NormTape<double> tape;
  const auto error = testing::gradient_error(block, [&](bool record) {
    tape.rewind();
    const Var loss = detail::inversion_loss(tape, teacher, batch.stack(), block[phi], classes, o);
    const double value = tape.value(loss)(0, 0);
    if (record) tape.backward(loss);
    return value;
  });
  CHECK(error.size > 1e-3);
  CHECK(error.worst < 1e-7);
  CHECK(std::equal(frozen.begin(), frozen.end(), teacher.parameters().grads().begin()));
}

TEST_CASE("GFKD: a teacher is inverted into graphs it knows, and a student learns its task from them") {
  const Lesson lesson;
  REQUIRE(lesson.accuracy(lesson.teacher) > 0.95);
  const InvertOptions o{.graphs = 48, .min_nodes = 4, .max_nodes = 12, .epochs = 300};
  const InvertedGraphs fake = with_threads(1, [&] { return invert_teacher(lesson.teacher, o); });
  const InvertedGraphs again = with_threads(4, [&] { return invert_teacher(lesson.teacher, o); });
  validate(fake.data);
  CHECK(fake.data.num_graphs() == 48);
  CHECK(fake.loss < 0.5 * fake.first_loss);
  CHECK(fake.loss == again.loss);
  CHECK(std::equal(fake.data.graph.col.begin(), fake.data.graph.col.end(), again.data.graph.col.begin(),
                   again.data.graph.col.end()));
  std::size_t told = 0;
  Tensor<float> scratch;
  const auto logits = fake.teacher.logits<float>({}, 48, scratch);
  for (std::size_t g = 0; g < 48; ++g) {
    CHECK(fake.data.num_nodes(g) >= 4);
    CHECK(fake.data.num_nodes(g) <= 12);
    told += (logits(g, 1) > logits(g, 0)) == (fake.data.targets.classes[g] == 1) ? 1u : 0u;
  }
  CHECK(told >= 43);  // nine in ten

  Gin<float> student = gin<float>(1, 8, 2, 7);
  Lesson::fit(student, Distill{fake.teacher, Logit{.alpha = 1, .temperature = 2}}, fake.data, 100);
  CHECK(lesson.accuracy(student) > 0.8);
}

TEST_CASE("GFKD: settings outside their range, a teacher without batch norm") {
  const Gin<float> teacher = gin<float>(2, 4, 1, 1);
  CHECK_THROWS_AS(invert_teacher(teacher, {.graphs = 0}), ConfigError);
  CHECK_THROWS_AS(invert_teacher(teacher, {.min_nodes = 5, .max_nodes = 4}), ConfigError);
  CHECK_THROWS_AS(invert_teacher(teacher, {.min_nodes = 0}), ConfigError);
  CHECK_THROWS_AS(invert_teacher(teacher, {.norm_weight = -1}), ConfigError);
  CHECK_THROWS_AS(invert_teacher(teacher, {.decay_every = 0}), ConfigError);
  CHECK_THROWS_AS(invert_teacher(teacher, {.density = 1}), ConfigError);
  const Gin<float> bare(
      {.in = 2, .hidden = 4, .out = 2, .layers = 1, .norm = NormKind::none, .conv = {.batch_norm = false}});
  CHECK_THROWS_AS(invert_teacher(bare, {.graphs = 2, .epochs = 1}), ConfigError);
  CHECK(std::isfinite(invert_teacher(bare, {.graphs = 2, .norm_weight = 0, .epochs = 1}).loss));
  // An erased type hides its norms.
  const AnyTrainableModel<> erased{gin<float>(2, 4, 1, 1)};
  CHECK_THROWS_AS(invert_teacher(erased, {.graphs = 2, .epochs = 1}), ConfigError);
}

TEST_CASE("GraphGenerator: every pair has its column, links come as often as their logits say") {
  std::set<std::size_t> columns;
  for (std::size_t i = 0; i < 7; ++i)
    for (std::size_t j = 0; j < i; ++j) {
      columns.insert(GraphGenerator<>::pair(i, j));
      CHECK(GraphGenerator<>::pair(i, j) == GraphGenerator<>::pair(j, i));
    }
  CHECK(columns.size() == 21);
  CHECK(*columns.rbegin() == 20);
  CHECK_THROWS_AS(GraphGenerator<>({.features = 0}), ConfigError);
  CHECK_THROWS_AS(GraphGenerator<>({.features = 2, .nodes = 1}), ConfigError);
  CHECK_THROWS_AS(GraphGenerator<>({.features = 2, .nodes = 4, .mean_degree = 3}), ConfigError);

  const GraphGenerator<double> generator({.features = 2, .nodes = 5});
  const std::size_t graphs = 20'000;
  const detail::DfadGraphs<double> batch(generator, graphs);
  Tensor<double> made = Tensor<double>::zeros(graphs, generator.width());
  for (std::size_t g = 0; g < graphs; ++g)
    for (std::size_t p = 0; p < 10; ++p) made(g, 10 + p) = -1 + 0.2 * static_cast<double>(p);
  const Tensor<double> u = batch.coins(make_key(1, 0, Purpose::noise), 0);
  for (const bool opposite : {false, true}) {
    const CsrGraph links = batch.links(std::as_const(made).view(), u, opposite);
    std::vector<double> share(10, 0.0);
    for (std::size_t i = 0; i < links.num_nodes(); ++i) {
      for (const NodeId j : links.view().neighbors(i)) {
        REQUIRE(j / 5 == i / 5);
        REQUIRE(j != i);
        share[GraphGenerator<>::pair(i % 5, j % 5)] += 0.5 / static_cast<double>(graphs);
      }
    }
    for (std::size_t p = 0; p < 10; ++p) {
      const double want = 1 / (1 + std::exp(1 - 0.2 * static_cast<double>(p)));
      CHECK(std::abs(share[p] - want) < 5 * std::sqrt(want * (1 - want) / static_cast<double>(graphs)));
    }
  }
  // Rows of nodes and back.
  for (std::size_t c = 0; c < 10; ++c) made(3, c) = static_cast<double>(c);
  const Tensor<double> x = batch.nodes(std::as_const(made).view());
  CHECK(x(3 * 5 + 2, 1) == 5);
  Tensor<double> back = Tensor<double>::zeros(graphs, generator.width());
  batch.put_back(x.view(), back.view());
  CHECK(back(3, 7) == 7);
}

TEST_CASE("DFAD: the generator's gradient of features through teacher and student") {
  Gin<double> teacher = gin<double>(3, 5, 2, 1);
  Gin<double> student = gin<double>(3, 4, 1, 2);
  season(teacher);
  season(student);
  const std::vector<std::size_t> node_ptr = {0, 4, 9, 12};
  const detail::JoinedGraphs joined(node_ptr);
  const CsrGraph links =
      joined.link(true, [](std::size_t, std::size_t i, std::size_t j) { return (i + j) % 3 == 1; });
  ParameterBlock<double> block;
  const Parameter phi = block.add("phi", 12, 3);
  const Tensor<double> start = random_matrix<double>(12, 3, 5);
  for (std::size_t i = 0; i < 12; ++i)
    for (std::size_t j = 0; j < 3; ++j) block.value(phi)(i, j) = start(i, j);
  const bool one_hot = GENERATE(false, true);
  Tape<double> tape;
  Tensor<double> unused = Tensor<double>::zeros(12, 3);
  const auto error = testing::gradient_error(block, [&](bool record) {
    tape.rewind();
    const ParameterView<double> at = block[phi];
    return tape.value(detail::challenge(tape, student, teacher, joined, links,
                                        record ? at : ParameterView<double>{at.value, unused.view()},
                                        one_hot))(0, 0);
  });
  CHECK(error.size > 1e-4);
  CHECK(error.worst < 1e-7);
  for (const double g : student.parameters().grads()) REQUIRE(g == 0);
}

TEST_CASE("DFAD: the student comes to agree with the teacher, on real graphs too") {
  const Lesson lesson;
  const auto run = [&](std::size_t threads) {
    return with_threads(threads, [&] {
      auto student = std::make_unique<Gin<float>>(gin<float>(1, 8, 2, 7));
      GraphGenerator<float> generator(
          {.features = 1, .nodes = 8, .noise = 8, .hidden = 32, .mean_degree = 2});
      DfadReport report =
          fit_dfad(*student, lesson.teacher, generator, {.graphs = 32, .epochs = 60, .student_steps = 5});
      return std::pair{std::move(student), std::move(report)};
    });
  };
  const auto [student, report] = run(1);
  const auto [other, same] = run(4);
  CHECK(report.discrepancy == same.discrepancy);
  CHECK(std::equal(student->parameters().values().begin(), student->parameters().values().end(),
                   other->parameters().values().begin()));
  REQUIRE(report.discrepancy.size() == 60);
  CHECK(report.discrepancy.back() < 0.5 * report.discrepancy.front());
  CHECK(lesson.accuracy(*student) > 0.8);

  Gin<float> narrow = gin<float>(3, 4, 1, 1);
  GraphGenerator<float> generator({.features = 1, .nodes = 8});
  CHECK_THROWS_AS(fit_dfad(narrow, lesson.teacher, generator), ShapeError);
  CHECK_THROWS_AS(fit_dfad(*student, lesson.teacher, generator, {.graphs = 0}), ConfigError);
  CHECK_THROWS_AS(fit_dfad(*student, lesson.teacher, generator, {.student_steps = 0}), ConfigError);
}
