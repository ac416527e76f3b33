// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "tessera/sampling/node_set.hpp"
#include "tessera/sampling/saint/concepts.hpp"

// Sources for tests of GraphSAINT, and its subgraphs counted the slow way.

namespace tessera::testing {

/// A graph whose every node is a target.
struct SaintSource {
  CsrGraph graph;
  std::vector<NodeId> targets;

  explicit SaintSource(CsrGraph g) : graph(std::move(g)) {
    for (std::size_t v = 0; v < graph.num_nodes(); ++v) targets.push_back(static_cast<NodeId>(v));
  }
  operator SampleSource() const { return {graph.view(), graph.symmetric, targets}; }
};

/// A symmetric graph with loops at every seventh node.
inline CsrGraph graph_with_loops(std::size_t nodes, std::size_t links, std::uint64_t seed) {
  Links list = random_links(nodes, links, seed);
  for (std::size_t v = 0; v < nodes; v += 7) list.push_back({static_cast<NodeId>(v), static_cast<NodeId>(v)});
  return from_links(nodes, list, {.symmetrize = true, .self_loops = SelfLoops::keep});
}

/// The nodes of one subgraph, ascending.
template <SubgraphDraw D>
std::vector<NodeId> drawn_nodes(const D& draws, const SampleSource& source, BatchKey key) {
  typename D::Workspace workspace{};
  Array<NodeId> drawn;
  draws.draw(source, key, workspace, drawn);
  std::vector<NodeId> nodes(drawn.begin(), drawn.end());
  std::sort(nodes.begin(), nodes.end());
  nodes.erase(std::unique(nodes.begin(), nodes.end()), nodes.end());
  return nodes;
}

/// Occurrences of nodes and entries in subgraphs, by binary search.
struct SlowCounts {
  std::vector<double> node;
  std::vector<double> edge;
};

template <SubgraphDraw D>
SlowCounts slow_counts(const D& draws, const SampleSource& source, std::uint64_t seed, std::uint64_t epoch,
                       std::uint64_t subgraphs) {
  SlowCounts out{std::vector<double>(source.graph.num_rows), std::vector<double>(source.graph.num_edges())};
  for (std::uint64_t s = 0; s < subgraphs; ++s) {
    const std::vector<NodeId> nodes = drawn_nodes(draws, source, {seed, epoch, s});
    for (const NodeId v : nodes) {
      out.node[v] += 1;
      for (EdgeId e = source.graph.begin(v); e < source.graph.end(v); ++e) {
        if (std::binary_search(nodes.begin(), nodes.end(), source.graph.col[e])) out.edge[e] += 1;
      }
    }
  }
  return out;
}

/// Whether a frequency over R trials fits a probability: five standard deviations and one trial.
inline void check_frequency(double count, double trials, double p) {
  CAPTURE(count, trials, p);
  CHECK(std::abs(count / trials - p) <= 5 * std::sqrt(p * (1 - p) / trials) + 1 / trials);
}

}  // namespace tessera::testing
