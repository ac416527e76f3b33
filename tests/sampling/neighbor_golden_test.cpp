// SPDX-License-Identifier: MIT
// What an implementation in numpy picks and weighs, from the random numbers up (tests/golden/make_neighbors_golden.py).
#include <cmath>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "support/block_checks.hpp"
#include "support/golden.hpp"
#include "tessera/sampling/control_variate_sampler.hpp"
#include "tessera/sampling/drop_edge_sampler.hpp"
#include "tessera/sampling/gttf_traverse.hpp"
#include "tessera/sampling/neighbor_sampler.hpp"
#include "tessera/sampling/neighbor_weighted.hpp"
#include "tessera/sampling/random_node_sampler.hpp"
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

/// A square matrix of the file against what batches say of the graph's nodes.
void check_matrix(const std::string& name, const Tensor<double>& got) {
  INFO(name);
  const Golden golden;
  const std::vector<NodeId> row = golden.ids(name + ".row");
  const std::vector<NodeId> col = golden.ids(name + ".col");
  const std::vector<double> coefficient = golden.values<double>(name + ".coefficient");
  Tensor<double> want = Tensor<double>::zeros(kNodes, kNodes);
  for (std::size_t k = 0; k < row.size(); ++k) want(row[k], col[k]) = coefficient[k];
  for (std::size_t i = 0; i < kNodes; ++i) {
    for (std::size_t j = 0; j < kNodes; ++j) {
      CAPTURE(i, j);
      REQUIRE(std::abs(got(i, j) - want(i, j)) <= kTolerance);
    }
  }
}

void add_block(const MiniBatch& batch, Tensor<double>& to) {
  const Block& block = batch.blocks[0];
  for (std::size_t i = 0; i < block.num_dst; ++i) {
    for (auto e = block.row_ptr[i]; e < block.row_ptr[i + 1]; ++e)
      to(batch.node_id[i], batch.node_id[block.col[e]]) += static_cast<double>(block.weight[e]);
  }
}

/// Every step of a forest of two levels, in order.
template <class W>
void check_walks(const std::string& name, const W& bias) {
  INFO(name);
  const Golden golden;
  const CsrGraph graph = golden.graph(false);
  const std::vector<std::size_t> fanouts{3, 2};
  std::vector<std::vector<std::int64_t>> got(2);
  const auto keep = [&](std::span<const NodeId> path, std::span<const NodeId> next) {
    for (const NodeId j : next) got[path.size() - 1].push_back(j == kNoNode ? -1 : std::int64_t{j});
  };
  traverse(graph.view(), all_nodes(graph), fanouts, bias, keep, {make_key(7, 2, Purpose::walk), 0});
  const auto first = golden.values<std::int64_t>("walks." + name + ".1");
  REQUIRE(got[0] == first);
  // Nothing is drawn from where a walk ended.
  const auto second = golden.values<std::int64_t>("walks." + name + ".2");
  std::vector<std::int64_t> want;
  for (std::size_t k = 0; k < first.size(); ++k) {
    if (first[k] >= 0) want.insert(want.end(), {second[2 * k], second[2 * k + 1]});
  }
  REQUIRE(got[1] == want);
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

TEST_CASE("golden: DropEdge's half of the links, normalised as a graph") {
  const CsrGraph graph = Golden().graph(false);
  const std::vector<NodeId> targets = all_nodes(graph);
  const DropEdgeSampler sampler({.probability = 0.5});
  DropEdgeSampler::Workspace workspace;
  MiniBatch batch;
  sampler.sample(source_with(graph, targets), kSymmetric, kKey, workspace, batch);
  Tensor<double> got = Tensor<double>::zeros(kNodes, kNodes);
  add_block(batch, got);
  check_matrix("drop_edge", got);
}

TEST_CASE("golden: nodes dealt into parts, each normalised inside") {
  const CsrGraph graph = Golden().graph(false);
  const std::vector<NodeId> targets = all_nodes(graph);
  const RandomNodeSampler sampler({.parts = 3});
  RandomNodeSampler::Workspace workspace;
  MiniBatch batch;
  Tensor<double> got = Tensor<double>::zeros(kNodes, kNodes);
  for (std::size_t b = 0; b < 3; ++b) {
    sampler.sample(source_with(graph, targets), kSymmetric, {kKey.seed, kKey.epoch, b}, workspace, batch);
    add_block(batch, got);
  }
  check_matrix("random_nodes", got);
}

TEST_CASE("golden: forests of walks, with and without a bias") {
  check_walks("uniform", UniformBias{});
  check_walks("bias",
              [](std::span<const NodeId> path, std::span<const NodeId> row, std::span<double> weight) {
                for (std::size_t t = 0; t < row.size(); ++t) weight[t] = 1 + (path.front() + row[t]) % 3;
              });
}

TEST_CASE("golden: control variates, and their columns for noise") {
  const Golden golden;
  const CsrGraph graph = golden.graph(false);
  const std::vector<NodeId> targets = all_nodes(graph);
  const ControlVariateSampler sampler({.layers = 2,
                                       .fanout = kFanout,
                                       .noise_columns = true,
                                       .batches = {.batch_size = kNodes, .shuffle = false}});
  ControlVariateSampler::Workspace workspace;
  MiniBatch batch;
  sampler.sample(source_with(graph, targets), kSymmetric, kKey, workspace, batch);
  const Block& block = batch.blocks[1];
  const std::size_t computed = (block.num_src - block.pulled.size()) / 2;
  const std::vector<NodeId> row = golden.ids("variates.row");
  const std::vector<NodeId> col = golden.ids("variates.col");
  const std::vector<NodeId> kind = golden.ids("variates.kind");
  const std::vector<double> coefficient = golden.values<double>("variates.coefficient");
  REQUIRE(block.num_dst == kNodes);
  REQUIRE(block.col.size() == row.size());
  for (std::size_t i = 0; i < kNodes; ++i) {
    for (auto e = block.row_ptr[i]; e < block.row_ptr[i + 1]; ++e) {
      CAPTURE(i, e);
      const std::size_t at = block.col[e];
      const NodeId want_kind = at < computed ? 0 : at < 2 * computed ? 2 : 1;
      REQUIRE(row[e] == i);
      REQUIRE(kind[e] == want_kind);
      REQUIRE(col[e] == (want_kind == 1 ? block.pulled[at - 2 * computed] : batch.node_id[at % computed]));
      REQUIRE(std::abs(static_cast<double>(block.weight[e]) - coefficient[e]) <= kTolerance);
    }
  }
}
