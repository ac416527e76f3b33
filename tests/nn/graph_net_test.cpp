// SPDX-License-Identifier: MIT
#include "tessera/nn/nets/graph_net.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "support/numeric_gradient.hpp"
#include "support/whole_graphs.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/graph/transpose.hpp"
#include "tessera/nn/layers/gcn_conv.hpp"
#include "tessera/nn/layers/sage_conv.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

template <Real T>
using SageGraphNet = GraphNet<SageConv<T>>;
static_assert(TrainableModel<SageGraphNet<float>> && TrainableModel<SageGraphNet<double>>);
static_assert(!Model<SageGraphNet<float>>);

/// A read-out that lists graph g's nodes, [node_ptr[g], node_ptr[g + 1]).
OwnedAdjacency readout_of(std::span<const std::size_t> node_ptr) {
  CsrGraph graph;
  graph.symmetric = false;
  graph.num_cols = node_ptr.back();
  graph.row_ptr.clear();
  for (const std::size_t p : node_ptr) graph.row_ptr.push_back(p);
  graph.col.resize(node_ptr.back());
  std::iota(graph.col.begin(), graph.col.end(), NodeId{0});
  return own(std::move(graph));
}

template <Real T>
Tensor<T> features(std::size_t rows, std::size_t cols, std::uint64_t seed) {
  Tensor<T> x(rows, cols);
  fill_uniform(x.view(), 1.0, {make_key(seed, 0, Purpose::generic), 0});
  return x;
}

template <class Net>
Tensor<typename Net::Scalar> logits(const Net& net, const Adjacency& a, const Adjacency& readout,
                                    MatrixView<const typename Net::Scalar> x, const Pass& pass = {}) {
  NoTape<typename Net::Scalar> ctx;
  const Var y = net.forward(ctx, AdjacencyStack({&a, 1}, &readout), ctx.input(x), pass);
  return Tensor<typename Net::Scalar>::copy_of(ctx.value(y));
}

constexpr Pass kTraining{.training = true, .dropout_key = make_key(1, 5, Purpose::dropout)};

}  // namespace

TEST_CASE("GraphNet: one convolution, mean read-out and a Linear, by hand") {
  GraphNet<GcnConv<double>> net(
      {.in = 3, .hidden = 4, .out = 2, .layers = 1, .norm = NormKind::none, .seed = 3});
  const OwnedAdjacency a = random_block(7, 7, 3, 2);
  const std::vector<std::size_t> node_ptr{0, 3, 3, 7};  // the second graph is empty
  const OwnedAdjacency readout = readout_of(node_ptr);
  const Tensor<double> x = features<double>(7, 3, 1);
  const Tensor<double> got = logits(net, a.view(), readout.view(), x.view());
  REQUIRE(got.rows() == 3);

  const auto parameter = [&](std::string_view name) {
    for (const ParameterInfo& p : net.parameters().parameters()) {
      if (p.name == name) return std::as_const(net).parameters().value({0, p.offset, p.rows, p.cols});
    }
    throw std::runtime_error(std::string(name));
  };
  const MatrixView<const double> w = parameter("convs.0.lin.weight");
  const MatrixView<const double> b = parameter("convs.0.bias");
  const MatrixView<const double> head = parameter("head.0.weight");
  const MatrixView<const double> head_b = parameter("head.0.bias");
  const Tensor<double> sum = multiply(dense(a.view().forward).view(), multiply(x.view(), w).view());
  for (std::size_t g = 0; g < 3; ++g) {
    for (std::size_t c = 0; c < 2; ++c) {
      double want = head_b(0, c);
      for (std::size_t f = 0; f < 4; ++f) {
        double mean = 0;
        for (std::size_t i = node_ptr[g]; i < node_ptr[g + 1]; ++i)
          mean += std::max(0.0, sum(i, f) + b(0, f));
        const std::size_t n = node_ptr[g + 1] - node_ptr[g];
        if (n > 0) want += mean / static_cast<double>(n) * head(f, c);
      }
      CHECK(std::abs(got(g, c) - want) <= 1e-14);  // a few dozen terms below 1
    }
  }
}

TEST_CASE("GraphNet: gradients by differences") {
  const GraphReadout readout_kind = GENERATE(GraphReadout::last, GraphReadout::layers, GraphReadout::concat);
  const bool attend = GENERATE(false, true);
  const Reduce reduce = GENERATE(Reduce::sum, Reduce::mean, Reduce::max);
  SageGraphNet<double> net({.in = 3,
                            .hidden = 6,
                            .out = 2,
                            .layers = 2,
                            .dropout = 0.2f,
                            .input_dropout = 0.1f,
                            .head_dropout = 0.2f,
                            .embed = readout_kind != GraphReadout::layers,
                            .residual = true,
                            .readout = readout_kind,
                            .reduce = reduce,
                            .attend = attend,
                            .head_layers = 1,
                            .seed = 3});
  const OwnedAdjacency a = random_block(15, 15, 3, 2);
  const OwnedAdjacency readout = readout_of(std::vector<std::size_t>{0, 4, 9, 15});
  const Adjacency level = a.view();
  const Adjacency pooled = readout.view();
  const Tensor<double> x = features<double>(15, 3, 1);
  const std::vector<std::int32_t> classes{0, 1, 1};
  const auto loss = [&](bool backward) {
    Tape<double> tape;
    const Var y = std::as_const(net).forward(tape, AdjacencyStack({&level, 1}, &pooled), tape.input(x.view()),
                                             kTraining);
    const Var l = CrossEntropy{}(tape, y, Targets{.classes = classes});
    if (backward) tape.backward(l);
    return tape.value(l)(0, 0);
  };
  const auto [worst, size] = gradient_error(net.parameters(), loss);
  CHECK(size > 0.01);
  CHECK(worst <=
        1e-5 * std::max(1.0, size));  // batch norm of three graphs curves strongly: h^2 f''' and eps / h
}

TEST_CASE("GraphNet: a batch of graphs equals each graph alone, and their order does not matter") {
  const GraphDataset data = rings_and_stars(12);
  const SageGraphNet<float> net({.in = 2,
                                 .hidden = 8,
                                 .out = 3,
                                 .layers = 3,
                                 .readout = GraphReadout::layers,
                                 .reduce = Reduce::sum,
                                 .seed = 3});
  const PreparedAdjacency whole = prepare_adjacency(data.graph, net.aggregation());
  const OwnedAdjacency readout = readout_of(data.node_ptr);
  const Tensor<float> all = logits(net, whole.adjacency(), readout.view(), data.features.view());
  for (std::size_t g = 0; g < 12; ++g) {
    const std::size_t begin = data.node_ptr[g];
    const std::size_t n = data.num_nodes(g);
    CsrGraph alone;
    alone.num_cols = n;
    alone.row_ptr.clear();
    alone.row_ptr.push_back(0);
    for (std::size_t i = 0; i < n; ++i) {
      for (const NodeId j : data.graph.view().neighbors(begin + i)) {
        alone.col.push_back(j - static_cast<NodeId>(begin));
      }
      alone.row_ptr.push_back(alone.col.size());
    }
    const PreparedAdjacency prepared = prepare_adjacency(alone, net.aggregation());
    const OwnedAdjacency one = readout_of(std::vector<std::size_t>{0, n});
    const Tensor<float> got =
        logits(net, prepared.adjacency(), one.view(), data.features.view().middle_rows(begin, n));
    CHECK(std::ranges::equal(got.row(0), all.row(g)));
  }
}

TEST_CASE("GraphNet: parameter count of GIN's recipe with another convolution") {
  // Layers 2 -> 8 -> 8 with BatchNorm, and a Linear per level: features, layer 1, layer 2.
  const SageGraphNet<float> net(
      {.in = 2, .hidden = 8, .out = 3, .layers = 2, .readout = GraphReadout::layers});
  CHECK(net.parameters().num_parameters() ==
        (2 * 2 * 8 + 8) + (2 * 8 * 8 + 8) + 2 * (2 * 8) + (2 * 3 + 3) + 2 * (8 * 3 + 3));
}

TEST_CASE("GraphNet: no graph, graphs without nodes, one node") {
  const std::vector<std::size_t> node_ptr = GENERATE(
      std::vector<std::size_t>{0}, std::vector<std::size_t>{0, 0, 0}, std::vector<std::size_t>{0, 1});
  const std::size_t graphs = node_ptr.size() - 1;
  const std::size_t nodes = node_ptr.back();
  const GraphReadout readout_kind = GENERATE(GraphReadout::last, GraphReadout::layers, GraphReadout::concat);
  SageGraphNet<double> net({.in = 3,
                            .hidden = 6,
                            .out = 2,
                            .layers = 2,
                            .dropout = 0.2f,
                            .norm = NormKind::batch,
                            .readout = readout_kind,
                            .reduce = GENERATE(Reduce::sum, Reduce::mean, Reduce::max)});
  const OwnedAdjacency a = own(empty_graph(nodes));
  const OwnedAdjacency readout = readout_of(node_ptr);
  const Adjacency level = a.view(), list = readout.view();
  const Tensor<double> x = features<double>(nodes, 3, 1);
  Tape<double> tape;
  const Var y = net.forward(tape, AdjacencyStack({&level, 1}, &list), tape.input(x.view()), kTraining);
  REQUIRE(tape.rows(y) == graphs);
  tape.backward(y, Tensor<double>::filled(graphs, 2, 1.0).view());
  for (const double g : net.parameters().grads()) CHECK(std::isfinite(g));
  const Tensor<double> out = logits(net, level, list, x.view());
  for (std::size_t g = 0; g < graphs; ++g) {
    for (const double value : out.row(g)) CHECK(std::isfinite(value));
  }
}

TEST_CASE("GraphNet refuses what does not fit") {
  CHECK_THROWS_AS(SageGraphNet<float>({.in = 2, .out = 0}), ConfigError);
  CHECK_THROWS_AS(SageGraphNet<float>({.in = 2, .out = 1, .layers = 0}), ConfigError);
  CHECK_THROWS_AS(SageGraphNet<float>({.in = 2, .out = 1, .norm = NormKind::graph}), ConfigError);
  CHECK_THROWS_AS(SageGraphNet<float>({.in = 2, .out = 1, .head_dropout = 1.5f}), ConfigError);
  const SageGraphNet<float> net({.in = 2, .out = 2});
  const OwnedAdjacency a = random_block(5, 5, 2, 1);
  const OwnedAdjacency readout = readout_of(std::vector<std::size_t>{0, 5});
  const Adjacency level = a.view();
  const Tensor<float> x = features<float>(5, 2, 1);
  const Tensor<float> narrow = features<float>(5, 1, 1);
  NoTape<float> ctx;
  CHECK_THROWS_AS(net.forward(ctx, AdjacencyStack({&level, 1}), ctx.input(x.view()), Pass{}), ConfigError);
  CHECK_THROWS_AS(logits(net, a.view(), readout.view(), narrow.view()), ShapeError);
}
