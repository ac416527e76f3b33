// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "tessera/core/csr_view.hpp"
#include "tessera/core/ids.hpp"

// Graphs to partition, as plain arrays: small ones with known optima, and the seeded synthetic ones whose
// cuts by other partitioners are published next to their hashes.
namespace tessera::test {

struct PartitionGraph {
  std::vector<EdgeId> row_ptr{0};
  std::vector<NodeId> col;

  std::size_t num_nodes() const { return row_ptr.size() - 1; }
  CsrView<> view() const { return {num_nodes(), num_nodes(), row_ptr, col, {}}; }
  operator CsrView<>() const { return view(); }
};

using EdgeList = std::vector<std::pair<NodeId, NodeId>>;

/// Both directions of every edge, without loops and duplicates.
inline PartitionGraph undirected(std::size_t n, const EdgeList& edges) {
  PartitionGraph g;
  std::vector<EdgeId> start(n + 1, 0);
  for (const auto& [u, v] : edges) {
    if (u == v) continue;
    ++start[u + 1];
    ++start[v + 1];
  }
  for (std::size_t i = 0; i < n; ++i) start[i + 1] += start[i];
  std::vector<NodeId> col(start[n]);
  std::vector<EdgeId> at(start.begin(), start.end() - 1);
  for (const auto& [u, v] : edges) {
    if (u == v) continue;
    col[at[u]++] = v;
    col[at[v]++] = u;
  }
  g.row_ptr.reserve(n + 1);
  for (std::size_t v = 0; v < n; ++v) {
    const auto first = col.begin() + static_cast<std::ptrdiff_t>(start[v]);
    const auto last = col.begin() + static_cast<std::ptrdiff_t>(start[v + 1]);
    std::sort(first, last);
    g.col.insert(g.col.end(), first, std::unique(first, last));
    g.row_ptr.push_back(g.col.size());
  }
  return g;
}

/// Hash over the directed pairs sorted by (u, v).
inline std::uint64_t graph_hash(const PartitionGraph& g) {
  std::uint64_t h = 1469598103934665603u;
  for (std::uint64_t u = 0; u < g.num_nodes(); ++u) {
    for (EdgeId e = g.row_ptr[u]; e < g.row_ptr[u + 1]; ++e) h = (h ^ (u << 32 | g.col[e])) * 1099511628211u;
  }
  return h;
}

/// Six nodes, a triangle with a tail of two, node 5 isolated.
inline PartitionGraph g6() { return undirected(6, {{0, 1}, {0, 2}, {1, 2}, {2, 3}, {3, 4}}); }

inline PartitionGraph grid_graph(std::size_t rows, std::size_t cols) {
  EdgeList edges;
  const auto id = [&](std::size_t r, std::size_t c) { return static_cast<NodeId>(r * cols + c); };
  for (std::size_t r = 0; r < rows; ++r) {
    for (std::size_t c = 0; c < cols; ++c) {
      if (c + 1 < cols) edges.push_back({id(r, c), id(r, c + 1)});
      if (r + 1 < rows) edges.push_back({id(r, c), id(r + 1, c)});
    }
  }
  return undirected(rows * cols, edges);
}

/// `count` cliques of `size` nodes; clique i and i + 1 share one edge, closed to a ring from three on.
inline PartitionGraph clique_chain(std::size_t count, std::size_t size) {
  EdgeList edges;
  for (std::size_t c = 0; c < count; ++c) {
    for (std::size_t i = 0; i < size; ++i) {
      for (std::size_t j = 0; j < i; ++j) {
        edges.push_back({static_cast<NodeId>(c * size + i), static_cast<NodeId>(c * size + j)});
      }
    }
    const std::size_t next = (c + 1) % count;
    if (count > 2 || next == c + 1) {
      edges.push_back({static_cast<NodeId>(c * size), static_cast<NodeId>(next * size + 1)});
    }
  }
  return undirected(count * size, edges);
}

/// Node 0 joined to all others.
inline PartitionGraph star_graph(std::size_t leaves) {
  EdgeList edges;
  for (std::size_t i = 1; i <= leaves; ++i) edges.push_back({0, static_cast<NodeId>(i)});
  return undirected(leaves + 1, edges);
}

/// The stream the published graphs are drawn from: SplitMix64 started at 42.
class PublishedStream {
 public:
  std::uint64_t next() {
    state_ += 0x9E3779B97F4A7C15u;
    std::uint64_t z = state_;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
  }
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }
  NodeId below(std::size_t n) {
    __extension__ using wide = unsigned __int128;
    return static_cast<NodeId>((static_cast<wide>(next()) * n) >> 64);
  }

 private:
  std::uint64_t state_ = 42;
};

/// 512 x 512; hash cfd506adf21c58e7.
inline PartitionGraph published_grid() { return grid_graph(512, 512); }

/// 100 planted blocks of 1000; hash 5332d14c7bed703b.
inline PartitionGraph published_sbm() {
  constexpr std::size_t n = 100000;
  PublishedStream s;
  EdgeList edges;
  for (std::size_t i = 0; i < n; ++i) {
    const auto node = static_cast<NodeId>(i);
    for (int t = 0; t < 8; ++t)
      edges.push_back({node, static_cast<NodeId>(1000 * (i / 1000) + s.below(1000))});
    for (int t = 0; t < 2; ++t) edges.push_back({node, s.below(n)});
  }
  return undirected(n, edges);
}

/// Preferential attachment, five edges per node; hash aeb21d5f6e25455f.
inline PartitionGraph published_ba() {
  constexpr std::size_t n = 100000;
  PublishedStream s;
  EdgeList edges;
  std::vector<NodeId> ends;
  const auto add = [&](std::size_t i, NodeId j) {
    edges.push_back({static_cast<NodeId>(i), j});
    ends.push_back(static_cast<NodeId>(i));
    ends.push_back(j);
  };
  for (std::size_t i = 0; i < 6; ++i) {
    for (std::size_t j = 0; j < i; ++j) add(i, static_cast<NodeId>(j));
  }
  for (std::size_t i = 6; i < n; ++i) {
    const std::size_t length = ends.size();
    for (int t = 0; t < 5; ++t) add(i, ends[s.below(length)]);
  }
  return undirected(n, edges);
}

/// Eight uniform edges per node; hash 5d06f2c1fddeaceb.
inline PartitionGraph published_er() {
  constexpr std::size_t n = 100000;
  PublishedStream s;
  EdgeList edges;
  for (std::size_t i = 0; i < n; ++i) {
    for (int t = 0; t < 8; ++t) edges.push_back({static_cast<NodeId>(i), s.below(n)});
  }
  return undirected(n, edges);
}

/// Points in the unit square joined when near; hash c17b80d3318cd76e.
inline PartitionGraph published_rgg() {
  constexpr std::size_t n = 1 << 17;
  PublishedStream s;
  std::vector<double> x(n), y(n);
  for (std::size_t i = 0; i < n; ++i) {
    x[i] = s.uniform();
    y[i] = s.uniform();
  }
  const double r = 0.55 * std::sqrt(std::log(static_cast<double>(n)) / static_cast<double>(n));
  const auto cells = static_cast<std::size_t>(1 / r);
  const auto cell = [&](double a) {
    return std::min(cells - 1, static_cast<std::size_t>(a * static_cast<double>(cells)));
  };
  std::vector<std::vector<NodeId>> bucket(cells * cells);
  for (std::size_t i = 0; i < n; ++i)
    bucket[cell(x[i]) * cells + cell(y[i])].push_back(static_cast<NodeId>(i));
  EdgeList edges;
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t cx = cell(x[i]), cy = cell(y[i]);
    for (std::size_t bx = cx == 0 ? 0 : cx - 1; bx <= std::min(cells - 1, cx + 1); ++bx) {
      for (std::size_t by = cy == 0 ? 0 : cy - 1; by <= std::min(cells - 1, cy + 1); ++by) {
        for (const NodeId j : bucket[bx * cells + by]) {
          const double dx = x[i] - x[j], dy = y[i] - y[j];
          if (j < i && dx * dx + dy * dy <= r * r) edges.push_back({static_cast<NodeId>(i), j});
        }
      }
    }
  }
  return undirected(n, edges);
}

/// Recursive matrix graph, 2^16 nodes; hash 0e3d9071a3cd2a75.
inline PartitionGraph published_rmat16() {
  constexpr std::size_t n = 1 << 16;
  PublishedStream s;
  EdgeList edges;
  for (std::size_t e = 0; e < 16 * n; ++e) {
    NodeId row = 0, column = 0;
    for (int level = 15; level >= 0; --level) {
      const double u = s.uniform();
      const NodeId bit = NodeId{1} << level;
      if (u < 0.57) continue;
      if (u < 0.76) {
        column |= bit;
      } else if (u < 0.95) {
        row |= bit;
      } else {
        row |= bit;
        column |= bit;
      }
    }
    edges.push_back({row, column});
  }
  return undirected(n, edges);
}

}  // namespace tessera::test
