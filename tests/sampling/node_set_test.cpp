// SPDX-License-Identifier: MIT
#include "tessera/sampling/node_set.hpp"

#include <algorithm>
#include <set>
#include <vector>

#include "support/batch_checks.hpp"
#include "support/catch.hpp"
#include "tessera/core/rng.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

void check_holds(const NodeSet& set, std::size_t num_nodes, const std::vector<NodeId>& nodes) {
  REQUIRE(set.size() == nodes.size());
  std::size_t found = 0;
  for (NodeId v = 0; v < num_nodes; ++v) {
    const auto at = std::lower_bound(nodes.begin(), nodes.end(), v);
    const bool listed = at != nodes.end() && *at == v;
    REQUIRE(set.contains(v) == listed);
    if (!listed) continue;
    REQUIRE(set.place(v) == static_cast<NodeId>(at - nodes.begin()));
    ++found;
  }
  REQUIRE(found == nodes.size());
}

std::vector<NodeId> random_draws(std::size_t num_nodes, std::size_t count, std::uint64_t seed) {
  std::vector<NodeId> out(count);
  CounterRng rng(make_key(seed, 0, Purpose::generic), 0, 0);
  for (NodeId& v : out) v = static_cast<NodeId>(rng.below(num_nodes));
  return out;
}

}  // namespace

TEST_CASE("NodeSet knows members and places, list after list") {
  NodeSet set;
  const std::size_t sizes[] = {1, 63, 64, 65, 1000, 1000, 40'000};
  for (const std::size_t num_nodes : sizes) {
    for (std::uint64_t seed = 0; seed < 4; ++seed) {
      const std::vector<NodeId> drawn = random_draws(num_nodes, seed * num_nodes / 3, seed);
      const std::set<NodeId> unique(drawn.begin(), drawn.end());
      const std::vector<NodeId> nodes(unique.begin(), unique.end());
      set.assign(num_nodes, nodes);
      check_holds(set, num_nodes, nodes);
      Array<NodeId> listed;
      set.collect(num_nodes, drawn, listed);
      REQUIRE(values(listed) == nodes);
      check_holds(set, num_nodes, nodes);
    }
  }
}

TEST_CASE("NodeSet is the same for every number of threads, where ranges meet inside a word") {
  std::vector<NodeId> nodes;
  for (NodeId v = 3; v < 200'000; v += 1 + v % 3) nodes.push_back(v);
  NodeSet set;
  for (const std::size_t threads : {1u, 2u, 4u}) {
    with_threads(threads, [&] { set.assign(200'000, nodes); });
    check_holds(set, 200'000, nodes);
  }
}

TEST_CASE("NodeSet refuses ids out of range or order and keeps the set it had") {
  NodeSet set;
  const std::vector<NodeId> good{2, 5, 70};
  set.assign(100, good);
  Array<NodeId> listed;
  CHECK_THROWS_AS(set.assign(100, std::vector<NodeId>{1, 100}), IndexError);
  CHECK_THROWS_AS(set.assign(100, std::vector<NodeId>{4, 4}), IndexError);
  CHECK_THROWS_AS(set.assign(100, std::vector<NodeId>{5, 4}), IndexError);
  CHECK_THROWS_AS(set.collect(100, std::vector<NodeId>{5, 100}, listed), IndexError);
  check_holds(set, 100, good);
  set.assign(100, {});
  check_holds(set, 100, {});
  set.assign(0, {});
  CHECK(set.size() == 0);
}
