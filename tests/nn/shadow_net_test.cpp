// SPDX-License-Identifier: MIT
#include "tessera/nn/nets/shadow_net.hpp"

#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/autograd/grad_check.hpp"
#include "tessera/nn/layers/gcn_conv.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

using Net = ShadowNet<SageConv<double>>;
static_assert(Model<ShadowNet<>>);
static_assert(Model<ShadowNet<GcnConv<float>>>);

/// Two graphs, of 4 and of 3 nodes: rows 0 and 1 are their targets, 2..4 belong to the first, 5..6 to the
/// second.
struct Egos {
  OwnedAdjacency graphs;
  OwnedAdjacency readout;
  Adjacency both[2];

  Egos() {
    graphs = own(from_links(7, {{0, 2}, {2, 3}, {3, 4}, {4, 0}, {1, 5}, {5, 6}}, {.symmetrize = true}));
    CsrGraph rows;
    rows.num_cols = 7;
    rows.row_ptr.clear();
    for (const EdgeId at : {0u, 4u, 7u}) rows.row_ptr.push_back(at);
    for (const NodeId j : {0u, 2u, 3u, 4u, 1u, 5u, 6u}) rows.col.push_back(j);
    readout = own(std::move(rows));
    both[0] = graphs.view();
    both[1] = readout.view();
  }
  AdjacencyStack stack() const { return AdjacencyStack(both); }
};

Net::Options options_of(Pooling pooling, ReadoutLayers readout) {
  return {.in = 3,
          .hidden = 4,
          .out = 2,
          .layers = 2,
          .dropout = 0.3f,
          .pooling = pooling,
          .readout = readout,
          .seed = 3};
}

Tensor<double> logits(const Net& net, const Egos& egos, const Tensor<double>& x) {
  NoTape<double> ctx;
  return ctx.take(net.forward(ctx, egos.stack(), ctx.input(x), Pass{}));
}

}  // namespace

TEST_CASE("ShadowNet: gradients of every read-out") {
  const Pooling pooling = GENERATE(Pooling::center, Pooling::sum, Pooling::mean, Pooling::max);
  const ReadoutLayers readout = GENERATE(ReadoutLayers::last, ReadoutLayers::concat, ReadoutLayers::sum);
  const Egos egos;
  const Net net(options_of(pooling, readout));
  std::vector<Tensor<double>> at;
  at.push_back(random_matrix<double>(7, 3, 5));
  const GradCheck check = grad_check(
      [&](auto& ctx, std::span<const Var> x) { return net.forward(ctx, egos.stack(), x[0], Pass{}); }, at,
      {.forward_mode = false});
  CHECK(check.vjp_error < 1e-6);
  CHECK(logits(net, egos, at[0]).rows() == 2);
}

TEST_CASE("ShadowNet: a target depends on its own graph alone") {
  const Pooling pooling = GENERATE(Pooling::center, Pooling::mean, Pooling::max);
  const Egos egos;
  const Net net(options_of(pooling, ReadoutLayers::concat));
  const Tensor<double> x = random_matrix<double>(7, 3, 6);
  const Tensor<double> before = logits(net, egos, x);
  Tensor<double> moved = Tensor<double>::copy_of(x.view());
  for (std::size_t j = 0; j < 3; ++j) moved(6, j) += 1.0;  // of the second graph
  const Tensor<double> after = logits(net, egos, moved);
  bool changed = false;
  for (std::size_t f = 0; f < 2; ++f) {
    CHECK(after(0, f) == before(0, f));
    changed |= after(1, f) != before(1, f);
  }
  CHECK(changed);
}

TEST_CASE("ShadowNet: the centre of the last layer is what layer by layer gives") {
  const Egos egos;
  const Net net(options_of(Pooling::center, ReadoutLayers::last));
  const Tensor<double> x = random_matrix<double>(7, 3, 7);
  NoTape<double> ctx;
  Var v = ctx.input(x);
  for (std::size_t l = 0; l < 2; ++l) v = net.layer(ctx, l, egos.both[0], v, Pass{});
  v = net.layer(ctx, 2, egos.both[1], v, Pass{});
  const Tensor<double> want = logits(net, egos, x);
  for (std::size_t b = 0; b < 2; ++b) {
    for (std::size_t f = 0; f < 2; ++f) CHECK(ctx.value(v)(b, f) == want(b, f));
  }
}

TEST_CASE("ShadowNet refuses what it cannot work with") {
  REQUIRE_THROWS_AS(Net({.in = 3, .hidden = 4, .out = 2, .layers = 0}), ConfigError);
  REQUIRE_THROWS_AS(Net({.in = 0, .hidden = 4, .out = 2}), ConfigError);
  REQUIRE_THROWS_AS(Net({.in = 3, .hidden = 4, .out = 2, .dropout = 1.5f}), ConfigError);
  REQUIRE_THROWS_AS(Net({.in = 3, .hidden = 4, .out = 2, .conv = {.entry_dropout = 0.5f}}), ConfigError);
  const Egos egos;
  const Net net(options_of(Pooling::max, ReadoutLayers::last));
  const Tensor<double> x = random_matrix<double>(7, 3, 8);
  NoTape<double> ctx;
  REQUIRE_THROWS_AS(net.forward(ctx, AdjacencyStack({egos.both, 1}), ctx.input(x), Pass{}), ShapeError);
  REQUIRE_THROWS_AS(net.layer(ctx, 2, egos.both[0], ctx.input(x), Pass{}), ConfigError);
  REQUIRE_THROWS_AS(net.layer(ctx, 3, egos.both[0], ctx.input(x), Pass{}), IndexError);
}
