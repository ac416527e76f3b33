// SPDX-License-Identifier: MIT
#include "tessera/quant/quant_ops.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/golden.hpp"
#include "support/nn_cases.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/nn/nets/gat_net.hpp"
#include "tessera/nn/nets/gcn_net.hpp"
#include "tessera/nn/nets/gin_net.hpp"
#include "tessera/quant/quantized.hpp"

using namespace tessera;
using namespace tessera::testing;

// tests/golden/make_quant_golden.py: Degree-Quant's layers in PyTorch, every quantiser of the faithful placement.

namespace {

OwnedAdjacency golden_graph(const GoldenFile& golden, const std::string& name, bool normed) {
  const auto n = static_cast<std::size_t>(golden.values<std::int64_t>("n")[0]);
  CsrGraph graph;
  graph.num_cols = n;
  graph.row_ptr.clear();
  graph.row_ptr.push_back(0);
  const auto dst = golden.ids(name + "_dst");
  const auto src = golden.ids(name + "_src");
  const auto norm = golden.values<double>("norm");
  for (std::size_t e = 0, i = 0; i < n; ++i) {
    for (; e < dst.size() && dst[e] == i; ++e) {
      graph.col.push_back(src[e]);
      if (normed) graph.weight.push_back(static_cast<float>(norm[e]));
    }
    graph.row_ptr.push_back(graph.col.size());
  }
  return own(std::move(graph));
}

void set(ParameterBlock<double>& block, const std::string& name, MatrixView<const double> value) {
  const MatrixView<double> to = block.value(block.find(name));
  REQUIRE(to.rows() == value.rows());
  REQUIRE(to.cols() == value.cols());
  for (std::size_t i = 0; i < to.rows(); ++i)
    std::copy(value.row(i).begin(), value.row(i).end(), to.row(i).begin());
}

using Names = std::vector<std::pair<std::string, std::string>>;  // ours, the golden file's

/// Trains one step of one layer and compares what comes out and the gradients of all parameters.
template <class Net>
void check_golden(Net net, const std::string& layer, int bits, const OwnedAdjacency& graph,
                  const Names& parameters) {
  const GoldenFile golden("quant.npz");
  Quantized<Net> model(std::move(net), {{.weight_bits = bits,
                                         .activation_bits = bits,
                                         .per_channel = false,
                                         .placement = Placement::faithful,
                                         .range = RangeRule::absolute,
                                         .gradient = QuantGradient::clipped}});
  for (const auto& [ours, theirs] : parameters) set(model.parameters(), ours, golden.matrix(theirs).view());
  const Adjacency a = graph.view();
  const Tensor<double> x = golden.matrix("x");
  const Tensor<double> cotangent = golden.matrix("cotangent");
  Tape<double> tape;
  const Var y = model.forward(tape, AdjacencyStack({&a, 1}), tape.input(x.view()), Pass{.training = true});
  const std::string key = layer + std::to_string(bits) + "_";
  // Sums of at most 16 numbers of magnitude below 50, chained three times; the codes themselves are equal.
  const double tolerance = 48 * 50 * 0x1p-52;
  CHECK(max_difference<double>(tape.value(y), golden.matrix(key + "y").view()) < tolerance);
  model.parameters().zero_grads();
  tape.backward(y, cotangent.view());
  for (const auto& [ours, theirs] : parameters) {
    CAPTURE(ours);
    const auto grad = std::as_const(model.parameters()).grad(model.parameters().find(ours));
    CHECK(max_difference<double>(grad, golden.matrix(key + "d_" + theirs).view()) < 16 * tolerance);
  }
}

}  // namespace

TEST_CASE("a faithful GCN layer is the published one", "[quant]") {
  const int bits = GENERATE(8, 4);
  const GoldenFile golden("quant.npz");
  GcnNet<double> net({.in = 6, .out = 8, .layers = 1, .dropout = 0.0f});
  check_golden(std::move(net), "gcn", bits, golden_graph(golden, "loops", true),
               {{"convs.0.lin.weight", "w"}, {"convs.0.bias", "b"}});
}

TEST_CASE("a faithful GAT layer is the published one", "[quant]") {
  const int bits = GENERATE(8, 4);
  const GoldenFile golden("quant.npz");
  GatNet<double>::Options options{.in = 6, .out = 8, .layers = 1, .dropout = 0.0f};
  options.conv.out_heads = 2;
  options.conv.entry_dropout = 0;
  check_golden(GatNet<double>(options), "gat", bits, golden_graph(golden, "loops", false),
               {{"convs.0.lin.weight", "wide"},
                {"convs.0.bias", "b"},
                {"convs.0.att_src", "att_src"},
                {"convs.0.att_dst", "att_dst"}});
}

TEST_CASE("a faithful GIN layer is the published one", "[quant]") {
  const int bits = GENERATE(8, 4);
  const GoldenFile golden("quant.npz");
  GinNet<double>::Options options{.in = 6, .out = 8, .layers = 1, .dropout = 0.0f};
  options.conv.mlp_layers = 1;
  check_golden(GinNet<double>(options), "gin", bits, golden_graph(golden, "pairs", false),
               {{"convs.0.nn.0.weight", "w"}, {"convs.0.nn.0.bias", "b"}, {"convs.0.eps", "eps"}});
}
