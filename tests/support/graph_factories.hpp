// SPDX-License-Identifier: MIT
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

#include "tessera/core/rng.hpp"
#include "tessera/graph/builders.hpp"
#include "tessera/graph/csr_graph.hpp"

// Small graphs for tests. Undirected ones store both directions; no loops, no duplicates, no weights unless
// said.

namespace tessera::testing {

using Links = std::vector<std::pair<NodeId, NodeId>>;

inline CsrGraph from_links(std::size_t nodes, const Links& links, const BuildOptions& options) {
  std::vector<NodeId> source;
  std::vector<NodeId> target;
  for (const auto& [s, t] : links) {
    source.push_back(s);
    target.push_back(t);
  }
  return build_csr(nodes, {source, target, {}}, options).graph;
}

inline CsrGraph undirected(std::size_t nodes, const Links& links) {
  return from_links(nodes, links, {.symmetrize = true});
}

inline CsrGraph directed(std::size_t nodes, const Links& links) { return from_links(nodes, links, {}); }

/// Nodes without a single link.
inline CsrGraph empty_graph(std::size_t nodes) { return undirected(nodes, {}); }

///     0 - 1
///      \  |
///        2 - 3 - 4       5          row_ptr = 0 2 4 7 9 10 10
inline CsrGraph g6() { return undirected(6, {{0, 1}, {0, 2}, {1, 2}, {2, 3}, {3, 4}}); }

///     0 - 1 - 2 - ... - n-1
inline CsrGraph path(std::size_t nodes) {
  Links links;
  for (NodeId i = 1; i < nodes; ++i) links.push_back({i - 1, i});
  return undirected(nodes, links);
}

/// Node 0 joined to every other one: a hub of degree n - 1.
inline CsrGraph star(std::size_t nodes) {
  Links links;
  for (NodeId i = 1; i < nodes; ++i) links.push_back({0, i});
  return undirected(nodes, links);
}

///     0 - 1 - 2
///     |   |   |       node (r, c) has number r * cols + c
///     3 - 4 - 5
inline CsrGraph grid(std::size_t rows, std::size_t cols) {
  Links links;
  for (std::size_t i = 0; i < rows * cols; ++i) {
    const auto node = static_cast<NodeId>(i);
    if (i % cols + 1 < cols) links.push_back({node, node + 1});
    if (i + cols < rows * cols) links.push_back({node, node + static_cast<NodeId>(cols)});
  }
  return undirected(rows * cols, links);
}

/// `count` cliques of `size` consecutive nodes; with `ring`, node 0 of each is joined to node 0 of the next.
inline CsrGraph cliques(std::size_t count, std::size_t size, bool ring = false) {
  Links links;
  for (std::size_t c = 0; c < count; ++c) {
    for (std::size_t i = 0; i < size; ++i) {
      for (std::size_t j = i + 1; j < size; ++j) {
        links.push_back({static_cast<NodeId>(c * size + i), static_cast<NodeId>(c * size + j)});
      }
    }
    if (ring && count > 1)
      links.push_back({static_cast<NodeId>(c * size), static_cast<NodeId>((c + 1) % count * size)});
  }
  return undirected(count * size, links);
}

/// Links with both ends drawn uniformly; duplicates merged, so slightly fewer are stored.
inline Links random_links(std::size_t nodes, std::size_t count, std::uint64_t seed) {
  Links links;
  for (std::size_t e = 0; nodes > 0 && e < count; ++e) {
    CounterRng rng(make_key(seed, 0, Purpose::generate), 0, e);
    const auto s = static_cast<NodeId>(rng.below(nodes));
    links.push_back({s, static_cast<NodeId>(rng.below(nodes))});
  }
  return links;
}

inline CsrGraph random_undirected(std::size_t nodes, std::size_t links, std::uint64_t seed) {
  return undirected(nodes, random_links(nodes, links, seed));
}

inline CsrGraph random_directed(std::size_t nodes, std::size_t links, std::uint64_t seed) {
  return directed(nodes, random_links(nodes, links, seed));
}

/// The same graph with random weights in (0, 2]; equal in both directions when it is symmetric.
inline CsrGraph with_random_weights(CsrGraph graph, std::uint64_t seed) {
  graph.weight.resize(graph.num_edges());
  for (std::size_t i = 0; i < graph.num_nodes(); ++i) {
    for (std::size_t e = graph.row_ptr[i]; e < graph.row_ptr[i + 1]; ++e) {
      const std::uint64_t row = i;
      const std::uint64_t col = graph.col[e];
      const bool swap = graph.symmetric && row > col;
      CounterRng rng(make_key(seed, 1, Purpose::generate), static_cast<std::uint32_t>(swap ? row : col),
                     swap ? col : row);
      graph.weight[e] = static_cast<float>(1 + rng.below(64)) / 32.0f;
    }
  }
  return graph;
}

}  // namespace tessera::testing
