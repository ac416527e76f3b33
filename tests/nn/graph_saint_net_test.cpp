// SPDX-License-Identifier: MIT
#include "tessera/nn/nets/graph_saint_net.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/golden.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/losses/binary_cross_entropy.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"

namespace {

using namespace tessera;
using namespace tessera::testing;

static_assert(Model<GraphSaintNet<>> && Model<GraphSaintNet<double>>);

constexpr Pass kTraining{.training = true, .dropout_key = make_key(1, 5, Purpose::dropout)};

struct Golden : GoldenFile {
  Golden() : GoldenFile("saint.npz") {}
};

/// <logits, g> of a model, and nothing else.
double inner_with(const GraphSaintNet<double>& model, const Adjacency& a, MatrixView<const double> x,
                  MatrixView<const double> g, const Pass& pass) {
  const Tensor<double> y = run_model(model, AdjacencyStack(std::span(&a, 1)), x, pass);
  double sum = 0;
  for (std::size_t i = 0; i < y.rows(); ++i) {
    for (std::size_t j = 0; j < y.cols(); ++j) sum += y(i, j) * g(i, j);
  }
  return sum;
}

}  // namespace

TEST_CASE("GraphSaintNet equals the authors' network written with dense matrices, gradients included") {
  const Golden golden;
  const std::vector<NodeId> source = golden.ids("source");
  const std::vector<NodeId> target = golden.ids("target");
  const CsrGraph graph = build_csr(24, {source, target, {}}, {.self_loops = SelfLoops::keep}).graph;
  GraphSaintNet<double> model({.in = 5, .hidden = 4, .out = 3, .arch = "2-1-0", .dropout = 0.5f});
  ParameterBlock<double>& block = model.parameters();
  for (const ParameterInfo& info : block.parameters()) {
    const Tensor<double> value = golden.matrix("net." + info.name);
    const auto to = block.value(block.find(info.name));
    REQUIRE((to.rows() == value.rows() && to.cols() == value.cols()));
    for (std::size_t i = 0; i < to.rows(); ++i)
      std::copy(value.row(i).begin(), value.row(i).end(), to.row(i).begin());
  }
  const PreparedAdjacency prepared = prepare_adjacency(graph.view(), false, model.aggregation());
  const Adjacency a = prepared.adjacency();
  const Tensor<double> x = golden.matrix("net.x");
  auto x_grad = Tensor<double>::zeros(x.rows(), x.cols());
  Tape<double> tape;
  const Var y = model.forward(tape, AdjacencyStack(std::span(&a, 1)),
                              tape.parameter({x.view(), x_grad.view()}), Pass{});
  // Sums of at most 24 terms, scaled by 1 / deviation of rows of 4 in the norms: 1e-11 leaves a factor of 500 each.
  constexpr double kTolerance = 1e-11;
  CHECK(max_difference<double>(tape.value(y), golden.matrix("net.y").view()) <= kTolerance);
  tape.backward(y, golden.matrix("net.g").view());
  CHECK(max_difference<double>(x_grad.view(), golden.matrix("net.x.grad").view()) <= kTolerance);
  for (const ParameterInfo& info : block.parameters()) {
    INFO(info.name);
    const Tensor<double> want = golden.matrix("net." + info.name + ".grad");
    CHECK(max_difference<double>(block.grad(block.find(info.name)), want.view()) <= kTolerance);
  }
}

TEST_CASE("GraphSaintNet's gradient is that of differences, with dropout, for every kind of layer") {
  struct Kind {
    std::string arch;
    std::size_t hidden;  // below and above the input's width: both orders of S X W
    bool sum;
    bool norm;
  };
  for (const Kind& kind : {Kind{"1-0-1", 3, false, true}, Kind{"1-2", 6, true, true},
                           Kind{"0", 4, false, true}, Kind{"1-1", 4, false, false}}) {
    const CsrGraph graph = random_undirected(9, 16, 4);
    const PreparedAdjacency prepared =
        prepare_adjacency(graph.view(), false, GraphSaintConv<double>::aggregation());
    const Adjacency a = prepared.adjacency();
    GraphSaintNet<double> model({.in = 5,
                                 .hidden = kind.hidden,
                                 .out = 3,
                                 .arch = kind.arch,
                                 .dropout = 0.2f,
                                 .sum = kind.sum,
                                 .norm = kind.norm,
                                 .seed = 3});
    // Biases that differ from 0, so that no row is 0 after the activation and the norms are smooth.
    ParameterBlock<double>& block = model.parameters();
    for (const ParameterInfo& info : block.parameters()) {
      if (!info.name.ends_with("bias")) continue;
      for (double& v : block.value(block.find(info.name)).row(0)) v = 0.3;
    }
    const Tensor<double> x = random_matrix<double>(9, 5, 1);
    const Tensor<double> g = random_matrix<double>(9, 3, 2);
    Tape<double> tape;
    block.zero_grads();
    const Var y = model.forward(tape, AdjacencyStack(std::span(&a, 1)), tape.input(x.view()), kTraining);
    tape.backward(y, g.view());
    double largest = 0;
    double worst = 0;
    for (const ParameterInfo& info : block.parameters()) {
      const Parameter p = block.find(info.name);
      for (std::size_t i = 0; i < info.rows; ++i) {
        for (std::size_t j = 0; j < info.cols; ++j) {
          const double kept = block.value(p)(i, j);
          const double h = 1e-6 * std::max(1.0, std::abs(kept));
          block.value(p)(i, j) = kept + h;
          const double above = inner_with(model, a, x.view(), g.view(), kTraining);
          block.value(p)(i, j) = kept - h;
          const double below = inner_with(model, a, x.view(), g.view(), kTraining);
          block.value(p)(i, j) = kept;
          largest = std::max(largest, std::abs(block.grad(p)(i, j)));
          worst = std::max(worst, std::abs(block.grad(p)(i, j) - (above - below) / (2 * h)));
        }
      }
    }
    CAPTURE(kind.arch, worst, largest);
    CHECK(worst < 1e-6 * largest);
  }
}

TEST_CASE("GraphSaintNet is its layers in turn, on a graph and on blocks, with and without a tape") {
  const GraphSaintNet<> model({.in = 6, .hidden = 5, .out = 4, .arch = "1-0"});
  CHECK(model.num_layers() == 3);
  const OwnedAdjacency blocks[] = {random_block(30, 40, 4, 1), random_block(20, 30, 4, 2),
                                   random_block(10, 20, 4, 3)};
  const Adjacency levels[] = {blocks[0].view(), blocks[1].view(), blocks[2].view()};
  const Tensor<float> x = random_matrix<float>(40, 6, 5);
  const Tensor<float> whole = run_model(model, AdjacencyStack(levels), x.view(), kTraining);
  CHECK(whole.rows() == 10);
  CHECK(whole.cols() == 4);
  NoTape<float> ctx;
  Var h = ctx.input(x.view());
  for (std::size_t l = 0; l < 3; ++l) h = model.layer(ctx, l, levels[l], h, kTraining);
  CHECK(same_bits<float>(ctx.value(h), whole.view()));
  Tape<float> tape;
  const Var y = model.forward(tape, AdjacencyStack(levels), tape.input(x.view()), kTraining);
  CHECK(same_bits<float>(tape.value(y), whole.view()));
  CHECK_FALSE(
      same_bits<float>(run_model(model, AdjacencyStack(levels), x.view(), Pass{}).view(), whole.view()));
  CHECK_THROWS_AS(model.layer(ctx, 3, levels[2], h, Pass{}), IndexError);
  CHECK_THROWS_AS(model.layer(ctx, 1, levels[1], ctx.input(x.view()), Pass{}), ShapeError);
  const GraphSaintNet<> second({.in = 6, .hidden = 5, .out = 4, .arch = "2"});
  CHECK_THROWS_AS(second.layer(ctx, 0, levels[0], ctx.input(x.view()), Pass{}), ShapeError);
}

TEST_CASE("GraphSaintNet counts its parameters and refuses what it cannot be") {
  const GraphSaintNet<> published({.in = 50, .hidden = 512, .out = 121, .arch = "1-0-1-0"});
  // The second layer gives 512 columns, the third 1024, the fourth 512.
  const std::size_t expected = 2 * (50 * 512 + 3 * 512) + (1024 * 512 + 3 * 512) + 2 * (512 * 512 + 3 * 512) +
                               (1024 * 512 + 3 * 512) + 512 * 121 + 121;
  CHECK(published.parameters().num_parameters() == expected);
  for (const std::string arch : {"", "1-", "-1", "1--0", "10", "a", "1-b"}) {
    CHECK_THROWS_AS(GraphSaintNet<>({.in = 4, .hidden = 4, .out = 2, .arch = arch}), ConfigError);
  }
  CHECK_THROWS_AS(GraphSaintNet<>({.in = 0, .hidden = 4, .out = 2}), ConfigError);
  CHECK_THROWS_AS(GraphSaintNet<>({.in = 4, .hidden = 0, .out = 2}), ConfigError);
  CHECK_THROWS_AS(GraphSaintNet<>({.in = 4, .hidden = 4, .out = 0}), ConfigError);
  CHECK_THROWS_AS(GraphSaintNet<>({.in = 4, .hidden = 4, .out = 2, .dropout = 1.5f}), ConfigError);
}

TEST_CASE("a weight total turns losses from weighted means into weighted sums, gradients too") {
  const Tensor<double> z = random_matrix<double>(6, 3, 1);
  const std::vector<std::int32_t> classes{0, 2, -1, 1, 1, 0};
  const std::vector<float> weights{0.5f, 0.25f, 4.0f, 0.0f, 1.0f, 0.125f};
  Tensor<float> indicators(6, 3);
  for (std::size_t i = 0; i < 6; ++i) {
    for (std::size_t j = 0; j < 3; ++j) indicators(i, j) = (i + j) % 2 == 0 ? 1.0f : 0.0f;
  }
  const auto run = [&](const auto& loss, const Targets& targets) {
    Tape<double> tape;
    auto grad = Tensor<double>::zeros(6, 3);
    const Var value = loss(tape, tape.parameter({z.view(), grad.view()}), targets);
    tape.backward(value);
    return std::pair{tape.value(value)(0, 0), std::move(grad)};
  };
  const auto check = [&](const auto& loss, Targets targets, double weight_sum) {
    const auto [mean, mean_grad] = run(loss, targets);
    for (const double total : {1.0, 2.5}) {
      targets.weight_total = total;
      const auto [sum, sum_grad] = run(loss, targets);
      CHECK(std::abs(sum - mean * weight_sum / total) < 1e-15);
      for (std::size_t i = 0; i < 6; ++i) {
        for (std::size_t j = 0; j < 3; ++j)
          CHECK(std::abs(sum_grad(i, j) - mean_grad(i, j) * weight_sum / total) < 1e-15);
      }
    }
  };
  check(CrossEntropy{}, {classes, {}, weights}, 0.5 + 0.25 + 0.0 + 1.0 + 0.125);
  check(BinaryCrossEntropy{}, {{}, indicators.view(), weights}, 0.5 + 0.25 + 4.0 + 0.0 + 1.0 + 0.125);
}
