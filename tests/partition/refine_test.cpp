// SPDX-License-Identifier: MIT
#include <map>
#include <set>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/partition_graphs.hpp"
#include "support/partition_level.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/partition/fill.hpp"
#include "tessera/partition/refine/balancer.hpp"
#include "tessera/partition/refine/block_groups.hpp"
#include "tessera/partition/refine/fm.hpp"
#include "tessera/partition/refine/label_propagation.hpp"
#include "tessera/partition/refine/loose_rounds.hpp"

using namespace tessera;
using namespace tessera::test;
using namespace tessera::detail::multilevel;

namespace {

// Graphs that between them have hubs, ties, cliques and long distances.
std::vector<PartitionGraph> menagerie() {
  std::vector<PartitionGraph> out;
  out.push_back(grid_graph(40, 25));
  out.push_back(clique_chain(60, 9));
  out.push_back(star_graph(500));
  EdgeList edges;
  for (NodeId v = 0; v < 2000; ++v) {
    for (std::uint64_t t = 0; t < 4; ++t)
      edges.push_back({v, static_cast<NodeId>(hash(5, v, t) % (v % 7 == 0 ? 20 : 2000))});
  }
  for (NodeId v = 0; v < 2000; ++v) edges.push_back({v, (v + 1) % 2000});
  out.push_back(undirected(2000, edges));
  return out;
}

void check_weights(const LevelGraph& graph, const BlockState& state) {
  std::vector<Weight> weight(state.num_blocks(), 0);
  for (std::size_t v = 0; v < graph.num_nodes; ++v) weight[state.block[v]] += graph.weight_of(v);
  for (std::size_t b = 0; b < weight.size(); ++b) CHECK(weight[b] == state.weight[b]);
}

BlockState copy_of(const BlockState& s) {
  return {Array<Block>::copy_of(s.block), Array<Weight>::copy_of(s.weight), Array<Weight>::copy_of(s.limit)};
}

// Feasible in, feasible out, cut not larger, the same for any number of threads.
template <class Refine>
void check_refiner(Refine&& refine) {
  for (const PartitionGraph& source : menagerie()) {
    const LevelGraph graph = level_of(source);
    for (const std::size_t k : {2u, 5u, 40u}) {
      const BlockState start = scattered(graph, k, 2, 77);
      const Weight before = cut_of(graph, start.block);
      BlockState first = copy_of(start);
      with_threads(1, [&] { refine(graph, first); });
      CHECK(cut_of(graph, first.block) <= before);
      CHECK(first.overload() == 0);
      check_weights(graph, first);
      for (const std::size_t threads : {2u, 16u}) {
        BlockState other = copy_of(start);
        with_threads(threads, [&] { refine(graph, other); });
        CHECK(std::equal(first.block.begin(), first.block.end(), other.block.begin()));
      }
      refine(graph, first);  // from a good partition too
      CHECK(first.overload() == 0);
      CHECK(cut_of(graph, first.block) <= before);
    }
  }
}

}  // namespace

TEST_CASE("label propagation never worsens a partition") {
  check_refiner([](const LevelGraph& graph, BlockState& state) {
    const Weight before = cut_of(graph, state.block);
    RefineLabelPropagation().run(graph, {.key = 3}, state);
    CHECK(cut_of(graph, state.block) <= before);
  });
}

TEST_CASE("loose rounds never worsen a partition and leave the limits as they were") {
  check_refiner([](const LevelGraph& graph, BlockState& state) {
    const std::vector<Weight> limit(state.limit.begin(), state.limit.end());
    RefineLabelPropagation propagation;
    OverloadBalancer balancer;
    LooseRounds().run(graph, {.rounds = 8, .improvement = 100000, .key = 3}, propagation, balancer, state);
    CHECK(std::equal(limit.begin(), limit.end(), state.limit.begin(), state.limit.end()));
  });
}

TEST_CASE("loose rounds exchange nodes between full blocks, label propagation cannot") {
  // Two cliques of 40, a quarter of each on the wrong side, and no room to move anybody.
  EdgeList edges;
  for (NodeId c = 0; c < 2; ++c) {
    for (NodeId i = 0; i < 40; ++i) {
      for (NodeId j = 0; j < i; ++j) edges.push_back({40 * c + i, 40 * c + j});
    }
  }
  const PartitionGraph source = undirected(80, edges);
  const LevelGraph graph = level_of(source);
  BlockState state;
  state.block.resize(80);
  for (std::size_t v = 0; v < 80; ++v) state.block[v] = (v < 40) == (v % 4 != 0) ? 0 : 1;
  state.weigh(graph, 2);
  state.limit.assign(2, 40);
  REQUIRE(cut_of(graph, state.block) == 2 * 10 * 30);
  RefineLabelPropagation propagation;
  propagation.run(graph, {.rounds = 50, .key = 1}, state);
  CHECK(cut_of(graph, state.block) == 2 * 10 * 30);
  OverloadBalancer balancer;
  LooseRounds().run(graph, {.rounds = 20, .key = 1}, propagation, balancer, state);
  CHECK(cut_of(graph, state.block) == 0);
  CHECK(state.overload() == 0);
}

TEST_CASE("local search never worsens a partition and reports its gain exactly") {
  check_refiner([](const LevelGraph& graph, BlockState& state) {
    const Weight before = cut_of(graph, state.block);
    const Weight gain = RefineFm().run(graph, {.improvement = 100000, .key = 3}, state);
    CHECK(gain >= 0);
    CHECK(cut_of(graph, state.block) == before - gain);
  });
}

TEST_CASE("local search climbs out of a local optimum label propagation is stuck in") {
  // A ladder of 2 x 20 cut along its length: cut 20. Cut across it is 2, but every first step costs.
  const PartitionGraph source = grid_graph(2, 20);
  const LevelGraph graph = level_of(source);
  BlockState state;
  state.block.resize(40);
  for (std::size_t v = 0; v < 40; ++v) state.block[v] = v < 20 ? 0 : 1;
  state.weigh(graph, 2);
  state.limit.assign(2, 26);
  RefineLabelPropagation().run(graph, {.rounds = 50, .key = 1}, state);
  CHECK(cut_of(graph, state.block) == 20);
  RefineFm().run(graph, {.improvement = 100000, .key = 1}, state);
  CHECK(cut_of(graph, state.block) < 20);
}

TEST_CASE("searches in groups of blocks keep every promise of searches in one") {
  check_refiner([](const LevelGraph& graph, BlockState& state) {
    const Weight before = cut_of(graph, state.block);
    const Weight gain = RefineFm().run(graph, {.improvement = 100000, .group_edges = 500, .key = 5}, state);
    CHECK(cut_of(graph, state.block) == before - gain);
  });
}

TEST_CASE("searches at the same time give the same parts, however often and with however many threads") {
  EdgeList edges;
  constexpr NodeId kNodes = 3000;
  for (NodeId v = 0; v < kNodes; ++v) {
    edges.push_back({v, (v + 1) % kNodes});
    for (std::uint64_t t = 0; t < 6; ++t) edges.push_back({v, static_cast<NodeId>(hash(13, v, t) % kNodes)});
  }
  const PartitionGraph source = undirected(kNodes, edges);
  const LevelGraph graph = level_of(source);
  for (const std::uint64_t seed : {1u, 2u, 3u}) {
    const BlockState start = scattered(graph, 24, 8, seed);
    const auto refined = [&](std::size_t threads) {
      BlockState state = copy_of(start);
      with_threads(threads, [&] {
        RefineFm().run(graph, {.improvement = 100000, .group_edges = 4000, .key = seed}, state);
      });
      return std::vector<Block>(state.block.begin(), state.block.end());
    };
    const std::vector<Block> one = refined(1);
    CHECK(one != std::vector<Block>(start.block.begin(), start.block.end()));
    for (int repeat = 0; repeat < 5; ++repeat) {
      for (const std::size_t threads : {2u, 3u, 4u}) CHECK(refined(threads) == one);
    }
  }
}

TEST_CASE("groups of blocks are even, and each pair of blocks meets") {
  const PartitionGraph source = grid_graph(30, 30);
  const LevelGraph graph = level_of(source);
  const BlockState state = scattered(graph, 12, 0, 3);
  BlockGroups groups;
  groups.survey(graph, state);
  std::set<std::pair<Block, Block>> met;
  Array<std::uint32_t> group(12);
  for (std::uint64_t round = 0; round < 60; ++round) {
    groups.assign(4, round, group);
    std::map<std::uint32_t, int> size;
    for (Block a = 0; a < 12; ++a) {
      ++size[group[a]];
      for (Block b = 0; b < a; ++b) {
        if (group[a] == group[b]) met.insert({b, a});
      }
    }
    for (const auto& [g, blocks] : size) {
      CHECK(g < 4);
      CHECK(blocks <= 5);
    }
  }
  CHECK(met.size() == 66);
}

TEST_CASE("the balancer makes any partition of unit weights feasible") {
  for (const PartitionGraph& source : menagerie()) {
    const LevelGraph graph = level_of(source);
    for (const std::size_t k : {2u, 7u, 100u}) {
      BlockState state = scattered(graph, k, 0, 1);
      for (std::size_t v = 0; v < graph.num_nodes; v += 3) state.block[v] = 0;  // overfill one
      state.weigh(graph, k);
      state.limit.assign(k, static_cast<Weight>((graph.num_nodes + k - 1) / k));
      REQUIRE(state.overload() > 0);
      OverloadBalancer().run(graph, state);
      CHECK(state.overload() == 0);
      check_weights(graph, state);
    }
  }
}

TEST_CASE("the balancer does what heavy nodes allow and stops") {
  const PartitionGraph source = grid_graph(6, 6);
  LevelGraph graph = level_of(source);
  std::vector<Weight> weight(36, 1);
  weight[0] = weight[35] = 100;
  weight[7] = 0;
  graph.node_weight = weight;
  BlockState state = scattered(graph, 2, 0, 1);
  state.block[0] = state.block[35] = 0;
  state.weigh(graph, 2);
  state.limit.assign(2, 130);
  OverloadBalancer().run(graph, state);
  CHECK(state.overload() == 0);
  CHECK(state.block[0] != state.block[35]);
}

TEST_CASE("empty blocks get a node each while blocks with two are left") {
  const PartitionGraph source = grid_graph(3, 3);
  const LevelGraph graph = level_of(source);
  BlockState state;
  state.block.assign(9, 0);
  state.weigh(graph, 9);
  state.limit.assign(9, 9);
  fill_empty_blocks(graph, state);
  for (const Weight w : state.weight) CHECK(w == 1);
  check_weights(graph, state);
}
