// SPDX-License-Identifier: MIT
// Methods of distillation where they must be plain training, step for step.
#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <vector>

#include "support/catch.hpp"
#include "support/distill_cases.hpp"
#include "support/nn_cases.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/distill/distill.hpp"
#include "tessera/distill/fit_ltd.hpp"
#include "tessera/distill/glnn.hpp"
#include "tessera/distill/logit.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/mlp_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/train/trainer.hpp"

using namespace tessera;
using testing::random_matrix;

namespace {

template <class M>
std::vector<float> values(const M& model) {
  const auto all = model.parameters().values();
  return {all.begin(), all.end()};
}

/// Without validation nodes the last epoch is the one that is kept.
Dataset without_validation(std::size_t nodes) {
  Dataset data = testing::community_task(nodes, 3);
  for (Role& role : data.roles)
    if (role == Role::val) role = Role::test;
  return data;
}

}  // namespace

TEST_CASE("fit_glnn with lambda = 1 is the training of a perceptron, bit for bit") {
  const Dataset data = without_validation(300);
  const MlpNet<>::Options form{.in = data.num_features(), .hidden = 16, .out = 3, .dropout = 0.3f, .seed = 1};
  std::vector<NodeId> everybody(300);
  for (std::size_t i = 0; i < 300; ++i) everybody[i] = static_cast<NodeId>(i);
  const auto taught = [&](std::uint64_t teacher_seed) {
    MlpNet<> student(form);
    const TeacherOutputs teacher(random_matrix<float>(300, 3, teacher_seed));
    fit_glnn(student, data.features.view(), data.labels.classes.span(), data.roles.span(), teacher, everybody,
             {.lambda = 1, .weight_decay = 1e-3, .epochs = 12, .seed = 5});
    return values(student);
  };
  // The same steps by hand: one batch of all labelled nodes, in the order of the epoch.
  MlpNet<> plain(form);
  std::vector<NodeId> labelled;
  for (std::size_t i = 0; i < 300; ++i)
    if (data.roles[i] == Role::train) labelled.push_back(static_cast<NodeId>(i));
  const Adam adam{.lr = 0.01, .weight_decay = 1e-3};
  auto state = adam.start(std::as_const(plain.parameters()));
  const std::vector<EdgeId> nothing(labelled.size() + 1, 0);
  Adjacency none;
  none.forward = {labelled.size(), labelled.size(), nothing, {}, {}};
  none.transpose = none.forward;
  for (std::uint64_t epoch = 0; epoch < 12; ++epoch) {
    std::vector<NodeId> order = labelled;
    shuffle(std::span<NodeId>(order), CounterRng(make_key(5, 2 * epoch + 1, Purpose::shuffle), 0, 0));
    Tensor<float> x(order.size(), data.num_features());
    gather_rows(data.features.view(), std::span<const NodeId>(order), x.view());
    std::vector<std::int32_t> y;
    for (const NodeId v : order) y.push_back(data.labels.classes[v]);
    plain.parameters().zero_grads();
    Tape<float> tape;
    const Var z = std::as_const(plain).forward(
        tape, AdjacencyStack(std::span(&none, 1)), tape.input(std::as_const(x).view()),
        Pass{.training = true, .dropout_key = make_key(5, epoch, Purpose::dropout)});
    tape.backward(CrossEntropy{}(tape, z, Targets{.classes = y}));
    adam.step(state, plain.parameters(), 1.0);
  }
  CHECK(taught(1) == values(plain));
  CHECK(taught(2) == values(plain));
}

TEST_CASE("Distill with weight 0 of the soft targets trains as labels alone, bit for bit") {
  const Dataset data = testing::community_task(300, 3);
  const TeacherOutputs teacher(random_matrix<float>(300, 3, 1));
  const auto train = [&](const auto& loss) {
    GcnNet<> student({.in = data.num_features(), .hidden = 8, .out = 3, .seed = 2});
    Trainer trainer{student, FullGraphSampler{}, loss, Adam{.lr = 0.01}};
    trainer.fit(data, {.epochs = 15});
    return values(student);
  };
  CHECK(train(Distill{teacher, Logit{.alpha = 0}}) == train(CrossEntropy{}));
}

TEST_CASE("A teacher that gives one-hot answers is the cross entropy of all nodes") {
  const Tensor<double> z = random_matrix<double>(40, 3, 1);
  std::vector<std::int32_t> classes(40);
  Tensor<float> sure = Tensor<float>::zeros(40, 3);
  for (std::size_t i = 0; i < 40; ++i) {
    classes[i] = static_cast<std::int32_t>(i * 7 % 3);
    sure(i, static_cast<std::size_t>(classes[i])) =
        50;  // exp(-50) is below half a unit in the last place of 1
  }
  const TeacherOutputs teacher(std::move(sure));
  const auto step = [&](const auto& loss) {
    Tensor<double> grad = Tensor<double>::zeros(40, 3);
    Tape<double> tape;
    const Var value = loss(tape, tape.parameter({z.view(), grad.view()}), Targets{.classes = classes});
    tape.backward(value);
    std::vector<double> out = {tape.value(value)(0, 0)};
    for (std::size_t i = 0; i < 40; ++i) out.insert(out.end(), grad.row(i).begin(), grad.row(i).end());
    return out;
  };
  const auto soft = step(Distill{teacher, Logit::glnn()});
  const auto hard = step(CrossEntropy{});
  for (std::size_t i = 0; i < soft.size(); ++i) CHECK(std::abs(soft[i] - hard[i]) < 1e-14);
}

TEST_CASE("Learning to distil with equal, frozen temperatures is the fixed temperature, bit for bit") {
  const Dataset data = without_validation(200);
  const GcnNet<>::Options form{.in = data.num_features(), .hidden = 8, .out = 3, .dropout = 0, .seed = 3};
  const PreparedAdjacency prepared =
      prepare_adjacency(data.graph.view(), true, GcnNet<>(form).aggregation(), true);
  const Tensor<float> teacher = random_matrix<float>(200, 3, 4);
  LtdSplit split;
  split.roles = Array<Role>::copy_of(data.roles.span());
  split.distill.assign(200, kUnlabelled);
  split.evaluate.assign(200, kUnlabelled);
  for (std::size_t i = 0; i < 200; ++i) {
    if (data.roles[i] == Role::train)
      (i % 2 == 0 ? split.distill : split.evaluate)[i] = data.labels.classes[i];
  }
  const Array<float> entropy = neighbour_entropy(data.graph.view(), teacher.view());
  const LtdProblem<float> problem{prepared.adjacency(), data.features.view(), teacher.view(),
                                  entropy.span(),       split.distill.span(), split.evaluate.span()};
  TemperatureNet<float> net({.classes = 3, .hidden = 4, .k = 2});
  for (float& w : net.parameters().values()) w = 0;
  net.parameters().value(net.parameters().find("lins.1.bias"))(0, 0) = 0.4f;
  GcnNet<> learnt(form);
  LtdStep<GcnNet<>> step;
  const LtdOptions o{.alpha = 1e-3, .beta = 0, .lambda = 2};
  for (std::uint64_t epoch = 0; epoch < 20; ++epoch)
    step.run(learnt, net, problem, o, make_key(1, epoch, Purpose::dropout), true);
  const double tau = static_cast<double>(step.temperatures()[0]);
  CHECK(std::abs(tau - 2 * (1 / (1 + std::exp(-0.4)) - 0.2)) < 1e-6);

  GcnNet<> fixed(form);
  const LtdData<float> whole{prepared.adjacency(), data.graph.view(),          data.features.view(),
                             teacher.view(),       data.labels.classes.span(), &split};
  fit_soft(fixed, whole, {.temperature = tau, .lambda = 2, .lr = 0, .alpha = 1e-3, .epochs = 20});
  CHECK(values(fixed) == values(learnt));
}

TEST_CASE("Learning to distil trusts the teacher less where it is planted to be wrong") {
  // A fifth of the nodes hear of another class than theirs, and their neighbourhood's entropy marks them. Descent cannot
  // take a temperature through 0, where targets are one-hot: wrong targets are blurred, by temperatures above the others'.
  constexpr std::size_t kNodes = 400;
  double flipped = 0;
  double others = 0;
  std::size_t negative = 0;
  for (std::uint64_t seed = 0; seed < 3; ++seed) {
    const Dataset data = testing::community_task(kNodes, 3, 20, 3 + seed);
    Tensor<float> teacher = Tensor<float>::zeros(kNodes, 3);
    Array<float> entropy(kNodes, 0.1f);
    std::vector<std::int32_t> distill(kNodes, kUnlabelled);
    std::vector<std::int32_t> evaluate(kNodes, kUnlabelled);
    std::size_t turn = 0;
    for (std::size_t i = 0; i < kNodes; ++i) {
      const std::int32_t y = data.labels.classes[i];
      const bool wrong = i % 5 == 0;
      teacher(i, static_cast<std::size_t>(wrong ? (y + 1) % 3 : y)) = 1;
      if (wrong) entropy[i] = 1;
      if (data.roles[i] == Role::train) (turn++ % 4 == 0 ? distill : evaluate)[i] = y;
    }
    GcnNet<> student({.in = data.num_features(), .hidden = 16, .out = 3, .dropout = 0.1f, .seed = seed});
    const PreparedAdjacency prepared =
        prepare_adjacency(data.graph.view(), true, student.aggregation(), true);
    const LtdProblem<float> problem{prepared.adjacency(),
                                    data.features.view(),
                                    std::as_const(teacher).view(),
                                    entropy.span(),
                                    distill,
                                    evaluate};
    TemperatureNet<float> net({.classes = 3, .hidden = 16, .k = 1, .dropout = 0.1f, .seed = seed});
    LtdStep<GcnNet<>> step;
    for (std::uint64_t epoch = 0; epoch < 200; ++epoch) {
      step.run(student, net, problem, {.alpha = 1e-3, .beta = 0.1}, make_key(seed, epoch, Purpose::dropout),
               epoch > 5);
    }
    for (std::size_t i = 0; i < kNodes; ++i) {
      const double tau = static_cast<double>(step.temperatures()[i]);
      (i % 5 == 0 ? flipped : others) += tau;
      negative += tau < 0 ? 1u : 0u;
    }
  }
  CHECK(flipped / (3 * kNodes / 5) > others / (3 * kNodes * 4 / 5) + 0.03);
  CHECK(negative > 0);
}
