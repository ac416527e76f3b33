// SPDX-License-Identifier: MIT
#include "tessera/graph/normalization.hpp"

#include <cmath>
#include <limits>
#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

using Dense = std::vector<std::vector<double>>;

Dense dense(CsrView<> a) {
  Dense out(a.num_rows, std::vector<double>(a.num_cols, 0.0));
  for (std::size_t i = 0; i < a.num_rows; ++i) {
    for (auto e = a.begin(i); e < a.end(i); ++e)
      out[i][a.col[e]] += a.weighted() ? static_cast<double>(a.weight[e]) : 1.0;
  }
  return out;
}

/// The slow twin: the formulas of the specification on a dense matrix.
Dense naive(CsrView<> graph, const AggregationSpec& spec) {
  Dense a = dense(graph);
  const std::size_t n = graph.num_rows;
  if (spec.self_loops) {
    for (std::size_t i = 0; i < n; ++i) a[i][i] = a[i][i] == 0.0 ? 1.0 : a[i][i];
  }
  std::vector<double> degree(n);
  for (std::size_t i = 0; i < n; ++i) {
    for (const double w : a[i]) degree[i] += w;
  }
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) {
      if (a[i][j] == 0.0) continue;
      if (spec.normalization == Normalization::symmetric) a[i][j] /= std::sqrt(degree[i] * degree[j]);
      if (spec.normalization == Normalization::row) a[i][j] /= degree[i];
      if (i == j) a[i][j] *= 1.0 + static_cast<double>(spec.diag_lambda);
    }
  }
  return a;
}

// One rounding to float after a handful in double.
double tolerance(double value) {
  return (0.5 * static_cast<double>(std::numeric_limits<float>::epsilon()) +
          8 * std::numeric_limits<double>::epsilon()) *
         std::abs(value);
}

void check_against_naive(const CsrGraph& graph, const AggregationSpec& spec) {
  const PreparedAdjacency prepared = prepare_adjacency(graph, spec);
  const Adjacency a = prepared.adjacency();
  const Dense want = naive(graph, spec);
  const Dense forward = dense(a.forward);
  const Dense transposed = dense(a.transpose);
  for (std::size_t i = 0; i < graph.num_nodes(); ++i) {
    for (std::size_t j = 0; j < graph.num_nodes(); ++j) {
      REQUIRE(std::abs(forward[i][j] - want[i][j]) <= tolerance(want[i][j]));
      REQUIRE(transposed[j][i] == forward[i][j]);
    }
  }
}

}  // namespace

TEST_CASE("prepare_adjacency equals the dense formulas, and its transpose is exact") {
  const Normalization normalization =
      GENERATE(Normalization::none, Normalization::symmetric, Normalization::row);
  const bool self_loops = GENERATE(false, true);
  const float lambda = GENERATE(0.0f, 0.75f);
  if (lambda != 0.0f && !self_loops) return;
  const AggregationSpec spec{normalization, self_loops, lambda};
  check_against_naive(empty_graph(0), spec);
  check_against_naive(empty_graph(1), spec);
  check_against_naive(g6(), spec);
  check_against_naive(star(30), spec);
  check_against_naive(random_undirected(60, 300, 1), spec);
  check_against_naive(random_directed(60, 300, 2), spec);
  check_against_naive(with_random_weights(random_undirected(60, 300, 3), 4), spec);
  check_against_naive(with_random_weights(random_directed(60, 300, 5), 6), spec);
  const Links loops{{0, 0}, {0, 1}, {2, 2}, {3, 1}, {4, 4}};
  check_against_naive(from_links(5, loops, {.symmetrize = true, .self_loops = SelfLoops::keep}), spec);
}

TEST_CASE("prepare_adjacency: golden values of Cluster-GCN's normalisation on G6") {
  const CsrGraph graph = g6();
  const PreparedAdjacency prepared = prepare_adjacency(graph, {Normalization::row, true, 1.0f});
  const Dense a = dense(prepared.adjacency().forward);
  const auto row = [](std::vector<double> values) {
    for (double& v : values) v = static_cast<double>(static_cast<float>(v));
    return values;
  };
  CHECK(a[2] == row({1 / 4., 1 / 4., 1 / 2., 1 / 4., 0, 0}));
  CHECK(a[3] == row({0, 0, 1 / 3., 2 / 3., 1 / 3., 0}));
  CHECK(a[4] == row({0, 0, 0, 1 / 2., 1, 0}));
  CHECK(a[5] == row({0, 0, 0, 0, 0, 2}));
}

TEST_CASE("prepare_adjacency shares what is equal") {
  const CsrGraph graph = g6();
  const PreparedAdjacency plain = prepare_adjacency(graph, {Normalization::none, false, 0.0f});
  CHECK(plain.adjacency().forward.col.data() == graph.col.data());
  CHECK_FALSE(plain.adjacency().forward.weighted());
  const PreparedAdjacency symmetric = prepare_adjacency(graph, {});
  CHECK(symmetric.adjacency().forward.weight.data() == symmetric.adjacency().transpose.weight.data());
  CHECK(symmetric.adjacency().transpose_edge.empty());
  const PreparedAdjacency row = prepare_adjacency(graph, {Normalization::row});
  CHECK(row.adjacency().forward.col.data() == row.adjacency().transpose.col.data());
  CHECK(row.adjacency().forward.weight.data() != row.adjacency().transpose.weight.data());
}

TEST_CASE("prepare_adjacency gives the edge permutation when asked") {
  for (const CsrGraph& graph : {random_undirected(40, 200, 7), random_directed(40, 200, 8)}) {
    const PreparedAdjacency prepared = prepare_adjacency(graph, {}, true);
    const Adjacency a = prepared.adjacency();
    REQUIRE(a.transpose_edge.size() == a.forward.num_edges());
    for (std::size_t e = 0; e < a.transpose_edge.size(); ++e)
      REQUIRE(a.transpose.weight[e] == a.forward.weight[a.transpose_edge[e]]);
  }
}

TEST_CASE("prepare_adjacency stays valid when moved") {
  const CsrGraph graph = random_directed(40, 200, 9);
  PreparedAdjacency first = prepare_adjacency(graph, {});
  const Dense before = dense(first.adjacency().transpose);
  const PreparedAdjacency second = std::move(first);
  CHECK(dense(second.adjacency().transpose) == before);
}

TEST_CASE("prepare_adjacency gives the same bits for any number of threads") {
  const CsrGraph graph = with_random_weights(random_directed(20'000, 200'000, 10), 11);
  const PreparedAdjacency one = with_threads(1, [&] { return prepare_adjacency(graph, {}); });
  for (const std::size_t threads : {2u, 4u, 16u}) {
    const PreparedAdjacency many = with_threads(threads, [&] { return prepare_adjacency(graph, {}); });
    for (const auto side : {&Adjacency::forward, &Adjacency::transpose}) {
      const CsrView<> x = one.adjacency().*side;
      const CsrView<> y = many.adjacency().*side;
      CHECK(std::equal(x.row_ptr.begin(), x.row_ptr.end(), y.row_ptr.begin()));
      CHECK(std::equal(x.col.begin(), x.col.end(), y.col.begin(), y.col.end()));
      CHECK(std::equal(x.weight.begin(), x.weight.end(), y.weight.begin(), y.weight.end()));
    }
  }
}

TEST_CASE("prepare_adjacency refuses wrong options, shapes and negative degrees") {
  const CsrGraph graph = g6();
  REQUIRE_THROWS_AS(prepare_adjacency(graph, {Normalization::row, false, 0.5f}), ConfigError);
  REQUIRE_THROWS_AS(
      prepare_adjacency(graph, {Normalization::row, true, std::numeric_limits<float>::quiet_NaN()}),
      ConfigError);
  const std::vector<EdgeId> row_ptr{0, 0, 0};
  REQUIRE_THROWS_AS(prepare_adjacency(CsrView<>{2, 3, row_ptr, {}, {}}, false, {}), ShapeError);
  CsrGraph negative = with_random_weights(g6(), 12);
  for (float& w : negative.weight) w = -w;
  REQUIRE_THROWS_AS(prepare_adjacency(negative, {}), Error);
}
