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
#include "tessera/nn/nets/egc_net.hpp"
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

/// What a quantiser leaves of a matrix.
Tensor<double> rounded(const Quantized<EgcNet<double>>& model, const std::string& name,
                       MatrixView<const double> x, bool per_column) {
  Tensor<double> out(x.rows(), x.cols());
  for (std::size_t j = 0; j < x.cols(); ++j) {
    const QuantParams p = model.params(name, per_column ? j : 0);
    for (std::size_t i = 0; i < x.rows(); ++i) out(i, j) = fake_quantize(x(i, j), p);
  }
  return out;
}

Tensor<double> product(const Tensor<double>& a, const Tensor<double>& b, bool transpose_a = false) {
  const std::size_t inner = transpose_a ? a.rows() : a.cols();
  auto out = Tensor<double>::zeros(transpose_a ? a.cols() : a.rows(), b.cols());
  for (std::size_t i = 0; i < out.rows(); ++i) {
    for (std::size_t k = 0; k < inner; ++k) {
      for (std::size_t j = 0; j < out.cols(); ++j) out(i, j) += (transpose_a ? a(k, i) : a(i, k)) * b(k, j);
    }
  }
  return out;
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

TEST_CASE("a fused EGC layer is its definition over codes, and gradients go straight through", "[quant]") {
  const int bits = GENERATE(8, 4);
  const GoldenFile golden("quant.npz");
  const OwnedAdjacency graph = golden_graph(golden, "loops", true);
  const Adjacency a = graph.view();
  const Aggregators kinds{Aggregator::symmetric, Aggregator::mean};
  const std::size_t heads = 2;
  Quantized<EgcNet<double>> model(
      EgcNet<double>({.in = 6,
                      .hidden = 8,
                      .out = 8,
                      .layers = 1,
                      .dropout = 0.0f,
                      .seed = 3,
                      .conv = {.heads = heads, .bases = 3, .aggregators = kinds}}),
      {{.weight_bits = bits, .activation_bits = bits, .range = RangeRule::absolute}});
  const Tensor<double> x = golden.matrix("x");
  const Tensor<double> cotangent = golden.matrix("cotangent");
  Tape<double> tape;
  model.parameters().zero_grads();
  const Var y = model.forward(tape, AdjacencyStack({&a, 1}), tape.input(x.view()), Pass{.training = true});
  tape.backward(y, cotangent.view());

  const ParameterBlock<double>& block = model.parameters();
  const auto value = [&](const std::string& name) { return block.value(block.find("convs.0." + name)); };
  const Tensor<double> codes = rounded(model, "quant.0.input", x.view(), false);
  const Tensor<double> bases = rounded(model, "quant.0.weight", value("bases.weight"), true);
  const Tensor<double> combination = rounded(model, "quant.0.weight.1", value("comb.weight"), true);
  Tensor<double> plain_w = product(codes, combination);
  for (std::size_t i = 0; i < plain_w.rows(); ++i) {
    for (std::size_t j = 0; j < plain_w.cols(); ++j) plain_w(i, j) += value("comb.bias")(0, j);
  }
  Tensor<double> u = rounded(model, "quant.0.features", product(codes, bases).view(), false);
  Tensor<double> w = rounded(model, "quant.0.features.1", plain_w.view(), false);
  const auto combine = [&] {
    NoTape<double> ctx;
    return ctx.take(multi_aggregate_combine(ctx, a, ctx.input(u.view()), ctx.input(w.view()), heads, kinds));
  };
  const Tensor<double> want = combine();  // the layer's bias starts at 0
  double size = 1;
  for (std::size_t i = 0; i < want.rows(); ++i) {
    for (const double v : want.row(i)) size = std::max(size, std::abs(v));
  }
  // Sums of at most 16 terms three deep; a scale is kept as a float on both sides.
  CHECK(max_difference<double>(tape.value(y), want.view()) < 48 * size * 0x1p-50);

  // The operator is linear in either operand: central differences of any step are exact but for rounding.
  const auto derivative = [&](Tensor<double>& operand) {
    Tensor<double> out(operand.rows(), operand.cols());
    for (std::size_t i = 0; i < operand.rows(); ++i) {
      for (std::size_t j = 0; j < operand.cols(); ++j) {
        const double kept = operand(i, j);
        double side[2];
        for (int k = 0; k < 2; ++k) {
          operand(i, j) = kept + (k == 0 ? 1 : -1);
          const Tensor<double> at = combine();
          side[k] = 0;
          for (std::size_t r = 0; r < at.rows(); ++r) {
            for (std::size_t c = 0; c < at.cols(); ++c) side[k] += at(r, c) * cotangent(r, c);
          }
        }
        operand(i, j) = kept;
        out(i, j) = (side[0] - side[1]) / 2;
      }
    }
    return out;
  };
  const Tensor<double> by_bases = product(codes, derivative(u), true);
  const Tensor<double> by_combination = product(codes, derivative(w), true);
  const auto grad = [&](const std::string& name) { return block.grad(block.find("convs.0." + name)); };
  const double bound = 1024 * size * 0x1p-44;
  CHECK(max_difference<double>(grad("bases.weight"), by_bases.view()) < bound);
  CHECK(max_difference<double>(grad("comb.weight"), by_combination.view()) < bound);
  // By chance neither is zero.
  CHECK(max_difference<double>(by_bases.view(),
                               Tensor<double>::zeros(by_bases.rows(), by_bases.cols()).view()) > 1e-3);
}
