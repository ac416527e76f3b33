// SPDX-License-Identifier: MIT
#include "tessera/partition/streaming_partitioner.hpp"

#include <optional>
#include <set>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/partition_graphs.hpp"
#include "tessera/partition/cached.hpp"
#include "tessera/partition/concepts.hpp"
#include "tessera/partition/contiguous_partitioner.hpp"
#include "tessera/partition/metis_partitioner.hpp"
#include "tessera/partition/metrics.hpp"
#include "tessera/partition/multilevel.hpp"
#include "tessera/partition/random_partitioner.hpp"

using namespace tessera;
using namespace tessera::test;

namespace {

static_assert(Partitioner<StreamingPartitioner>);
static_assert(Partitioner<RandomPartitioner>);
static_assert(Partitioner<ContiguousPartitioner>);
static_assert(!Partitioner<PartitionOptions>);

struct MemoryStore {
  std::vector<std::pair<std::string, std::vector<PartId>>> kept;
  int saved = 0;

  std::optional<Array<PartId>> load(const std::string& id) const {
    for (const auto& [key, parts] : kept) {
      if (key == id) return Array<PartId>::copy_of(parts);
    }
    return std::nullopt;
  }
  void save(const std::string& id, std::span<const PartId> parts) {
    kept.push_back({id, {parts.begin(), parts.end()}});
    ++saved;
  }
};
static_assert(PartitionStore<MemoryStore>);

}  // namespace

TEST_CASE("streaming keeps the balance and cuts less than chance") {
  const PartitionGraph graph = clique_chain(100, 20);
  const PartitionOptions options{.parts = 16, .seed = 3};
  const std::int64_t chance = RandomPartitioner().partition(graph, options).cut;
  for (const StreamRule rule : {StreamRule::fennel, StreamRule::ldg}) {
    for (const bool shuffled : {false, true}) {
      const Partition once =
          StreamingPartitioner({.rule = rule, .shuffled = shuffled}).partition(graph, options);
      CHECK(once.feasible());
      CHECK(once.cut == edge_cut(graph, once.part));
      CHECK(2 * once.cut < chance);
      const Partition more =
          StreamingPartitioner({.rule = rule, .passes = 5, .shuffled = shuffled}).partition(graph, options);
      CHECK(more.feasible());
      CHECK(2 * more.cut < chance);
    }
  }
}

TEST_CASE("streaming on awkward input") {
  const StreamingPartitioner stream;
  CHECK(stream.partition(PartitionGraph{}, {.parts = 3}).part.empty());
  const PartitionGraph star = star_graph(99);
  const Partition exact = stream.partition(star, {.parts = 10, .imbalance = 0});
  for (const std::int64_t w : exact.part_weight) CHECK(w == 10);
  const Partition many = stream.partition(g6(), {.parts = 9});
  CHECK(std::set<PartId>(many.part.begin(), many.part.end()).size() <= 6);
  CHECK_THROWS_AS(StreamingPartitioner({.passes = 0}).partition(star, {.parts = 2}), ConfigError);
  PartitionGraph broken = g6();
  broken.col[0] = 77;
  CHECK_THROWS_AS(stream.partition(broken, {.parts = 2}), IndexError);
}

TEST_CASE("a partition is computed once per graph and options") {
  const PartitionGraph graph = grid_graph(20, 20);
  MemoryStore store;
  const MultilevelPartitioner multilevel;
  const PartitionOptions options{.parts = 4, .seed = 1};
  const Partition first = cached_partition(multilevel, "multilevel", graph, options, store);
  const Partition second = cached_partition(multilevel, "multilevel", graph, options, store);
  CHECK(store.saved == 1);
  CHECK(std::equal(first.part.begin(), first.part.end(), second.part.begin()));
  CHECK(second.cut == first.cut);
  CHECK(second.max_part_weight == first.max_part_weight);
  CHECK(std::equal(first.part_weight.begin(), first.part_weight.end(), second.part_weight.begin()));

  std::set<std::string> ids{partition_id(graph, options, "multilevel")};
  ids.insert(partition_id(graph, options, "fennel"));
  ids.insert(partition_id(graph, {.parts = 5, .seed = 1}, "multilevel"));
  ids.insert(partition_id(graph, {.parts = 4, .seed = 2}, "multilevel"));
  ids.insert(partition_id(graph, {.parts = 4, .imbalance = 0.05, .seed = 1}, "multilevel"));
  ids.insert(partition_id(grid_graph(20, 21), options, "multilevel"));
  const std::vector<std::int64_t> node(400, 1);
  ids.insert(partition_id(graph, {.parts = 4, .seed = 1, .node_weight = node}, "multilevel"));
  ids.insert(partition_id(graph, {.parts = 4, .seed = 1, .second_weight = node}, "multilevel"));
  CHECK(ids.size() == 8);

  store.kept[0].second.pop_back();  // what is stored no longer fits
  cached_partition(multilevel, "multilevel", graph, options, store);
  CHECK(store.saved == 2);
}

#if defined(TESSERA_HAS_METIS)
static_assert(Partitioner<MetisPartitioner>);

TEST_CASE("METIS answers behind the same concept") {
  const PartitionGraph graph = clique_chain(8, 6);
  const Partition p = MetisPartitioner().partition(graph, {.parts = 8, .seed = 1});
  CHECK(p.cut == edge_cut(graph, p.part));
  CHECK(p.cut <= 48);
  CHECK(partition_metrics(graph, p.part, 8).empty_parts == 0);
  CHECK(MetisPartitioner({.recursive = true}).partition(graph, {.parts = 2}).cut >= 2);
  const std::vector<std::int64_t> wide(48, std::int64_t{1} << 40);
  CHECK_THROWS_AS(MetisPartitioner().partition(graph, {.parts = 2, .node_weight = wide}), ConfigError);
}
#endif
