// SPDX-License-Identifier: MIT
#include "tessera/graph/renumber.hpp"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "tessera/graph/detail/random_order.hpp"
#include "tessera/graph/generators.hpp"
#include "tessera/graph/validate.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

Array<NodeId> shuffled(std::size_t nodes, std::uint64_t seed) {
  return detail::random_order(nodes, make_key(seed, 0, Purpose::shuffle));
}

std::map<std::pair<NodeId, NodeId>, float> entries(const CsrGraph& graph) {
  std::map<std::pair<NodeId, NodeId>, float> out;
  for (NodeId i = 0; i < graph.num_nodes(); ++i) {
    for (std::size_t e = graph.row_ptr[i]; e < graph.row_ptr[i + 1]; ++e)
      out[{i, graph.col[e]}] = graph.weight.empty() ? 1.0f : graph.weight[e];
  }
  return out;
}

}  // namespace

TEST_CASE("renumber moves every entry and keeps rows ascending") {
  std::vector<CsrGraph> graphs;
  graphs.push_back(empty_graph(0));
  graphs.push_back(g6());
  graphs.push_back(random_directed(300, 3000, 1));
  graphs.push_back(with_random_weights(random_directed(300, 3000, 2), 3));
  graphs.push_back(with_random_weights(random_undirected(300, 3000, 4), 5));
  for (const CsrGraph& graph : graphs) {
    const Array<NodeId> order = shuffled(graph.num_nodes(), 6);
    const Array<NodeId> place = inverse_permutation(order);
    const CsrGraph out = renumber(graph, order);
    validate(out);
    CHECK(out.symmetric == graph.symmetric);
    std::map<std::pair<NodeId, NodeId>, float> want;
    for (const auto& [ends, weight] : entries(graph)) want[{place[ends.first], place[ends.second]}] = weight;
    CHECK(entries(out) == want);
    CHECK(entries(renumber(out, place)) == entries(graph));
  }
}

TEST_CASE("renumber a data set keeps what belongs together together") {
  const bool multilabel = GENERATE(false, true);
  const CommunityGraphOptions options{
      .nodes = 500, .classes = 5, .features = 3, .mean_degree = 8, .multilabel = multilabel};
  const Dataset before = generate_community_graph(options);
  Dataset data = generate_community_graph(options);
  data.train_graph = data.graph.clone();
  const Array<NodeId> order = shuffled(500, 7);
  renumber(data, order);
  CHECK(validate(data).empty());
  for (std::size_t k = 0; k < 500; ++k) {
    const NodeId old = order[k];
    CHECK(std::equal(data.features.row(k).begin(), data.features.row(k).end(),
                     before.features.row(old).begin()));
    CHECK(data.roles[k] == before.roles[old]);
    CHECK(data.graph.degree(k) == before.graph.degree(old));
    CHECK(data.train_graph.degree(k) == before.graph.degree(old));
    if (multilabel) {
      const auto labels = data.labels.indicators.row(k);
      CHECK(std::equal(labels.begin(), labels.end(), before.labels.indicators.row(old).begin()));
    } else {
      CHECK(data.labels.classes[k] == before.labels.classes[old]);
    }
  }
}

TEST_CASE("order_by_part makes parts ranges, stably, with the partless last") {
  const std::vector<PartId> parts{part_id(2), part_id(0), kNoPart, part_id(2), part_id(0), part_id(7)};
  const Array<NodeId> order = order_by_part(parts);
  CHECK(std::vector<NodeId>(order.begin(), order.end()) == std::vector<NodeId>{1, 4, 0, 3, 5, 2});
}

TEST_CASE("renumber refuses what is no permutation") {
  const std::vector<NodeId> repeats{0, 1, 2, 3, 4, 4};
  const std::vector<NodeId> beyond{0, 1, 2, 3, 4, 6};
  const std::vector<NodeId> small{0, 1, 2};
  REQUIRE_THROWS_AS(renumber(g6(), repeats), IndexError);
  REQUIRE_THROWS_AS(renumber(g6(), beyond), IndexError);
  REQUIRE_THROWS_AS(renumber(g6(), small), ShapeError);
}

TEST_CASE("renumber gives the same bits for any number of threads") {
  const CsrGraph graph = with_random_weights(random_directed(10'000, 100'000, 8), 9);
  const Array<NodeId> order = shuffled(10'000, 10);
  const CsrGraph one = with_threads(1, [&] { return renumber(graph, order); });
  for (const std::size_t threads : {2u, 4u, 16u}) {
    const CsrGraph many = with_threads(threads, [&] { return renumber(graph, order); });
    CHECK(std::equal(one.row_ptr.begin(), one.row_ptr.end(), many.row_ptr.begin()));
    CHECK(std::equal(one.col.begin(), one.col.end(), many.col.begin()));
    CHECK(std::equal(one.weight.begin(), one.weight.end(), many.weight.begin()));
  }
}
