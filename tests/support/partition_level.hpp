// SPDX-License-Identifier: MIT
#pragma once

#include "support/partition_graphs.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/preprocess.hpp"
#include "tessera/partition/refine/block_state.hpp"

namespace tessera::test {

/// The graph as partitioning steps see it; `graph` must outlive the result. No node may be isolated.
inline detail::multilevel::LevelGraph level_of(const PartitionGraph& graph) {
  using namespace detail::multilevel;
  return prepare(graph, {.parts = 2}).graph;
}

/// Hashed blocks with a limit `slack` above the heaviest one.
inline detail::multilevel::BlockState scattered(const detail::multilevel::LevelGraph& graph,
                                                std::size_t blocks, detail::multilevel::Weight slack,
                                                std::uint64_t seed) {
  using namespace detail::multilevel;
  BlockState state;
  state.block.resize(graph.num_nodes);
  for (std::size_t v = 0; v < graph.num_nodes; ++v)
    state.block[v] = static_cast<Block>(hash(seed, v) % blocks);
  state.weigh(graph, blocks);
  const Weight heaviest = *std::max_element(state.weight.begin(), state.weight.end());
  state.limit.assign(blocks, heaviest + slack);
  return state;
}

}  // namespace tessera::test
