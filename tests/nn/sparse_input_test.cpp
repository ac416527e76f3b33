// SPDX-License-Identifier: MIT
// Networks on features given by their entries against the same networks on the dense matrix.
#include "tessera/nn/autograd/sparse_input.hpp"

#include <cmath>
#include <cstddef>
#include <functional>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/nn_cases.hpp"
#include "tessera/kernels/edge_dropout.hpp"
#include "tessera/nn/all.hpp"

namespace {

using namespace tessera;
using namespace tessera::testing;

constexpr std::size_t kSources = 40;
constexpr std::size_t kTargets = 25;
constexpr std::size_t kWords = 30;

/// 40 rows of 3 words each, every eighth row without any.
OwnedAdjacency bags() {
  CsrGraph graph;
  graph.num_cols = kWords;
  graph.row_ptr.clear();
  graph.row_ptr.push_back(0);
  for (std::size_t i = 0; i < kSources; ++i) {
    for (std::size_t w = 0; w < 3 && i % 8 != 5; ++w) {
      graph.col.push_back(static_cast<NodeId>(w * 10 + (i * 7 + w) % 10));
      graph.weight.push_back(static_cast<float>(1 + (i + w) % 4) / 4.0f);
    }
    graph.row_ptr.push_back(graph.col.size());
  }
  return own(std::move(graph));
}

double difference(MatrixView<const double> a, MatrixView<const double> b) {
  REQUIRE(a.rows() == b.rows());
  REQUIRE(a.cols() == b.cols());
  double worst = 0;
  for (std::size_t i = 0; i < a.rows(); ++i) {
    for (std::size_t j = 0; j < a.cols(); ++j) worst = std::max(worst, std::abs(a(i, j) - b(i, j)));
  }
  return worst;
}

/// Logits and gradients (of the logits' weighted sum) are those of the dense matrix. Sums of at most 40 terms of size
/// about 1 in another order differ by 40 roundings of 1e-16 each, some layers deep.
template <class M>
void check_same(M model, const std::string& name, const std::vector<Adjacency>& levels) {
  INFO(name);
  REQUIRE(accepts_sparse_input(model));
  const OwnedAdjacency words = bags();
  const Tensor<double> x = dense(words.forward.view());
  const Tensor<double> cotangent = random_matrix<double>(levels.back().num_dst(), 3, 9);
  const SparseInput input{words.view(), {}, kSources};

  Tape<double> tape;
  model.parameters().zero_grads();
  const Var want = model.forward(tape, AdjacencyStack(levels), tape.input(x.view()), Pass{});
  tape.backward(want, cotangent.view());
  const Tensor<double> logits = Tensor<double>::copy_of(tape.value(want));
  const std::vector<double> gradient(model.parameters().grads().begin(), model.parameters().grads().end());
  tape.rewind();

  model.parameters().zero_grads();
  const Var got = model.forward(tape, AdjacencyStack(levels), tape.input(input), Pass{});
  tape.backward(got, cotangent.view());
  CHECK(difference(tape.value(got), logits.view()) < 1e-12);
  double worst = 0;
  double largest = 0;
  for (std::size_t k = 0; k < gradient.size(); ++k) {
    worst = std::max(worst, std::abs(model.parameters().grads()[k] - gradient[k]));
    largest = std::max(largest, std::abs(gradient[k]));
  }
  CHECK(largest > 0.01);
  CHECK(worst < 1e-12 * std::max(1.0, largest));

  NoTape<double> ctx;
  const Var inferred = model.forward(ctx, AdjacencyStack(levels), ctx.input(input), Pass{});
  // Not the same bits: training may aggregate before it multiplies where a block has few targets.
  CHECK(difference(ctx.value(inferred), MatrixView<const double>(tape.value(got))) < 1e-12);
}

/// The same on a level that keeps fewer rows, then square ones.
template <class M>
void check_same(M model, const std::string& name) {
  const OwnedAdjacency first = random_block(kTargets, kSources, 4, 3);
  const OwnedAdjacency later = random_block(kTargets, kTargets, 4, 5);
  std::vector<Adjacency> levels(model.num_layers(), later.view());
  levels.front() = first.view();
  check_same(std::move(model), name, levels);
}

/// A training step, with every dropout drawn, reads no element of the input, forwards or backwards.
template <class M>
void check_trains(M model, const std::string& name, bool drop_inputs) {
  INFO(name << (drop_inputs ? ", inputs dropped" : ""));
  REQUIRE(accepts_sparse_input(model));
  const OwnedAdjacency words = bags();
  const OwnedAdjacency square = random_block(kSources, kSources, 4, 3);
  const std::vector<Adjacency> levels(model.num_layers(), square.view());
  Tape<double> tape;
  model.parameters().zero_grads();
  const Pass pass{
      .training = true, .drop_inputs = drop_inputs, .dropout_key = make_key(1, 2, Purpose::dropout)};
  const Var y =
      model.forward(tape, AdjacencyStack(levels), tape.input(SparseInput{words.view(), {}, kSources}), pass);
  const Tensor<double> cotangent = random_matrix<double>(kSources, 3, 9);
  tape.backward(y, cotangent.view());
  double sum = 0;
  for (const double g : model.parameters().grads()) sum += std::abs(g);
  CHECK(std::isfinite(sum));
  CHECK(sum > 0.01);
}

}  // namespace

TEST_CASE("Networks give the same logits and gradients on entries as on the dense matrix", "[nn][sparse]") {
  const std::size_t hidden = GENERATE(std::size_t{8}, std::size_t{48});
  check_same(GcnNet<double>({.in = kWords, .hidden = hidden, .out = 3, .seed = 1}), "GCN");
  check_same(GcnNet<double>({.in = kWords, .hidden = hidden, .out = 3, .linear_ends = true, .seed = 1}),
             "ends");
  check_same(SageNet<double>({.in = kWords, .hidden = hidden, .out = 3, .seed = 1}), "SAGE");
  check_same(SageNet<double>({.in = kWords,
                              .hidden = hidden,
                              .out = 3,
                              .seed = 1,
                              .conv = {.reduce = Reduce::max, .project = true}}),
             "SAGE, pool");
  check_same(GatNet<double>({.in = kWords, .hidden = hidden, .out = 3, .seed = 1, .conv = {.heads = 4}}),
             "GAT");
  check_same(Gatv2Net<double>({.in = kWords, .hidden = hidden, .out = 3, .seed = 1, .conv = {.heads = 4}}),
             "GATv2");
  check_same(EgcNet<double>({.in = kWords, .hidden = hidden, .out = 3, .seed = 1, .conv = {.heads = 1}}),
             "EGC");
  check_same(MlpNet<double>({.in = kWords, .hidden = hidden, .out = 3, .seed = 1}), "MLP");
  check_same(AppnpNet<double>({.in = kWords, .hidden = hidden, .out = 3, .steps = 3, .seed = 1}), "APPNP");
  check_same(GcniiNet<double>({.in = kWords, .hidden = hidden, .out = 3, .layers = 3, .seed = 1}), "GCNII");
  check_same(JumpingGcnNet<double>({.in = kWords, .hidden = hidden, .out = 3, .seed = 1}), "JK");
  check_same(JumpingGcnNet<double>({.in = kWords, .hidden = hidden, .out = 3, .jump = Jump::lstm, .seed = 1}),
             "JK, LSTM");
  check_same(GatedGcnNet<double>({.in = kWords, .hidden = hidden, .out = 3, .seed = 1}), "GatedGCN");
  check_same(GenNet<double>({.in = kWords, .hidden = hidden, .out = 3, .linear_ends = true, .seed = 1}),
             "GENConv, ends");
  check_same(GcnNet<double>({.in = kWords, .hidden = 8, .out = 3, .layers = 3, .residual = true, .seed = 1}),
             "GCN, residual");
}

TEST_CASE("Networks train on entries with every kind of dropout", "[nn][sparse]") {
  const bool drop_inputs = GENERATE(false, true);
  const auto gcn = [](GcnConv<double>::Options conv) {
    return GcnNet<double>(
        {.in = kWords, .hidden = 8, .out = 3, .input_dropout = true, .seed = 1, .conv = conv});
  };
  check_trains(gcn({}), "GCN", drop_inputs);
  check_trains(gcn({.entry_dropout = 0.3f}), "GCN, dropped edges", drop_inputs);
  check_trains(gcn({.entry_dropout = 0.3f, .dropped = Dropped::messages}), "GCN, dropped messages",
               drop_inputs);
  check_trains(SageNet<double>({.in = kWords, .hidden = 8, .out = 3, .norm = NormKind::batch, .seed = 1}),
               "SAGE, batch norm", drop_inputs);
  check_trains(GatNet<double>({.in = kWords, .hidden = 8, .out = 3, .seed = 1, .conv = {.heads = 4}}), "GAT",
               drop_inputs);
  check_trains(GatedGcnNet<double>({.in = kWords, .hidden = 8, .out = 3, .seed = 1}), "GatedGCN",
               drop_inputs);
  check_trains(GenNet<double>({.in = kWords, .hidden = 8, .out = 3, .linear_ends = true, .seed = 1}),
               "GENConv, ends", drop_inputs);
  check_trains(AppnpNet<double>({.in = kWords, .hidden = 8, .out = 3, .steps = 3, .seed = 1}), "APPNP",
               drop_inputs);
  check_trains(GcniiNet<double>({.in = kWords, .hidden = 8, .out = 3, .layers = 3, .seed = 1}), "GCNII",
               drop_inputs);
  for (const Jump jump : {Jump::cat, Jump::max, Jump::lstm}) {
    check_trains(JumpingGcnNet<double>({.in = kWords, .hidden = 8, .out = 3, .jump = jump, .seed = 1}), "JK",
                 drop_inputs);
  }
}

TEST_CASE("An operator that wants elements of a sparse input says so", "[nn][sparse]") {
  const OwnedAdjacency words = bags();
  const OwnedAdjacency block = random_block(kTargets, kSources, 4, 3);
  const auto check_refused = [&](auto& ctx) {
    const Var x = ctx.input(SparseInput{words.view(), {}, kSources});
    CHECK(ctx.rows(x) == kSources);
    CHECK(ctx.cols(x) == kWords);
    REQUIRE_THROWS_AS(ctx.value(x), ConfigError);
    REQUIRE_THROWS_AS(aggregate(ctx, block.view(), x, Reduce::sum, {}), ConfigError);
    REQUIRE_THROWS_AS(concat_columns(ctx, x, x), ConfigError);
    REQUIRE_THROWS_AS(ctx.take(x), ConfigError);
    ctx.rewind();
  };
  Tape<double> tape;
  NoTape<double> ctx;
  check_refused(tape);
  check_refused(ctx);
  // A model that does not accept them, given them all the same.
  const GinNet<double> gin({.in = kWords, .hidden = 8, .out = 3});
  const OwnedAdjacency square = random_block(kSources, kSources, 4, 3);
  const std::vector<Adjacency> levels(gin.num_layers(), square.view());
  REQUIRE_THROWS_AS(
      gin.forward(ctx, AdjacencyStack(levels), ctx.input(SparseInput{words.view(), {}, kSources}), Pass{}),
      ConfigError);
}

TEST_CASE("Dropout of a sparse input drops its entries in products, forwards and backwards", "[nn][sparse]") {
  const OwnedAdjacency words = bags();
  const DropoutMask mask{0.4f, make_key(3, 1, Purpose::dropout), 2};
  // The entries that the rule keeps, as a dense matrix.
  Tensor<double> x = dense(words.forward.view());
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t f = 0; f < x.cols(); ++f) {
      const bool kept = edge_dropout_keeps(mask, static_cast<NodeId>(i), static_cast<NodeId>(f));
      x(i, f) *= kept ? static_cast<double>(1.0f / (1.0f - 0.4f)) : 0.0;
    }
  }
  Tensor<double> value = random_matrix<double>(kWords, 5, 4);
  const auto run = [&](bool sparse, std::size_t rows, Tensor<double>& grad) {
    Tape<double> tape;
    Var in = sparse ? dropout(tape, tape.input(SparseInput{words.view(), {}, kSources}), mask)
                    : tape.input(x.view());
    if (sparse) CHECK_THROWS_AS(dropout(tape, in, mask), ConfigError);
    in = head_rows(tape, in, rows);
    grad = Tensor<double>::zeros(kWords, 5);
    const Var w = tape.parameter({value.view(), grad.view()});
    const Var y = linear(tape, in, w, Finish{.activation = Activation::relu});
    const Tensor<double> ones = random_matrix<double>(rows, 5, 6);
    tape.backward(y, ones.view());
    return Tensor<double>::copy_of(tape.value(y));
  };
  for (const std::size_t rows : {kSources, kTargets}) {
    Tensor<double> want_grad;
    Tensor<double> got_grad;
    const Tensor<double> want = run(false, rows, want_grad);
    const Tensor<double> got = run(true, rows, got_grad);
    // The weights of the entries are float.
    CHECK(difference(got.view(), want.view()) < 1e-6);
    CHECK(difference(got_grad.view(), want_grad.view()) < 1e-5);
  }
}

TEST_CASE("Networks of samplers take entries on the blocks these make", "[nn][sparse]") {
  const OwnedAdjacency targets = random_block(kTargets, kSources, 4, 3);
  const OwnedAdjacency square = random_block(kSources, kSources, 4, 5);
  check_same(PprgoNet<double>({.in = kWords, .hidden = 8, .out = 3, .seed = 1}), "PPRGo", {targets.view()});
  using Shadow = ShadowNet<SageConv<double>>;
  check_same(Shadow({.in = kWords, .hidden = 8, .out = 3, .layers = 2, .pooling = Pooling::mean, .seed = 1}),
             "shaDow", {square.view(), targets.view()});
  check_same(RevSageNet<double>({.in = kWords, .hidden = 8, .out = 3, .layers = 2, .seed = 1}), "reversible",
             {square.view()});
  const OwnedAdjacency later = random_block(kTargets, kTargets, 4, 6);
  for (const char* arch : {"0-1", "1-2"}) {
    check_same(GraphSaintNet<double>({.in = kWords, .hidden = 8, .out = 3, .arch = arch, .seed = 1}), arch,
               {targets.view(), later.view(), later.view()});
  }
}

TEST_CASE("Networks that do more with their features than multiply them say so", "[nn][sparse]") {
  CHECK_FALSE(accepts_sparse_input(GinNet<>({.in = 8, .out = 3})));
  CHECK_FALSE(accepts_sparse_input(SageNet<>({.in = 8, .out = 3, .conv = {.reduce = Reduce::max}})));
  CHECK_FALSE(accepts_sparse_input(GcnNet<>({.in = 16, .hidden = 16, .out = 3, .residual = true})));
  CHECK_FALSE(accepts_sparse_input(GcnNet<>({.in = 8, .out = 3, .node_dropout = 0.1f})));
  CHECK_FALSE(accepts_sparse_input(ShadowNet<GinConv<>>({.in = 8, .out = 3})));
  CHECK_FALSE(accepts_sparse_input(GraphSaintNet<>({.in = 8, .out = 3, .arch = "2"})));
  CHECK_FALSE(accepts_sparse_input(GraphSaintNet<>({.in = 8, .hidden = 8, .out = 3})));
  CHECK(accepts_sparse_input(AnyModel<>(GcnNet<>({.in = 8, .out = 3}))));
  CHECK_FALSE(accepts_sparse_input(AnyModel<>(GinNet<>({.in = 8, .out = 3}))));
}
