// SPDX-License-Identifier: MIT
#include "tessera/quant/packed_binary.hpp"

#include <algorithm>
#include <cmath>
#include <cstddef>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "support/int8_cases.hpp"
#include "support/sparse_cases.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/nn/autograd/no_tape.hpp"

namespace tessera {
namespace {

CsrGraph some_graph() {
  testing::Links links;
  CounterRng rng(make_key(3, 0, Purpose::generate), 0, 0);
  for (std::size_t k = 0; k < 900; ++k) {
    const auto s = static_cast<NodeId>(rng.below(290));  // ten nodes stay alone
    const auto t = static_cast<NodeId>(rng.below(290));
    if (s != t) links.push_back({s, t});
  }
  return testing::undirected(300, links);
}

template <class Net>
Tensor<float> float_logits(const Net& net, const Adjacency& a, const Tensor<float>& x) {
  NoTape<float> ctx;
  const Adjacency levels[] = {a};
  return ctx.take(net.forward(ctx, AdjacencyStack(levels), ctx.input(x.view()), Pass{}));
}

// Products are exact but for scales, so layer 1 agrees to rounding; a hidden number within rounding of 0 may change its
// sign from there on, which moves one product of a row by 2 alpha beta. No such number occurs with these seeds.
double worst_difference(const Tensor<float>& got, const Tensor<float>& want) {
  double worst = 0, size = 0;
  for (std::size_t i = 0; i < want.rows(); ++i) {
    for (std::size_t j = 0; j < want.cols(); ++j) {
      worst = std::max(worst, std::abs(static_cast<double>(got(i, j)) - static_cast<double>(want(i, j))));
      size = std::max(size, std::abs(static_cast<double>(want(i, j))));
    }
  }
  return worst / size;
}

TEST_CASE("packed Bi-GCN gives the logits of the trained network", "[binary]") {
  const CsrGraph graph = some_graph();
  for (const std::size_t in : {64u, 70u, 200u}) {
    BiGcnNet<> net({.in = in, .hidden = 64, .out = 7, .layers = 2, .dropout = 0.4f, .seed = in});
    const auto bias = test::random_floats(64, -0.5, 0.5, in);
    std::copy_n(bias.begin(), 64,
                net.parameters().value(net.parameters().find("convs.0.lin.bias")).row(0).data());
    const PreparedAdjacency adjacency = prepare_adjacency(graph, net.aggregation());
    const auto x = test::random_matrix<float>(300, in, in);
    const PackedBiGcn packed(net);
    const Tensor<float> want = float_logits(net, adjacency.adjacency(), x);
    const Tensor<float> got = packed.infer(adjacency.adjacency().forward, x);
    // Sums of `in` products of size alpha beta, and of up to 30 neighbours, in float on one side.
    CHECK(worst_difference(got, want) <= static_cast<double>(in + 64 + 60) * 0x1p-24);
    CHECK(packed.bytes() == (in + 63) / 64 * 8 * 64 + 8 * 7 + 4 * (64 + 64 + 7 + 7));
    for (const std::size_t threads : {1u, 4u}) {
      with_threads(threads,
                   [&] { CHECK(test::same_bits(packed.infer(adjacency.adjacency().forward, x), got)); });
    }
  }
}

TEST_CASE("packed binary GraphSAGE gives the logits of the trained network", "[binary]") {
  const CsrGraph graph = some_graph();
  BinarySageNet<> net({.in = 30, .hidden = 96, .out = 7, .layers = 3, .dropout = 0});
  ParameterBlock<float>& block = net.parameters();
  for (const ParameterInfo& info : block.parameters()) {
    if (info.rows != 1 || info.cols == 1) continue;
    const bool positive = info.name.ends_with("running_var") || info.name.ends_with("norm.weight");
    const auto values =
        test::random_floats(info.cols, positive ? 0.5 : -0.4, positive ? 2 : 0.4, info.offset);
    std::copy(values.begin(), values.end(), block.values().data() + info.offset);
  }
  const PreparedAdjacency adjacency = prepare_adjacency(graph, net.aggregation());
  const auto x = test::random_matrix<float>(300, 30, 5);
  const PackedBinarySage packed(net);
  const Tensor<float> got = packed.infer(adjacency.adjacency().forward, x);
  CHECK(worst_difference(got, float_logits(net, adjacency.adjacency(), x)) <= (96 + 96 + 60) * 0x1p-24);
  CHECK(packed.bytes() * 14 < block.num_parameters() * sizeof(float));
}

TEST_CASE("packing refuses networks that are not binary", "[binary]") {
  CHECK_THROWS_AS(PackedBiGcn(BiGcnNet<>({.in = 4, .hidden = 8, .out = 3, .conv = {.binary = false}})),
                  ConfigError);
  CHECK_THROWS_AS(PackedBinarySage(BinarySageNet<>(
                      {.in = 4, .hidden = 8, .out = 3, .conv = {.stage = BinaryStage::inputs}})),
                  ConfigError);
  const BiGcnNet<> net({.in = 4, .hidden = 8, .out = 3});
  const PackedBiGcn packed(net);
  const CsrGraph graph = testing::path(5);
  CHECK_THROWS_AS(packed.infer(graph.view(), test::random_matrix<float>(5, 3, 1)), ShapeError);
}

}  // namespace
}  // namespace tessera
