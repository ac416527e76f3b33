// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <vector>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/detail/loops.hpp"
#include "tessera/partition/detail/rating_map.hpp"

namespace tessera::detail::multilevel {

/// Numbers the clusters that have members 0, 1, ... in the order of their ids; returns how many there are.
///
/// Shapes   cluster [n] holds ids below n -> coarse [n]
inline std::size_t number_clusters(std::span<const NodeId> cluster, Array<NodeId>& coarse) {
  const std::size_t n = cluster.size();
  Array<NodeId> number(n, NodeId{0});
  parallel_for(n, kNodeGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t v = begin; v < end; ++v) atomic_set(number[cluster[v]], NodeId{1});
  });
  const std::size_t clusters = parallel_exclusive_scan<NodeId>(number);
  coarse.resize(n);
  parallel_for(n, kNodeGrain, [&](std::size_t begin, std::size_t end) {
    for (std::size_t v = begin; v < end; ++v) coarse[v] = number[cluster[v]];
  });
  return clusters;
}

/// Makes every cluster one node: weights add up, edges inside clusters vanish, parallel ones merge.
///
/// The cut of any partition of the result is the cut of its projection to `graph`.
/// Shapes   coarse [n] with values in [0, coarse_nodes), each used
/// Cost     work O(E), extra memory O(E_coarse)
/// Threads  result independent of T: neighbours stand in the order a walk over the members meets them
inline LevelGraph contract(const LevelGraph& graph, std::span<const NodeId> coarse,
                           std::size_t coarse_nodes) {
  Groups members;
  group_by(
      graph.num_nodes, coarse_nodes, [&](std::size_t v) { return static_cast<std::size_t>(coarse[v]); },
      members);

  // Coarse rows are made in waves of blocks and copied behind each other, so that no more than one wave is
  // held twice. Room for as many entries as `graph` has is reserved but not touched.
  struct Buffer {
    Array<NodeId> col;
    Array<Weight> weight;
  };
  constexpr std::size_t kWave = 32;
  constexpr std::size_t kSmall =
      1 << 15;  // entries not worth a parallel loop: bisections make many such graphs
  const std::size_t grain = graph.col.size() <= kSmall
                                ? coarse_nodes
                                : std::clamp<std::size_t>(coarse_nodes / (16 * kWave), 16, 512);
  const std::size_t blocks = (coarse_nodes + grain - 1) / grain;
  std::vector<Buffer> buffers(std::min(blocks, kWave));
  LevelGraph out;
  out.num_nodes = coarse_nodes;
  out.own_row_ptr.assign(coarse_nodes + 1, 0);
  out.own_node_weight.resize(coarse_nodes);
  out.own_col.reserve(graph.col.size());
  out.own_edge_weights(graph.col.size(), graph.total_edge_weight);
  const auto fill = [&](std::size_t block, Buffer& buffer) {
    RatingMap rating;
    buffer.col.clear();
    buffer.weight.clear();
    buffer.col.reserve(graph.col.size() / blocks);
    buffer.weight.reserve(graph.col.size() / blocks);
    for (std::size_t c = block * grain; c < std::min(coarse_nodes, (block + 1) * grain); ++c) {
      rating.clear();
      Weight weight = 0;
      for (const NodeId v : members[c]) {
        weight += graph.weight_of(v);
        graph.for_values(v, coarse.data(), [&](NodeId to, Weight w) {
          if (to != c) rating.add(to, w);
        });
      }
      out.own_node_weight[c] = weight;
      out.own_row_ptr[c] = rating.size();
      for (const RatingMap::Entry& entry : rating.entries()) {
        buffer.col.push_back(entry.key);
        buffer.weight.push_back(entry.weight);
      }
    }
  };
  std::size_t edges = 0;
  Array<std::size_t> at(buffers.size() + 1);
  for (std::size_t first = 0; first < blocks; first += kWave) {
    const std::size_t count = std::min(kWave, blocks - first);
    parallel_blocks(count, [&](std::size_t b) { fill(first + b, buffers[b]); });
    for (std::size_t b = 0; b < count; ++b) {
      at[b] = edges;
      edges += buffers[b].col.size();
    }
    out.own_col.resize(edges);
    parallel_blocks(count, [&](std::size_t b) {
      const Buffer& buffer = buffers[b];
      std::copy(buffer.col.begin(), buffer.col.end(), out.own_col.data() + at[b]);
      for (std::size_t i = 0; i < buffer.weight.size(); ++i) out.set_edge_weight(at[b] + i, buffer.weight[i]);
    });
  }
  parallel_exclusive_scan<EdgeId>(out.own_row_ptr);
  if (out.own_wide_edge_weight.empty()) {
    out.own_edge_weight.resize(edges);
  } else {
    out.own_wide_edge_weight.resize(edges);
  }
  out.view_owned();
  out.total_weight = graph.total_weight;
  out.max_node_weight = parallel_reduce<Weight>(
      coarse_nodes, kNodeGrain, Weight{0},
      [&](std::size_t begin, std::size_t end) {
        return *std::max_element(out.node_weight.begin() + static_cast<std::ptrdiff_t>(begin),
                                 out.node_weight.begin() + static_cast<std::ptrdiff_t>(end));
      },
      [](Weight a, Weight b) { return std::max(a, b); });
  return out;
}

}  // namespace tessera::detail::multilevel
