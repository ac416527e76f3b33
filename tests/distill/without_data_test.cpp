// SPDX-License-Identifier: MIT
// Self-distillation, reliable nodes, born-again generations and distillation without data.
#include <cmath>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/distill_cases.hpp"
#include "support/graph_factories.hpp"
#include "support/nn_cases.hpp"
#include "tessera/core/error.hpp"
#include "tessera/distill/born_again.hpp"
#include "tessera/distill/data_free.hpp"
#include "tessera/distill/neighbour_inference.hpp"
#include "tessera/distill/reliable_nodes.hpp"
#include "tessera/distill/self_distillation.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/nn/autograd/grad_check.hpp"
#include "tessera/nn/nets/mlp_net.hpp"

using namespace tessera;
using testing::random_matrix;

namespace {

double value_of(const Tape<double>& tape, Var v) { return tape.value(v)(0, 0); }

}  // namespace

TEST_CASE("Self-distillation: constant features, isolated nodes, the older layer constant, gradients") {
  const CsrGraph graph = testing::undirected(7, {{0, 1}, {1, 2}, {2, 3}, {3, 4}, {4, 5}, {0, 3}});
  const PreparedAdjacency prepared =
      prepare_adjacency(graph.view(), true, {Normalization::none, false, 0.0f});
  const Adjacency a = prepared.adjacency();
  Tape<double> tape;
  const Tensor<double> same = Tensor<double>::filled(7, 3, 2.0);
  const Var flat = neighbourhood_discrepancy(tape, a, tape.input(same.view()));
  for (std::size_t i = 0; i < 7; ++i) CHECK(std::abs(tape.value(flat)(i, 0)) < 1e-15);
  const Tensor<double> x = random_matrix<double>(7, 3, 1);
  const Var s = neighbourhood_discrepancy(tape, a, tape.input(x.view()));
  CHECK(tape.value(s)(6, 0) == 0);
  const Var one[] = {tape.input(x.view())};
  CHECK(value_of(tape, discrepancy_retaining_loss(tape, a, one)) == 0);

  Tensor<double> older = Tensor<double>::copy_of(x.view());
  Tensor<double> grad = Tensor<double>::zeros(7, 3);
  const Tensor<double> smooth = Tensor<double>::filled(7, 4, 1.0);
  const Var layers[] = {tape.parameter({std::as_const(older).view(), grad.view()}),
                        tape.input(smooth.view())};
  const Var loss = discrepancy_retaining_loss(tape, a, layers);
  CHECK(value_of(tape, loss) > 0.01);
  tape.backward(loss);
  for (std::size_t i = 0; i < 7; ++i)
    for (std::size_t j = 0; j < 3; ++j) CHECK(grad(i, j) == 0);

  std::vector<Tensor<double>> inputs;
  inputs.push_back(random_matrix<double>(7, 3, 4));
  CHECK(grad_check([&](auto& ctx, std::span<const Var> v) { return neighbourhood_discrepancy(ctx, a, v[0]); },
                   inputs, {.forward_mode = false})
            .vjp_error < 1e-7);
  const Tensor<double> first = random_matrix<double>(7, 2, 9);
  CHECK(grad_check(
            [&](auto& ctx, std::span<const Var> v) {
              const Var both[] = {ctx.input(first.view()), v[0]};
              return discrepancy_retaining_loss(ctx, a, both, 3);
            },
            inputs, {.forward_mode = false})
            .vjp_error < 1e-7);
}

TEST_CASE("reliable_nodes: teacher right or sure and agreed with; the student still to learn") {
  const auto logits = [](std::vector<float> x) {
    Tensor<float> out(x.size() / 2, 2);
    for (std::size_t i = 0; i < x.size(); ++i) out(i / 2, i % 2) = x[i];
    return out;
  };
  // Node 0: labelled, teacher right, student wrong. 1: labelled, teacher wrong. 2: sure, agreed, student unsure.
  // 3: sure, not agreed. 4: unsure. 5: sure, agreed, student sure.
  const Tensor<float> teacher = logits({1, 0, 1, 0, 8, 0, 8, 0, 0.1f, 0, 9, 0});
  const Tensor<float> student = logits({0, 1, 1, 0, 0.2f, 0, 0, 5, 0.1f, 0, 9, 0});
  const std::vector<std::int32_t> classes = {0, 1, -1, -1, -1, -1};
  const ReliableNodes r = reliable_nodes(teacher.view(), student.view(), classes, 0.5);
  CHECK(std::vector<float>(r.teacher.begin(), r.teacher.end()) == std::vector<float>{1, 0, 1, 0, 0, 1});
  CHECK(std::vector<float>(r.learn.begin(), r.learn.end()) == std::vector<float>{1, 0, 1, 0, 0, 0});
  CHECK_THROWS_AS(reliable_nodes(teacher.view(), student.view(), classes, 2), ConfigError);
  CHECK_THROWS_AS(reliable_nodes(teacher.view(), logits({1, 2}).view(), classes, 0.5), ShapeError);
  CHECK(reliable_weight(2, 0, 10) == 0);
  CHECK(std::abs(reliable_weight(2, 5, 10) - 1) < 1e-15);
  CHECK(std::abs(reliable_weight(2, 10, 10) - 2) < 1e-15);
  const std::vector<double> rank(6, 1.0 / 6);
  CHECK(ensemble_weight(logits({9, 0, 9, 0, 9, 0, 9, 0, 9, 0, 9, 0}).view(), rank) >
        ensemble_weight(teacher.view(), rank));

  const CsrGraph graph = testing::undirected(4, {{0, 1}, {1, 2}, {2, 3}});
  const std::vector<float> reliable = {1, 1, 1, 0};
  const std::vector<std::int32_t> predicted = {0, 0, 1, 1};
  std::vector<Tensor<double>> p;
  p.push_back(random_matrix<double>(4, 2, 3));
  double want = 0;
  for (std::size_t c = 0; c < 2; ++c) want += (p[0](0, c) - p[0](1, c)) * (p[0](0, c) - p[0](1, c));
  Tape<double> tape;
  CHECK(std::abs(value_of(tape, reliable_edge_loss(tape, graph.view(), tape.input(std::as_const(p[0]).view()),
                                                   reliable, predicted)) -
                 want) < 1e-14);
  CHECK(grad_check(
            [&](auto& ctx, std::span<const Var> v) {
              return reliable_edge_loss(ctx, graph.view(), v[0], reliable, predicted, 2);
            },
            p, {.forward_mode = false})
            .vjp_error < 1e-7);
}

TEST_CASE("GFKD: the structure estimator is unbiased, and opposite draws swap") {
  // Two nodes: four independent links; loss = 1 if exactly the off-diagonal links are there, 2 for every other graph
  // with a loop at node 0.
  Tensor<float> theta(2, 2);
  const float values[2][2] = {{0.3f, -0.5f}, {0.8f, 0.1f}};
  for (std::size_t i = 0; i < 2; ++i)
    for (std::size_t j = 0; j < 2; ++j) theta(i, j) = values[i][j];
  const auto loss = [](const Tensor<float>& a) {
    return (a(0, 1) == 1 && a(1, 0) == 1 ? 1.0 : 0.0) + 2 * static_cast<double>(a(0, 0));
  };
  const auto p = [&](std::size_t i, std::size_t j) {
    return 1 / (1 + std::exp(-static_cast<double>(theta(i, j))));
  };
  // By enumeration: E = p01 p10 + 2 p00.
  const double want[2][2] = {{2 * p(0, 0) * (1 - p(0, 0)), p(0, 1) * (1 - p(0, 1)) * p(1, 0)},
                             {p(1, 0) * (1 - p(1, 0)) * p(0, 1), 0}};
  const RngKey key = make_key(3, 0, Purpose::noise);
  constexpr std::uint32_t kDraws = 200'000;
  double sum[2][2] = {};
  double square[2][2] = {};
  Tensor<float> grad(2, 2);
  for (std::uint32_t d = 0; d < kDraws; ++d) {
    const StructureDraw draw = draw_structure(std::as_const(theta).view(), key, d);
    structure_gradient(draw, loss(draw.first), loss(draw.second), grad.view());
    for (std::size_t i = 0; i < 2; ++i) {
      for (std::size_t j = 0; j < 2; ++j) {
        sum[i][j] += static_cast<double>(grad(i, j));
        square[i][j] += static_cast<double>(grad(i, j)) * static_cast<double>(grad(i, j));
      }
    }
    if (d > 100) continue;
    // u -> 1 - u swaps the draws and the factor's sign: the gradient stays.
    StructureDraw opposite = draw_structure(std::as_const(theta).view(), key, d);
    std::swap(opposite.first, opposite.second);
    Tensor<float> other(2, 2);
    for (std::size_t i = 0; i < 2; ++i)
      for (std::size_t j = 0; j < 2; ++j) opposite.u(i, j) = 1 - opposite.u(i, j);
    structure_gradient(opposite, loss(opposite.first), loss(opposite.second), other.view());
    for (std::size_t i = 0; i < 2; ++i)
      for (std::size_t j = 0; j < 2; ++j) CHECK(std::abs(other(i, j) - grad(i, j)) < 1e-6f);
  }
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t j = 0; j < 2; ++j) {
      const double mean = sum[i][j] / kDraws;
      const double spread = std::sqrt((square[i][j] / kDraws - mean * mean) / kDraws);
      CHECK(std::abs(mean - want[i][j]) < 5 * spread + 1e-12);
    }
  }
  const std::vector<float> zero = {0, 0};
  const std::vector<float> other = {3, 4};
  CHECK(std::abs(batch_norm_distance(other, zero, zero, zero) - 5) < 1e-12);
  CHECK_THROWS_AS(structure_gradient(draw_structure(std::as_const(theta).view(), key, 0), 1, 2,
                                     Tensor<float>(3, 2).view()),
                  ShapeError);
}

TEST_CASE("DFAD: the generator follows the student's discrepancy backwards") {
  const Tensor<double> s = random_matrix<double>(4, 3, 1);
  const Tensor<double> t = random_matrix<double>(4, 3, 2);
  Tensor<double> by_student = Tensor<double>::zeros(4, 3);
  Tensor<double> by_generator = Tensor<double>::zeros(4, 3);
  Tape<double> tape;
  const Var d =
      absolute_discrepancy(tape, tape.parameter({s.view(), by_student.view()}), tape.input(t.view()));
  const double value = value_of(tape, d);
  tape.backward(d);
  tape.backward(generator_loss(tape, tape.parameter({s.view(), by_generator.view()}), tape.input(t.view())));
  for (std::size_t i = 0; i < 4; ++i) {
    for (std::size_t c = 0; c < 3; ++c) {
      CHECK(std::abs(by_student(i, c) - (s(i, c) > t(i, c) ? 1.0 : -1.0) / 12) < 1e-15);
      CHECK(std::abs(by_generator(i, c) + by_student(i, c) / (1 + value)) < 1e-15);
    }
  }
}

TEST_CASE("TGS: agreement with neighbours, distance from strangers, gradients") {
  std::vector<Tensor<double>> inputs;
  for (std::uint64_t k = 0; k < 5; ++k) inputs.push_back(random_matrix<double>(4, 3, k + 1));
  inputs.push_back(random_matrix<double>(4, 1, 9));
  const auto loss = [](auto& ctx, std::span<const Var> v) {
    return neighbour_inference_loss(ctx, {v[0], v[1], blend_rows(ctx, v[5], v[2], v[3]), v[3], v[4]}, 2);
  };
  CHECK(grad_check(loss, inputs, {.forward_mode = false}).vjp_error < 1e-7);
  // Everything equal: nothing to gain; a stranger who differs lowers the loss.
  const Tensor<double> x = random_matrix<double>(4, 3, 1);
  const Tensor<double> other = random_matrix<double>(4, 3, 2);
  Tape<double> tape;
  const Var v = tape.input(x.view());
  CHECK(std::abs(value_of(tape, neighbour_inference_loss(tape, {v, v, v, v, v}))) < 1e-15);
  CHECK(value_of(tape, neighbour_inference_loss(tape, {v, v, v, v, tape.input(other.view())})) < -1e-3);
}

TEST_CASE("born_again: the first generation learns alone, each later one from its parent") {
  const Dataset data = testing::community_task(200, 3);
  std::vector<const TeacherOutputs*> seen;
  const auto family = born_again(
      3, data,
      [&](std::size_t g) { return MlpNet<>({.in = data.num_features(), .hidden = 4, .out = 3, .seed = g}); },
      [&](MlpNet<>&, const TeacherOutputs* parent) { seen.push_back(parent); });
  REQUIRE(family.generations.size() == 3);
  CHECK((seen[0] == nullptr && seen[1] != nullptr && seen[2] != nullptr));
  for (std::size_t i = 0; i < 200; ++i) {
    float sum = 0;
    for (const float p : family.probabilities.row(i)) sum += p;
    CHECK(std::abs(sum - 1) < 1e-5f);
  }
  CHECK_THROWS_AS(born_again(
                      0, data, [&](std::size_t) { return MlpNet<>({.in = 1, .out = 3}); },
                      [](MlpNet<>&, const TeacherOutputs*) {}),
                  ConfigError);
}
