// SPDX-License-Identifier: MIT
#include "tessera/nn/ops/reversible.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <type_traits>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "support/numeric_gradient.hpp"
#include "tessera/core/buffer_pool.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/nn/autograd/grad_check.hpp"
#include "tessera/nn/layers/egc_conv.hpp"
#include "tessera/nn/layers/gat_conv.hpp"
#include "tessera/nn/layers/gated_gcn_conv.hpp"
#include "tessera/nn/layers/gatv2_conv.hpp"
#include "tessera/nn/layers/gcn_conv.hpp"
#include "tessera/nn/layers/gin_conv.hpp"
#include "tessera/nn/layers/pna_conv.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/rev_gnn_net.hpp"
#include "tessera/nn/ops/add.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

static_assert(Model<RevSageNet<float>> && Model<RevSageNet<double>> && Model<RevGnnNet<GcnConv<float>>>);

constexpr std::size_t kNodes = 40;

/// f(u) = elu(A norm(u) W) with one W per layer and group: stands for any normalised convolution.
template <Real T>
struct Toy {
  ParameterBlock<T>* block;
  std::vector<Parameter>* weights;
  const LayerNorm<T>* norm;
  Adjacency a;
  std::size_t groups;
  Tape<T>* scratch;

  template <class Ctx>
  Var operator()(Ctx& ctx, std::size_t l, std::size_t i, Var u) const {
    const Var w = ctx.parameter((*std::as_const(block))[(*weights)[l * groups + i]]);
    const Var normed = (*norm)(ctx, std::as_const(*block), u);
    return linear(ctx, aggregate(ctx, a, normed, Reduce::mean), w, {.activation = Activation::elu});
  }
  ParameterView<T> anchor() const { return (*std::as_const(block))[(*weights)[0]]; }
  Tape<T>& tape() const { return *scratch; }
};

template <Real T>
struct Case {
  OwnedAdjacency graph = random_block(kNodes, kNodes, 4, 3);
  ParameterBlock<T> block;
  std::vector<Parameter> weights;
  Tape<T> scratch;
  std::size_t layers;
  std::size_t groups;

  LayerNorm<T> norm;

  Case(std::size_t l, std::size_t m, std::size_t width)
      : layers(l), groups(m), norm(block, "norm", width / m) {
    norm.reset_parameters(block);
    for (std::size_t k = 0; k < layers * groups; ++k) {
      weights.push_back(block.add("w" + std::to_string(k), width / m, width / m));
      fill_uniform(block.value(weights.back()), 0.5,
                   {make_key(7, 0, Purpose::init), static_cast<std::uint32_t>(k)});
    }
  }
  Toy<T> toy() { return {&block, &weights, &norm, graph.view(), groups, &scratch}; }
};

template <Real T>
Tensor<T> features(std::size_t width, std::uint64_t seed) {
  Tensor<T> x(kNodes, width);
  fill_uniform(x.view(), 1.0, {make_key(seed, 0, Purpose::generic), 0});
  return x;
}

/// The same blocks from operators that keep every activation. Groups are tensors of their own.
template <class F>
std::vector<Var> stored(Tape<double>& tape, const F& f, std::size_t layers, std::vector<Var> x) {
  for (std::size_t l = 0; l < layers; ++l) {
    Var u = x[1];
    for (std::size_t j = 2; j < x.size(); ++j) u = add(tape, u, x[j]);
    for (std::size_t i = 0; i < x.size(); ++i) {
      x[i] = add(tape, x[i], f(tape, l, i, u));
      u = x[i];
    }
  }
  return x;
}

double largest_difference(MatrixView<const double> a, MatrixView<const double> b) {
  double out = 0;
  for (std::size_t i = 0; i < a.rows(); ++i) {
    for (std::size_t j = 0; j < a.cols(); ++j) out = std::max(out, std::abs(a(i, j) - b(i, j)));
  }
  return out;
}

/// A loss of the network on random labels, dropout on, and how far its gradient is from differences of it.
template <class Net>
void check_gradient(Net net) {
  const OwnedAdjacency graph = random_block(kNodes, kNodes, 4, 3);
  const Adjacency a = graph.view();
  const Tensor<double> x = features<double>(5, 4);
  std::vector<std::int32_t> classes(kNodes);
  for (std::size_t i = 0; i < kNodes; ++i) classes[i] = static_cast<std::int32_t>(i % 3);
  const Pass pass{.training = true, .dropout_key = make_key(1, 5, Purpose::dropout)};
  const auto loss = [&](bool backward) {
    Tape<double> tape;
    const Var y = std::as_const(net).forward(tape, AdjacencyStack({&a, 1}), tape.input(x.view()), pass);
    const Var l = CrossEntropy{}(tape, y, Targets{.classes = classes});
    if (backward) tape.backward(l);
    return tape.value(l)(0, 0);
  };
  const auto [worst, size] = gradient_error(net.parameters(), loss);
  CHECK(size > 0.01);
  CHECK(worst <= 1e-6 * std::max(1.0, size));  // h^2 of the difference, and eps / h of its rounding
}

}  // namespace

TEST_CASE("reversible: values and gradients are those of a tape that keeps everything") {
  const std::size_t groups = GENERATE(2u, 3u, 4u);
  const std::size_t layers = 5;
  const std::size_t width = 12;
  Case<double> test(layers, groups, width);
  const Tensor<double> x = features<double>(width, 1);
  const Tensor<double> cotangent = features<double>(width, 2);
  Tensor<double> grad_x = Tensor<double>::zeros(kNodes, width);

  Tape<double> tape;
  const Var in = tape.parameter({x.view(), grad_x.view()});
  const Var y = reversible(tape, in, test.toy(), {0, layers, groups});
  tape.backward(y, cotangent.view());
  const Tensor<double> got_y = Tensor<double>::copy_of(tape.value(y));
  const std::vector<double> got_w(test.block.grads().begin(), test.block.grads().end());
  test.block.zero_grads();

  Tape<double> twin;
  std::vector<Var> parts;
  std::vector<Tensor<double>> grads;
  grads.reserve(groups);
  for (std::size_t i = 0; i < groups; ++i) {
    grads.push_back(Tensor<double>::zeros(kNodes, width / groups));
    parts.push_back(twin.parameter({detail::group_of(x.view(), i, groups), grads[i].view()}));
  }
  const std::vector<Var> out = stored(twin, test.toy(), layers, parts);
  for (std::size_t i = 0; i < groups; ++i) {
    CHECK(largest_difference(twin.value(out[i]), detail::group_of(got_y.view(), i, groups)) == 0);
  }
  // One backward pass per group: their gradients add up.
  for (std::size_t i = 0; i < groups; ++i) {
    twin.backward(out[i], detail::group_of(cotangent.view(), i, groups));
  }
  double scale_w = 0;
  double error_w = 0;
  for (std::size_t k = 0; k < got_w.size(); ++k) {
    scale_w = std::max(scale_w, std::abs(test.block.grads()[k]));
    error_w = std::max(error_w, std::abs(test.block.grads()[k] - got_w[k]));
  }
  CHECK(scale_w > 0.1);
  CHECK(error_w <= 1e-12 * scale_w);
  for (std::size_t i = 0; i < groups; ++i) {
    CHECK(largest_difference(grads[i].view(), detail::group_of(std::as_const(grad_x).view(), i, groups)) <=
          1e-12 * scale_w);
  }
}

TEST_CASE("reversible: going back recovers the input but for one rounding per layer and way") {
  const std::size_t layers = GENERATE(1u, 28u, 112u);
  const auto drift = [&](auto zero) {
    using T = decltype(zero);
    Case<T> test(layers, 2, 16);
    const Tensor<T> x = features<T>(16, 1);
    Tensor<T> state = Tensor<T>::copy_of(x.view());
    const ReversibleRange range{0, layers, 2};
    detail::reversible_forward(test.toy(), range, state.view());
    const Tensor<T> y = Tensor<T>::copy_of(std::as_const(state).view());
    Tensor<T> grad = Tensor<T>::zeros(kNodes, 16);
    detail::reversible_backward(test.toy(), range, state.view(), grad.view());
    double error = 0;
    double size = 0;
    for (std::size_t i = 0; i < kNodes; ++i) {
      for (std::size_t j = 0; j < 16; ++j) {
        const double d = static_cast<double>(state(i, j)) - static_cast<double>(x(i, j));
        error += d * d;
        size += static_cast<double>(y(i, j)) * static_cast<double>(y(i, j));
      }
    }
    // Each number is added to and subtracted from once per layer; each time rounds by at most half a unit of the
    // largest it ever is, which here is the output.
    return std::sqrt(error / size) /
           (static_cast<double>(layers) * static_cast<double>(std::numeric_limits<T>::epsilon()));
  };
  CHECK(drift(0.0f) <= 1);
  CHECK(drift(0.0) <= 1);
}

TEST_CASE("RevGnnNet: gradients by differences, dropout on") {
  const bool share = GENERATE(true, false);
  const bool tied = GENERATE(true, false);
  check_gradient(RevSageNet<double>({.in = 5,
                                     .hidden = 8,
                                     .out = 3,
                                     .layers = 4,
                                     .groups = 2,
                                     .dropout = 0.3f,
                                     .share_mask = share,
                                     .tied = tied,
                                     .seed = 1}));
}

TEST_CASE("RevGnnNet of every convolution: gradients by differences, dropout on") {
  const auto check = [](const char* name, auto conv, const auto& options) {
    using Conv = typename decltype(conv)::type;
    INFO(name);
    RevGnnNet<Conv> net(
        {.in = 5, .hidden = 8, .out = 3, .layers = 3, .dropout = 0.3f, .seed = 2, .conv = options});
    // Biases start at 0, where a row that is dropped whole sits in the kink of GATv2's rectifier: move every parameter.
    const auto values = net.parameters().values();
    const Tensor<double> noise = random_matrix<double>(1, values.size(), 6);
    for (std::size_t k = 0; k < values.size(); ++k) values[k] += 0.2 * noise(0, k);
    check_gradient(std::move(net));
  };
  check("gcn", std::type_identity<GcnConv<double>>{}, GcnConv<double>::Options{});
  check("gat", std::type_identity<GatConv<double>>{},
        GatConv<double>::Options{.heads = 2, .entry_dropout = 0});
  check("gatv2", std::type_identity<Gatv2Conv<double>>{},
        Gatv2Conv<double>::Options{.heads = 2, .entry_dropout = 0});
  check("gin", std::type_identity<GinConv<double>>{}, GinConv<double>::Options{.batch_norm = false});
  check("egc-s", std::type_identity<EgcConv<double>>{}, EgcConv<double>::Options{.heads = 2, .bases = 2});
  check(
      "egc-m", std::type_identity<EgcConv<double>>{},
      EgcConv<double>::Options{
          .heads = 2, .bases = 2, .aggregators = {Aggregator::symmetric, Aggregator::max, Aggregator::std}});
  check("pna", std::type_identity<PnaConv<double>>{}, PnaConv<double>::Options{.towers = 2});
  check("gated gcn", std::type_identity<GatedGcnConv<double>>{}, GatedGcnConv<double>::Options{});
}

TEST_CASE("RevGnnNet: layer by layer equals at once; weights at 1, 2, 4 threads are the same bits") {
  const OwnedAdjacency graph = random_block(kNodes, kNodes, 4, 3);
  const Adjacency a = graph.view();
  const RevSageNet<float> net({.in = 5, .hidden = 8, .out = 3, .layers = 6, .seed = 1});
  const Tensor<float> x = features<float>(5, 4);
  NoTape<float> ctx;
  const Var whole = net.forward(ctx, AdjacencyStack({&a, 1}), ctx.input(x.view()), Pass{});
  Var h = ctx.input(x.view());
  for (std::size_t l = 0; l < net.num_layers(); ++l) h = net.layer(ctx, l, a, h, Pass{});
  for (std::size_t i = 0; i < kNodes; ++i) {
    CHECK(std::ranges::equal(ctx.value(whole).row(i), ctx.value(h).row(i)));
  }
  std::vector<float> first;
  for (const std::size_t threads : {1u, 2u, 4u}) {
    net.parameters().zero_grads();
    with_threads(threads, [&] {
      Tape<float> tape;
      const Var y = net.forward(tape, AdjacencyStack({&a, 1}), tape.input(x.view()), Pass{});
      tape.backward(y, std::as_const(tape).value(y));
      return 0;
    });
    const auto grads = net.parameters().grads();
    if (first.empty()) first.assign(grads.begin(), grads.end());
    CHECK(std::ranges::equal(grads, first));
  }
}

TEST_CASE("RevGnnNet: memory of a training step does not grow with depth") {
  const OwnedAdjacency graph = random_block(2000, 2000, 2, 3);
  const Adjacency a = graph.view();
  Tensor<float> x(2000, 8);
  fill_uniform(x.view(), 1.0, {make_key(4, 0, Purpose::generic), 0});
  // The pool keeps what is given back, so after a step it holds what the step needed at its worst.
  const auto peak = [&](std::size_t layers) {
    const RevSageNet<float> net({.in = 8, .hidden = 64, .out = 4, .layers = layers, .tied = true, .seed = 1});
    BufferPool::global().trim();
    const std::size_t before = BufferPool::global().stats().held_bytes;
    Tape<float> tape;
    const Var y = net.forward(tape, AdjacencyStack({&a, 1}), tape.input(x.view()), Pass{});
    tape.backward(y, std::as_const(tape).value(y));
    return static_cast<double>(BufferPool::global().stats().held_bytes - before);
  };
  const double at_10 = peak(10);
  CHECK(peak(100) <= 1.05 * at_10);
}

TEST_CASE("RevGnnNet: no node, one node, no edge") {
  for (const std::size_t nodes : {0u, 1u, 3u}) {
    RevSageNet<double> net({.in = 4, .hidden = 8, .out = 3, .layers = 3, .dropout = 0.3f});
    const OwnedAdjacency none = own(empty_graph(nodes));
    const Adjacency a = none.view();
    Tensor<double> x(nodes, 4);
    fill_uniform(x.view(), 1.0, {make_key(4, 0, Purpose::generic), 0});
    const Pass pass{.training = true, .dropout_key = make_key(1, 5, Purpose::dropout)};
    Tape<double> tape;
    const Var y = net.forward(tape, AdjacencyStack({&a, 1}), tape.input(x.view()), pass);
    REQUIRE(tape.rows(y) == nodes);
    tape.backward(y, Tensor<double>::filled(nodes, 3, 1.0).view());
    for (const double g : net.parameters().grads()) CHECK(std::isfinite(g));
  }
}

TEST_CASE("RevGnnNet refuses what does not fit") {
  CHECK_THROWS_AS(RevSageNet<float>({.in = 4, .hidden = 9, .out = 2}), ConfigError);
  CHECK_THROWS_AS(RevSageNet<float>({.in = 4, .hidden = 8, .out = 2, .groups = 1}), ConfigError);
  CHECK_THROWS_AS(RevSageNet<float>({.in = 4, .hidden = 8, .out = 2, .layers = 0}), ConfigError);
  CHECK_THROWS_AS(RevSageNet<float>({.in = 4, .hidden = 8, .out = 2, .conv = {.entry_dropout = 0.5f}}),
                  ConfigError);
  CHECK_THROWS_AS(RevGnnNet<GatConv<float>>({.in = 4, .hidden = 16, .out = 2}), ConfigError);
  CHECK_THROWS_AS(RevGnnNet<GinConv<float>>({.in = 4, .hidden = 8, .out = 2}), ConfigError);
  const RevSageNet<float> net({.in = 4, .hidden = 8, .out = 2});
  const OwnedAdjacency block = random_block(3, 5, 2, 1);
  const Adjacency a = block.view();
  Tensor<float> x = Tensor<float>::zeros(5, 4);
  NoTape<float> ctx;
  CHECK_THROWS_AS(net.forward(ctx, AdjacencyStack({&a, 1}), ctx.input(x.view()), Pass{}), ShapeError);
  CHECK_THROWS_AS(net.layer(ctx, 8, a, ctx.input(x.view()), Pass{}), IndexError);
}
