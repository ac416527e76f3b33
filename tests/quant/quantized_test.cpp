// SPDX-License-Identifier: MIT
#include "tessera/quant/quantized.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/quant_cases.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/nn/any_model.hpp"
#include "tessera/nn/losses/cross_entropy.hpp"
#include "tessera/nn/optim/adam.hpp"
#include "tessera/quant/calibrate.hpp"
#include "tessera/sampling/any_sampler.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"
#include "tessera/train/trainer.hpp"

using namespace tessera;
using namespace tessera::testing;

static_assert(Model<Quantized<GcnNet<>>>);
static_assert(Model<Quantized<GcnNet<>, DegreeQuant<8>>>);
static_assert(TrainableModel<Quantized<GraphNet<GinConv<>>>>);
static_assert(!Model<Quantized<GraphNet<GinConv<>>>>);
static_assert(QuantPolicy<Qat<4>>);
static_assert(!QuantPolicy<GcnNet<>>);

namespace {

using Names = std::vector<std::string>;

template <class Net>
Names points(Placement placement) {
  const Quantized<Net> model(small_net<Net>(1), {{.placement = placement}});
  Names out;
  for (const QuantPoint& p : model.plan().points) out.push_back(p.name.substr(8) + (p.masked ? "*" : ""));
  return out;
}

QuantSettings sixteen_bits(Placement placement) {
  return {.weight_bits = 16, .activation_bits = 16, .placement = placement, .range = RangeRule::absolute};
}

/// Largest difference of two vectors over the largest element.
double relative_difference(std::span<const float> a, std::span<const float> b) {
  double worst = 0;
  double size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(a[i]) - static_cast<double>(b[i])));
    size = std::max(size, std::abs(static_cast<double>(b[i])));
  }
  return worst / size;
}

/// Gradients of all trained parameters under a fixed cotangent, and the output.
template <class M>
std::pair<std::vector<float>, Tensor<float>> gradients(const M& model, const Adjacency& a,
                                                       MatrixView<const float> x, const Pass& pass) {
  Tape<float> tape;
  model.parameters().zero_grads();
  const Var y = model.forward(tape, AdjacencyStack({&a, 1}), tape.input(x), pass);
  const Tensor<float> cotangent = random_matrix<float>(tape.rows(y), tape.cols(y), 77);
  tape.backward(y, cotangent.view());
  std::vector<float> out;
  for (const ParameterInfo& p : model.parameters().parameters()) {
    if (!p.trained) continue;
    const auto grads = model.parameters().grads().subspan(p.offset, p.size());
    out.insert(out.end(), grads.begin(), grads.end());
  }
  return {std::move(out), Tensor<float>::copy_of(tape.value(y))};
}

/// At 16 bits a quantised network is nearly the network: its outputs and gradients are off by a few codes.
template <class Net>
void check_fine_codes(Placement placement) {
  CsrGraph graph;
  const Net plain = small_net<Net>(2);
  const auto prepared = hub_graph(40, plain.aggregation(), graph);
  const Adjacency a = prepared.adjacency();
  const Tensor<float> x = random_matrix<float>(40, 6, 4);
  const Quantized<Net> fine(small_net<Net>(2), {sixteen_bits(placement)});
  const auto [want_grads, want] = gradients(plain, a, x.view(), training_pass(0));
  const auto [grads, got] = gradients(fine, a, x.view(), training_pass(0));
  // Two layers of at most five roundings of 2^-16 of the range each (half a step, twice the mean magnitude), amplified by
  // the hub's sum of 40 rows: 2 5 2^-17 40.
  const double bound = 2 * 5 * 40 * 0x1p-17;
  CHECK(relative_difference({got.data(), got.size()}, {want.data(), want.size()}) < bound);
  CHECK(relative_difference(grads, want_grads) < bound);
}

Dataset planted() {
  return generate_community_graph(
      {.nodes = 900, .classes = 4, .features = 16, .mean_degree = 10, .feature_noise = 0.6, .seed = 3});
}

/// A quantised network for `planted`. All tests train the same type, which is compiled once.
template <class Net>
AnyModel<> quantized(const Dataset& data, const QuantSettings& settings) {
  Quantized<Net> model(Net({.in = 16, .hidden = 16, .out = 4, .dropout = 0.2f, .seed = 1}), {settings});
  model.protect(data.graph.view());
  return model;
}

double learned(const Dataset& data, AnyModel<>& model, AnySampler sampler, std::size_t epochs) {
  Trainer trainer{model, std::move(sampler), CrossEntropy{}, Adam{.lr = 0.02}};
  return trainer.fit(data, {.epochs = epochs}).evaluation.test.metric;
}

template <class Net>
double learned(const Dataset& data, const QuantSettings& settings, AnySampler sampler,
               std::size_t epochs = 40) {
  AnyModel<> model = quantized<Net>(data, settings);
  return learned(data, model, std::move(sampler), epochs);
}

}  // namespace

TEST_CASE("quantizers stand where the placement says", "[quant]") {
  CHECK(points<GcnNet<>>(Placement::faithful) ==
        Names{"input*", "weight", "features*", "norm", "message*", "aggregate*", "update*"});
  CHECK(points<GatNet<>>(Placement::faithful) == Names{"input*", "weight", "features*", "attention",
                                                       "attention.1", "logit*", "message*", "aggregate*",
                                                       "update*"});
  CHECK(points<GinNet<>>(Placement::faithful) ==
        Names{"message*", "aggregate*", "input", "weight", "product", "input.1", "weight.1", "product.1"});
  CHECK(points<SageNet<>>(Placement::faithful) ==
        Names{"input*", "weight", "message*", "aggregate*", "weight.1", "product*"});
  CHECK(points<EgcNet<>>(Placement::faithful) == Names{"input*", "weight", "weight.1", "product*",
                                                       "features*", "features.1*", "aggregate*", "update*"});
  CHECK(points<GcnNet<>>(Placement::fused) == Names{"input*", "weight", "features*"});
  CHECK(points<GatNet<>>(Placement::fused) ==
        Names{"input*", "weight", "features*", "attention", "attention.1", "share*"});
  CHECK(points<EgcNet<>>(Placement::fused) ==
        Names{"input*", "weight", "weight.1", "features*", "features.1*"});
  CHECK(points<GinNet<>>(Placement::fused) == Names{"input*", "input.1", "weight", "input.2", "weight.1"});
  CHECK(points<SageNet<>>(Placement::fused) == Names{"input*", "weight", "input.1*", "weight.1"});
}

TEST_CASE("fine codes change little, gradients included", "[quant]") {
  const Placement placement = GENERATE(Placement::fused, Placement::faithful);
  check_fine_codes<GcnNet<>>(placement);
  check_fine_codes<GatNet<>>(placement);
  check_fine_codes<SageNet<>>(placement);
  check_fine_codes<GinNet<>>(placement);
  check_fine_codes<EgcNet<>>(placement);
}

TEST_CASE("inference ignores protection and changes nothing", "[quant]") {
  CsrGraph graph;
  const auto prepared = hub_graph(30, GcnNet<>({.in = 6, .out = 4}).aggregation(), graph);
  const Adjacency a = prepared.adjacency();
  const Tensor<float> x = random_matrix<float>(30, 6, 4);
  Quantized<GcnNet<>, DegreeQuant<4>> model(small_net<GcnNet<>>(2), {.p_low = 0.2, .p_high = 0.9});
  CHECK_THROWS_AS(run_once(model, a, x.view(), training_pass(0)), ConfigError);  // no degrees yet
  model.protect(graph.view());
  CHECK_THROWS_AS(run_once(model, a, x.view()), ConfigError);  // nothing observed yet
  run_once(model, a, x.view(), training_pass(0));

  const std::vector<float> before(model.parameters().values().begin(), model.parameters().values().end());
  const Tensor<float> y = run_once(model, a, x.view());
  Quantized<GcnNet<>> plain(small_net<GcnNet<>>(2), {DegreeQuant<4>{.p_low = 0, .p_high = 0}.settings()});
  copy_parameters(model.parameters(), plain.parameters());
  CHECK(same_bits<float>(y.view(), run_once(plain, a, x.view()).view()));
  CHECK(std::equal(before.begin(), before.end(), model.parameters().values().begin()));

  NoTape<float> ctx;  // layer by layer, the same bits
  Var h = ctx.input(x.view());
  for (std::size_t l = 0; l < 2; ++l) h = std::as_const(model).layer(ctx, l, a, h, Pass{});
  CHECK(same_bits<float>(y.view(), ctx.value(h)));
}

TEST_CASE(
    "without protected nodes DegreeQuant is plain training with codes; with all of them rows stay exact",
    "[quant]") {
  CsrGraph graph;
  const auto prepared = hub_graph(30, GcnNet<>({.in = 6, .out = 4}).aggregation(), graph);
  const Adjacency a = prepared.adjacency();
  const Tensor<float> x = random_matrix<float>(30, 6, 4);
  QuantSettings settings = DegreeQuant<4>{.p_low = 0, .p_high = 0}.settings();
  settings.placement = GENERATE(Placement::fused, Placement::faithful);
  Quantized<GcnNet<>> none(small_net<GcnNet<>>(2), {settings});
  none.protect(graph.view());
  settings.protect = false;
  Quantized<GcnNet<>> plain(small_net<GcnNet<>>(2), {settings});
  const Tensor<float> y = run_once(none, a, x.view(), training_pass(1));
  CHECK(same_bits<float>(y.view(), run_once(plain, a, x.view(), training_pass(1)).view()));

  settings.protect = true;
  settings.p_low = settings.p_high = 1;
  settings.weight_bits = 32;
  Quantized<GcnNet<>> all(small_net<GcnNet<>>(2), {settings});
  all.protect(graph.view());
  const Tensor<float> exact = run_once(small_net<GcnNet<>>(2), a, x.view(), training_pass(1));
  // The network itself sums before it multiplies where that is narrower: another order of at most 40 terms.
  const float bound = 40 * 0x1p-22f;
  if (settings.placement == Placement::faithful) {
    // Norms are never masked: codes of 4 bits until they are turned off.
    CHECK(max_difference<float>(run_once(all, a, x.view(), training_pass(1)).view(), exact.view()) > bound);
    for (std::size_t k = 0; k < all.plan().points.size(); ++k) {
      if (all.plan().points[k].role == QuantRole::norm) all.set_bits(k, 32);
    }
  }
  const Tensor<float> kept = run_once(all, a, x.view(), training_pass(1));
  CHECK(max_difference<float>(kept.view(), exact.view()) < bound);
}

TEST_CASE("protected rows have exact gradients", "[quant]") {
  // One layer, codes of 2 bits: only protected rows pass what a float layer passes.
  CsrGraph graph;
  const auto prepared = hub_graph(30, GcnNet<>({.in = 6, .out = 4}).aggregation(), graph);
  const Adjacency a = prepared.adjacency();
  const Tensor<float> x = random_matrix<float>(30, 6, 4);
  QuantSettings settings = DegreeQuant<4>{.p_low = 1, .p_high = 1}.settings();
  settings.weight_bits = 32;
  settings.activation_bits = 2;
  Quantized<GcnNet<>> model(small_net<GcnNet<>>(1), {settings});
  model.protect(graph.view());
  const auto [grads, y] = gradients(model, a, x.view(), training_pass(2));
  const auto [want, exact] = gradients(small_net<GcnNet<>>(1), a, x.view(), training_pass(2));
  CHECK(relative_difference(grads, want) < 40 * 0x1p-22);
}

TEST_CASE("a column's largest weight keeps its gradient, a tensor's least one has none as published",
          "[quant]") {
  CsrGraph graph;
  const auto prepared = hub_graph(30, GcnNet<>({.in = 6, .out = 4}).aggregation(), graph);
  const Adjacency a = prepared.adjacency();
  const Tensor<float> x = random_matrix<float>(30, 6, 4);
  QuantSettings settings = DegreeQuant<4>{.p_low = 0, .p_high = 0}.settings();
  settings.per_channel = GENERATE(true, false);
  Quantized<GcnNet<>> model(small_net<GcnNet<>>(1), {settings});
  model.protect(graph.view());
  gradients(model, a, x.view(), training_pass(3));
  const ParameterBlock<float>& block = model.parameters();
  const Parameter at = block.find("convs.0.lin.weight");
  const MatrixView<const float> w = block.value(at);
  const MatrixView<const float> g = block.grad(at);
  std::size_t least = 0;
  for (std::size_t j = 0; j < w.cols(); ++j) {
    std::size_t largest = 0;
    for (std::size_t k = 0; k < w.rows(); ++k) {
      if (std::abs(w(k, j)) > std::abs(w(largest, j))) largest = k;
      if (w(k, j) < w(least / w.cols(), least % w.cols())) least = k * w.cols() + j;
    }
    if (settings.per_channel) CHECK(g(largest, j) != 0.0f);
  }
  if (!settings.per_channel) CHECK(g(least / w.cols(), least % w.cols()) == 0.0f);
}

TEST_CASE("a training step is the same for any number of threads", "[quant]") {
  const Dataset data = planted();
  const auto run = [&](std::size_t threads) {
    return with_threads(threads, [&] {
      AnyModel<> model = quantized<GcnNet<>>(data, DegreeQuant<4>{}.settings());
      learned(data, model, FullGraphSampler{}, 3);
      return std::vector<float>(model.parameters().values().begin(), model.parameters().values().end());
    });
  };
  const auto one = run(1);
  CHECK(run(4) == one);
  CHECK(run(16) == one);
}

TEST_CASE("every way of training with codes learns", "[quant]") {
  const Dataset data = planted();
  CHECK(learned<GcnNet<>>(data, Qat<8>{}.settings(), FullGraphSampler{}) > 0.85);
  CHECK(learned<GcnNet<>>(data, NoisyQat<8>{}.settings(), FullGraphSampler{}) > 0.85);
  CHECK(learned<GcnNet<>>(data, DegreeQuant<8>{.placement = Placement::faithful}.settings(),
                          FullGraphSampler{}) > 0.85);
  CHECK(learned<GcnNet<>>(data, DegreeQuant<4>{}.settings(), FullGraphSampler{}) > 0.8);
  CHECK(learned<SageNet<>>(data, DegreeQuant<8>{}.settings(),
                           NeighborSampler({.fanouts = {5, 5}, .batches = {.batch_size = 128}}), 15) > 0.8);
}

TEST_CASE("calibration gives a trained network its ranges", "[quant]") {
  const Dataset data = planted();
  const GcnNet<>::Options options{.in = 16, .hidden = 16, .out = 4, .seed = 1};
  AnyModel<> trained = GcnNet<>(options);
  const double exact = learned(data, trained, FullGraphSampler{}, 40);
  Quantized<GcnNet<>> model(GcnNet<>(options), {{.range = RangeRule::absolute}});
  copy_parameters(std::as_const(trained).parameters(), model.parameters());
  const auto prepared = prepare_adjacency(data.graph.view(), data.graph.symmetric, model.aggregation());
  const Adjacency a = prepared.adjacency();
  calibrate(model, AdjacencyStack({&a, 1}), data.features.view());
  const Tensor<float> y = run_once(model, a, data.features.view());
  const RoleTargets rows = targets_of(data, Role::test);
  const double rounded =
      measure(Metric::accuracy, y.view(), LabelView{data.labels.classes.span(), {}}, rows.rows.span());
  CHECK(std::abs(rounded - exact) < 0.01);
  // A range is that of the numbers: the input's is the features'.
  const ValueRange<float> seen = value_range(data.features.view());
  const QuantParams want = quant_params(seen.min, seen.max, {.is_signed = false});
  CHECK(model.params("quant.0.input") == want);
}

TEST_CASE("state is saved with the parameters, and forgotten with them", "[quant]") {
  CsrGraph graph;
  const auto prepared = hub_graph(30, GcnNet<>({.in = 6, .out = 4}).aggregation(), graph);
  const Adjacency a = prepared.adjacency();
  const Tensor<float> x = random_matrix<float>(30, 6, 4);
  Quantized<GcnNet<>> model(small_net<GcnNet<>>(2), {});
  run_once(model, a, x.view(), training_pass(0));
  const ParameterBlock<float> saved = model.parameters().clone();
  const Tensor<float> y = run_once(model, a, x.view());
  const Tensor<float> wide = random_matrix<float>(30, 6, 5);
  run_once(model, a, wide.view(), training_pass(1));
  copy_parameters(saved, model.parameters());
  CHECK(same_bits<float>(y.view(), run_once(model, a, x.view()).view()));
  model.reset_parameters(0);
  CHECK_THROWS_AS(run_once(model, a, x.view()), ConfigError);
}

TEST_CASE("graphs of a batch train with codes", "[quant]") {
  Quantized<GraphNet<GinConv<>>, DegreeQuant<4>> model(
      GraphNet<GinConv<>>({.in = 6, .hidden = 8, .out = 2, .layers = 2}), {});
  CsrGraph graph;
  const auto prepared = hub_graph(20, model.aggregation(), graph);
  const std::size_t cut[] = {0, 20};
  model.protect(graph.view(), cut);
  const Adjacency a = prepared.adjacency();
  const std::vector<EdgeId> graph_ptr{0, 20};
  std::vector<EdgeId> node_ptr;
  std::vector<NodeId> nodes;
  for (NodeId v = 0; v < 20; ++v) {
    nodes.push_back(v);
    node_ptr.push_back(v);
  }
  node_ptr.push_back(20);
  const std::vector<NodeId> owner(20, 0);
  std::vector<EdgeId> positions(node_ptr.begin(), node_ptr.end() - 1);
  const Adjacency readout{.forward = {1, 20, graph_ptr, nodes, {}},
                          .transpose = {20, 1, node_ptr, owner, {}},
                          .transpose_edge = positions};
  const Tensor<float> x = random_matrix<float>(20, 6, 4);
  Tape<float> tape;
  const Var y = std::as_const(model).forward(tape, AdjacencyStack({&a, 1}, &readout), tape.input(x.view()),
                                             training_pass(0));
  CHECK(tape.rows(y) == 1);
  const Tensor<float> one = Tensor<float>::filled(1, 2, 1.0f);
  tape.backward(y, one.view());
  double size = 0;
  for (const float g : model.parameters().grads()) size += std::abs(g);
  CHECK(size > 0);
}

TEST_CASE("an adjacency without the coefficients a network wants is refused", "[quant]") {
  const Dataset data = planted();
  for (const Placement placement : {Placement::fused, Placement::faithful}) {
    Quantized<GcnNet<>> model(GcnNet<>({.in = 16, .hidden = 16, .out = 4}), {{.placement = placement}});
    const TransposedGraph t = transpose(data.graph.view());
    const Adjacency bare{data.graph.view(), t.graph.view(), t.edge.span()};
    CHECK_THROWS_AS(calibrate(model, AdjacencyStack({&bare, 1}), data.features.view()), ConfigError);
  }
}

TEST_CASE("parameters that do not fit are copied not at all", "[quant]") {
  const GcnNet<> from({.in = 4, .hidden = 6, .out = 3, .seed = 1});
  GcnNet<> to({.in = 4, .hidden = 6, .out = 2, .seed = 2});
  const std::vector<float> before(to.parameters().values().begin(), to.parameters().values().end());
  CHECK_THROWS_AS(copy_parameters(from.parameters(), to.parameters()), ShapeError);
  CHECK(std::equal(before.begin(), before.end(), to.parameters().values().begin()));
}

TEST_CASE("settings that cannot be are refused", "[quant]") {
  const auto make = [](QuantSettings s) { return Quantized<GcnNet<>>(small_net<GcnNet<>>(1), {s}); };
  CHECK_THROWS_AS(make({.weight_bits = 1}), ConfigError);
  CHECK_THROWS_AS(make({.activation_bits = 24}), ConfigError);
  CHECK_THROWS_AS(make({.momentum = 1.5}), ConfigError);
  CHECK_THROWS_AS(make({.percentile = 0.6}), ConfigError);
  CHECK_THROWS_AS(make({.p_low = 0.5, .p_high = 0.4}), ConfigError);
  CHECK_THROWS_AS(make({.noise_rate = -1}), ConfigError);
  Quantized<GcnNet<>> model(small_net<GcnNet<>>(1), {});
  CHECK_THROWS_AS(model.params("quant.7.input"), ConfigError);
  CHECK_THROWS_AS(model.set_bits(99, 8), ConfigError);
  CHECK_THROWS_AS(model.set_bits(0, 1), ConfigError);
}

TEST_CASE("a model's bytes follow the widths", "[quant]") {
  Quantized<GcnNet<>> model(small_net<GcnNet<>>(1), {});
  // 24 weights of a byte, four scales and four biases.
  CHECK(model.model_bytes() == 24 + 16 + 16);
  model.set_bits(1, 4);
  CHECK(model.model_bytes() == 12 + 16 + 16);
  model.set_bits(1, 32);
  CHECK(model.model_bytes() == 4 * 28);
}
