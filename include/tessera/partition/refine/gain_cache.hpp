// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/detail/loops.hpp"
#include "tessera/partition/detail/rating_map.hpp"

namespace tessera::detail::multilevel {

/// How strongly a node is bound to a block.
struct Connection {
  Block block;
  Weight weight;
};

/// For every node the blocks among its neighbours and the weight of the edges to each, kept up to date while
/// nodes move.
///
/// Rows are unordered and hold no zeros. A row that outgrows its place moves to the end of the table.
/// Cost     build O(E); move O(degree times the rows of the neighbours); memory O(n + sum of rows), at most
///          O(E)
class GainCache {
 public:
  void build(const LevelGraph& graph, std::span<const Block> block) {
    const std::size_t n = graph.num_nodes;
    start_.assign(n + 1, 0);
    row_.resize(n);
    // Pass 0 counts what each row needs, pass 1 fills it in; the walk over the edges is the same.
    for (int pass = 0; pass < 2; ++pass) {
      parallel_rows(graph.row_ptr, 1 << 15, [&](std::size_t begin, std::size_t end) {
        RatingMap rating;
        for (std::size_t v = begin; v < end; ++v) {
          rating.clear();
          graph.for_neighbors(v, [&](NodeId u, Weight w) { rating.add(block[u], w); });
          if (pass == 0) {
            start_[v] = std::min(graph.degree(v), rating.size() + rating.size() / 2 + 2);
            continue;
          }
          row_[v] = {start_[v], static_cast<std::uint32_t>(rating.size()),
                     static_cast<std::uint32_t>(start_[v + 1] - start_[v])};
          Connection* to = entry_.data() + start_[v];
          for (const RatingMap::Entry& entry : rating.entries()) *to++ = {entry.key, entry.weight};
        }
      });
      if (pass == 0) entry_.resize(parallel_exclusive_scan<std::size_t>(start_));
    }
  }

  std::span<const Connection> row(std::size_t v) const noexcept {
    const Row& row = row_.data()[v];
    return {entry_.data() + row.start, row.size};
  }

  /// The weight of the edges from v to a block.
  Weight connection(std::size_t v, Block block) const noexcept {
    for (const Connection& c : row(v)) {
      if (c.block == block) return c.weight;
    }
    return 0;
  }

  /// Tells the neighbours of v that it went from one block to another.
  void move(const LevelGraph& graph, NodeId v, Block from, Block to) {
    graph.for_neighbors(v, [&](NodeId u, Weight w) {
      subtract(u, from, w);
      add(u, to, w);
    });
  }

 private:
  struct Row {
    std::size_t start;
    std::uint32_t size;
    std::uint32_t capacity;
  };

  void subtract(NodeId v, Block block, Weight weight) noexcept {
    Row& row = row_.data()[v];
    Connection* const first = entry_.data() + row.start;
    for (std::uint32_t i = 0; i < row.size; ++i) {
      if (first[i].block != block) continue;
      first[i].weight -= weight;
      if (first[i].weight == 0) first[i] = first[--row.size];
      return;
    }
  }

  void add(NodeId v, Block block, Weight weight) {
    Row& row = row_.data()[v];
    Connection* first = entry_.data() + row.start;
    for (std::uint32_t i = 0; i < row.size; ++i) {
      if (first[i].block != block) continue;
      first[i].weight += weight;
      return;
    }
    if (row.size == row.capacity) {
      const std::size_t start = entry_.size();
      const std::uint32_t capacity = 2 * row.capacity + 2;
      if (start + capacity > entry_.capacity())
        entry_.resize(start + std::max<std::size_t>(capacity, start / 4));
      entry_.resize(start + capacity);
      std::copy_n(entry_.data() + row.start, row.size, entry_.data() + start);
      row = {start, row.size, capacity};
      first = entry_.data() + start;
    }
    first[row.size++] = {block, weight};
  }

  Array<std::size_t> start_;
  Array<Row> row_;
  Array<Connection> entry_;
};

}  // namespace tessera::detail::multilevel
