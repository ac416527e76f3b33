// SPDX-License-Identifier: MIT
// What losses of hidden rows must not notice, and what samples of them estimate.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "support/nn_cases.hpp"
#include "tessera/distill/cpf.hpp"
#include "tessera/distill/gsp.hpp"
#include "tessera/distill/lsp.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/kernels/rows.hpp"

using namespace tessera;
using testing::random_matrix;

namespace {

constexpr std::size_t kNodes = 12;

double lsp(const CsrGraph& graph, MatrixView<const double> student, MatrixView<const double> teacher,
           const LspOptions& o) {
  detail::LocalEdges edges;
  edges.assign(graph.view(), [](std::size_t) { return true; });
  Array<double> b(edges.forward().num_edges());
  detail::local_structure(edges.forward(), teacher, o, b.span());
  Tape<double> tape;
  return tape.value(local_structure_loss(tape, edges, tape.input(student), b.span(), o))(0, 0);
}

/// Columns 0 and 1 turned by an angle.
Tensor<double> turned(MatrixView<const double> x, double angle) {
  Tensor<double> out = Tensor<double>::copy_of(x);
  for (std::size_t i = 0; i < x.rows(); ++i) {
    out(i, 0) = std::cos(angle) * x(i, 0) - std::sin(angle) * x(i, 1);
    out(i, 1) = std::sin(angle) * x(i, 0) + std::cos(angle) * x(i, 1);
  }
  return out;
}

const testing::Links kLinks = {{0, 1}, {1, 2}, {2, 3}, {3, 0}, {4, 5}, {5, 6},
                               {6, 7}, {7, 4}, {0, 5}, {8, 9}, {9, 10}};

}  // namespace

TEST_CASE("Local structure: zero for equal sides, never negative, blind to turns and to what no edge joins") {
  const CsrGraph graph = testing::undirected(kNodes, kLinks);
  const Tensor<double> s = random_matrix<double>(kNodes, 4, 1);
  const Tensor<double> t = random_matrix<double>(kNodes, 3, 2);
  const EdgeKernel kernel = GENERATE(EdgeKernel::linear, EdgeKernel::cosine, EdgeKernel::polynomial,
                                     EdgeKernel::euclidean, EdgeKernel::rbf, EdgeKernel::laplacian);
  const LspDirection direction = GENERATE(LspDirection::teacher_first, LspDirection::student_first);
  const LspOptions o{.kernel = kernel, .sigma = 2, .direction = direction};
  const double value = lsp(graph, s.view(), t.view(), o);
  CHECK(value > 1e-4);
  CHECK(std::abs(lsp(graph, s.view(), s.view(), o)) < 1e-15);
  // A turn keeps inner products and distances; sums of four rounded products each.
  if (kernel != EdgeKernel::laplacian)
    CHECK(std::abs(lsp(graph, turned(s.view(), 0.7).view(), t.view(), o) - value) < 1e-13);
  if (kernel == EdgeKernel::cosine) {
    Tensor<double> stretched = Tensor<double>::copy_of(s.view());
    for (std::size_t i = 0; i < kNodes; ++i)
      for (double& x : stretched.row(i)) x *= 0.5 + static_cast<double>(i);
    CHECK(std::abs(lsp(graph, stretched.view(), t.view(), o) - value) < 1e-14);
  }
  Tensor<double> elsewhere = Tensor<double>::copy_of(s.view());
  for (double& x : elsewhere.row(kNodes - 1)) x = 99;  // isolated
  CHECK(lsp(graph, elsewhere.view(), t.view(), o) == value);

  std::vector<NodeId> order(kNodes);  // new name of each node
  for (std::size_t i = 0; i < kNodes; ++i) order[i] = static_cast<NodeId>((5 * i + 3) % kNodes);
  testing::Links renamed;
  for (const auto& [u, v] : kLinks) renamed.push_back({order[u], order[v]});
  Tensor<double> rs(kNodes, 4);
  Tensor<double> rt(kNodes, 3);
  for (std::size_t i = 0; i < kNodes; ++i) {
    std::copy(s.row(i).begin(), s.row(i).end(), rs.row(order[i]).begin());
    std::copy(t.row(i).begin(), t.row(i).end(), rt.row(order[i]).begin());
  }
  CHECK(std::abs(lsp(testing::undirected(kNodes, renamed), rs.view(), rt.view(), o) - value) < 1e-14);
}

TEST_CASE("match_pairs: samples estimate the whole up to the diagonal") {
  const PairKernel kernel =
      GENERATE(PairKernel::cosine, PairKernel::polynomial, PairKernel::rbf, PairKernel::distance);
  constexpr std::size_t n = 7;
  constexpr std::size_t m = 3;
  const auto unit = [&](Tensor<double> x) {
    NoTape<double> ctx;
    return Tensor<double>::copy_of(ctx.value(detail::unit_rows(ctx, ctx.input(x.view()))));
  };
  const Tensor<double> a = unit(random_matrix<double>(n, 4, 1));
  const Tensor<double> b = unit(random_matrix<double>(n, 3, 2));
  const auto value = [&](const std::vector<NodeId>& rows) {
    Tensor<double> x(rows.size(), 4);
    Tensor<double> y(rows.size(), 3);
    gather_rows(a.view(), std::span<const NodeId>(rows), x.view());
    gather_rows(b.view(), std::span<const NodeId>(rows), y.view());
    Tape<double> tape;
    return tape.value(match_pairs(tape, tape.input(x.view()), tape.input(y.view()), kernel))(0, 0);
  };
  std::vector<NodeId> all(n);
  std::iota(all.begin(), all.end(), NodeId{0});
  double sum = 0;
  int subsets = 0;
  for (NodeId i = 0; i < n; ++i) {
    for (NodeId j = i + 1; j < n; ++j) {
      for (NodeId k = j + 1; k < n; ++k, ++subsets) sum += value({i, j, k});
    }
  }
  // Diagonals of both sides are equal; an ordered pair of others is drawn with m (m - 1) / (n (n - 1)).
  const double want = value(all) * n * (m - 1) / (m * (n - 1.0));
  CHECK(want > 1e-3);
  CHECK(std::abs(sum / subsets - want) < 1e-14);
}

TEST_CASE("sample_rows: as many as asked, ascending, by the key alone") {
  std::vector<NodeId> from(100);
  for (std::size_t i = 0; i < 100; ++i) from[i] = static_cast<NodeId>(3 * i);
  const auto draw = [&](std::uint64_t step, std::size_t most) {
    const Array<NodeId> rows = detail::sample_rows(from, most, make_key(1, step, Purpose::dropout), 2);
    return std::vector<NodeId>(rows.begin(), rows.end());
  };
  const auto some = draw(4, 20);
  REQUIRE(some.size() == 20);
  CHECK(std::adjacent_find(some.begin(), some.end(), [](NodeId x, NodeId y) { return x >= y; }) ==
        some.end());
  for (const NodeId v : some) CHECK((v % 3 == 0 && v < 300));
  CHECK(draw(4, 20) == some);
  CHECK(with_threads(1, [&] { return draw(4, 20); }) == some);
  CHECK(draw(5, 20) != some);
  CHECK(draw(4, 0) == from);
  CHECK(draw(4, 100) == from);
}

TEST_CASE("CPF: the weights of a node's in-edges sum to 1, whatever the scores") {
  const CsrGraph graph = testing::undirected(kNodes, kLinks);
  const PreparedAdjacency prepared =
      prepare_adjacency(graph.view(), true, {Normalization::none, true, 0.0f}, true);
  const Tensor<double> ones = Tensor<double>::filled(kNodes, 3, 1.0);
  const Tensor<double> score = random_matrix<double>(kNodes, 1, 4);
  NoTape<double> ctx;
  const Var y = detail::source_attention(ctx, prepared.adjacency(), ctx.input(ones.view()),
                                         ctx.input(score.view()), DropoutMask{});
  for (std::size_t i = 0; i < kNodes; ++i)
    for (std::size_t c = 0; c < 3; ++c) CHECK(std::abs(ctx.value(y)(i, c) - 1) < 1e-15);
}
