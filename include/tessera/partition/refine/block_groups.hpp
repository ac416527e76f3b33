// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <numeric>

#include "tessera/core/array.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/coarsen/contract.hpp"
#include "tessera/partition/detail/level_graph.hpp"
#include "tessera/partition/refine/block_state.hpp"

namespace tessera::detail::multilevel {

/// Sorts blocks into groups of about equal size that share much of the cut; what was together before is less
/// likely to be together again.
class BlockGroups {
 public:
  /// Looks which blocks touch and how much.
  void survey(const LevelGraph& graph, const BlockState& state) {
    const LevelGraph quotient = contract(graph, state.block, state.num_blocks());
    blocks_ = state.num_blocks();
    pair_.clear();
    for (std::size_t b = 0; b < blocks_; ++b) {
      quotient.for_neighbors(b, [&](NodeId c, Weight w) {
        if (b < c) pair_.push_back({static_cast<Block>(b), c, w, 0});
      });
    }
  }

  /// Shapes   group [k], values in [0, groups)
  void assign(std::size_t groups, std::uint64_t key, Array<std::uint32_t>& group) {
    const std::size_t size = (blocks_ + groups - 1) / groups;
    // Heavy pairs first, up to chance; every time together halves the weight.
    for (Pair& pair : pair_) {
      const std::uint64_t chance = 64 + hash(key, pair.a, pair.b) % 64;
      pair.rank = (std::min<Weight>(pair.weight, Weight{1} << 40) * static_cast<Weight>(chance)) >>
                  std::min(2 * pair.together, 40);
    }
    parallel_sort(pair_.begin(), pair_.end(), [](const Pair& x, const Pair& y) {
      if (x.rank != y.rank) return x.rank > y.rank;
      return x.a != y.a ? x.a < y.a : x.b < y.b;
    });
    root_.resize(blocks_);
    std::iota(root_.begin(), root_.end(), Block{0});
    members_.assign(blocks_, 1);
    for (const Pair& pair : pair_) {
      const Block a = find(pair.a), b = find(pair.b);
      if (a == b || members_[a] + members_[b] > size) continue;
      root_[b] = a;
      members_[a] += members_[b];
    }
    // Fill the groups with whole clusters, the largest first into the emptiest group.
    Array<Block> order;
    for (std::size_t b = 0; b < blocks_; ++b) {
      if (find(static_cast<Block>(b)) == b) order.push_back(static_cast<Block>(b));
    }
    std::stable_sort(order.begin(), order.end(), [&](Block a, Block b) { return members_[a] > members_[b]; });
    Array<std::size_t> filled(groups, std::size_t{0});
    Array<std::uint32_t> place(blocks_, 0u);
    for (const Block b : order) {
      const auto to = std::min_element(filled.begin(), filled.end()) - filled.begin();
      filled[static_cast<std::size_t>(to)] += members_[b];
      place[b] = static_cast<std::uint32_t>(to);
    }
    for (std::size_t b = 0; b < blocks_; ++b) group[b] = place[find(static_cast<Block>(b))];
    for (Pair& pair : pair_) pair.together += group[pair.a] == group[pair.b] ? 1 : 0;
  }

 private:
  struct Pair {
    Block a, b;
    Weight weight;
    int together;
    Weight rank = 0;
  };

  Block find(Block b) noexcept {
    while (root_[b] != b) b = root_[b] = root_[root_[b]];
    return b;
  }

  std::size_t blocks_ = 0;
  Array<Pair> pair_;
  Array<Block> root_;
  Array<std::size_t> members_;
};

}  // namespace tessera::detail::multilevel
