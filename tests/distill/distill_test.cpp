// SPDX-License-Identifier: MIT
#include "tessera/distill/distill.hpp"

#include <cmath>
#include <limits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/distill_cases.hpp"
#include "support/nn_cases.hpp"
#include "tessera/core/error.hpp"
#include "tessera/distill/logit.hpp"
#include "tessera/distill/run_teacher.hpp"
#include "tessera/nn/losses/binary_cross_entropy.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/mlp_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"
#include "tessera/sampling/row_sampler.hpp"
#include "tessera/train/trainer.hpp"

using namespace tessera;
using testing::community_task;
using testing::random_matrix;

namespace {

/// The value of a loss of given logits on a recording tape.
template <class L>
double value_of(const L& loss, MatrixView<const double> z, const Targets& targets) {
  Tape<double> tape;
  return tape.value(loss(tape, tape.input(z), targets))(0, 0);
}

Tensor<float> copy_float(MatrixView<const double> x) {
  Tensor<float> out(x.rows(), x.cols());
  for (std::size_t i = 0; i < x.rows(); ++i) std::copy(x.row(i).begin(), x.row(i).end(), out.row(i).begin());
  return out;
}

}  // namespace

static_assert(Loss<Distill<Logit>, float> && Loss<Distill<Logit, TaskLoss>, double>);
static_assert(DistillTerm<Logit> && DistillTerm<TaskLoss> && !DistillTerm<CrossEntropy>);

TEST_CASE("Distill: labels keep the weight the terms leave, presets have the published ones") {
  const Tensor<double> z = random_matrix<double>(6, 3, 1);
  const TeacherOutputs teacher(random_matrix<float>(6, 3, 2));
  const std::vector<std::int32_t> classes = {0, -1, 2, 1, -1, -1};
  const Targets targets{.classes = classes};
  Tensor<float> scratch;
  Tensor<double> t(6, 3);
  for (std::size_t i = 0; i < 6; ++i) {
    for (std::size_t c = 0; c < 3; ++c) t(i, c) = teacher.logits<float>({}, 6, scratch)(i, c);
  }
  const std::vector<float> labelled = {1, 0, 1, 1, 0, 0};
  const double ce = value_of(CrossEntropy{}, z.view(), targets);
  const auto soft = [&](SoftTargetOptions o, std::vector<float> weight = {}) {
    return soft_target<double>(z.view(), t.view(), {}, weight, MatrixView<double>(), {}, o).mean();
  };

  CHECK(std::abs(value_of(Distill{teacher}, z.view(), targets) - ce) < 1e-15);
  SoftTargetOptions o{.teacher_temperature = 4, .student_temperature = 4, .factor = 0.9 * 16};
  CHECK(std::abs(value_of(Distill{teacher, Logit{}}, z.view(), targets) - (soft(o) + 0.1 * ce)) < 1e-14);
  o.reduction = Reduction::element_mean;
  CHECK(std::abs(value_of(Distill{teacher, Logit::efficient_gnns()}, z.view(), targets) -
                 (soft(o, labelled) + 0.1 * ce)) < 1e-14);
  CHECK(std::abs(value_of(Distill{teacher, Logit::glnn()}, z.view(), targets) - soft({})) < 1e-14);
  const SoftTargetOptions ft{
      .teacher_temperature = 0.1, .form = SoftForm::cross_entropy, .reduction = Reduction::sum};
  const Distill fixed{teacher, Logit::fixed_temperature(0.1),
                      TaskLoss{.weight = 50, .reduction = Reduction::sum}};
  CHECK(std::abs(value_of(fixed, z.view(), targets) - (soft(ft) + 50 * 3 * ce)) < 1e-12);

  const std::vector<float> tau = {0.5f, -0.25f, 1, 2, 4, 8};
  const std::vector<double> tau64(tau.begin(), tau.end());
  Logit by_node = Logit::fixed_temperature(1);
  by_node.tau = tau;
  CHECK(std::abs(value_of(Distill{teacher, by_node}, z.view(), targets) -
                 soft_target<double>(z.view(), t.view(), tau64, {}, MatrixView<double>(), {},
                                     {.form = SoftForm::cross_entropy, .reduction = Reduction::sum})
                     .mean()) < 1e-12);
}

TEST_CASE("Distill: rows are matched with the teacher by node") {
  const TeacherOutputs teacher(random_matrix<float>(9, 3, 2));
  const std::vector<NodeId> ids = {7, 0, 4};
  Tensor<float> scratch;
  const auto rows = teacher.logits<float>(ids, 3, scratch);
  Tensor<double> z(3, 3);
  for (std::size_t i = 0; i < 3; ++i) {
    for (std::size_t c = 0; c < 3; ++c) z(i, c) = rows(i, c);
  }
  const std::vector<std::int32_t> none(3, -1);
  const Targets matched{.classes = none, .node_id = ids};
  CHECK(std::abs(value_of(Distill{teacher, Logit{.alpha = 1}}, z.view(), matched)) < 1e-12);
  const std::vector<NodeId> wrong = {7, 0, 5};
  CHECK(value_of(Distill{teacher, Logit{.alpha = 1}}, z.view(), {.classes = none, .node_id = wrong}) > 1e-3);
  const std::vector<NodeId> beyond = {7, 0, 9};
  CHECK_THROWS_AS(value_of(Distill{teacher, Logit{}}, z.view(), {.classes = none, .node_id = beyond}),
                  IndexError);
}

TEST_CASE("Distill: several labels per node compare sigmoids") {
  const Tensor<double> z = random_matrix<double>(5, 4, 1);
  const Tensor<double> t = random_matrix<double>(5, 4, 2);
  const TeacherOutputs teacher(copy_float(t.view()));
  Tensor<float> y = Tensor<float>::zeros(5, 4);
  y(0, 1) = y(3, 2) = 1;
  const std::vector<float> mask = {1, 0, 0, 1, 1};
  const Targets targets{.indicators = std::as_const(y).view(), .weights = mask};
  const double bce = value_of(BinaryCrossEntropy{}, z.view(), targets);
  const Tensor<float> tf = copy_float(t.view());
  Tensor<double> rounded(5, 4);
  for (std::size_t i = 0; i < 5; ++i)
    for (std::size_t c = 0; c < 4; ++c) rounded(i, c) = tf(i, c);
  const auto soft = [&](std::vector<float> weight) {
    return soft_indicators<double>(z.view(), rounded.view(), weight, MatrixView<double>(), {}).mean();
  };
  const Logit all{.alpha = 0.5, .temperature = 1};
  CHECK(std::abs(value_of(Distill{teacher, all}, z.view(), targets) - 0.5 * (soft({}) + bce)) < 1e-14);
  Logit labelled = all;
  labelled.on = DistillOn::labelled;
  CHECK(std::abs(value_of(Distill{teacher, labelled}, z.view(), targets) - 0.5 * (soft(mask) + bce)) < 1e-14);
}

TEST_CASE("TeacherOutputs: bf16, borrowed and shown; what is wrong is refused") {
  const Tensor<float> logits = random_matrix<float>(12, 3, 1);
  const Tensor<float> hidden = random_matrix<float>(12, 8, 2);
  TeacherOutputs teacher(Tensor<float>::copy_of(logits.view()), Tensor<float>::copy_of(hidden.view()), 5);
  std::vector<std::string> names;
  teacher.visit([&](std::string_view name, const auto&) { names.emplace_back(name); });
  CHECK(names == std::vector<std::string>{"logits", "hidden", "graph"});
  const TeacherOutputs borrowed = TeacherOutputs::borrow<float>(logits.view(), hidden.view(), 5);
  Tensor<float> a;
  Tensor<float> b;
  CHECK(testing::same_bits(teacher.logits<float>({}, 12, a), borrowed.logits<float>({}, 12, b)));
  teacher.halve();
  const auto halved = teacher.hidden<float>({}, 12, a);
  for (std::size_t i = 0; i < 12; ++i) {
    // bf16 has 8 significant bits.
    for (std::size_t j = 0; j < 8; ++j)
      CHECK(std::abs(halved(i, j) - hidden(i, j)) <= std::abs(hidden(i, j)) / 256);
  }
  const std::vector<NodeId> ids = {3, 11};
  const auto some = teacher.hidden<float>(ids, 2, b);
  CHECK(some(1, 7) == halved(11, 7));

  Tensor<float> bad = random_matrix<float>(4, 2, 1);
  bad(2, 1) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(TeacherOutputs(Tensor<float>::copy_of(std::as_const(bad).view())), ConfigError);
  bad(2, 1) = std::numeric_limits<float>::infinity();
  CHECK_THROWS_AS(TeacherOutputs(std::move(bad)), ConfigError);
  CHECK_THROWS_AS(TeacherOutputs(random_matrix<float>(4, 2, 1), random_matrix<float>(3, 2, 1)), ShapeError);

  const Dataset data = community_task(200, 3);
  const auto refuse = [&](std::size_t nodes, std::size_t classes, std::uint64_t graph) {
    TeacherOutputs(random_matrix<float>(nodes, classes, 1), {}, graph).check_data(data);
  };
  CHECK_NOTHROW(refuse(200, 3, graph_key(data.graph.view())));
  CHECK_NOTHROW(refuse(200, 3, 0));
  CHECK_THROWS_AS(refuse(199, 3, 0), ShapeError);
  CHECK_THROWS_AS(refuse(200, 4, 0), ConfigError);
  CHECK_THROWS_AS(refuse(200, 3, 17), ConfigError);
}

TEST_CASE("teacher_outputs: logits and hidden rows are those of the whole model") {
  const Dataset data = community_task(150, 3);
  const GcnNet<> model({.in = data.num_features(), .hidden = 8, .out = 3, .layers = 3});
  const TeacherOutputs plain = teacher_outputs(model, data);
  const TeacherOutputs both = teacher_outputs(model, data, {.hidden = true});
  Tensor<float> a;
  Tensor<float> b;
  CHECK(testing::same_bits(plain.logits<float>({}, 150, a), both.logits<float>({}, 150, b)));
  CHECK(!plain.has_hidden());
  CHECK(both.hidden_width() == 8);
  const GcnNet<> flat({.in = data.num_features(), .out = 3, .layers = 1});
  CHECK_THROWS_AS(teacher_outputs(flat, data, {.hidden = true}), ConfigError);
}

TEST_CASE("Distill: trains with every kind of sampler and beats what labels alone give") {
  const Dataset data = community_task(1200, 4, 2);  // two labels per class
  GcnNet<> big({.in = data.num_features(), .hidden = 32, .out = 4, .seed = 1});
  Trainer first{big, FullGraphSampler{}, CrossEntropy{}, Adam{.lr = 0.01}};
  const double teacher_accuracy = first.fit(data, {.epochs = 60}).evaluation.test.metric;
  const TeacherOutputs teacher = teacher_outputs(big, data);
  REQUIRE(teacher_accuracy > 0.7);

  const auto train = [&](auto sampler, auto loss) {
    MlpNet<> student({.in = data.num_features(), .hidden = 32, .out = 4, .dropout = 0, .seed = 2});
    Trainer trainer{student, sampler, loss, Adam{.lr = 0.01}};
    return trainer.fit(data, {.epochs = 40}).evaluation.test.metric;
  };
  const double plain = train(FullGraphSampler{}, CrossEntropy{});
  Distill soft{teacher, Logit::glnn()};
  CHECK(train(FullGraphSampler{}, soft) > plain + 0.05);
  std::vector<NodeId> everybody(1200);
  for (std::size_t i = 0; i < 1200; ++i) everybody[i] = static_cast<NodeId>(i);
  soft.learn_from(everybody);
  CHECK(train(RowSampler({.batch_size = 200}), soft) > plain + 0.05);
  CHECK(train(NeighborSampler({.fanouts = {5, 5}, .batches = {.batch_size = 200}}), soft) > plain + 0.05);

  const TeacherOutputs other(random_matrix<float>(1200, 4, 1), {}, 99);
  CHECK_THROWS_AS(train(FullGraphSampler{}, Distill{other, Logit{}}), ConfigError);
}

TEST_CASE("TappedModel: shows the rows before the last layer and changes nothing") {
  const Dataset data = community_task(100, 3);
  const GcnNet<>::Options options{.in = data.num_features(), .hidden = 8, .out = 3, .dropout = 0.5f};
  GcnNet<> plain(options);
  TappedModel tapped{GcnNet<>(options)};
  static_assert(Model<TappedModel<GcnNet<>>>);
  CHECK(hidden_width(tapped.model()) == 8);
  CHECK_THROWS_AS(hidden_width(MlpNet<>({.in = 4, .out = 2, .layers = 1})), ConfigError);
  const PreparedAdjacency a = prepare_adjacency(data.graph.view(), true, plain.aggregation());
  const Adjacency whole = a.adjacency();
  const Pass pass{.training = true, .dropout_key = make_key(1, 2, Purpose::dropout)};
  Tape<float> one;
  Tape<float> two;
  const AdjacencyStack stack(std::span(&whole, 1));
  const Var y = plain.forward(one, stack, one.input(data.features.view()), pass);
  const Var z = tapped.forward(two, stack, two.input(data.features.view()), pass);
  CHECK(testing::same_bits(one.value(y), two.value(z)));
  const auto tap = tapped.tap();
  CHECK(two.value(tap->hidden).rows() == 100);
  CHECK(two.value(tap->hidden).cols() == 8);
  CHECK(tap->key == pass.dropout_key);
}
