// SPDX-License-Identifier: MIT
// What an implementation in numpy picks and weighs, from the random numbers up (tests/golden/make_neighbors_golden.py).
#include <cmath>
#include <memory>
#include <string>
#include <vector>

#include "support/block_checks.hpp"
#include "support/golden.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"
#include "tessera/sampling/neighbor_weighted.hpp"
#include "tessera/sampling/shadow_sampler.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

constexpr std::size_t kNodes = 40;
constexpr int kFanout = 3;
constexpr BatchKey kKey{7, 2, 0};
constexpr AggregationSpec kSymmetric{Normalization::symmetric, true, 0.0f};
// The coefficient, the factor and their product are each rounded to float once.
constexpr double kTolerance = 3 * 6e-8;

class Golden : public GoldenFile {
 public:
  Golden() : GoldenFile("neighbors.npz") {}

  CsrGraph graph(bool weighted) const {
    const std::vector<NodeId> source = ids("graph.source");
    const std::vector<NodeId> target = ids("graph.target");
    std::vector<float> weight;
    if (weighted) {
      for (const double w : values<double>("graph.weight")) weight.push_back(static_cast<float>(w));
    }
    return build_csr(kNodes, {source, target, weight}, {.symmetrize = true}).graph;
  }
};

/// The links one hop from all nodes, in the order of picking.
template <class S>
void check_links(const std::string& name, const CsrGraph& graph, const S& sampler) {
  INFO(name);
  const Golden golden;
  const std::vector<NodeId> row = golden.ids(name + ".row");
  const std::vector<NodeId> col = golden.ids(name + ".col");
  const std::vector<double> coefficient = golden.values<double>(name + ".coefficient");
  const std::vector<NodeId> seeds = all_nodes(graph);
  typename S::Workspace workspace;
  Block links;
  sampler.sample_links(source_with(graph, seeds), kSymmetric, seeds, kKey, workspace, links);
  REQUIRE(links.col.size() == col.size());
  for (std::size_t i = 0; i < kNodes; ++i) {
    for (auto e = links.row_ptr[i]; e < links.row_ptr[i + 1]; ++e) {
      CAPTURE(i, e);
      REQUIRE(row[e] == i);
      REQUIRE(links.col[e] == col[e]);
      REQUIRE(std::abs(static_cast<double>(links.weight[e]) - coefficient[e]) <= kTolerance * coefficient[e]);
    }
  }
}

}  // namespace

TEST_CASE("golden: uniform neighbours, with and without replacement") {
  const CsrGraph graph = Golden().graph(false);
  check_links("uniform", graph, NeighborSampler({.fanouts = {kFanout}}));
  check_links("replace", graph, NeighborSampler({.fanouts = {kFanout}, .replace = true}));
}

TEST_CASE("golden: neighbours by weight, by exponential keys and by alias tables") {
  const CsrGraph graph = Golden().graph(true);
  check_links("weighted", graph, WeightedNeighborSampler({.fanouts = {kFanout}}));
  check_links(
      "alias", graph,
      AliasNeighborSampler({.fanouts = {kFanout}}, std::make_shared<NeighborAliasTables>(graph.view())));
}

TEST_CASE("golden: shaDow's graphs by hops, normalised inside") {
  const Golden golden;
  const CsrGraph graph = golden.graph(false);
  const std::vector<NodeId> targets = all_nodes(graph);
  const ShadowSampler sampler(ShadowHops{.depth = 2, .budget = kFanout},
                              {.batch_size = kNodes, .shuffle = false});
  ShadowSampler::Workspace workspace;
  MiniBatch batch;
  sampler.sample(source_with(graph, targets), kSymmetric, kKey, workspace, batch);
  // Whose graph a row belongs to.
  std::vector<NodeId> owner(batch.num_nodes());
  for (NodeId b = 0; b < kNodes; ++b) {
    for (auto e = batch.blocks[1].row_ptr[b]; e < batch.blocks[1].row_ptr[b + 1]; ++e)
      owner[batch.blocks[1].col[e]] = b;
  }
  Tensor<double> got = Tensor<double>::zeros(kNodes * kNodes, kNodes);
  const Block& block = batch.blocks[0];
  for (std::size_t i = 0; i < block.num_dst; ++i) {
    for (auto e = block.row_ptr[i]; e < block.row_ptr[i + 1]; ++e)
      got(owner[i] * kNodes + batch.node_id[i], batch.node_id[block.col[e]]) = block.weight[e];
  }
  const std::vector<NodeId> target = golden.ids("shadow.target");
  const std::vector<NodeId> row = golden.ids("shadow.row");
  const std::vector<NodeId> col = golden.ids("shadow.col");
  const std::vector<double> coefficient = golden.values<double>("shadow.coefficient");
  REQUIRE(block.col.size() == target.size());
  for (std::size_t k = 0; k < target.size(); ++k) {
    CAPTURE(target[k], row[k], col[k]);
    REQUIRE(std::abs(got(target[k] * kNodes + row[k], col[k]) - coefficient[k]) <= kTolerance);
  }
}
