// SPDX-License-Identifier: MIT
#include <cstddef>
#include <initializer_list>

#include "support/catch.hpp"
#include "tessera/nn/layers/egc_conv.hpp"
#include "tessera/nn/layers/gat_conv.hpp"
#include "tessera/nn/layers/gatv2_conv.hpp"
#include "tessera/nn/layers/gcn_conv.hpp"
#include "tessera/nn/layers/gin_conv.hpp"
#include "tessera/nn/layers/pna_conv.hpp"
#include "tessera/nn/layers/sage_conv.hpp"
#include "tessera/nn/nets/graph_net.hpp"
#include "tessera/nn/nets/hop_net.hpp"
#include "tessera/nn/nets/mlp_net.hpp"

namespace {

using namespace tessera;
using A = Aggregator;

/// The networks of the EGC paper about graphs: an embedding, four layers with BatchNorm, mean read-out, and a head
/// h -> h / 2 -> h / 4 -> out with BatchNorm.
template <class Conv>
GraphNet<Conv> egc_paper(std::size_t in, std::size_t hidden, std::size_t out,
                         const typename Conv::Options& conv = {}) {
  return GraphNet<Conv>({.in = in,
                         .hidden = hidden,
                         .out = out,
                         .layers = 4,
                         .embed = true,
                         .norm = NormKind::batch,
                         .residual = true,
                         .head_layers = 2,
                         .conv = conv});
}

/// Features are numbers: the embedding is a Linear map.
template <class Conv>
std::size_t of_numbers(std::size_t in, std::size_t hidden, std::size_t out,
                       const typename Conv::Options& conv = {}) {
  return egc_paper<Conv>(in, hidden, out, conv).parameters().num_parameters();
}

/// Features are categories, one-hot here: the published embedding is a table, which is the Linear map less its bias.
template <class Conv>
std::size_t of_categories(std::size_t in, std::size_t hidden, const typename Conv::Options& conv = {}) {
  const GraphNet<Conv> net = egc_paper<Conv>(in, hidden, 1, conv);
  const Parameter bias = net.parameters().find("embed.bias");
  CHECK(bias.rows * bias.cols == hidden);
  return net.parameters().num_parameters() - hidden;
}

EgcConv<>::Options egc_m(std::initializer_list<Aggregator> kinds) {
  return {.heads = 4, .bases = 4, .aggregators = kinds};
}

TEST_CASE("parameter counts of the EGC paper: ZINC") {
  CHECK(of_categories<Gatv2Conv<>>(28, 104) == 98'957);
  CHECK(of_categories<EgcConv<>>(28, 168) == 102'861);
  CHECK(of_categories<EgcConv<>>(28, 124, egc_m({A::sum, A::std, A::max})) == 100'385);
}

TEST_CASE("parameter counts of the EGC paper: CIFAR10") {
  CHECK(of_numbers<Gatv2Conv<>>(5, 104, 10) == 96'912);
  CHECK(of_numbers<EgcConv<>>(5, 168, 10) == 99'552);
  CHECK(of_numbers<EgcConv<>>(5, 128, 10, egc_m({A::symmetric, A::std, A::max})) == 103'466);
}

TEST_CASE("parameter counts of the EGC paper: MolHIV") {
  CHECK(of_categories<GcnConv<>>(173, 240) == 311'401);
  CHECK(of_categories<GatConv<>>(173, 240) == 313'321);
  CHECK(of_categories<Gatv2Conv<>>(173, 184) == 328'717);
  CHECK(of_categories<GinConv<>>(173, 240, {.mlp_layers = 1}) == 311'405);
  CHECK(of_categories<SageConv<>>(173, 180) == 313'201);
  CHECK(of_categories<EgcConv<>>(173, 296) == 323'509);
  CHECK(of_categories<EgcConv<>>(173, 224, egc_m({A::sum, A::mean, A::max})) == 317'265);
}

TEST_CASE("parameter counts of linear models: SGC, and what Correct and Smooth starts from") {
  const auto sgc = [](std::size_t in, std::size_t classes) {
    return SgConvNet<>({.in = in, .out = classes}).parameters().num_parameters();
  };
  CHECK(sgc(1433, 7) == 10'038);
  CHECK(sgc(3703, 6) == 22'224);
  CHECK(sgc(500, 3) == 1'503);
  CHECK(sgc(602, 41) == 24'723);
  const auto linear = [](std::size_t in, std::size_t classes) {
    return MlpNet<>({.in = in, .out = classes, .layers = 1}).parameters().num_parameters();
  };
  CHECK(linear(128, 40) == 5'160);
  CHECK(linear(100, 47) == 4'747);
  // OGB's MLP for arxiv.
  const MlpNet<> mlp({.in = 128, .hidden = 256, .out = 40, .layers = 3, .norm = NormKind::batch});
  CHECK(mlp.parameters().num_parameters() == 110'120);
}

template <class Conv>
std::size_t layer(std::size_t in, std::size_t out, const typename Conv::Options& options = {}) {
  ParameterBlock<float> block;
  const Conv conv(block, "conv", in, out, options);
  return block.num_parameters();
}

TEST_CASE("parameter counts of single layers") {
  CHECK(layer<PnaConv<>>(76, 76) == 27'664);  // 4 towers of 19: 4 (2 19^2 + 19 + 13 19^2 + 19) + 76^2 + 76
  constexpr std::size_t h = 48;
  CHECK(layer<GcnConv<>>(h, h) == h * h + h);
  CHECK(layer<GinConv<>>(h, h, {.mlp_layers = 1}) == h * h + h + 1);
  CHECK(layer<SageConv<>>(h, h) == 2 * h * h + h);
  CHECK(layer<GatConv<>>(h, h) == h * h + 3 * h);
  CHECK(layer<Gatv2Conv<>>(h, h) == 2 * (h * h + h) + 2 * h);
  CHECK(layer<EgcConv<>>(h, h) == h * 4 * h / 8 + (h + 1) * 8 * 4 + h);
  CHECK(layer<EgcConv<>>(h, h, egc_m({A::sum, A::max, A::min})) == h * 4 * h / 4 + (h + 1) * 4 * 4 * 3 + h);
  // Heads that are averaged have as many columns each as the output.
  CHECK(layer<GatConv<>>(h, 10, {.heads = 3, .concat = false}) == h * 30 + 2 * 30 + 10);
}

}  // namespace
