// SPDX-License-Identifier: MIT
#include "tessera/precompute/operator.hpp"

#include <cmath>
#include <cstring>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/precompute_cases.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

double largest(const Matrix& m) {
  double out = 0;
  for (std::size_t i = 0; i < m.rows(); ++i) {
    for (const double v : m.row(i)) out = std::max(out, std::abs(v));
  }
  return out;
}

void check_against_dense(const CsrGraph& graph, const CsrGraph& wanted_neighbours, OperatorSpec spec) {
  INFO(describe(spec));
  const Matrix x = random_matrix<double>(graph.num_nodes(), 7, 3);
  const PropagationOperator op(graph, spec);
  const Matrix want = multiply(dense_operator(wanted_neighbours, spec), x);
  const Matrix got = apply(op, x);
  // Sums of at most 60 terms in double, and up to a few hundred of them in a series.
  CHECK(max_difference(got, want) <= 1e-12 * std::max(1.0, largest(want)));
}

}  // namespace

TEST_CASE("operator: equals its dense formula", "[operator]") {
  const CsrGraph plain = loopy_graph(48, 150, 1);
  const CsrGraph weighted = with_random_weights(loopy_graph(48, 150, 2), 3);
  for (const OperatorSpec& spec : all_operators()) {
    check_against_dense(plain, plain, spec);
    check_against_dense(weighted, weighted, spec);
  }
  check_against_dense(plain, plain, {.kind = OperatorKind::triangle, .triangle_symmetric = true});
  check_against_dense(plain, plain, {.kind = OperatorKind::bethe, .ratio = 2.5});
}

TEST_CASE("operator: a directed graph says which side", "[operator]") {
  const CsrGraph graph = random_directed(40, 160, 5);
  REQUIRE_FALSE(graph.symmetric);
  for (OperatorSpec spec : all_operators()) {
    if (spec.kind == OperatorKind::triangle) continue;
    spec.sides = Sides::in;
    check_against_dense(graph, graph, spec);
    spec.sides = Sides::out;
    check_against_dense(graph, transpose(graph.view()).graph, spec);
    spec.sides = Sides::both;
    check_against_dense(graph, rebuild_csr(graph.view(), {.symmetrize = true}).graph, spec);
    spec.sides = Sides::undirected;
    CHECK_THROWS_AS(PropagationOperator(graph, spec), ConfigError);
  }
  CHECK_THROWS_AS(PropagationOperator(graph, {.kind = OperatorKind::triangle, .sides = Sides::in}),
                  ConfigError);
  check_against_dense(graph, rebuild_csr(graph.view(), {.symmetrize = true}).graph,
                      {.kind = OperatorKind::triangle, .sides = Sides::both});
}

TEST_CASE("operator: spectra and row sums", "[operator]") {
  const CsrGraph graph = loopy_graph(45, 120, 7);
  const std::size_t n = graph.num_nodes();
  Matrix ones = Matrix::filled(n, 1, 1.0);
  SECTION("gcn keeps the root of the degrees") {
    const PropagationOperator op(graph, {.kind = OperatorKind::gcn});
    Matrix q(n, 1);
    for (std::size_t i = 0; i < n; ++i) q(i, 0) = op.scale(i);
    const Matrix got = apply(op, q);
    CHECK(max_difference(got, q) < 1e-12);
  }
  SECTION("gcn never stretches: power iteration stays below 1") {
    const PropagationOperator op(graph, {.kind = OperatorKind::gcn});
    Matrix v = random_matrix<double>(n, 1, 2);
    double ratio = 0;
    for (int step = 0; step < 200; ++step) {
      const Matrix next = apply(op, v);
      double a = 0, b = 0;
      for (std::size_t i = 0; i < n; ++i) {
        a += next(i, 0) * next(i, 0);
        b += v(i, 0) * v(i, 0);
      }
      ratio = std::sqrt(a / b);
      v = Matrix::copy_of(std::as_const(next).view());
    }
    CHECK(ratio <= 1 + 1e-12);
    CHECK(ratio > 0.99);
  }
  SECTION("rows of row sum to 1 or 0, of row_loops to 1, also under ppr's kin") {
    const Matrix row = apply(PropagationOperator(graph, {.kind = OperatorKind::row}), ones);
    const Matrix loops = apply(PropagationOperator(graph, {.kind = OperatorKind::row_loops}), ones);
    for (std::size_t i = 0; i < n; ++i) {
      CHECK(std::abs(row(i, 0) - (graph.degree(i) > 0 ? 1.0 : 0.0)) < 1e-14);
      CHECK(std::abs(loops(i, 0) - 1) < 1e-14);
    }
  }
  SECTION("ppr leaves (1 - alpha)^t of the distance") {
    const OperatorSpec exact{.kind = OperatorKind::ppr, .alpha = 0.1, .tolerance = 1e-16};
    const Matrix x = random_matrix<double>(n, 3, 9);
    const Matrix limit = multiply(dense_operator(graph, exact), x);
    for (const double tolerance : {0.5, 0.1, 0.01}) {
      const PropagationOperator op(graph, {.kind = OperatorKind::ppr, .alpha = 0.1, .tolerance = tolerance});
      const Matrix got = apply(op, x);
      double distance = 0, start = 0;
      for (std::size_t i = 0; i < n; ++i) {
        for (std::size_t f = 0; f < 3; ++f) {
          distance += std::pow(got(i, f) - limit(i, f), 2);
          start += std::pow(x(i, f) - limit(i, f), 2);
        }
      }
      CHECK(op.products() == static_cast<std::size_t>(std::ceil(std::log(tolerance) / std::log(0.9))));
      CHECK(std::sqrt(distance) <= tolerance * std::sqrt(start) * (1 + 1e-12));
    }
  }
}

TEST_CASE("operator: powers of gcn forget everything but the degrees", "[operator]") {
  // On a connected graph S^k tends to q q^T with q the normalised root of the degrees.
  const CsrGraph graph = cliques(3, 5, true);
  const std::size_t n = graph.num_nodes();
  const PropagationOperator op(graph, {});
  Matrix x = random_matrix<double>(n, 2, 1);
  Matrix q(n, 1);
  double norm = 0;
  for (std::size_t i = 0; i < n; ++i) norm += op.scale(i) * op.scale(i);
  for (std::size_t i = 0; i < n; ++i) q(i, 0) = op.scale(i) / std::sqrt(norm);
  double along[2] = {0, 0};
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t f = 0; f < 2; ++f) along[f] += q(i, 0) * x(i, f);
  }
  for (int k = 0; k < 3000; ++k) x = apply(op, x);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t f = 0; f < 2; ++f) CHECK(std::abs(x(i, f) - q(i, 0) * along[f]) < 1e-10);
  }
}

TEST_CASE("operator: no nodes, no edges, any matrix", "[operator]") {
  const CsrGraph none = empty_graph(0);
  const PropagationOperator op(none, {});
  const Matrix nothing(0, 3);
  CHECK(apply(op, nothing).rows() == 0);

  const CsrGraph isolated = empty_graph(4);
  const Matrix x = random_matrix<double>(4, 2, 1);
  CHECK(max_difference(apply(PropagationOperator(isolated), x), x) == 0);
  CHECK(largest(apply(PropagationOperator(isolated, {.kind = OperatorKind::row}), x)) == 0);

  const CsrGraph any = with_random_weights(random_directed(30, 90, 2), 3);
  const auto custom = PropagationOperator::of_matrix(any.view(), "mine");
  CHECK(custom.name() == "mine");
  const Matrix y = random_matrix<double>(30, 2, 1);
  const Matrix want = multiply(dense(any.view()), y);
  CHECK(max_difference(apply(custom, y), want) < 1e-12);
}

TEST_CASE("operator: what cannot be is refused", "[operator]") {
  const CsrGraph graph = g6();
  const auto make = [&](OperatorSpec spec) { return PropagationOperator(graph, spec); };
  CHECK_THROWS_AS(make({.kind = OperatorKind::ppr, .alpha = 0}), ConfigError);
  CHECK_THROWS_AS(make({.kind = OperatorKind::ppr, .alpha = 1.5}), ConfigError);
  CHECK_THROWS_AS(make({.kind = OperatorKind::ppr, .alpha = std::nan("")}), ConfigError);
  CHECK_THROWS_AS(make({.kind = OperatorKind::heat, .time = -1}), ConfigError);
  CHECK_THROWS_AS(make({.kind = OperatorKind::heat, .tolerance = 0}), ConfigError);
  CHECK_THROWS_AS(make({.kind = OperatorKind::general, .exponent = 2}), ConfigError);
  CHECK_THROWS_AS(PropagationOperator(empty_graph(3), {.kind = OperatorKind::bethe}), ConfigError);
  CHECK_THROWS_AS(operator_named("gnc"), ConfigError);
  CHECK(operator_named("ppr").kind == OperatorKind::ppr);

  CsrGraph negative = g6();
  negative.weight.assign(negative.num_edges(), -1.0f);
  CHECK_THROWS_AS(PropagationOperator(negative, {.kind = OperatorKind::row}), Error);

  const PropagationOperator op(graph, {.kind = OperatorKind::ppr});
  Matrix x(6, 2), y(6, 2), narrow(6, 1);
  CHECK_THROWS_AS(op.apply<double>(std::as_const(x).view(), y.view()), ShapeError);  // no scratch
  CHECK_THROWS_AS(op.apply<double>(std::as_const(x).view(), narrow.view(), y.view()), ShapeError);
}

TEST_CASE("triangles: counted as a brute-force triple loop does", "[operator]") {
  SECTION("complete graph: n - 2 at every edge") {
    const CsrGraph counts = triangle_counts(cliques(1, 7).view());
    CHECK(counts.num_edges() == 42);
    for (const float w : counts.weight) CHECK(w == 5);
  }
  SECTION("a tree has none") { CHECK(triangle_counts(star(9).view()).num_edges() == 0); }
  SECTION("random graphs; loops change nothing; any thread count") {
    const CsrGraph graph = loopy_graph(60, 400, 3);
    const Matrix a = dense(graph.view());
    std::uint64_t triangles = 0;
    for (std::size_t i = 0; i < 60; ++i) {
      for (std::size_t j = i + 1; j < 60; ++j) {
        for (std::size_t k = j + 1; k < 60; ++k) triangles += a(i, j) * a(j, k) * a(i, k) != 0 ? 1u : 0u;
      }
    }
    for (const std::size_t threads : {1u, 2u, 5u}) {
      const CsrGraph counts = with_threads(threads, [&] { return triangle_counts(graph.view()); });
      double sum = 0;
      for (const float w : counts.weight) sum += static_cast<double>(w);
      CHECK(sum == 6 * static_cast<double>(triangles));
    }
  }
  CHECK_THROWS_AS(triangle_counts(directed(3, {{0, 1}, {1, 2}}).view()), ConfigError);
}

TEST_CASE("operator: a red root in two trees looks the same to every power", "[operator]") {
  // Chen, Chen & Bruna, ICLR 2021: precomputed powers cannot count attributed walks. Root 0, children 1 and 2,
  // grandchildren 3, 4 and 5, 6.
  const CsrGraph tree = undirected(7, {{0, 1}, {0, 2}, {1, 3}, {1, 4}, {2, 5}, {2, 6}});
  const auto features = [](std::initializer_list<std::size_t> red) {
    Matrix x = Matrix::zeros(7, 2);
    for (std::size_t i = 0; i < 7; ++i) x(i, std::count(red.begin(), red.end(), i) > 0 ? 0 : 1) = 1;
    return x;
  };
  const Matrix one = features({0, 1, 3, 4});
  const Matrix two = features({0, 1, 5, 6});
  for (const OperatorSpec& spec : all_operators()) {
    INFO(describe(spec));
    const PropagationOperator op(tree, spec);
    Matrix u = Matrix::copy_of(one.view()), v = Matrix::copy_of(two.view());
    for (int k = 0; k < 4; ++k) {
      u = apply(op, u);
      v = apply(op, v);
      for (std::size_t f = 0; f < 2; ++f)
        CHECK(std::abs(u(0, f) - v(0, f)) <= 1e-12 * std::max(1.0, std::abs(u(0, f))));
    }
  }
  // Walks of length 2 that see red only: a filter between the products tells the trees apart.
  const auto walks = [&](const Matrix& x) {
    const PropagationOperator op(tree, {.kind = OperatorKind::sum});
    Matrix w(7, 1);
    for (std::size_t i = 0; i < 7; ++i) w(i, 0) = x(i, 0);
    for (int k = 0; k < 2; ++k) {
      w = apply(op, w);
      for (std::size_t i = 0; i < 7; ++i) w(i, 0) *= x(i, 0);
    }
    return w(0, 0);
  };
  CHECK(walks(one) == 3);
  CHECK(walks(two) == 1);
}
