// SPDX-License-Identifier: MIT
#include "tessera/io/train_graph.hpp"

#include <cstdint>
#include <vector>

#include "support/catch.hpp"
#include "tessera/graph/builders.hpp"

using namespace tessera;

TEST_CASE("The training graph has exactly the edges between training nodes", "[io]") {
  constexpr std::size_t kNodes = 5000;
  std::vector<NodeId> source, target;
  std::uint32_t state = 12345;
  const auto draw = [&state] { return (state = state * 1664525u + 1013904223u) >> 8; };
  for (int e = 0; e < 40'000; ++e) {
    source.push_back(static_cast<NodeId>(draw() % kNodes));
    target.push_back(static_cast<NodeId>(draw() % kNodes));
  }
  Array<Role> roles(kNodes);
  for (Role& role : roles) role = static_cast<Role>(draw() % 4);
  const CsrGraph graph =
      build_csr(kNodes, {source, target, {}}, {.symmetrize = true, .duplicates = Duplicates::sum}).graph;
  const CsrGraph kept = io::edges_among_training_nodes(graph, roles);
  REQUIRE(kept.num_nodes() == kNodes);
  CHECK(kept.symmetric);
  std::size_t expected = 0;
  for (std::size_t i = 0; i < kNodes; ++i) {
    std::vector<NodeId> want;
    std::vector<float> weight;
    for (EdgeId e = graph.row_ptr[i]; e < graph.row_ptr[i + 1]; ++e) {
      if (roles[i] != Role::train || roles[graph.col[e]] != Role::train) continue;
      want.push_back(graph.col[e]);
      weight.push_back(graph.weight[e]);
    }
    const auto got = kept.view().neighbors(i);
    const auto got_weight = kept.view().weights(i);
    REQUIRE(std::vector<NodeId>(got.begin(), got.end()) == want);
    REQUIRE(std::vector<float>(got_weight.begin(), got_weight.end()) == weight);
    expected += want.size();
  }
  CHECK(kept.num_edges() == expected);
  CHECK(expected > 1000);
  CHECK_THROWS_AS(io::edges_among_training_nodes(graph, roles.span().first(3)), ShapeError);
}
