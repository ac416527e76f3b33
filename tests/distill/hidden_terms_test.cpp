// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/distill_cases.hpp"
#include "support/graph_factories.hpp"
#include "support/nn_cases.hpp"
#include "support/numeric_gradient.hpp"
#include "tessera/core/buffer_pool.hpp"
#include "tessera/core/error.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/distill/attention_transfer.hpp"
#include "tessera/distill/distill.hpp"
#include "tessera/distill/fitnet.hpp"
#include "tessera/distill/gcrd.hpp"
#include "tessera/distill/gsp.hpp"
#include "tessera/distill/logit.hpp"
#include "tessera/distill/lsp.hpp"
#include "tessera/distill/run_teacher.hpp"
#include "tessera/nn/autograd/grad_check.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"
#include "tessera/train/trainer.hpp"

using namespace tessera;
using testing::random_matrix;

namespace {

Tensor<double> matrix(std::size_t cols, std::vector<double> x) {
  Tensor<double> out(x.size() / cols, cols);
  for (std::size_t i = 0; i < x.size(); ++i) out(i / cols, i % cols) = x[i];
  return out;
}

/// The value of a loss of two matrices.
template <class F>
double value_of(MatrixView<const double> a, MatrixView<const double> b, F&& f) {
  Tape<double> tape;
  return tape.value(f(tape, tape.input(a), tape.input(b)))(0, 0);
}

template <class... X>
std::vector<Tensor<double>> list(X... x) {
  std::vector<Tensor<double>> out;
  (out.push_back(std::move(x)), ...);
  return out;
}

template <class F>
double gradient_error(std::vector<Tensor<double>> inputs, F&& f) {
  return grad_check([&](auto& ctx, std::span<const Var> v) { return f(ctx, v); }, inputs,
                    {.forward_mode = false})
      .vjp_error;
}

constexpr double kNumeric = 1e-7;  // central differences of step 1e-6 in double

Tensor<double> permuted(const Tensor<double>& x, const std::vector<NodeId>& order) {
  Tensor<double> out(x.rows(), x.cols());
  gather_rows(x.view(), std::span<const NodeId>(order), out.view());
  return out;
}

template <class Ctx>
Var contrast(Ctx& ctx, Var a, Var b) {
  return contrast_rows(ctx, a, b, 0.1);
}

Tensor<double> unit(Tensor<double> x) {
  NoTape<double> ctx;
  return Tensor<double>::copy_of(ctx.value(detail::unit_rows(ctx, ctx.input(x.view()))));
}

}  // namespace

TEST_CASE("contrast_rows: golden values, bounds, invariance") {
  const Tensor<double> a = matrix(2, {1, 0, 0.6, 0.8, 0, 1});
  const Tensor<double> b = matrix(2, {0.8, 0.6, 0, 1, 1, 0});
  const auto f = [](auto& ctx, Var x, Var y) { return contrast(ctx, x, y); };
  CHECK(std::abs(value_of(a.view(), b.view(), f) - 4.6505141754) < 6e-11);
  CHECK(std::abs(value_of(a.view(), a.view(), f) - 0.0960313790) < 6e-11);
  const std::vector<NodeId> order = {2, 0, 1};
  CHECK(std::abs(value_of(permuted(a, order).view(), permuted(b, order).view(), f) - 4.6505141754) < 6e-11);
  CHECK(value_of(a.view(), a.view(), f) < value_of(a.view(), permuted(a, order).view(), f));
  const Tensor<double> same = unit(Tensor<double>::filled(6, 3, 1.0));
  CHECK(std::abs(value_of(same.view(), same.view(), f) - std::log(6.0)) < 1e-14);
  const Tensor<double> apart = matrix(3, {1, 0, 0, 0, 1, 0, 0, 0, 1});
  CHECK(std::abs(value_of(apart.view(), apart.view(), f) - std::log(1 + 2 * std::exp(-10.0))) < 1e-14);
  CHECK(value_of(matrix(2, {1, 0}).view(), matrix(2, {0, 1}).view(), f) == 0);
  CHECK(value_of(Tensor<double>(0, 2).view(), Tensor<double>(0, 2).view(), f) == 0);
  CHECK_THROWS_AS(value_of(a.view(), apart.view(), f), ShapeError);
  CHECK_THROWS_AS(
      value_of(a.view(), b.view(), [](auto& ctx, Var x, Var y) { return contrast_rows(ctx, x, y, 0); }),
      ConfigError);
}

TEST_CASE("Losses of hidden rows: gradients of both sides, blocks change nothing") {
  for (const std::size_t block : {2u, 256u}) {
    CHECK(gradient_error(list(unit(random_matrix<double>(7, 4, 1)), unit(random_matrix<double>(7, 4, 2))),
                         [&](auto& ctx, auto v) { return contrast_rows(ctx, v[0], v[1], 0.2, 3, block); }) <
          kNumeric);
    for (const PairKernel kernel :
         {PairKernel::cosine, PairKernel::polynomial, PairKernel::rbf, PairKernel::distance}) {
      const bool angles = kernel == PairKernel::cosine || kernel == PairKernel::polynomial;
      CHECK(gradient_error(list(random_matrix<double>(7, 4, 1), random_matrix<double>(7, 3, 2)),
                           [&](auto& ctx, auto v) {
                             const Var a = angles ? detail::unit_rows(ctx, v[0]) : v[0];
                             const Var b = angles ? detail::unit_rows(ctx, v[1]) : v[1];
                             return match_pairs(ctx, a, b, kernel, 2, block);
                           }) < kNumeric);
    }
  }
  CHECK(gradient_error(list(random_matrix<double>(7, 4, 1), random_matrix<double>(7, 4, 2)), [](auto& ctx,
                                                                                                auto v) {
          return mean_squared_difference(ctx, detail::unit_rows(ctx, v[0]), detail::unit_rows(ctx, v[1]), 5);
        }) < kNumeric);
  const Tensor<double> teacher = random_matrix<double>(7, 3, 3);
  CHECK(gradient_error(list(random_matrix<double>(7, 4, 1)), [&](auto& ctx, auto v) {
          return attention_transfer(ctx, v[0], teacher.view(), 10);
        }) < kNumeric);
  // A large case in blocks against whole.
  const Tensor<double> a = unit(random_matrix<double>(600, 16, 5));
  const Tensor<double> b = unit(random_matrix<double>(600, 16, 6));
  const auto both = [&](std::size_t block) {
    return std::pair{value_of(a.view(), b.view(),
                              [&](auto& c, Var x, Var y) { return contrast_rows(c, x, y, .1, 1, block); }),
                     value_of(a.view(), b.view(), [&](auto& c, Var x, Var y) {
                       return match_pairs(c, x, y, PairKernel::rbf, 1, block);
                     })};
  };
  CHECK(std::abs(both(64).first - both(600).first) < 1e-12);
  CHECK(std::abs(both(64).second - both(600).second) < 1e-12);
}

TEST_CASE("match_pairs: golden values, zero for equal sides, rotation") {
  const Tensor<double> a = matrix(2, {1, 0, 0.6, 0.8, 0, 1});
  const Tensor<double> b = matrix(2, {0.8, 0.6, 0, 1, 1, 0});
  const auto f = [](PairKernel kernel) {
    return [kernel](auto& ctx, Var x, Var y) { return match_pairs(ctx, x, y, kernel); };
  };
  CHECK(std::abs(value_of(a.view(), b.view(), f(PairKernel::cosine)) - 0.2844444444) < 6e-11);
  CHECK(std::abs(value_of(a.view(), b.view(), f(PairKernel::rbf)) - 0.0903408469) < 6e-11);
  const double s = std::sqrt(0.5);
  Tensor<double> turned(3, 2);
  for (std::size_t i = 0; i < 3; ++i) {
    turned(i, 0) = s * (a(i, 0) - a(i, 1));
    turned(i, 1) = s * (a(i, 0) + a(i, 1));
  }
  for (const PairKernel kernel :
       {PairKernel::cosine, PairKernel::polynomial, PairKernel::rbf, PairKernel::distance}) {
    CHECK(value_of(a.view(), a.view(), f(kernel)) == 0);
    CHECK(value_of(turned.view(), a.view(), f(kernel)) < 1e-15);
    CHECK(value_of(matrix(2, {1, 0}).view(), matrix(2, {0, 1}).view(), f(kernel)) == 0);
    CHECK(value_of(Tensor<double>(0, 2).view(), Tensor<double>(0, 2).view(), f(kernel)) == 0);
  }
  CHECK_THROWS_AS(value_of(a.view(), matrix(2, {1, 0}).view(), f(PairKernel::rbf)), ShapeError);
}

TEST_CASE("FitNet and attention transfer: what they compare") {
  const Tensor<double> a = random_matrix<double>(5, 3, 1);
  const auto fitnet = [](auto& ctx, Var x, Var y) {
    return mean_squared_difference(ctx, detail::unit_rows(ctx, x), detail::unit_rows(ctx, y));
  };
  Tensor<double> doubled(5, 3);
  scale(2.0, a.view(), doubled.view());
  CHECK(value_of(a.view(), doubled.view(), fitnet) < 1e-16);  // directions only
  Tensor<double> opposite(5, 3);
  scale(-1.0, a.view(), opposite.view());
  CHECK(std::abs(value_of(a.view(), opposite.view(), fitnet) - 4.0 / 3) < 1e-14);
  const auto transfer = [](MatrixView<const double> t) {
    return [t](auto& ctx, Var x, Var) { return attention_transfer(ctx, x, t); };
  };
  CHECK(value_of(a.view(), a.view(), transfer(doubled.view())) < 1e-16);
  const Tensor<double> zeros = Tensor<double>::zeros(5, 2);
  CHECK(std::abs(value_of(a.view(), a.view(), transfer(zeros.view())) - 1.0 / 5) < 1e-15);
  CHECK(std::abs(value_of(zeros.view(), a.view(), transfer(a.view())) - 1.0 / 5) < 1e-15);
  CHECK(value_of(Tensor<double>(0, 2).view(), a.view(), transfer(Tensor<double>(0, 3).view())) == 0);
  // Rows of zeros get no gradient.
  Tape<double> tape;
  Tensor<double> x = Tensor<double>::zeros(2, 3);
  x(1, 0) = 1;
  Tensor<double> grad = Tensor<double>::zeros(2, 3);
  const Var v = tape.parameter({std::as_const(x).view(), grad.view()});
  const Tensor<double> target = random_matrix<double>(2, 3, 4);
  tape.backward(mean_squared_difference(tape, detail::unit_rows(tape, v), tape.input(target.view())));
  for (std::size_t j = 0; j < 3; ++j) CHECK(grad(0, j) == 0);
  CHECK(std::abs(grad(1, 1)) > 0.01);
}

TEST_CASE("Local structure: golden values of a triangle with an isolated node") {
  const CsrGraph graph = testing::undirected(4, {{0, 1}, {1, 2}, {0, 2}});
  const Tensor<double> hs = matrix(2, {1, 0, 0, 1, 1, 1, 2, -1});
  const Tensor<double> ht = matrix(2, {1, 1, 1, -1, 0, 2, 0, 0});
  detail::LocalEdges edges;
  edges.assign(graph.view(), [](std::size_t) { return true; });
  const auto sum = [&](LspOptions o, const Tensor<double>& student) {
    Array<double> b(edges.forward().num_edges());
    detail::local_structure(edges.forward(), ht.view(), o, b.span());
    Tape<double> tape;
    return 4 * tape.value(local_structure_loss(tape, edges, tape.input(student.view()), b.span(), o))(0, 0);
  };
  struct Golden {
    EdgeKernel kernel;
    double teacher, student;
  };
  const Golden golden[] = {{EdgeKernel::linear, 1.4989080777, 2.4144525517},
                           {EdgeKernel::rbf, 0.0328727956, 0.0329906030},
                           {EdgeKernel::cosine, 0.4390263490, 0.4716604076},
                           {EdgeKernel::euclidean, 2.0507373679, 7.1964200187}};
  for (const Golden& g : golden) {
    LspOptions o{.kernel = g.kernel, .sigma = 1};
    CHECK(std::abs(sum(o, hs) - g.teacher) < 6e-11);
    o.direction = LspDirection::student_first;
    CHECK(std::abs(sum(o, hs) - g.student) < 6e-11);
    CHECK(std::abs(sum(o, ht)) < 1e-14);
    o.reduction = LspReduction::edge_mean;
    CHECK(std::abs(sum(o, hs) * 6 / 4 - g.student) < 6e-11);
  }
}

TEST_CASE("Local structure: gradients of every kernel in both directions, in bipartite blocks too") {
  const EdgeKernel kernel =
      GENERATE(EdgeKernel::linear, EdgeKernel::cosine, EdgeKernel::cosine_polynomial, EdgeKernel::polynomial,
               EdgeKernel::euclidean, EdgeKernel::distance, EdgeKernel::rbf, EdgeKernel::laplacian);
  const LspDirection direction = GENERATE(LspDirection::teacher_first, LspDirection::student_first);
  const std::size_t rows = GENERATE(std::size_t{9}, std::size_t{5});
  const testing::OwnedAdjacency block = testing::random_block(rows, 9, 4, 3);
  detail::LocalEdges edges;
  edges.assign(block.view().forward, [](std::size_t) { return true; });
  const LspOptions o{.kernel = kernel, .sigma = 2, .offset = 0.5, .direction = direction};
  Array<double> b(edges.forward().num_edges());
  detail::local_structure<double>(edges.forward(), random_matrix<double>(9, 6, 8).view(), o, b.span());
  CHECK(gradient_error(list(random_matrix<double>(9, 4, 1)), [&](auto& ctx, auto v) {
          return local_structure_loss(ctx, edges, v[0], b.span(), o, 3);
        }) < kNumeric);
}

TEST_CASE("Local structure: isolated nodes, single neighbours, self loops and rows of zeros give nothing") {
  const CsrGraph graph = testing::undirected(5, {{0, 1}, {3, 3}});
  detail::LocalEdges edges;
  edges.assign(graph.view(), [](std::size_t) { return true; });
  CHECK(edges.forward().num_edges() == 2);
  const LspOptions o;
  const Array<double> b(2, 1.0);
  Tape<double> tape;
  Tensor<double> x = random_matrix<double>(5, 3, 1);
  for (double& e : x.row(1)) e = 0;
  Tensor<double> grad = Tensor<double>::zeros(5, 3);
  const Var v = tape.parameter({std::as_const(x).view(), grad.view()});
  const Var loss = local_structure_loss(tape, edges, v, b.span(), o);
  CHECK(tape.value(loss)(0, 0) == 0);
  tape.backward(loss);
  for (std::size_t i = 0; i < 5; ++i)
    for (std::size_t j = 0; j < 3; ++j) CHECK(grad(i, j) == 0);
  CHECK_THROWS_AS(
      local_structure_loss(tape, edges, tape.input(random_matrix<double>(1, 3, 1).view()), b.span(), o),
      ShapeError);
}

namespace {

Gcrd narrow_gcrd(std::size_t samples = 16384) {
  return {.beta = 1, .tau = 0.2, .width = 6, .max_samples = samples};
}

}  // namespace

TEST_CASE("Distill: every term together, gradients through heads and student") {
  const Dataset data = testing::community_task(40, 3);
  TappedModel student{GcnNet<double>({.in = data.num_features(), .hidden = 6, .out = 3, .dropout = 0.2f})};
  const TeacherOutputs teacher(random_matrix<float>(40, 3, 1), random_matrix<float>(40, 9, 2));
  const PreparedAdjacency prepared = prepare_adjacency(data.graph.view(), true, student.aggregation(), true);
  const Adjacency whole = prepared.adjacency();
  Tensor<double> x(40, data.num_features());
  for (std::size_t i = 0; i < 40; ++i)
    std::copy(data.features.row(i).begin(), data.features.row(i).end(), x.row(i).begin());
  std::vector<std::int32_t> classes(data.labels.classes.begin(), data.labels.classes.end());
  for (std::size_t i = 0; i < 40; i += 3) classes[i] = -1;
  const Gsp gsp{.beta = 5, .kernel = PairKernel::rbf, .width = 4, .max_samples = 20};
  const Lsp lsp{.beta = 2, .on = DistillOn::labelled};
  const Distill loss{
      teacher, student, Logit{},      FitNet{.beta = 3, .width = 5}, AttentionTransfer{.beta = 10},
      lsp,     gsp,     narrow_gcrd()};
  const Pass pass{.training = true, .dropout_key = make_key(1, 2, Purpose::dropout)};
  const auto run = [&](bool backward) {
    Tape<double> tape;
    const Var z = student.forward(tape, AdjacencyStack(std::span(&whole, 1)),
                                  tape.input(std::as_const(x).view()), pass);
    const Var l = loss(tape, z, Targets{.classes = classes});
    if (backward) tape.backward(l);
    return tape.value(l)(0, 0);
  };
  const auto error = testing::gradient_error(student.parameters(), run);
  CHECK(error.size > 0.01);
  CHECK(error.worst < 1e-6 * error.size);
}

TEST_CASE("Distill: hidden terms train in full and mini-batches, and refuse what lacks hidden rows") {
  const Dataset data = testing::community_task(600, 3);
  GcnNet<> big({.in = data.num_features(), .hidden = 24, .out = 3, .seed = 1});
  Trainer{big, FullGraphSampler{}, TaskLoss{}, Adam{.lr = 0.01}}.fit(data, {.epochs = 30});
  const TeacherOutputs teacher = teacher_outputs(big, data, {.hidden = true});
  const auto train = [&](auto sampler, std::size_t threads) {
    return with_threads(threads, [&] {
      TappedModel student{GcnNet<>({.in = data.num_features(), .hidden = 8, .out = 3, .seed = 2})};
      Distill loss{teacher, student, Logit{}, narrow_gcrd(100), Lsp{.beta = 1}};
      Trainer trainer{student, sampler, loss, Adam{.lr = 0.01}};
      const FitReport report = trainer.fit(data, {.epochs = 100});
      return std::pair{report.evaluation.test.metric, report.history.back().train_loss};
    });
  };
  const auto one = train(FullGraphSampler{}, 1);
  CHECK(one.first > 0.6);
  CHECK(train(FullGraphSampler{}, 4) == one);
  const NeighborSampler sampler({.fanouts = {5, 5}, .batches = {.batch_size = 10}});
  const auto sampled = train(sampler, 1);
  CHECK(sampled.first > 0.6);
  CHECK(train(sampler, 4) == sampled);

  const TeacherOutputs bare = teacher_outputs(big, data);
  TappedModel student{GcnNet<>({.in = data.num_features(), .hidden = 8, .out = 3})};
  CHECK_THROWS_AS((Distill{bare, student, Gcrd{}}), ConfigError);
  TappedModel flat{GcnNet<>({.in = data.num_features(), .out = 3, .layers = 1})};
  CHECK_THROWS_AS((Distill{teacher, flat, Gcrd{}}), ConfigError);
}

TEST_CASE("G-CRD and GSP of 8,192 nodes stay below 200 MB", "[slow]") {
  const Tensor<float> a = random_matrix<float>(8192, 256, 1);
  const Tensor<float> b = random_matrix<float>(8192, 256, 2);
  for (const bool contrast : {true, false}) {
    BufferPool::global().trim();
    const std::size_t before = BufferPool::global().stats().held_bytes;
    Tape<float> tape;
    const Var x = tape.input(a.view());
    const Var y = tape.input(b.view());
    const Var loss = contrast ? contrast_rows(tape, x, y, 0.075) : match_pairs(tape, x, y, PairKernel::rbf);
    CHECK(std::isfinite(tape.value(loss)(0, 0)));
    CHECK(BufferPool::global().stats().held_bytes - before < 200'000'000);
  }
}
