// SPDX-License-Identifier: MIT
#include "tessera/nn/layers/cluster_gcn_conv.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/graph/neighbor_sums.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/nn/autograd/no_tape.hpp"
#include "tessera/nn/nets/cluster_gcn_net.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

/// Row i of A_hat, densely.
std::vector<float> coefficients(const CsrGraph& graph, const ClusterGcnConv<>::Options& options,
                                std::size_t i) {
  const PreparedAdjacency prepared = prepare_adjacency(graph, ClusterGcnConv<>::aggregation(options));
  const Adjacency a = prepared.adjacency();
  std::vector<float> row(graph.num_nodes(), 0.0f);
  for (std::size_t k = 0; k < a.forward.degree(i); ++k) {
    row[a.forward.neighbors(i)[k]] = a.forward.weighted() ? a.forward.weights(i)[k] : 1.0f;
  }
  return row;
}

}  // namespace

TEST_CASE("diag_lambda means what it means in the published program") {
  // Node 2 of G6 has the neighbours 0, 1 and 3; node 5 has none.
  const CsrGraph graph = g6();
  const float third = 1.0f / 3.0f;
  SECTION("-1: the mean over the neighbours") {
    CHECK(coefficients(graph, {.diag_lambda = -1}, 2) == std::vector<float>{third, third, 0, third, 0, 0});
    CHECK(coefficients(graph, {.diag_lambda = -1}, 5) == std::vector<float>(6, 0.0f));
  }
  SECTION("0: the node counts as its own neighbour") {
    CHECK(coefficients(graph, {}, 2) == std::vector<float>{0.25f, 0.25f, 0.25f, 0.25f, 0, 0});
    CHECK(coefficients(graph, {}, 5) == std::vector<float>{0, 0, 0, 0, 0, 1});
  }
  SECTION("1: and its diagonal counts twice") {
    CHECK(coefficients(graph, {.diag_lambda = 1}, 2) == std::vector<float>{0.25f, 0.25f, 0.5f, 0.25f, 0, 0});
    CHECK(coefficients(graph, {.diag_lambda = 1}, 5) == std::vector<float>{0, 0, 0, 0, 0, 2});
  }
  SECTION("symmetric: with Kipf and Welling's normalisation") {
    // Degrees with loops: 3 of node 1, 4 of node 2; the product of the reciprocal roots rounds twice.
    const auto row = coefficients(graph, {.diag_lambda = 1, .normalization = Normalization::symmetric}, 2);
    const float rounding = 4 * std::numeric_limits<float>::epsilon();
    CHECK(std::abs(row[1] - 1 / std::sqrt(12.0f)) <= rounding);
    CHECK(std::abs(row[2] - 0.5f) <= rounding);
  }
  SECTION("anything else is refused") {
    for (const float lambda : {-0.5f, -2.0f, std::numeric_limits<float>::quiet_NaN()}) {
      REQUIRE_THROWS_AS(ClusterGcnNet<>({.in = 2, .out = 2, .conv = {.diag_lambda = lambda}}), ConfigError);
    }
  }
}

TEST_CASE("The precomputed first layer is the layer on raw sums") {
  const Dataset data =
      generate_community_graph({.nodes = 300, .classes = 3, .features = 20, .mean_degree = 9, .seed = 4});
  const ClusterGcnConv<>::Options raw{.diag_lambda = -1, .normalization = Normalization::none};
  const ClusterGcnNet<> fly({.in = 20, .out = 4, .layers = 1, .conv = raw});
  const ClusterGcnNet<> made({.in = 40, .out = 4, .layers = 1, .conv = {.precomputed = true}});
  const NeighborSums sums(data);
  NoTape<float> ctx;
  const PreparedAdjacency prepared = prepare_adjacency(data.graph, fly.aggregation());
  const Adjacency a = prepared.adjacency();
  const MatrixView<const float> x = data.features;
  const Var one = fly.layer(ctx, 0, a, ctx.input(x), Pass{});
  const Var other = made.layer(ctx, 0, a, ctx.input(sums.features.view()), Pass{});

  float largest = 0;
  std::size_t degree = 0;
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (const float v : x.row(i)) largest = std::max(largest, std::abs(v));
    degree = std::max(degree, data.graph.view().degree(i));
  }
  // Sums of `degree` terms, then of 2 F products with weights below 1.
  const float rounding =
      4 * static_cast<float>(degree * 40) * std::numeric_limits<float>::epsilon() * largest;
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < 4; ++j)
      CHECK(std::abs(ctx.value(one)(i, j) - ctx.value(other)(i, j)) <= rounding);
  }
}
