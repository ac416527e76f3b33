// SPDX-License-Identifier: MIT
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "support/zoo.hpp"
#include "tessera/core/parallel.hpp"

// What every network of the zoo promises, asked of all of them through AnyModel.
namespace {

using namespace tessera;
using namespace tessera::testing;
using A = Aggregator;

constexpr Pass kTraining{.training = true, .dropout_key = make_key(1, 5, Purpose::dropout)};

/// Biases start at 0, where an empty row sits in the kink of a rectifier: move every parameter.
template <class T>
void shake(AnyModel<T>& model) {
  const Tensor<T> noise = random_matrix<T>(1, model.parameters().values().size(), 6);
  for (const ParameterInfo& info : model.parameters().parameters()) {
    for (std::size_t k = info.offset; info.trained && k < info.offset + info.size(); ++k) {
      model.parameters().values()[k] += static_cast<T>(0.2) * noise(0, k);
    }
  }
}

double inner(MatrixView<const double> y, MatrixView<const double> g) {
  double sum = 0;
  for (std::size_t i = 0; i < y.rows(); ++i) {
    for (std::size_t j = 0; j < y.cols(); ++j) sum += y(i, j) * g(i, j);
  }
  return sum;
}

/// The largest |(f(+h) - f(-h)) / 2h - grad| over the elements.
template <class F>
double worst_gradient(std::span<double> values, std::span<const double> grads, F&& loss) {
  double worst = 0;
  for (std::size_t k = 0; k < values.size(); ++k) {
    const double at = values[k];
    values[k] = at + 1e-6;
    const double above = loss();
    values[k] = at - 1e-6;
    const double below = loss();
    values[k] = at;
    const double d = std::abs((above - below) / 2e-6 - grads[k]) / (1 + std::abs(grads[k]));
    if (!(d <= worst)) worst = d;
  }
  return worst;
}

TEST_CASE("zoo: gradients through two bipartite blocks, dropout on") {
  const OwnedAdjacency first = random_block(9, 13, 4, 3);
  const OwnedAdjacency second = random_block(6, 9, 4, 4);
  const std::array<Adjacency, 2> levels{first.view(), second.view()};
  for (ZooEntry<double>& entry : zoo<double>(0.3f)) {
    INFO(entry.name);
    AnyModel<double>& model = entry.model;
    shake(model);
    auto x = random_matrix<double>(13, 5, 1);
    const auto g = random_matrix<double>(6, 3, 2);
    const auto loss = [&] {
      return inner(run_model(model, AdjacencyStack(levels), x.view(), kTraining).view(), g.view());
    };
    model.parameters().zero_grads();
    auto x_grad = Tensor<double>::zeros(13, 5);
    Tape<double> tape;
    const Var y =
        model.forward(tape, AdjacencyStack(levels), tape.parameter({x.view(), x_grad.view()}), kTraining);
    tape.backward(y, g.view());
    CHECK(worst_gradient(model.parameters().values(), model.parameters().grads(), loss) < 1e-6);
    for (std::size_t i = 0; i < 13; ++i)
      CHECK(worst_gradient(x.row(i), std::as_const(x_grad).row(i), loss) < 1e-6);
  }
}

TEST_CASE("zoo: layer by layer gives the bits of forward, a tape those of none, any thread count the same") {
  const CsrGraph graph = random_undirected(300, 900, 1);  // some nodes are isolated
  const auto x = random_matrix<float>(300, 5, 1);
  for (const ZooEntry<float>& entry : zoo<float>(0.4f)) {
    INFO(entry.name);
    const AnyModel<float>& model = entry.model;
    const PreparedAdjacency prepared = prepare_adjacency(graph, model.aggregation());
    const Adjacency level = prepared.adjacency();
    const AdjacencyStack stack(std::span(&level, 1));
    for (const Pass& pass : {Pass{}, kTraining}) {
      const auto want = run_model(model, stack, x.view(), pass);
      Tensor<float> h = Tensor<float>::copy_of(x.view());
      for (std::size_t l = 0; l < model.num_layers(); ++l) {
        NoTape<float> ctx;
        h = Tensor<float>::copy_of(
            ctx.value(model.layer(ctx, l, level, ctx.input(std::as_const(h).view()), pass)));
      }
      CHECK(same_bits<float>(h.view(), want.view()));
      Tape<float> tape;
      CHECK(
          same_bits<float>(tape.value(model.forward(tape, stack, tape.input(x.view()), pass)), want.view()));
      for (const std::size_t threads : {1u, 4u, 16u}) {
        with_threads(threads, [&] {
          CHECK(same_bits<float>(run_model(model, stack, x.view(), pass).view(), want.view()));
        });
      }
      for (std::size_t i = 0; i < 300; ++i) {
        for (const float value : want.row(i)) CHECK(std::isfinite(value));
      }
    }
  }
}

TEST_CASE("zoo: renaming the nodes renames the logits") {
  constexpr std::size_t kNodes = 40;
  const CsrGraph graph = random_undirected(kNodes, 90, 2);
  std::vector<NodeId> name(kNodes);
  std::iota(name.begin(), name.end(), NodeId{0});
  shuffle(std::span(name), CounterRng(make_key(3, 0, Purpose::shuffle), 0, 0));
  Links links;
  for (NodeId i = 0; i < kNodes; ++i) {
    for (const NodeId j : graph.view().neighbors(i)) links.push_back({name[j], name[i]});
  }
  const CsrGraph renamed = undirected(kNodes, links);
  const auto x = random_matrix<double>(kNodes, 5, 1);
  Tensor<double> moved(kNodes, 5);
  for (std::size_t i = 0; i < kNodes; ++i)
    std::copy(x.row(i).begin(), x.row(i).end(), moved.row(name[i]).begin());
  for (const ZooEntry<double>& entry : zoo<double>(0.0f)) {
    INFO(entry.name);
    const PreparedAdjacency a = prepare_adjacency(graph, entry.model.aggregation());
    const PreparedAdjacency b = prepare_adjacency(renamed, entry.model.aggregation());
    const Adjacency level_a = a.adjacency(), level_b = b.adjacency();
    const auto y = run_model(entry.model, AdjacencyStack(std::span(&level_a, 1)), x.view(), Pass{});
    const auto z = run_model(entry.model, AdjacencyStack(std::span(&level_b, 1)), moved.view(), Pass{});
    for (std::size_t i = 0; i < kNodes; ++i) {
      for (std::size_t c = 0; c < 3; ++c)
        CHECK(std::abs(y(i, c) - z(name[i], c)) < 1e-10 * (1 + std::abs(y(i, c))));
    }
  }
}

TEST_CASE("zoo: no node, one node, no edge, in evaluation and in training") {
  for (const std::size_t nodes : {0u, 1u, 3u}) {
    const CsrGraph graph = empty_graph(nodes);
    const auto x = random_matrix<double>(nodes, 5, 1);
    for (ZooEntry<double>& entry : zoo<double>(0.3f)) {
      INFO(entry.name << ", " << nodes << " nodes");
      const PreparedAdjacency prepared = prepare_adjacency(graph, entry.model.aggregation());
      const Adjacency level = prepared.adjacency();
      const AdjacencyStack stack(std::span(&level, 1));
      const auto y = run_model(entry.model, stack, x.view(), Pass{});
      CHECK(y.rows() == nodes);
      for (std::size_t i = 0; i < nodes; ++i) {
        for (const double value : y.row(i)) CHECK(std::isfinite(value));
      }
      Tape<double> tape;
      const Var out = entry.model.forward(tape, stack, tape.input(x.view()), kTraining);
      tape.backward(out, Tensor<double>::filled(nodes, 3, 1.0).view());
      for (const double g : entry.model.parameters().grads()) CHECK(std::isfinite(g));
    }
  }
}

template <class Net>
std::size_t count(typename Net::Options options) {
  return Net(options).parameters().num_parameters();
}

/// The networks of the EGC paper for ogbn-arxiv: Linear, three layers with BatchNorm, Linear.
template <class Net>
std::size_t arxiv(std::size_t hidden, typename Net::Options options = {}) {
  options.in = 128;
  options.hidden = hidden;
  options.out = 40;
  options.layers = 3;
  options.norm = NormKind::batch;
  options.residual = true;
  options.linear_ends = true;
  return count<Net>(options);
}

TEST_CASE("zoo: parameter counts of published networks") {
  CHECK(arxiv<GcnNet<>>(156) == 100'816);
  CHECK(arxiv<GatNet<>>(152) == 97'320);
  CHECK(arxiv<Gatv2Net<>>(112) == 96'248);
  CHECK(arxiv<GinNet<>>(156, {.conv = {.mlp_layers = 1}}) == 100'819);
  CHECK(arxiv<SageNet<>>(115) == 99'860);
  CHECK(arxiv<PnaNet<>>(76) == 96'332);
  CHECK(arxiv<EgcNet<>>(184) == 101'336);
  const EgcNet<>::Options several{.conv = {.heads = 4, .aggregators = {A::symmetric, A::max, A::mean}}};
  CHECK(arxiv<EgcNet<>>(136, several) == 99'464);
  CHECK(count<GcniiNet<>>(
            {.in = 128, .hidden = 256, .out = 40, .layers = 16, .variant = GcniiVariant::dense}) ==
        2'148'648);
  // 1433 * 64 + 64 * 7, the propagation has none.
  CHECK(count<AppnpNet<>>({.in = 1433, .out = 7}) == 92'160);
  // 8 heads of 8: 1433 * 64 + 3 * 64, then one head: 64 * 7 + 3 * 7.
  CHECK(count<GatNet<>>({.in = 1433, .hidden = 64, .out = 7}) == 92'373);
}

TEST_CASE("zoo: identities") {
  const CsrGraph graph = random_undirected(30, 60, 1);
  const auto x = random_matrix<double>(30, 4, 2);
  NoTape<double> ctx;
  SECTION("EGC with one head, one base and weight 1 is GCN without bias") {
    ParameterBlock<double> block;
    const EgcConv<double> egc(block, "egc", 4, 3, {.heads = 1, .bases = 1});
    const GcnConv<double> gcn(block, "gcn", 4, 3, {.bias = false});
    const RngKey key = make_key(1, 0, Purpose::init);
    gcn.reset_parameters(block, key);
    for (std::size_t i = 0; i < 4; ++i) {
      for (std::size_t j = 0; j < 3; ++j) block.value(egc.weight())(i, j) = block.value(gcn.weight())(i, j);
    }
    block.value(block.find("egc.comb.bias"))(0, 0) = 1;
    const PreparedAdjacency a = prepare_adjacency(graph, {Normalization::symmetric, true, 0.0f});
    const Var want = gcn(ctx, block, a.adjacency(), ctx.input(x.view()), Finish{});
    const Var got = egc(ctx, block, a.adjacency(), ctx.input(x.view()), Finish{});
    CHECK(max_difference<double>(ctx.value(got), ctx.value(want)) < 1e-13);
  }
  SECTION("GAT with attention vectors of 0 averages a node and its neighbours") {
    ParameterBlock<double> block;
    const GatConv<double> gat(block, "gat", 4, 4, {.heads = 2});
    for (std::size_t i = 0; i < 4; ++i) block.value(gat.weight())(i, i) = 1;
    const PreparedAdjacency a = prepare_adjacency(graph, GatConv<>::aggregation({}));
    const Var got = gat(ctx, block, a.adjacency(), ctx.input(x.view()), Finish{});
    Tensor<double> want(30, 4);
    spmm_mean<double, double>(a.adjacency().forward, x.view(), want.view());
    CHECK(max_difference<double>(ctx.value(got), std::as_const(want).view()) < 1e-14);
  }
  SECTION("SGConv of one hop is GCN, TAG and Chebyshev without hops are Linear") {
    const PreparedAdjacency a = prepare_adjacency(graph, {Normalization::symmetric, true, 0.0f});
    const Adjacency level = a.adjacency();
    SgConvNet<double> one({.in = 4, .out = 3, .hops = 1});
    ParameterBlock<double> block;
    const GcnConv<double> gcn(block, "gcn", 4, 3, {});
    const auto weight = one.parameters().value(one.parameters().find("convs.0.lins.0.weight"));
    for (std::size_t i = 0; i < 4; ++i) {
      for (std::size_t j = 0; j < 3; ++j) block.value(gcn.weight())(i, j) = weight(i, j);
    }
    const Var want = gcn(ctx, block, level, ctx.input(x.view()), Finish{});
    const auto got = run_model(one, AdjacencyStack(std::span(&level, 1)), x.view(), Pass{});
    CHECK(max_difference<double>(got.view(), ctx.value(want)) < 1e-13);
    TagNet<double> tag({.in = 4, .out = 3, .layers = 1, .hops = 0});
    ChebNet<double> cheb({.in = 4, .out = 3, .layers = 1, .hops = 1});
    const auto linear_of = [&](auto& net) {
      const auto w = net.parameters().value(net.parameters().find("convs.0.lins.0.weight"));
      const auto y = run_model(net, AdjacencyStack(std::span(&level, 1)), x.view(), Pass{});
      return max_difference<double>(y.view(), multiply(x.view(), MatrixView<const double>(w)).view());
    };
    CHECK(linear_of(tag) < 1e-14);
    CHECK(linear_of(cheb) < 1e-14);
  }
  SECTION("APPNP that always returns propagates nothing") {
    const PreparedAdjacency a = prepare_adjacency(graph, {Normalization::symmetric, true, 0.0f});
    const Var v = ctx.input(x.view());
    CHECK(max_difference<double>(ctx.value(propagate(ctx, a.adjacency(), v, v, 1.0)), x.view()) == 0);
  }
}

TEST_CASE("zoo: what cannot be is refused") {
  CHECK_THROWS_AS(GatNet<>({.in = 4, .hidden = 9, .out = 3, .conv = {.heads = 2}}), ConfigError);
  CHECK_THROWS_AS(GatNet<>({.in = 4, .hidden = 8, .out = 3, .conv = {.heads = 0}}), ConfigError);
  CHECK_THROWS_AS(EgcNet<>({.in = 4, .hidden = 8, .out = 3}),
                  ConfigError);  // 8 heads do not divide 3 classes
  CHECK_THROWS_AS(EgcNet<>({.in = 4, .hidden = 8, .out = 8, .conv = {.bases = 0}}), ConfigError);
  CHECK_THROWS_AS((Aggregators{A::max, A::max}), ConfigError);
  CHECK_THROWS_AS(GinNet<>({.in = 4, .out = 3, .conv = {.mlp_layers = 3}}), ConfigError);
  CHECK_THROWS_AS(PnaNet<>({.in = 4, .hidden = 8, .out = 3}),
                  ConfigError);  // 4 towers do not divide 3 classes
  CHECK_THROWS_AS(ChebNet<>({.in = 4, .out = 3, .hops = 0}), ConfigError);
  CHECK_THROWS_AS(JumpingGcnNet<>({.in = 4, .out = 3, .layers = 0}), ConfigError);
  CHECK_THROWS_AS(AppnpNet<>({.in = 4, .out = 3, .alpha = 1.5}), ConfigError);
  CHECK_THROWS_AS(AppnpNet<>({.in = 0, .out = 3}), ConfigError);
  CHECK_THROWS_AS(GcniiNet<>({.in = 4, .out = 3, .lambda = -1}), ConfigError);
  const GcniiNet<> net({.in = 4, .out = 3, .layers = 2});
  NoTape<float> ctx;
  const auto x = random_matrix<float>(3, 5, 1);
  const CsrGraph graph = empty_graph(3);
  const Adjacency a{graph.view(), graph.view(), {}};
  CHECK_THROWS_AS(net.layer(ctx, 0, a, ctx.input(x.view()), Pass{}), ShapeError);
  CHECK_THROWS_AS(net.layer(ctx, 2, a, ctx.input(x.view()), Pass{}), IndexError);
}

}  // namespace
