// SPDX-License-Identifier: MIT
#include "tessera/graph/validate.hpp"

#include <limits>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "tessera/graph/concepts.hpp"
#include "tessera/graph/generators.hpp"

using namespace tessera;
using namespace tessera::testing;

static_assert(GraphView<CsrGraph>);
static_assert(GraphView<CsrView<>>);
static_assert(!GraphView<Dataset>);
static_assert(NodeData<Dataset>);

namespace {

/// Features of double: not what the trainer reads.
struct DoubleData {
  CsrGraph graph;
  CsrGraph train_graph;
  Tensor<double> features;
  Labels labels;
  Array<NodeId> nodes(Role) const;
  std::size_t num_nodes() const;
  std::size_t num_features() const;
  std::size_t num_classes() const;
  bool multilabel() const;
};
static_assert(!NodeData<DoubleData>);

template <class E, class X>
std::string refusal(const X& x) {
  try {
    validate(x);
  } catch (const E& error) {
    return error.what();
  }
  return "accepted";
}

Dataset small_data() {
  return generate_community_graph({.nodes = 200, .classes = 4, .features = 3, .mean_degree = 6});
}

}  // namespace

TEST_CASE("validate accepts sound graphs") {
  validate(g6());
  validate(empty_graph(0));
  validate(empty_graph(4));
  validate(with_random_weights(random_directed(100, 500, 1), 2));
}

TEST_CASE("validate names the first offending entry of a graph") {
  CsrGraph graph = g6();
  SECTION("column out of range") {
    graph.col[3] = 6;
    graph.col[9] = 99;
    CHECK(refusal<IndexError>(graph) == "validate: col[3] in row 1 is 6, want less than 6");
  }
  SECTION("columns out of order") {
    std::swap(graph.col[4], graph.col[5]);
    CHECK(refusal<IndexError>(graph) ==
          "validate: col[5] in row 2 is 0 after 1, want strictly ascending columns");
  }
  SECTION("repeated column") {
    graph.col[5] = 0;
    CHECK(refusal<IndexError>(graph) ==
          "validate: col[5] in row 2 is 0 after 0, want strictly ascending columns");
  }
  SECTION("falling offsets") {
    graph.row_ptr[3] = 3;
    CHECK(refusal<IndexError>(graph) ==
          "validate: row_ptr[3] is 3 after 4, want offsets that do not fall and stay within 10 entries");
  }
  SECTION("offsets beyond the entries") {
    graph.row_ptr[2] = 1000;
    CHECK(refusal<IndexError>(graph) ==
          "validate: row_ptr[2] is 1000 after 2, want offsets that do not fall and stay within 10 entries");
  }
  SECTION("offsets that end early") {
    graph.row_ptr[5] = graph.row_ptr[6] = 9;
    CHECK(refusal<ShapeError>(graph) == "validate: row_ptr ends at 9, want 10 as col has entries");
  }
  SECTION("first offset") {
    graph.row_ptr[0] = 1;
    CHECK(refusal<IndexError>(graph) == "validate: row_ptr[0] is 1, want 0");
  }
  SECTION("weights") {
    graph.weight.assign(10, 1.0f);
    graph.weight[7] = std::numeric_limits<float>::infinity();
    CHECK(refusal<Error>(graph) == "validate: weight[7] in row 3 is inf, want a finite number");
    graph.weight.resize(9);
    CHECK(refusal<ShapeError>(graph) == "validate: weight has 9 entries, want 10 or none");
  }
  SECTION("false claim of symmetry") {
    graph.col[9] = 2;
    CHECK(refusal<Error>(graph) == "validate: the graph is marked symmetric but differs from its transpose");
  }
}

TEST_CASE("validate names what is wrong with a data set") {
  Dataset data = small_data();
  REQUIRE(validate(data).empty());
  SECTION("NaN feature") {
    data.features(17, 2) = std::numeric_limits<float>::quiet_NaN();
    data.features(19, 0) = std::numeric_limits<float>::quiet_NaN();
    CHECK(refusal<Error>(data) == "validate: features(17, 2) is nan, want a finite number");
  }
  SECTION("feature rows") {
    data.features.resize(199, 3);
    CHECK(refusal<ShapeError>(data) == "validate: features has 199 rows, want 200, one per node");
  }
  SECTION("label range") {
    data.labels.classes[5] = 4;
    CHECK(refusal<IndexError>(data) == "validate: labels.classes[5] is 4, want -1 or 0 to 4 - 1");
    data.labels.classes[3] = -2;
    CHECK(refusal<IndexError>(data) == "validate: labels.classes[3] is -2, want -1 or 0 to 4 - 1");
  }
  SECTION("label count") {
    data.labels.classes.resize(100);
    CHECK(refusal<ShapeError>(data) == "validate: labels.classes has 100 entries, want 200, one per node");
  }
  SECTION("roles") {
    data.roles.resize(3);
    CHECK(refusal<ShapeError>(data) == "validate: roles has 3 entries, want 200, one per node");
    data.roles.assign(200, static_cast<Role>(9));
    CHECK(refusal<IndexError>(data) == "validate: roles[0] is 9, want 0 to 3");
  }
  SECTION("indicators") {
    data = generate_community_graph(
        {.nodes = 200, .classes = 4, .features = 3, .mean_degree = 6, .multilabel = true});
    data.labels.indicators(8, 1) = 0.5f;
    CHECK(refusal<Error>(data) == "validate: labels.indicators row 8 holds a value that is neither 0 nor 1");
  }
  SECTION("training graph of another size") {
    data.train_graph = path(5);
    CHECK(refusal<ShapeError>(data) == "validate: train_graph is [5, 5], want [200, 200] or no nodes");
  }
}

TEST_CASE("validate warns of what is odd but legal") {
  Dataset data = small_data();
  for (Role& role : data.roles) role = role == Role::test ? Role::none : role;
  for (std::int32_t& k : data.labels.classes) k = k == 3 ? kUnlabelled : k;
  const std::vector<std::string> warnings = validate(data);
  REQUIRE(warnings.size() == 3);
  CHECK(warnings[0] == "the split has no test nodes");
  CHECK(warnings[1].find("training nodes have no label") != std::string::npos);
  CHECK(warnings[2] == "1 of 4 classes never occur");

  Dataset nothing;
  CHECK(validate(nothing).front() == "the graph has no nodes");
  Dataset lonely = small_data();
  lonely.graph = empty_graph(200);
  CHECK(validate(lonely).front() == "the graph has no links");
}
