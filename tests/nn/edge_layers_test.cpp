// SPDX-License-Identifier: MIT
// Layers that read edge features, and what else is compared with tests/golden/make_edge_layers_golden.py.
#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/edge_cases.hpp"
#include "support/golden.hpp"
#include "support/nn_cases.hpp"
#include "support/numeric_gradient.hpp"
#include "support/whole_graphs.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/graph_dataset_view.hpp"
#include "tessera/nn/layers/gated_gcn_conv.hpp"
#include "tessera/nn/layers/gen_conv.hpp"
#include "tessera/nn/layers/gine_conv.hpp"
#include "tessera/nn/layers/jump_attention.hpp"
#include "tessera/nn/nets/graph_net.hpp"
#include "tessera/nn/nets/rev_gnn_net.hpp"
#include "tessera/sampling/graph_batch_sampler.hpp"
#include "tessera/train/batch_inputs.hpp"
#include "tessera/train/infer_graphs.hpp"

namespace {

using namespace tessera;
using namespace tessera::testing;

constexpr Pass kTraining{.training = true, .dropout_key = make_key(1, 5, Purpose::dropout)};

/// Differences of every parameter and of x against the gradients of `layer(tape, block, x)`.
template <class Layer>
void check_gradients(ParameterBlock<double>& block, std::size_t rows, std::size_t cols, Layer&& layer) {
  auto x = random_matrix<double>(rows, cols, 4);
  auto x_grad = Tensor<double>::zeros(rows, cols);
  const Tensor<double> noise = random_matrix<double>(1, block.values().size(), 6);
  for (std::size_t k = 0; k < noise.cols(); ++k) block.values()[k] += 0.2 * noise(0, k);
  const auto loss = [&](bool backward) {
    Tape<double> tape;
    const Var y = layer(tape, tape.parameter({x.view(), x_grad.view()}));
    const auto g = random_matrix<double>(tape.value(y).rows(), tape.value(y).cols(), 5);
    if (backward) tape.backward(y, g.view());
    double sum = 0;
    for (std::size_t i = 0; i < g.rows(); ++i) {
      for (std::size_t j = 0; j < g.cols(); ++j) sum += g(i, j) * tape.value(y)(i, j);
    }
    return sum;
  };
  const GradientError of_block = gradient_error(block, loss);
  CHECK(of_block.size > 0.01);
  CHECK(of_block.worst < 1e-6 * (1 + of_block.size));
  const Tensor<double> grad = Tensor<double>::copy_of(x_grad.view());
  for (std::size_t k = 0; k < rows * cols; ++k) {
    double& at = x(k / cols, k % cols);
    const double before = at;
    at = before + 1e-6;
    const double up = loss(false);
    at = before - 1e-6;
    const double down = loss(false);
    at = before;
    const double want = grad(k / cols, k % cols);
    CHECK(std::abs((up - down) / 2e-6 - want) < 1e-6 * (1 + std::abs(want)));
  }
}

template <class Conv>
void check_conv(const typename Conv::Options& options, std::size_t out, bool transpose_edge) {
  EdgeCase edges = with_edges(random_block(9, 12, 4, 3), 3, 8);
  edges.transpose_edge = transpose_edge;
  const Adjacency a = edges.view();
  ParameterBlock<double> block;
  const Conv conv(block, "conv", 5, out, options);
  conv.reset_parameters(block, make_key(2, 0, Purpose::init));
  check_gradients(block, 12, 5, [&](auto& tape, Var x) {
    return conv(tape, block, a, x, Finish{.activation = Activation::elu});
  });
}

TEST_CASE("layers with edge features: gradients by differences") {
  const bool given = GENERATE(true, false);  // where transposed entries lie: brought along or found
  using M = GeneralizedMean;
  check_conv<GineConv<double>>({.edge_features = 3, .batch_norm = false}, 4, given);
  check_conv<GineConv<double>>({.edge_features = 3, .mlp_layers = 1, .learn_eps = false}, 4, given);
  check_conv<GatedGcnConv<double>>({}, 4, given);
  check_conv<GatedGcnConv<double>>({.edge_features = 3}, 17, given);
  check_conv<GenConv<double>>({.t = 0.7, .learn_t = true, .norm = NormKind::layer}, 5, given);
  check_conv<GenConv<double>>({.aggregate = M::power, .t = 1.7, .learn_t = true, .norm = NormKind::none}, 5,
                              given);
  check_conv<GenConv<double>>(
      {.message_norm = true, .norm = NormKind::layer, .bias = true, .edge_features = 3}, 11, given);
  check_conv<GenConv<double>>({.aggregate = M::power, .t = 3, .norm = NormKind::layer, .edge_features = 3}, 4,
                              given);
}

TEST_CASE("layers with edge features: the same bits at any number of threads, with and without a tape") {
  const EdgeCase edges = with_edges(random_block(400, 500, 9, 3), 3, 8);
  const Adjacency a = edges.view();
  const auto x = random_matrix<float>(500, 6, 4);
  const auto g = random_matrix<float>(400, 6, 5);
  ParameterBlock<float> block;
  const GineConv<float> gine(block, "gine", 6, 6, {.edge_features = 3, .batch_norm = false});
  const GatedGcnConv<float> gated(block, "gated", 6, 6, {.edge_features = 3});
  const GenConv<float> gen(block, "gen", 6, 6,
                           {.learn_t = true, .norm = NormKind::layer, .edge_features = 3});
  const RngKey key = make_key(2, 0, Purpose::init);
  gine.reset_parameters(block, key);
  gated.reset_parameters(block, key);
  gen.reset_parameters(block, key);
  const auto run = [&](const auto& conv, std::size_t threads) {
    return with_threads(threads, [&] {
      block.zero_grads();
      Tape<float> tape;
      const Var y = conv(tape, block, a, tape.input(x.view()), Finish{});
      tape.backward(y, g.view());
      NoTape<float> none;
      CHECK(
          same_bits<float>(none.value(conv(none, block, a, none.input(x.view()), Finish{})), tape.value(y)));
      std::vector<float> out(block.grads().begin(), block.grads().end());
      for (std::size_t i = 0; i < 400; ++i)
        out.insert(out.end(), tape.value(y).row(i).begin(), tape.value(y).row(i).end());
      return out;
    });
  };
  for (const std::size_t threads : {2u, 5u}) {
    CHECK(run(gine, threads) == run(gine, 1));
    CHECK(run(gated, threads) == run(gated, 1));
    CHECK(run(gen, threads) == run(gen, 1));
  }
}

TEST_CASE("positions of transposed entries are found as transposing finds them") {
  CsrGraph graph;  // entries twice, an empty row, a loop
  graph.num_cols = 4;
  graph.row_ptr.clear();
  for (const std::size_t p : {0u, 4u, 4u, 6u}) graph.row_ptr.push_back(p);
  for (const NodeId j : {0u, 1u, 1u, 3u, 1u, 2u}) graph.col.push_back(j);
  graph.symmetric = false;
  for (OwnedAdjacency& owned : std::array{own(std::move(graph)), random_block(60, 80, 7, 2)}) {
    Adjacency a = owned.view();
    const std::vector<EdgeId> want(a.transpose_edge.begin(), a.transpose_edge.end());
    a.transpose_edge = {};
    const detail::EntryPositions found(a);
    CHECK(std::ranges::equal(found.span(), want));
  }
}

TEST_CASE("layers with edge features say what is missing") {
  const EdgeCase edges = with_edges(random_block(5, 7, 3, 3), 3, 8);
  const auto x = random_matrix<float>(7, 4, 1);
  ParameterBlock<float> block;
  const GineConv<float> gine(block, "gine", 4, 4, {.edge_features = 3});
  const GatedGcnConv<float> gated(block, "gated", 4, 4, {.edge_features = 2});
  const GenConv<float> gen(block, "gen", 4, 4, {.edge_features = 3});
  NoTape<float> ctx;
  const Var v = ctx.input(x.view());
  Adjacency without = edges.matrix.view();
  CHECK_THROWS_AS(gine(ctx, block, without, v, Finish{}), ConfigError);
  CHECK_THROWS_AS(gen(ctx, block, without, v, Finish{}), ConfigError);
  CHECK_THROWS_AS(gated(ctx, block, edges.view(), v, Finish{}), ConfigError);  // 3 are there
  Adjacency short_ids = edges.view();
  short_ids.edge_id = short_ids.edge_id.first(2);
  CHECK_THROWS_AS(gine(ctx, block, short_ids, v, Finish{}), ShapeError);
  EdgeCase outside = with_edges(random_block(5, 7, 3, 3), 3, 8);
  outside.id[0] = 1000;
  CHECK_THROWS_AS(gine(ctx, block, outside.view(), v, Finish{}), IndexError);
  using Gine = GineConv<float>;
  CHECK_THROWS_AS(Gine(block, "none", 4, 4, {}), ConfigError);
  CHECK_THROWS_AS(Gine(block, "three", 4, 4, {.edge_features = 1, .mlp_layers = 3}), ConfigError);
  CHECK_THROWS_AS(GenConv<float>(block, "zero", 4, 4, {.aggregate = GeneralizedMean::power, .t = 0}),
                  ConfigError);
  CHECK_THROWS_AS(GenConv<float>(block, "rows", 4, 4, {.norm = NormKind::pair}), ConfigError);
}

TEST_CASE("a loop the data do not have brings zeros, a node without neighbours keeps itself") {
  OwnedAdjacency none = own(empty_graph(3));
  Adjacency a = none.view();
  const Tensor<float> nothing(0, 3);
  a.edge_features = nothing.view();
  const auto x = random_matrix<double>(3, 4, 1);
  NoTape<double> ctx;
  ParameterBlock<double> block;
  const GatedGcnConv<double> gated(block, "gated", 4, 2, {.edge_features = 3});
  gated.reset_parameters(block, make_key(2, 0, Purpose::init));
  const Var y = gated(ctx, block, a, ctx.input(x.view()), Finish{});
  const MatrixView<const double> skip = std::as_const(block).value(block.find("gated.lin_skip.weight"));
  CHECK(max_difference<double>(ctx.value(y), multiply(x.view(), skip).view()) < 1e-14);
  EdgeCase loop = with_edges(own(undirected(3, {{0, 1}})), 2, 3);
  loop.id[0] = kNoEdge;
  const Var f = edge_features(ctx, loop.view(), 2, "test");
  CHECK((ctx.value(f)(0, 0) == 0.0 && ctx.value(f)(0, 1) == 0.0 && ctx.value(f)(1, 0) != 0.0));
}

/// Rings and stars whose edges know which of their ends has the smaller number.
GraphDataset with_edge_features(std::size_t graphs) {
  GraphDataset data = rings_and_stars(graphs);
  data.edge_features.resize(data.graph.num_edges(), 2);
  for (std::size_t i = 0; i < data.num_nodes(); ++i) {
    for (auto e = data.graph.view().begin(i); e < data.graph.view().end(i); ++e) {
      data.edge_features(e, 0) = data.graph.col[e] < i ? 1.0f : -1.0f;
      data.edge_features(e, 1) = static_cast<float>(e % 7) / 7.0f;
    }
  }
  return data;
}

TEST_CASE("a batch of graphs with edge features gives the bits of every graph alone") {
  const GraphDataset data = with_edge_features(24);
  const GraphDatasetView view = data;
  const GraphNet<GineConv<float>> net({.in = 2,
                                       .hidden = 8,
                                       .out = 3,
                                       .layers = 2,
                                       .norm = NormKind::layer,
                                       .readout = GraphReadout::concat,
                                       .attend = true,
                                       .conv = {.edge_features = 2, .batch_norm = false}});
  const Tensor<float> all = infer_graphs(net, view);
  const PreparedAdjacency whole = prepare_adjacency(view.graph.view(), true, net.aggregation());
  const Tensor<float> alone =
      infer_graphs(net, whole.adjacency().forward, view.node_ptr, view.features, 1, view.edge_features);
  CHECK(same_bits<float>(all.view(), alone.view()));
  // What training sees of a batch.
  const GraphBatchSampler sampler(view.node_ptr, {.batch_size = 5});
  std::vector<NodeId> graphs(24);
  for (NodeId g = 0; g < 24; ++g) graphs[g] = g;
  GraphBatchSampler::Workspace workspace;
  MiniBatch batch;
  BatchInputs<float> inputs;
  std::size_t seen = 0;
  for (std::size_t b = 0; b < 5; ++b) {
    sampler.sample({view.graph.view(), true, graphs}, net.aggregation(), {1, 0, b}, workspace, batch);
    inputs.assign(batch, view, targets_of(view, Role::train));
    NoTape<float> ctx;
    const Var y = net.forward(ctx, inputs.adjacencies(), inputs.features(ctx), Pass{});
    for (std::size_t g = 0; g < batch.target_id.size(); ++g, ++seen) {
      CHECK(std::ranges::equal(ctx.value(y).row(g), std::as_const(all).view().row(batch.target_id[g])));
    }
  }
  CHECK(seen == 24);
  CHECK_THROWS_AS(infer_graphs(net, whole.adjacency().forward, view.node_ptr, view.features), ConfigError);
  CHECK_THROWS_AS(infer_graphs(net, whole.adjacency().forward, view.node_ptr, view.features, 32,
                               view.edge_features.middle_rows(1, 5)),
                  ShapeError);
}

TEST_CASE("jumping by LSTM, the attention read-out: gradients by differences, what an empty graph gives") {
  ParameterBlock<double> block;
  const JumpAttention<double> jump(block, "jump", 4, 3);
  jump.reset_parameters(block, make_key(2, 0, Purpose::init));
  check_gradients(block, 6, 12, [&](auto& tape, Var x) {
    const std::array<Var, 3> layers{columns(tape, x, 0, 4), columns(tape, x, 4, 4), columns(tape, x, 8, 4)};
    return jump(tape, block, layers);
  });
  CHECK_THROWS_AS(JumpAttention<double>(block, "no", 1, 1), ConfigError);

  CsrGraph pattern;  // graphs of 3, 0 and 2 nodes
  pattern.num_cols = 5;
  pattern.symmetric = false;
  pattern.row_ptr.clear();
  for (const std::size_t p : {0u, 3u, 3u, 5u}) pattern.row_ptr.push_back(p);
  for (NodeId i = 0; i < 5; ++i) pattern.col.push_back(i);
  const OwnedAdjacency readout = own(std::move(pattern));
  ParameterBlock<double> weights;
  const LinearLayer<double> score(weights, "score", 4, 1);
  score.reset_parameters(weights, make_key(2, 0, Purpose::init));
  check_gradients(weights, 5, 4, [&](auto& tape, Var x) {
    return attention_readout(tape, readout.view(), x, score.transform(tape, weights, x));
  });
  const auto x = random_matrix<double>(5, 4, 1);
  NoTape<double> ctx;
  const Var v = ctx.input(x.view());
  const auto wide = random_matrix<double>(5, 2, 1);
  CHECK_THROWS_AS(attention_readout(ctx, readout.view(), v, ctx.input(wide.view())), ShapeError);
  const Var y = attention_readout(ctx, readout.view(), v, columns(ctx, v, 0, 1));
  for (std::size_t f = 0; f < 4; ++f) CHECK(ctx.value(y)(1, f) == 0.0);
}

TEST_CASE("one layer jumps to itself") {
  ParameterBlock<double> block;
  const JumpAttention<double> jump(block, "jump", 4, 1);
  jump.reset_parameters(block, make_key(2, 0, Purpose::init));
  const auto x = random_matrix<double>(6, 4, 1);
  NoTape<double> ctx;
  const std::array<Var, 1> layers{ctx.input(x.view())};
  CHECK(max_difference<double>(ctx.value(jump(ctx, block, layers)), x.view()) == 0);
}

TEST_CASE("generalised means: mean and maximum at the ends, finite in between") {
  const OwnedAdjacency owned = random_block(10, 12, 5, 3);
  const auto x = random_matrix<double>(12, 5, 1);
  NoTape<double> ctx;
  const auto of = [&](double t, GeneralizedMean kind, double scale) {
    Tensor<double> by(1, 1), moved(12, 5);
    by(0, 0) = t;
    for (std::size_t i = 0; i < 12; ++i) {
      for (std::size_t f = 0; f < 5; ++f) moved(i, f) = scale * std::abs(x(i, f));
    }
    const Var y =
        generalized_mean(ctx, owned.view(), ctx.input(moved.view()), Var{}, ctx.input(by.view()), kind);
    return Tensor<double>::copy_of(ctx.value(y));
  };
  Tensor<double> positive(12, 5);
  for (std::size_t i = 0; i < 12; ++i) {
    for (std::size_t f = 0; f < 5; ++f) positive(i, f) = std::abs(x(i, f)) + 1e-7;
  }
  const Var v = ctx.input(positive.view());
  const Var mean = aggregate(ctx, owned.view(), v, Reduce::mean);
  const Var largest = aggregate(ctx, owned.view(), v, Reduce::max);
  CHECK(max_difference<double>(of(0, GeneralizedMean::softmax, 1).view(), ctx.value(mean)) < 1e-14);
  CHECK(max_difference<double>(of(1, GeneralizedMean::power, 1).view(), ctx.value(mean)) < 1e-14);
  CHECK(max_difference<double>(of(1e6, GeneralizedMean::softmax, 1).view(), ctx.value(largest)) < 1e-6);
  for (const double value : of(1e4, GeneralizedMean::softmax, 1e4).view().row(0)) CHECK(std::isfinite(value));
  for (const double value : of(1, GeneralizedMean::softmax, 1).view().row(4))
    CHECK(value == 0.0);  // no entries
}

TEST_CASE("reversible blocks of GENConv with edge features: gradients by differences, dropout on") {
  const EdgeCase edges = with_edges(random_block(12, 12, 4, 3), 3, 8);
  const Adjacency a = edges.view();
  RevGenNet<double> net({.in = 5,
                         .hidden = 8,
                         .out = 3,
                         .layers = 3,
                         .dropout = 0.2f,
                         .conv = {.learn_t = true, .norm = NormKind::layer, .edge_features = 3}});
  check_gradients(net.parameters(), 12, 5, [&](auto& tape, Var x) {
    return std::as_const(net).forward(tape, AdjacencyStack(std::span(&a, 1)), x, kTraining);
  });
  CHECK_THROWS_AS(RevGenNet<double>({.in = 5, .out = 3}), ConfigError);  // BatchNorm inside, by habit
}

class Golden : public GoldenFile {
 public:
  Golden() : GoldenFile("edge_layers.npz") {
    const std::vector<NodeId> source = ids("graph.source");
    const std::vector<NodeId> target = ids("graph.target");
    matrix_ = own(build_csr(7, {source, target, {}}, {.self_loops = SelfLoops::keep}).graph);
    const Tensor<double> links = matrix("edge_attr");
    features_.resize(links.rows(), links.cols());
    for (std::size_t l = 0; l < links.rows(); ++l) {
      for (std::size_t d = 0; d < links.cols(); ++d) features_(l, d) = static_cast<float>(links(l, d));
    }
    for (std::size_t i = 0; i < 7; ++i) {
      for (const NodeId j : matrix_.forward.view().neighbors(i)) {
        std::size_t link = 0;
        while (source[link] != j || target[link] != i) ++link;
        id_.push_back(static_cast<EdgeId>(link));
      }
    }
  }

  Adjacency adjacency() const {
    Adjacency a = matrix_.view();
    a.edge_features = features_.view();
    a.edge_id = id_;
    return a;
  }

 private:
  OwnedAdjacency matrix_;
  Tensor<float> features_;
  Array<EdgeId> id_;
};

/// Runs `layer(tape, x)` with the case's parameters and compares output and gradients.
template <class F>
void check_case(const Golden& golden, const std::string& name, const std::string& prefix,
                ParameterBlock<double>& block, F&& layer) {
  // The numbers of the script have 24 bits, so edge features are exact in float; all else is double.
  constexpr double kTolerance = 1e-12;
  const auto close = [&](const std::string& what, MatrixView<const double> got) {
    INFO(name << what);
    CHECK(max_difference<double>(got, golden.matrix(name + what).view()) <= kTolerance);
  };
  for (const ParameterInfo& info : block.parameters()) {
    if (!info.trained) continue;
    const Tensor<double> value = golden.matrix(name + "." + info.name.substr(prefix.size()));
    const auto to = block.value(block.find(info.name));
    REQUIRE((to.rows() == value.rows() && to.cols() == value.cols()));
    for (std::size_t i = 0; i < to.rows(); ++i)
      std::copy(value.row(i).begin(), value.row(i).end(), to.row(i).begin());
  }
  const auto x = golden.matrix(name + ".x");
  auto x_grad = Tensor<double>::zeros(x.rows(), x.cols());
  Tape<double> tape;
  const Var y = layer(tape, tape.parameter({x.view(), x_grad.view()}));
  close(".y", tape.value(y));
  tape.backward(y, golden.matrix(name + ".g").view());
  close(".x.grad", x_grad.view());
  for (const ParameterInfo& info : block.parameters()) {
    if (info.trained)
      close("." + info.name.substr(prefix.size()) + ".grad",
            std::as_const(block).grad(block.find(info.name)));
  }
}

template <class Conv>
void check_golden(const Golden& golden, const std::string& name, std::size_t out,
                  const typename Conv::Options& options) {
  ParameterBlock<double> block;
  const Conv conv(block, "conv", 5, out, options);
  conv.reset_parameters(block, make_key(1, 0, Purpose::init));
  check_case(golden, name, "conv.", block,
             [&](auto& tape, Var x) { return conv(tape, block, golden.adjacency(), x, Finish{}); });
}

TEST_CASE("layers with edge features equal PyTorch Geometric's, gradients included") {
  const Golden golden;
  check_golden<GineConv<double>>(golden, "gine", 4, {.edge_features = 3, .batch_norm = false});
  check_golden<GatedGcnConv<double>>(golden, "gated", 4, {});
  check_golden<GatedGcnConv<double>>(golden, "gated_edges", 4, {.edge_features = 3});
  check_golden<GenConv<double>>(golden, "gen_softmax", 5,
                                {.t = 1.5, .learn_t = true, .norm = NormKind::layer});
  check_golden<GenConv<double>>(
      golden, "gen_power", 5,
      {.aggregate = GeneralizedMean::power, .t = 1.5, .learn_t = true, .norm = NormKind::layer});
  check_golden<GenConv<double>>(
      golden, "gen_edges", 5, {.t = 0.7, .message_norm = true, .norm = NormKind::layer, .edge_features = 3});
  check_golden<GenConv<double>>(golden, "gen_map", 4,
                                {.t = 0.7, .norm = NormKind::layer, .edge_features = 3});
}

TEST_CASE("jumping by LSTM and the attention read-out equal PyTorch Geometric's, gradients included") {
  const Golden golden;
  ParameterBlock<double> block;
  const JumpAttention<double> jump(block, "jump", 4, 3);
  check_case(golden, "jump", "", block, [&](auto& tape, Var x) {
    const std::array<Var, 3> layers{columns(tape, x, 0, 4), columns(tape, x, 4, 4), columns(tape, x, 8, 4)};
    return jump(tape, block, layers);
  });
  CsrGraph pattern;
  pattern.num_cols = 7;
  pattern.symmetric = false;
  pattern.row_ptr.clear();
  for (const std::int64_t p : golden.values<std::int64_t>("batch.ptr"))
    pattern.row_ptr.push_back(static_cast<EdgeId>(p));
  for (NodeId i = 0; i < 7; ++i) pattern.col.push_back(i);
  const OwnedAdjacency readout = own(std::move(pattern));
  ParameterBlock<double> weights;
  const LinearLayer<double> score(weights, "score", 5, 1);
  check_case(golden, "attend", "score.", weights, [&](auto& tape, Var x) {
    return attention_readout(tape, readout.view(), x, score.transform(tape, weights, x));
  });
}

}  // namespace
