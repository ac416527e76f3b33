// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "support/catch.hpp"
#include "tessera/core/array.hpp"
#include "tessera/core/csr_view.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/sampling/mini_batch.hpp"

// What every sampler promises, checked the slow way.

namespace tessera::testing {

template <class T>
std::vector<T> values(const Array<T>& array) {
  return {array.begin(), array.end()};
}

inline bool same_bits(const Block& x, const Block& y) {
  return x.num_dst == y.num_dst && x.num_src == y.num_src && x.symmetric == y.symmetric &&
         values(x.row_ptr) == values(y.row_ptr) && values(x.col) == values(y.col) &&
         values(x.weight) == values(y.weight) && values(x.edge_id) == values(y.edge_id) &&
         values(x.transpose_row_ptr) == values(y.transpose_row_ptr) &&
         values(x.transpose_col) == values(y.transpose_col) &&
         values(x.transpose_weight) == values(y.transpose_weight) &&
         values(x.transpose_edge) == values(y.transpose_edge);
}

inline bool same_bits(const MiniBatch& x, const MiniBatch& y) {
  return values(x.node_id) == values(y.node_id) && x.num_targets == y.num_targets &&
         values(x.loss_weight) == values(y.loss_weight) && x.halo_begin == y.halo_begin &&
         std::equal(x.blocks.begin(), x.blocks.end(), y.blocks.begin(), y.blocks.end(),
                    [](const Block& a, const Block& b) { return same_bits(a, b); });
}

/// Every entry exists in the source or is a loop `spec` asked for; rows ascend; the transpose is exact.
inline void check_subgraph_batch(const SampleSource& source, const AggregationSpec& spec,
                                 const MiniBatch& batch) {
  const std::size_t n = batch.num_nodes();
  REQUIRE(batch.blocks.size() == 1);
  REQUIRE(batch.num_targets == n);
  REQUIRE(batch.halo_begin == n);
  const Block& block = batch.blocks[0];
  REQUIRE(block.num_dst == n);
  REQUIRE(block.num_src == n);
  REQUIRE(block.row_ptr.size() == n + 1);
  REQUIRE(block.row_ptr[0] == 0);
  REQUIRE(block.col.size() == block.row_ptr[n]);
  REQUIRE(block.edge_id.size() == block.col.size());
  std::vector<std::vector<float>> dense(n, std::vector<float>(n));
  for (std::size_t i = 0; i < n; ++i) {
    if (i > 0) REQUIRE(batch.node_id[i - 1] < batch.node_id[i]);
    std::size_t expected = 0;
    for (const NodeId j : source.graph.neighbors(batch.node_id[i]))
      expected += std::binary_search(batch.node_id.begin(), batch.node_id.end(), j) ? 1u : 0u;
    std::size_t inserted = 0;
    for (auto e = block.row_ptr[i]; e < block.row_ptr[i + 1]; ++e) {
      REQUIRE(block.col[e] < n);
      if (e > block.row_ptr[i]) REQUIRE(block.col[e - 1] < block.col[e]);
      dense[i][block.col[e]] = block.weight.empty() ? 1.0f : block.weight[e];
      if (block.edge_id[e] == kNoEdge) {
        REQUIRE(spec.self_loops);
        REQUIRE(block.col[e] == i);
        ++inserted;
        continue;
      }
      const EdgeId parent = block.edge_id[e];
      REQUIRE(parent >= source.graph.begin(batch.node_id[i]));
      REQUIRE(parent < source.graph.end(batch.node_id[i]));
      REQUIRE(source.graph.col[parent] == batch.node_id[block.col[e]]);
    }
    REQUIRE(block.row_ptr[i + 1] - block.row_ptr[i] == expected + inserted);
  }
  const Adjacency a = block.adjacency();
  REQUIRE(a.transpose.num_edges() == a.forward.num_edges());
  for (std::size_t j = 0; j < n; ++j) {
    for (auto e = a.transpose.begin(j); e < a.transpose.end(j); ++e) {
      const float w = a.transpose.weighted() ? a.transpose.weight[e] : 1.0f;
      REQUIRE(dense[a.transpose.col[e]][j] == w);
      if (!a.transpose_edge.empty()) REQUIRE(a.forward.col[a.transpose_edge[e]] == j);
    }
  }
}

}  // namespace tessera::testing
