// SPDX-License-Identifier: MIT
#include "tessera/graph/neighbor_sums.hpp"

#include <bit>
#include <cstdint>
#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "tessera/graph/generators.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

/// Rows of small whole numbers, so that sums are exact in any order.
Tensor<float> counting(std::size_t rows, std::size_t cols) {
  Tensor<float> x(rows, cols);
  for (std::size_t i = 0; i < rows; ++i) {
    for (std::size_t j = 0; j < cols; ++j) x(i, j) = static_cast<float>((7 * i + 3 * j) % 11) - 5;
  }
  return x;
}

void check_sums(CsrView<> a, MatrixView<const float> x, MatrixView<const float> both) {
  REQUIRE(both.rows() == x.rows());
  REQUIRE(both.cols() == 2 * x.cols());
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) {
      float sum = 0;
      for (std::size_t k = 0; k < a.degree(i); ++k) {
        sum += (a.weighted() ? a.weights(i)[k] : 1.0f) * x(a.neighbors(i)[k], j);
      }
      CHECK(both(i, j) == sum);
      CHECK(both(i, x.cols() + j) == x(i, j));
    }
  }
}

Dataset g6_data() {
  Dataset data;
  data.graph = g6();
  data.train_graph = undirected(6, {{0, 1}, {0, 2}, {1, 2}});
  data.features = counting(6, 5);
  data.labels.classes.assign(6, 0);
  data.labels.num_classes = 2;
  data.roles.assign(6, Role::test);
  return data;
}

}  // namespace

TEST_CASE("with_neighbor_sums puts the sum over neighbours beside the node") {
  const std::size_t cols = GENERATE(std::size_t{1}, std::size_t{5}, std::size_t{16}, std::size_t{50});
  for (const CsrGraph& graph : {g6(), star(40), empty_graph(3), path(1)}) {
    const Tensor<float> x = counting(graph.num_nodes(), cols);
    check_sums(graph, x, with_neighbor_sums(graph, x));
  }
}

TEST_CASE("with_neighbor_sums multiplies by stored weights and counts a stored loop once") {
  CsrGraph graph = from_links(3, {{0, 0}, {1, 0}, {2, 1}}, {});
  graph.weight.assign(graph.num_edges(), 3.0f);
  const Tensor<float> x = counting(3, 4);
  check_sums(graph, x, with_neighbor_sums(graph, x));
}

TEST_CASE("with_neighbor_sums refuses features of another graph") {
  const Tensor<float> x = counting(5, 2);
  REQUIRE_THROWS_AS(with_neighbor_sums(g6(), x), ShapeError);
}

TEST_CASE("NeighborSums gives training the sums over its own graph") {
  const Dataset data = g6_data();
  const NeighborSums whole(data);
  check_sums(data.graph, data.features, whole.features);
  const DatasetView seen = whole.view(data);
  CHECK(seen.num_features() == 10);
  CHECK(training_features(seen).data() == whole.features.data());

  const NeighborSums apart(data, {.inductive = true});
  const DatasetView view = apart.view(data);
  check_sums(data.graph, data.features, view.features);
  check_sums(data.train_graph, data.features, training_features(view));
  CHECK(training_features(view).data() == apart.train_features.data());
  CHECK(view.roles.data() == data.roles.data());
  CHECK(training_features(data).data() == data.features.data());

  SECTION("and needs that graph") {
    Dataset without = g6_data();
    without.train_graph = {};
    REQUIRE_THROWS_AS(NeighborSums(without, {.inductive = true}), ShapeError);
  }
}

TEST_CASE("Neighbour sums are the same bits for any number of threads") {
  const Dataset data = generate_community_graph({.nodes = 3000, .features = 37, .seed = 2});
  const auto bits = [&](std::size_t threads) {
    return with_threads(threads, [&] {
      const Tensor<float> both = with_neighbor_sums(data.graph, data.features);
      std::vector<std::uint32_t> out;
      for (std::size_t i = 0; i < both.rows(); ++i) {
        for (const float v : both.row(i)) out.push_back(std::bit_cast<std::uint32_t>(v));
      }
      return out;
    });
  };
  const auto one = bits(1);
  CHECK(bits(2) == one);
  CHECK(bits(4) == one);
}
