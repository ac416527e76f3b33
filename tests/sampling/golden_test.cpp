// SPDX-License-Identifier: MIT
// What a dense implementation in numpy computes (tests/golden/make_samplers_golden.py).
#include <cmath>
#include <string>
#include <vector>

#include "support/block_checks.hpp"
#include "support/golden.hpp"
#include "tessera/sampling/fastgcn_sampler.hpp"
#include "tessera/sampling/labor_sampler.hpp"
#include "tessera/sampling/ladies_sampler.hpp"
#include "tessera/sampling/ppr_push.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

constexpr std::size_t kNodes = 40;
// Coefficients are float: two roundings of 6e-8 in each factor of a square.
constexpr double kCoefficientTolerance = 5e-7;

class Golden : public GoldenFile {
 public:
  Golden() : GoldenFile("samplers.npz") {}

  std::vector<double> numbers(const std::string& name) const { return values<double>(name); }
  CsrGraph graph() const {
    const std::vector<NodeId> source = ids("graph.source");
    const std::vector<NodeId> target = ids("graph.target");
    return build_csr(kNodes, {source, target, {}}, {.symmetrize = true}).graph;
  }
};

const AggregationSpec kRow{Normalization::row, true, 0.0f};
const AggregationSpec kSymmetric{Normalization::symmetric, true, 0.0f};

}  // namespace

TEST_CASE("golden: pushed PageRank, and the exact one it approximates") {
  const Golden golden;
  const CsrGraph graph = golden.graph();
  PprPush push;
  const std::vector<double> want = golden.numbers("push.0.25.0.001");
  for (const double alpha : {0.15, 0.25}) {
    const std::vector<double> exact = golden.numbers(alpha == 0.15 ? "ppr.0.15" : "ppr.0.25");
    for (NodeId s = 0; s < kNodes; ++s) {
      push.run(graph, s, {alpha, 1e-3});
      for (NodeId u = 0; u < kNodes; ++u) {
        const double error = exact[s * kNodes + u] - push.estimate(u);
        CHECK(error >= -1e-13);
        CHECK(error <= 1e-3 * static_cast<double>(graph.degree(u)) + 1e-13);
        if (alpha == 0.25) CHECK(std::abs(push.estimate(u) - want[s * kNodes + u]) <= 1e-14);
      }
    }
  }
}

TEST_CASE("golden: FastGCN's distribution") {
  const Golden golden;
  const CsrGraph graph = golden.graph();
  for (const auto& [name, spec] :
       {std::pair{"fastgcn.row", kRow}, std::pair{"fastgcn.symmetric", kSymmetric}}) {
    const PreparedAdjacency prepared = prepare_adjacency(graph, spec);
    const Array<double> got = fastgcn_distribution(prepared.adjacency(), false);
    const std::vector<double> want = golden.numbers(name);
    for (std::size_t u = 0; u < kNodes; ++u)
      CHECK(std::abs(got[u] - want[u]) <= kCoefficientTolerance * want[u]);
  }
}

TEST_CASE("golden: LADIES' importance") {
  const Golden golden;
  const CsrGraph graph = golden.graph();
  const std::vector<NodeId> rows = golden.ids("rows");
  const std::vector<std::size_t> reached{rows.size()};
  for (const auto& [name, spec] :
       {std::pair{"ladies.row", kRow}, std::pair{"ladies.symmetric", kSymmetric}}) {
    GraphCoefficients coefficients;
    coefficients.prepare(graph.view(), spec);
    const LayerView layer{graph.view(), coefficients, rows, reached, 0, false, {}, 0};
    LadiesPicker::Workspace workspace;
    workspace.frontier.find(layer);
    LadiesPicker::weigh(layer, workspace);
    double total = 0;
    for (const double x : workspace.importance) total += x;
    std::vector<double> got(kNodes);
    for (std::size_t t = 0; t < workspace.importance.size(); ++t)
      got[workspace.frontier.node[t]] = workspace.importance[t] / total;
    const std::vector<double> want = golden.numbers(name);
    for (std::size_t u = 0; u < kNodes; ++u)
      CHECK(std::abs(got[u] - want[u]) <= kCoefficientTolerance * want[u]);
  }
}

TEST_CASE("golden: LABOR's chances, three iterations") {
  const Golden golden;
  const CsrGraph graph = golden.graph();
  const std::vector<NodeId> rows = golden.ids("labor.rows");
  const std::vector<std::size_t> reached{rows.size()};
  GraphCoefficients coefficients;
  coefficients.prepare(graph.view(), kPlain);
  const LayerView layer{graph.view(), coefficients, rows, reached, 0, false, {}, 0};
  for (std::size_t i = 0; i < 3; ++i) {
    const LaborPicker picker({.fanouts = {3}, .iterations = i});
    LaborPicker::Workspace workspace;
    picker.begin_layer(layer, workspace);
    const std::vector<double> want = golden.numbers("labor." + std::to_string(i));
    for (std::size_t s = 0; s < rows.size(); ++s) {
      const auto row = graph.view().neighbors(rows[s]);
      for (std::size_t t = 0; t < row.size(); ++t) {
        // The fixed point stops within a relative 1e-6 of the equation, once per iteration and factor.
        CAPTURE(i, s, row[t]);
        CHECK(std::abs(picker.chance_of(workspace, s, t) - want[s * kNodes + row[t]]) <= 1e-5);
      }
    }
  }
}
