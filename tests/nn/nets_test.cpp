// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/nn/concepts.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/nets/cluster_gcn_net.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/mlp_net.hpp"
#include "tessera/nn/nets/sage_net.hpp"

namespace {

using namespace tessera;
using namespace tessera::testing;

static_assert(Model<GcnNet<>> && Model<GcnNet<double>>);
static_assert(Model<SageNet<>> && Model<MlpNet<>> && Model<ClusterGcnNet<>>);

struct Silent {
  using Scalar = float;
};
static_assert(!Model<Silent>);

constexpr Pass kTraining{.training = true, .dropout_key = make_key(1, 5, Purpose::dropout)};

template <class M>
std::size_t count(const typename M::Options& options) {
  return M(options).parameters().num_parameters();
}

TEST_CASE("parameter counts of published networks") {
  CHECK(count<GcnNet<>>({.in = 1433, .out = 7}) == 23'063);
  CHECK(count<GcnNet<>>({.in = 1433, .out = 7, .conv = {.bias = false}}) == 23'040);
  CHECK(count<GcnNet<>>({.in = 100, .hidden = 256, .out = 47, .layers = 3}) == 103'727);
  CHECK(count<MlpNet<>>({.in = 100, .hidden = 256, .out = 47, .layers = 3}) == 103'727);
  CHECK(count<SageNet<>>({.in = 100, .hidden = 256, .out = 47, .layers = 3}) == 206'895);
  CHECK(count<GcnNet<>>({.in = 8, .hidden = 256, .out = 112, .layers = 3}) == 96'880);
  CHECK(count<SageNet<>>({.in = 8, .hidden = 256, .out = 112, .layers = 3}) == 193'136);
  // OGB's arxiv networks put BatchNorm between the layers; LayerNorm has as many parameters.
  CHECK(count<GcnNet<>>({.in = 128, .hidden = 256, .out = 40, .layers = 3, .norm = NormKind::layer}) ==
        110'120);
  CHECK(count<SageNet<>>({.in = 128, .hidden = 256, .out = 40, .layers = 3, .norm = NormKind::layer}) ==
        218'664);
  CHECK(count<MlpNet<>>({.in = 10, .out = 3, .layers = 1}) == 33);
  // [A H | H] W without bias, and a norm after all but the last layer.
  CHECK(count<ClusterGcnNet<>>({.in = 50, .hidden = 64, .out = 5, .layers = 3}) ==
        2 * 50 * 64 + 2 * 64 * 64 + 2 * 64 * 5 + 2 * 2 * 64);
}

TEST_CASE("parameters carry PyTorch Geometric's names and the decay of the original") {
  const auto names = [](const auto& net) {
    std::string out;
    for (const ParameterInfo& info : net.parameters().parameters()) {
      out += info.name + (info.weight_decay_scale == 0 ? "- " : " ");
    }
    return out;
  };
  CHECK(names(GcnNet<>{{.in = 4, .out = 3}}) ==
        "convs.0.lin.weight convs.0.bias convs.1.lin.weight convs.1.bias ");
  CHECK(names(GcnNet<>{{.in = 4, .out = 3, .decay_first_layer_only = true}}) ==
        "convs.0.lin.weight convs.0.bias- convs.1.lin.weight- convs.1.bias- ");
  CHECK(names(SageNet<>{{.in = 4, .out = 3, .layers = 1}}) ==
        "convs.0.lin_l.weight convs.0.lin_l.bias convs.0.lin_r.weight ");
  CHECK(names(MlpNet<>{{.in = 4, .out = 3, .layers = 1}}) == "lins.0.weight lins.0.bias ");
  CHECK(names(ClusterGcnNet<>{{.in = 4, .out = 3}}) ==
        "convs.0.lin.weight convs.1.lin.weight- norms.0.weight- norms.0.bias- ");
}

TEST_CASE("options that make no network are refused") {
  CHECK_THROWS_AS(GcnNet<>({.in = 0, .out = 3}), ConfigError);
  CHECK_THROWS_AS(GcnNet<>({.in = 3, .out = 0}), ConfigError);
  CHECK_THROWS_AS(GcnNet<>({.in = 3, .out = 3, .layers = 0}), ConfigError);
  CHECK_THROWS_AS(GcnNet<>({.in = 3, .hidden = 0, .out = 3}), ConfigError);
  CHECK_THROWS_AS(GcnNet<>({.in = 3, .out = 3, .dropout = 1.5f}), ConfigError);
  CHECK_THROWS_AS(GcnNet<>({.in = 3, .out = 3, .dropout = std::nanf("")}), ConfigError);
}

TEST_CASE("initial weights are a function of the seed") {
  const GcnNet<> a({.in = 40, .out = 3, .seed = 1});
  GcnNet<> b({.in = 40, .out = 3, .seed = 2});
  CHECK_FALSE(same_bits<float>(a.parameters().values(), b.parameters().values()));
  b.parameters().grads()[0] = 1;
  b.reset_parameters(1);
  CHECK(same_bits<float>(a.parameters().values(), b.parameters().values()));
  CHECK(b.parameters().grads()[0] == 0);
  const auto first = a.parameters().value(a.parameters().find("convs.0.lin.weight"));
  const auto second = a.parameters().value(a.parameters().find("convs.1.lin.weight"));
  CHECK(std::abs(first(0, 0) / second(0, 0) - std::sqrt(19.0f / 56.0f)) >
        1e-3f);  // not the same draws, rescaled
}

/// Everything the Model concept promises in words, for one network on one stack of levels.
template <class M>
void check_model(const typename M::Options& options) {
  using T = typename M::Scalar;
  const M model(options);
  const CsrGraph graph = random_directed(60, 240, 3);
  const PreparedAdjacency prepared = prepare_adjacency(graph, model.aggregation());
  const Adjacency level = prepared.adjacency();
  const AdjacencyStack stack(std::span(&level, 1));
  const auto x = random_matrix<T>(60, options.in, 1);
  const auto run = [&](const Pass& pass) { return run_model(model, stack, x.view(), pass); };

  SECTION("evaluation is deterministic, training drops") {
    CHECK(same_bits<T>(run(Pass{}).view(), run(Pass{.dropout_key = kTraining.dropout_key}).view()));
    CHECK(same_bits<T>(run(kTraining).view(), run(kTraining).view()));
    CHECK_FALSE(same_bits<T>(run(kTraining).view(), run(Pass{}).view()));
    CHECK_FALSE(
        same_bits<T>(run(kTraining).view(),
                     run({.training = true, .dropout_key = make_key(1, 6, Purpose::dropout)}).view()));
  }
  SECTION("tape and no tape give the same bits") {
    Tape<T> tape;
    const Var y = model.forward(tape, stack, tape.input(x.view()), kTraining);
    CHECK(same_bits<T>(tape.value(y), run(kTraining).view()));
  }
  SECTION("forward is its layers in turn") {
    for (const Pass& pass : {Pass{}, kTraining}) {
      NoTape<T> ctx;
      Var h = ctx.input(x.view());
      for (std::size_t l = 0; l < model.num_layers(); ++l) h = model.layer(ctx, l, level, h, pass);
      CHECK(same_bits<T>(ctx.value(h), run(pass).view()));
    }
  }
  SECTION("one, two and four threads give the same bits, gradients included") {
    std::vector<std::int32_t> classes(60);
    for (std::size_t i = 0; i < 60; ++i) classes[i] = static_cast<std::int32_t>(i % options.out);
    const auto gradients = [&](std::size_t threads) {
      M copy(options);
      with_threads(threads, [&] {
        Tape<T> tape;
        const Var logits = copy.forward(tape, stack, tape.input(x.view()), kTraining);
        tape.backward(CrossEntropy{}(tape, logits, {.classes = classes}));
      });
      return Array<T>::copy_of(copy.parameters().grads());
    };
    const Array<T> one = gradients(1);
    CHECK(std::any_of(one.begin(), one.end(), [](T g) { return g != 0; }));
    for (const std::size_t threads : {2u, 4u}) {
      CHECK(same_bits<T>(one.span(), gradients(threads).span()));
    }
  }
  SECTION("renumbering nodes renumbers the result") {
    std::vector<NodeId> to(60);
    std::iota(to.begin(), to.end(), NodeId{0});
    shuffle(std::span<NodeId>(to), CounterRng(make_key(8, 0, Purpose::shuffle), 0, 0));
    Links links;
    Tensor<T> moved(60, options.in);
    for (std::size_t i = 0; i < 60; ++i) {
      for (const NodeId j : graph.view().neighbors(i)) links.push_back({to[j], to[i]});
      std::copy(x.row(i).begin(), x.row(i).end(), moved.row(to[i]).begin());
    }
    const CsrGraph other_graph = directed(60, links);  // must outlive what is prepared from it
    const PreparedAdjacency renumbered = prepare_adjacency(other_graph, model.aggregation());
    const Adjacency other = renumbered.adjacency();
    const auto y = run(Pass{});
    const auto z = run_model(model, AdjacencyStack(std::span(&other, 1)), moved.view(), Pass{});
    double worst = 0;
    double largest = 0;
    for (std::size_t i = 0; i < 60; ++i) {
      for (std::size_t j = 0; j < options.out; ++j) {
        worst = std::max(worst, std::abs(static_cast<double>(y(i, j)) - static_cast<double>(z(to[i], j))));
        largest = std::max(largest, std::abs(static_cast<double>(y(i, j))));
      }
    }
    // A row adds at most a few dozen neighbours and hidden units per layer, each within half a unit roundoff.
    CHECK(worst <= 100.0 * static_cast<double>(std::numeric_limits<T>::epsilon()) * std::max(1.0, largest));
  }
  SECTION("a block with every source gives the rows of the full graph") {
    // Destinations 0..19 of the last level, every node below it.
    const CsrView<> f = level.forward;
    CsrGraph cut;
    cut.num_cols = 60;
    cut.row_ptr.clear();
    for (std::size_t i = 0; i <= 20; ++i) cut.row_ptr.push_back(f.row_ptr[i]);
    for (std::size_t e = 0; e < f.row_ptr[20]; ++e) {
      cut.col.push_back(f.col[e]);
      if (f.weighted()) cut.weight.push_back(f.weight[e]);
    }
    const OwnedAdjacency last = own(std::move(cut));
    std::vector<Adjacency> levels(model.num_layers(), level);
    levels.back() = last.view();
    const auto y = run_model(model, AdjacencyStack(levels), x.view(), Pass{});
    const auto full = run(Pass{});
    CHECK(y.rows() == 20);
    CHECK(same_bits<T>(y.view(), full.view().middle_rows(0, 20)));
  }
  SECTION("two graphs side by side are two runs") {
    Links links;
    Tensor<T> twice(120, options.in);
    for (std::size_t i = 0; i < 60; ++i) {
      for (const NodeId j : graph.view().neighbors(i)) {
        links.push_back({j, static_cast<NodeId>(i)});
        links.push_back({j + 60, static_cast<NodeId>(i + 60)});
      }
      std::copy(x.row(i).begin(), x.row(i).end(), twice.row(i).begin());
      std::copy(x.row(59 - i).begin(), x.row(59 - i).end(), twice.row(i + 60).begin());
    }
    const CsrGraph pair = directed(120, links);
    const PreparedAdjacency p = prepare_adjacency(pair, model.aggregation());
    const Adjacency a = p.adjacency();
    const auto y = run_model(model, AdjacencyStack(std::span(&a, 1)), twice.view(), Pass{});
    const auto second = run_model(model, stack, twice.view().middle_rows(60, 60), Pass{});
    CHECK(same_bits<T>(y.view().middle_rows(0, 60), run(Pass{}).view()));
    CHECK(same_bits<T>(y.view().middle_rows(60, 60), second.view()));
  }
  SECTION("no node, one node, no edges") {
    for (const std::size_t n : {0u, 1u, 5u}) {
      const CsrGraph lonely = empty_graph(n);
      const PreparedAdjacency p = prepare_adjacency(lonely, model.aggregation());
      const Adjacency a = p.adjacency();
      const auto y = run_model(model, AdjacencyStack(std::span(&a, 1)), x.view().middle_rows(0, n), Pass{});
      CHECK(y.rows() == n);
      for (std::size_t i = 0; i < n; ++i) {
        for (const T element : y.row(i)) CHECK(std::isfinite(element));
      }
    }
  }
  SECTION("wrong input is named") {
    NoTape<T> ctx;
    const Var narrow = ctx.input(x.view().middle_cols(0, options.in - 1));
    const Var few = ctx.input(x.view().middle_rows(0, 59));
    CHECK_THROWS_AS(model.forward(ctx, stack, narrow, Pass{}), ShapeError);
    CHECK_THROWS_AS(model.forward(ctx, stack, few, Pass{}), ShapeError);
    CHECK_THROWS_AS(model.layer(ctx, model.num_layers(), level, few, Pass{}), IndexError);
  }
}

/// Derivatives of the training loss with respect to every parameter: central differences along random
/// directions against the tape's gradient and its tangent. Rectifiers may switch within h = 1e-6 of a kink,
/// so the seeds are fixed.
template <class M>
void check_loss_gradient(const typename M::Options& options) {
  M model(options);
  const CsrGraph graph = random_directed(25, 80, 3);
  const PreparedAdjacency prepared = prepare_adjacency(graph, model.aggregation());
  const Adjacency level = prepared.adjacency();
  const AdjacencyStack stack(std::span(&level, 1));
  const auto x = random_matrix<double>(25, options.in, 1);
  std::vector<std::int32_t> classes(25);
  for (std::size_t i = 0; i < 25; ++i) classes[i] = static_cast<std::int32_t>(i % (options.out + 1)) - 1;
  const auto values = model.parameters().values();
  for (std::size_t k = 0; k < values.size(); ++k) values[k] += 0.01 * static_cast<double>(k % 7);

  const auto loss = [&](auto& ctx) {
    const Var logits = model.forward(ctx, stack, ctx.input(x.view()), kTraining);
    return CrossEntropy{}(ctx, logits, {.classes = classes});
  };
  Tape<double> tape;
  const Var at = loss(tape);
  tape.backward(at);
  const auto grads = model.parameters().grads();
  for (std::uint64_t seed = 0; seed < 8; ++seed) {
    const Tensor<double> direction = random_matrix<double>(1, values.size(), 100 + seed);
    double along = 0;
    double size = 0;
    for (std::size_t k = 0; k < values.size(); ++k) {
      along += grads[k] * direction(0, k);
      size += std::abs(grads[k]);
    }
    const auto moved = [&](double h) {
      for (std::size_t k = 0; k < values.size(); ++k) values[k] += h * direction(0, k);
      NoTape<double> ctx;
      const double out = ctx.value(loss(ctx))(0, 0);
      for (std::size_t k = 0; k < values.size(); ++k) values[k] -= h * direction(0, k);
      return out;
    };
    const double numeric = (moved(1e-6) - moved(-1e-6)) / 2e-6;
    CHECK(std::abs(numeric - along) <= 1e-6 * std::max(1e-3, size));

    tape.clear_tangents();
    for (std::uint32_t id = 0; id < at.id; ++id) {
      const double* const data = tape.value(Var{id}).data();
      if (data < values.data() || data >= values.data() + values.size()) continue;
      const auto shape = tape.value(Var{id});
      tape.set_tangent(Var{id}, {direction.data() + (data - values.data()), shape.rows(), shape.cols()});
    }
    tape.jvp();
    REQUIRE(tape.has_tangent(at));
    CHECK(std::abs(tape.tangent(at)(0, 0) - along) <= 1e-13 * std::max(1.0, size));
  }
}

TEST_CASE("the loss of whole networks has the right gradient and tangent") {
  check_loss_gradient<GcnNet<double>>({.in = 6, .hidden = 7, .out = 3, .layers = 3, .residual = true});
  check_loss_gradient<GcnNet<double>>({.in = 4, .hidden = 9, .out = 3, .layers = 3, .norm = NormKind::layer});
  check_loss_gradient<SageNet<double>>(
      {.in = 6, .hidden = 7, .out = 3, .input_dropout = true, .norm = NormKind::layer, .residual = true});
  check_loss_gradient<SageNet<double>>({.in = 6, .hidden = 7, .out = 3, .conv = {.normalize = true}});
  check_loss_gradient<MlpNet<double>>({.in = 6, .hidden = 7, .out = 3, .layers = 3});
  check_loss_gradient<ClusterGcnNet<double>>({.in = 6, .hidden = 7, .out = 3, .layers = 3, .residual = true});
}

TEST_CASE("GcnNet keeps the promises of a model") {
  check_model<GcnNet<>>({.in = 9, .hidden = 20, .out = 4, .layers = 3, .residual = true});
}
TEST_CASE("SageNet keeps the promises of a model") {
  check_model<SageNet<>>(
      {.in = 9, .hidden = 20, .out = 4, .layers = 3, .norm = NormKind::layer, .conv = {.normalize = true}});
}
TEST_CASE("MlpNet keeps the promises of a model") {
  check_model<MlpNet<double>>({.in = 9, .hidden = 20, .out = 4, .layers = 2});
}
TEST_CASE("ClusterGcnNet keeps the promises of a model") {
  check_model<ClusterGcnNet<>>({.in = 9, .hidden = 20, .out = 4, .layers = 3});
}

TEST_CASE("Cluster-GCN's first layer may be precomputed") {
  // With the same adjacency, [A X | X] made beforehand and the layer that makes it agree.
  const CsrGraph graph = random_undirected(40, 100, 3);
  const ClusterGcnNet<double> whole({.in = 6, .hidden = 8, .out = 3});
  const ClusterGcnNet<double> split({.in = 12, .hidden = 8, .out = 3, .conv = {.precomputed = true}});
  CHECK(same_bits<double>(whole.parameters().values(), split.parameters().values()));
  const PreparedAdjacency prepared = prepare_adjacency(graph, whole.aggregation());
  const Adjacency level = prepared.adjacency();
  const AdjacencyStack stack(std::span(&level, 1));
  const auto x = random_matrix<double>(40, 6, 1);
  NoTape<double> ctx;
  const auto both = Tensor<double>::copy_of(ctx.value(aggregate_concat(ctx, level, ctx.input(x.view()))));
  for (const Pass& pass : {Pass{}, kTraining}) {
    CHECK(same_bits<double>(run_model(whole, stack, x.view(), pass).view(),
                            run_model(split, stack, both.view(), pass).view()));
  }
}

}  // namespace
