// SPDX-License-Identifier: MIT
// Whole integer networks: the same bits at every instruction set and for any number of threads.
#include <algorithm>
#include <cstddef>

#include "support/catch.hpp"
#include "support/int8_cases.hpp"
#include "support/quant_cases.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/quant/calibrate.hpp"
#include "tessera/quant/int8_export.hpp"
#include "tessera/quant/int8_model.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

constexpr QuantSettings kWeights8{};
constexpr QuantSettings kWeights4{.weight_bits = 4};
constexpr QuantSettings kAll4{.weight_bits = 4, .activation_bits = 4};

constexpr std::size_t kNodes = 700;

/// A hub with more neighbours than 16 bits sum bytes of.
CsrGraph with_hub() {
  CsrGraph graph;
  hub_graph(kNodes, {}, graph);
  return graph;
}

/// Runs a calibrated network in integers at every level.
template <class Net>
void check_levels(const CsrGraph& graph, const typename Net::Options& options,
                  const QuantSettings& settings) {
  Quantized<Net> model(Net(options), {settings});
  // Biases and norms away from their initial zeros and ones.
  ParameterBlock<float>& block = model.parameters();
  for (const ParameterInfo& info : block.parameters()) {
    if (info.rows != 1 || info.name.starts_with("quant.")) continue;
    const auto values = test::random_floats(info.cols, 0.1, 0.9, 31 + info.offset);
    std::copy(values.begin(), values.end(), block.values().data() + info.offset);
  }
  const PreparedAdjacency trained = prepare_adjacency(graph.view(), true, model.aggregation());
  const Adjacency a = trained.adjacency();
  const Tensor<float> x = random_matrix<float>(kNodes, options.in, 17);
  calibrate(model, AdjacencyStack({&a, 1}), x.view());

  const Int8Model integers = export_int8(model);
  const PreparedAdjacency pattern = prepare_adjacency(graph.view(), true, integers.aggregation());
  const CsrView<> view = pattern.adjacency().forward;
  const auto run = [&](Int8Isa isa, std::size_t threads) {
    const Int8IsaScope scope(isa);
    return with_threads(threads, [&] { return integers.infer(view, x); });
  };
  const Tensor<float> want = run(Int8Isa::baseline, 1);
  // Not one code for all nodes, which would be the same bits whatever the kernels do.
  std::size_t different = 0;
  for (std::size_t i = 1; i < kNodes; ++i) different += want(i, 0) != want(i - 1, 0);
  CHECK(different > kNodes / 4);
  for (const Int8Isa isa : test::int8_levels()) {
    for (const std::size_t threads : {1u, 2u, 4u}) {
      CAPTURE(name(isa), threads, settings.weight_bits, settings.activation_bits);
      const Tensor<float> got = run(isa, threads);
      CHECK(max_difference<float>(got.view(), want.view()) == 0.0f);
      CHECK(same_bits<float>(got.view(), want.view()));
    }
  }
}

/// Depths of a tile and more, widths that are no multiple of a vector.
template <class Net>
typename Net::Options sizes(std::size_t in, std::size_t hidden, std::size_t layers) {
  return {.in = in, .hidden = hidden, .out = 9, .layers = layers, .dropout = 0, .seed = 5};
}

}  // namespace

TEST_CASE("integer GCN is the same bits at every instruction set and for any threads", "[int8]") {
  const QuantSettings settings = GENERATE(kWeights8, kWeights4, kAll4);
  check_levels<GcnNet<>>(with_hub(), sizes<GcnNet<>>(90, 70, 3), settings);  // X W first
  check_levels<GcnNet<>>(with_hub(), sizes<GcnNet<>>(20, 70, 2), settings);  // the sum first
}

TEST_CASE("integer GraphSAGE is the same bits at every instruction set and for any threads", "[int8]") {
  const QuantSettings settings = GENERATE(kWeights8, kWeights4, kAll4);
  check_levels<SageNet<>>(with_hub(), sizes<SageNet<>>(90, 70, 3), settings);
  check_levels<SageNet<>>(with_hub(), sizes<SageNet<>>(20, 70, 2), settings);
}

TEST_CASE("integer GIN is the same bits at every instruction set and for any threads", "[int8]") {
  const QuantSettings settings = GENERATE(kWeights8, kWeights4, kAll4);
  // Beside the sums over a hub all others would be one code of four bits.
  const CsrGraph graph = settings.activation_bits == 4 ? random_undirected(kNodes, 2000, 3) : with_hub();
  check_levels<GinNet<>>(graph, sizes<GinNet<>>(90, 70, 3), settings);
  auto one_map = sizes<GinNet<>>(20, 70, 2);
  one_map.conv.mlp_layers = 1;
  check_levels<GinNet<>>(graph, one_map, settings);
}

TEST_CASE(
    "integer GAT, its exponentials floats, is the same bits at every instruction set and for any threads",
    "[int8]") {
  const QuantSettings settings = GENERATE(kWeights8, kWeights4, kAll4);
  auto options = sizes<GatNet<>>(90, 72, 3);
  options.conv.heads = 4;
  options.conv.out_heads = 2;
  check_levels<GatNet<>>(with_hub(), options, settings);
  options = sizes<GatNet<>>(20, 70, 2);
  options.conv.heads = 1;
  check_levels<GatNet<>>(with_hub(), options, settings);
}
