// SPDX-License-Identifier: MIT
#include "tessera/graph/graph_dataset.hpp"

#include <limits>

#include "support/catch.hpp"
#include "tessera/graph/builders.hpp"

using namespace tessera;

namespace {

/// A triangle (class 1) and an edge (class 0).
GraphDataset two_graphs() {
  const std::vector<NodeId> source{0, 1, 2, 3};
  const std::vector<NodeId> target{1, 2, 0, 4};
  GraphDataset data;
  data.node_ptr.assign(3, 0);
  data.node_ptr[1] = 3;
  data.node_ptr[2] = 5;
  data.graph = build_csr(5, {source, target, {}}, {.symmetrize = true}).graph;
  data.features = Tensor<float>::filled(5, 1, 1.0f);
  data.targets.num_classes = 2;
  data.targets.classes.assign(2, 0);
  data.targets.classes[0] = 1;
  data.roles.assign(2, Role::train);
  data.roles[1] = Role::test;
  return data;
}

}  // namespace

TEST_CASE("Many graphs lie in one block-diagonal matrix", "[graph]") {
  const GraphDataset data = two_graphs();
  validate(data);
  CHECK(data.num_graphs() == 2);
  CHECK(data.num_nodes(0) == 3);
  CHECK(data.num_nodes(1) == 2);
  CHECK(data.edge_range(0) == std::pair<std::size_t, std::size_t>(0, 6));
  CHECK(data.edge_range(1) == std::pair<std::size_t, std::size_t>(6, 8));
  REQUIRE(data.graphs(Role::test).size() == 1);
  CHECK(data.graphs(Role::test)[0] == 1);
  CHECK(data.targets.width() == 2);
}

TEST_CASE("What does not fit together is refused", "[graph]") {
  GraphDataset data = two_graphs();
  SECTION("an edge between graphs") {
    data.node_ptr[1] = 2;
    CHECK_THROWS_AS(validate(data), IndexError);
  }
  SECTION("offsets that do not cover the nodes") {
    data.node_ptr[2] = 4;
    CHECK_THROWS_AS(validate(data), ShapeError);
  }
  SECTION("a class that is none") {
    data.targets.classes[1] = 2;
    CHECK_THROWS_AS(validate(data), IndexError);
  }
  SECTION("too few roles") {
    data.roles.resize(1);
    CHECK_THROWS_AS(validate(data), ShapeError);
  }
  SECTION("features of other nodes") {
    data.features = Tensor<float>::zeros(4, 1);
    CHECK_THROWS_AS(validate(data), ShapeError);
  }
  SECTION("edge features of other edges") {
    data.edge_features = Tensor<float>::zeros(7, 1);
    CHECK_THROWS_AS(validate(data), ShapeError);
  }
}

TEST_CASE("Category codes become columns with a single one", "[graph]") {
  Tensor<float> codes(2, 2);
  codes(0, 0) = 2;
  codes(0, 1) = 0;
  codes(1, 0) = 0;
  codes(1, 1) = 1;
  const std::vector<std::uint32_t> categories{3, 2};
  const Tensor<float> out = one_hot(codes.view(), categories);
  REQUIRE(out.cols() == 5);
  const std::vector<float> want{0, 0, 1, 1, 0, 1, 0, 0, 0, 1};
  for (std::size_t i = 0; i < 2; ++i) {
    for (std::size_t j = 0; j < 5; ++j) CHECK(out(i, j) == want[i * 5 + j]);
  }
  codes(1, 1) = 2;
  CHECK_THROWS_AS(one_hot(codes.view(), categories), IndexError);
  codes(1, 1) = 0.5f;
  CHECK_THROWS_AS(one_hot(codes.view(), categories), IndexError);
  codes(1, 1) = std::numeric_limits<float>::quiet_NaN();
  CHECK_THROWS_AS(one_hot(codes.view(), categories), IndexError);
  CHECK_THROWS_AS(one_hot(codes.view(), std::vector<std::uint32_t>{3}), ShapeError);
}
