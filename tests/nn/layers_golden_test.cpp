// SPDX-License-Identifier: MIT
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/golden.hpp"
#include "support/nn_cases.hpp"
#include "tessera/nn/layers/egc_conv.hpp"
#include "tessera/nn/layers/gat_conv.hpp"
#include "tessera/nn/layers/gatv2_conv.hpp"
#include "tessera/nn/layers/gin_conv.hpp"
#include "tessera/nn/layers/pna_conv.hpp"
#include "tessera/nn/layers/sage_conv.hpp"
#include "tessera/nn/nets/hop_net.hpp"
#include "tessera/nn/ops/identity_mapping.hpp"
#include "tessera/nn/ops/propagate.hpp"

// What PyTorch Geometric computes (tests/golden/make_layers_golden.py), layer by layer, in double.
namespace {

using namespace tessera;
using namespace tessera::testing;

// Normalised weights are float: half a unit of 6e-8 in each of two factors, three times over. Else double throughout.
constexpr double kWeightTolerance = 2e-6;
constexpr double kTolerance = 1e-12;

class Golden : public GoldenFile {
 public:
  Golden() : GoldenFile("layers.npz") {}

  CsrGraph graph(bool undirected = false) const {
    const BuildOptions options{.symmetrize = undirected,
                               .self_loops = undirected ? SelfLoops::drop : SelfLoops::keep};
    const std::vector<NodeId> source = ids("graph.source");
    const std::vector<NodeId> target = ids("graph.target");
    return build_csr(7, {source, target, {}}, options).graph;
  }
};

void check_close(const Golden& golden, const std::string& name, MatrixView<const double> got,
                 double tolerance) {
  INFO(name);
  CHECK(max_difference<double>(got, golden.matrix(name).view()) <= tolerance);
}

/// Runs `layer(tape, x)` with the case's parameters and compares output and gradients.
template <class F>
void check_case(const Golden& golden, const std::string& name, const std::string& prefix,
                ParameterBlock<double>& block, double tolerance, F&& layer) {
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
  check_close(golden, name + ".y", tape.value(y), tolerance);
  tape.backward(y, golden.matrix(name + ".g").view());
  check_close(golden, name + ".x.grad", x_grad.view(), tolerance);
  for (const ParameterInfo& info : block.parameters()) {
    if (!info.trained) continue;
    check_close(golden, name + "." + info.name.substr(prefix.size()) + ".grad",
                block.grad(block.find(info.name)), tolerance);
  }
}

template <class Conv>
void check_conv(const Golden& golden, const std::string& name, std::size_t out,
                const typename Conv::Options& options) {
  ParameterBlock<double> block;
  const Conv conv(block, "conv", 5, out, options);
  const AggregationSpec spec = Conv::aggregation(options);
  const CsrGraph graph = golden.graph();
  const PreparedAdjacency prepared = prepare_adjacency(graph, spec);
  const Adjacency a = prepared.adjacency();
  check_case(golden, name, "conv.", block,
             spec.normalization == Normalization::none ? kTolerance : kWeightTolerance,
             [&](auto& tape, Var x) {
               if constexpr (requires { conv(tape, block, a, x, Finish{}, Pass{}); }) {
                 return conv(tape, block, a, x, Finish{}, Pass{.training = true});
               } else {
                 return conv(tape, block, a, x, Finish{});
               }
             });
}

TEST_CASE("attention layers equal PyTorch Geometric's, gradients included") {
  const Golden golden;
  check_conv<GatConv<double>>(golden, "gat", 6, {.heads = 2});
  check_conv<GatConv<double>>(golden, "gat_mean", 4, {.heads = 3, .concat = false});
  check_conv<Gatv2Conv<double>>(golden, "gatv2", 6, {.heads = 2});
  check_conv<Gatv2Conv<double>>(golden, "gatv2_mean", 4, {.heads = 3, .concat = false});
}

TEST_CASE("EGC layers equal PyTorch Geometric's, gradients included") {
  const Golden golden;
  using A = Aggregator;
  check_conv<EgcConv<double>>(golden, "egc_s", 6, {.heads = 2, .bases = 3});
  check_conv<EgcConv<double>>(golden, "egc_m", 6,
                              {.heads = 2, .bases = 3, .aggregators = {A::symmetric, A::max, A::mean}});
  check_conv<EgcConv<double>>(golden, "egc_other", 6,
                              {.heads = 3, .bases = 2, .aggregators = {A::sum, A::var, A::min}});
}

TEST_CASE("PNA equals PyTorch Geometric's, gradients included") {
  const Golden golden;
  const CsrGraph graph = golden.graph();
  const PreparedAdjacency prepared = prepare_adjacency(graph, PnaConv<double>::aggregation({}));
  const double delta = mean_log_degree(prepared.adjacency().forward);
  check_conv<PnaConv<double>>(golden, "pna", 4,
                              {.towers = 1, .divide_input = false, .mean_log_degree = delta});
  check_conv<PnaConv<double>>(golden, "pna_towers", 6,
                              {.towers = 2, .divide_input = false, .mean_log_degree = delta});
}

TEST_CASE("GIN equals PyTorch Geometric's, gradients included") {
  const Golden golden;
  check_conv<GinConv<double>>(golden, "gin", 4, {});
}

TEST_CASE("the aggregators of GraphSAGE equal PyTorch Geometric's, gradients included") {
  const Golden golden;
  check_conv<SageConv<double>>(golden, "sage_pool", 4, {.reduce = Reduce::max, .project = true});
  check_conv<SageConv<double>>(golden, "sage_gcn", 4, {.root_weight = false, .self_loops = true});
}

/// A network of one convolution over several hops.
template <class Net>
void check_hops(const Golden& golden, const std::string& name, std::size_t hops, bool undirected) {
  Net net({.in = 5, .out = 3, .layers = 1, .hops = hops});
  const CsrGraph graph = golden.graph(undirected);
  const PreparedAdjacency prepared = prepare_adjacency(graph, net.aggregation());
  const Adjacency a = prepared.adjacency();
  check_case(golden, name, "", net.parameters(), kWeightTolerance, [&](auto& tape, Var x) {
    return net.forward(tape, AdjacencyStack(std::span(&a, 1)), x, Pass{});
  });
}

TEST_CASE("convolutions over several hops equal PyTorch Geometric's, gradients included") {
  const Golden golden;
  check_hops<SgConvNet<double>>(golden, "sgconv", 2, false);
  check_hops<TagNet<double>>(golden, "tag", 2, false);
  check_hops<ChebNet<double>>(golden, "cheb", 3, true);
}

TEST_CASE("the steps of APPNP and GCNII equal PyTorch Geometric's, gradients included") {
  const Golden golden;
  const CsrGraph graph = golden.graph();
  const PreparedAdjacency prepared = prepare_adjacency(graph, {Normalization::symmetric, true, 0.0f});
  const Adjacency a = prepared.adjacency();
  ParameterBlock<double> none;
  check_case(golden, "appnp", "", none, kWeightTolerance, [&](auto& tape, Var x) {
    Var z = x;
    for (int k = 0; k < 3; ++k) z = propagate(tape, a, z, x, 0.2);
    return z;
  });
  const double beta = std::log(0.5 / 2 + 1.0);
  ParameterBlock<double> plain;
  const Parameter w = plain.add("weight1", 5, 5);
  check_case(golden, "gcn2", "", plain, kWeightTolerance, [&](auto& tape, Var x) {
    const Var r = propagate(tape, a, x, x, 0.1);
    return linear(tape, r, identity_mapping(tape, tape.parameter(plain[w]), 1 - beta, beta));
  });
  ParameterBlock<double> starred;
  const Parameter w1 = starred.add("weight1", 5, 5);
  const Parameter w2 = starred.add("weight2", 5, 5);
  check_case(golden, "gcn2_star", "", starred, kWeightTolerance, [&](auto& tape, Var x) {
    const Var left = identity_mapping(tape, tape.parameter(starred[w1]), 0.9 * (1 - beta), 0.9 * beta);
    const Var right = identity_mapping(tape, tape.parameter(starred[w2]), 0.1 * (1 - beta), 0.1 * beta);
    return linear_pair(tape, aggregate(tape, a, x), left, x, right);
  });
}

}  // namespace
