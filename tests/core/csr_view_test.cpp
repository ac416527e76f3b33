// SPDX-License-Identifier: MIT
#include "tessera/core/csr_view.hpp"

#include <vector>

#include "support/catch.hpp"
#include "tessera/core/adjacency.hpp"

using namespace tessera;

TEST_CASE("A view answers for rows, with and without weights", "[csr_view]") {
  const std::vector<EdgeId> row_ptr{0, 2, 2, 3};
  const std::vector<NodeId> col{0, 2, 1};
  const std::vector<float> weight{0.5f, 1.5f, 2.5f};
  CsrView<> a{3, 3, row_ptr, col, {}};
  CHECK(a.num_edges() == 3);
  CHECK(a.degree(0) == 2);
  CHECK(a.degree(1) == 0);
  CHECK(a.neighbors(0)[1] == 2);
  CHECK(a.weights(0).empty());
  a.weight = weight;
  CHECK(a.weights(2)[0] == 2.5f);
}

TEST_CASE("A stack of one adjacency serves every layer", "[csr_view]") {
  const Adjacency levels[2] = {{CsrView<>{1, 1, {}, {}, {}}, {}, {}}, {CsrView<>{2, 2, {}, {}, {}}, {}, {}}};
  CHECK(AdjacencyStack(std::span(levels, 1))[7].num_dst() == 1);
  CHECK(AdjacencyStack(levels)[1].num_dst() == 2);
}
