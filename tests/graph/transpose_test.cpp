// SPDX-License-Identifier: MIT
#include "tessera/graph/transpose.hpp"

#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

template <class T>
std::vector<T> values(const Array<T>& array) {
  return {array.begin(), array.end()};
}

void check_transpose(CsrView<> a) {
  const TransposedGraph t = transpose(a);
  REQUIRE(t.graph.num_nodes() == a.num_cols);
  REQUIRE(t.graph.num_cols == a.num_rows);
  REQUIRE(t.graph.num_edges() == a.num_edges());
  REQUIRE(t.graph.weight.size() == a.weight.size());
  const Array<NodeId> row_of = entry_rows(a);
  std::vector<bool> seen(a.num_edges());
  for (std::size_t j = 0; j < a.num_cols; ++j) {
    for (std::size_t e = t.graph.row_ptr[j]; e < t.graph.row_ptr[j + 1]; ++e) {
      const EdgeId original = t.edge[e];
      REQUIRE_FALSE(seen[original]);
      seen[original] = true;
      REQUIRE(a.col[original] == j);
      REQUIRE(row_of[original] == t.graph.col[e]);
      if (e > t.graph.row_ptr[j]) REQUIRE(t.edge[e - 1] < original);  // so columns ascend as well
      if (a.weighted()) REQUIRE(t.graph.weight[e] == a.weight[original]);
    }
  }
}

}  // namespace

TEST_CASE("transpose holds every entry once, ascending, with its position in the original") {
  check_transpose(empty_graph(0));
  check_transpose(empty_graph(3));
  check_transpose(g6());
  check_transpose(star(200));
  check_transpose(random_directed(50, 400, 1));
  check_transpose(random_directed(3000, 90'000, 2));
  check_transpose(with_random_weights(random_directed(700, 9000, 3), 4));
  check_transpose(random_directed(200'000, 100'000, 5));  // more columns than one bucket may hold
}

TEST_CASE("transpose of a matrix that is not square") {
  const std::vector<EdgeId> row_ptr{0, 2, 2, 5};
  const std::vector<NodeId> col{1, 4, 0, 1, 3};
  const CsrView<> a{3, 5, row_ptr, col, {}};
  check_transpose(a);
  const TransposedGraph t = transpose(a);
  CHECK(values(t.graph.row_ptr) == std::vector<EdgeId>{0, 1, 3, 3, 4, 5});
  CHECK(values(t.graph.col) == std::vector<NodeId>{2, 0, 2, 2, 0});
  CHECK(values(t.edge) == std::vector<EdgeId>{2, 0, 3, 4, 1});
}

TEST_CASE("transpose twice is the original; a symmetric graph is its own transpose") {
  const CsrGraph a = with_random_weights(random_directed(500, 4000, 6), 7);
  const TransposedGraph back = transpose(transpose(a).graph);
  CHECK(values(back.graph.row_ptr) == values(a.row_ptr));
  CHECK(values(back.graph.col) == values(a.col));
  CHECK(values(back.graph.weight) == values(a.weight));
  const CsrGraph s = with_random_weights(random_undirected(500, 4000, 8), 9);
  const TransposedGraph t = transpose(s);
  CHECK(values(t.graph.col) == values(s.col));
  CHECK(values(t.graph.weight) == values(s.weight));
}

TEST_CASE("transpose gives the same bits for any number of threads") {
  const CsrGraph a = with_random_weights(random_directed(20'000, 300'000, 10), 11);
  const TransposedGraph one = with_threads(1, [&] { return transpose(a); });
  for (const std::size_t threads : {2u, 4u, 16u}) {
    const TransposedGraph many = with_threads(threads, [&] { return transpose(a); });
    CHECK(values(one.graph.row_ptr) == values(many.graph.row_ptr));
    CHECK(values(one.graph.col) == values(many.graph.col));
    CHECK(values(one.graph.weight) == values(many.graph.weight));
    CHECK(values(one.edge) == values(many.edge));
  }
}
