// SPDX-License-Identifier: MIT
#include "tessera/sampling/listed_entries.hpp"

#include <vector>

#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "tessera/core/isa.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

void check_entries(const CsrGraph& graph, const std::vector<NodeId>& nodes, ListedEntries& entries) {
  entries.set().assign(graph.num_nodes(), nodes);
  entries.find(graph, nodes);
  const CsrView<> view = graph.view();
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    std::vector<std::size_t> want;
    for (std::size_t k = 0; k < view.degree(nodes[i]); ++k) {
      if (std::binary_search(nodes.begin(), nodes.end(), view.neighbors(nodes[i])[k])) want.push_back(k);
    }
    std::vector<std::size_t> got;
    entries.for_row(i, [&](std::size_t k) { got.push_back(k); });
    REQUIRE(got == want);
    REQUIRE(entries.count(i) == want.size());
    const std::span<const NodeId> places = entries.places(i);
    const std::size_t room = 8 * ((view.degree(nodes[i]) + 63) / 64);
    REQUIRE(places.size() == (want.size() <= room ? want.size() : 0));
    for (std::size_t t = 0; t < places.size(); ++t)
      REQUIRE(nodes[places[t]] == view.neighbors(nodes[i])[want[t]]);
  }
}

std::vector<NodeId> every(std::size_t num_nodes, std::size_t step) {
  std::vector<NodeId> out;
  for (std::size_t v = 0; v < num_nodes; v += step) out.push_back(static_cast<NodeId>(v));
  return out;
}

}  // namespace

TEST_CASE("ListedEntries finds what a search of every row finds, at every instruction set") {
  ListedEntries entries;
  for (const Isa isa : {Isa::baseline, Isa::avx2, Isa::avx512}) {
    if (isa > detected_isa()) continue;
    const IsaScope scope(isa);
    const CsrGraph dense = random_undirected(300, 20'000, 1);  // rows of two words and a part
    for (const std::size_t step : {1u, 2u, 7u, 299u}) check_entries(dense, every(300, step), entries);
    const CsrGraph sparse = random_directed(5000, 20'000, 2);
    for (const std::size_t step : {1u, 3u, 100u}) check_entries(sparse, every(5000, step), entries);
    const CsrGraph hub = star(5000);  // longer than the list: searched instead of read
    for (const std::size_t step : {1u, 40u, 200u, 4999u}) check_entries(hub, every(5000, step), entries);
    for (const std::size_t degree : {15u, 16u, 17u, 48u, 63u, 64u, 65u, 80u, 129u}) {
      const CsrGraph wheel = star(degree + 1);  // the ends of a row, at every length of the last vector
      for (const std::size_t step : {1u, 3u, 9u}) check_entries(wheel, every(degree + 1, step), entries);
    }
    check_entries(empty_graph(70), every(70, 1), entries);
    check_entries(hub, {}, entries);
  }
}

TEST_CASE("ListedEntries is the same for every number of threads") {
  const CsrGraph graph = random_undirected(20'000, 300'000, 3);
  ListedEntries entries;
  for (const std::size_t threads : {1u, 2u, 4u}) {
    with_threads(threads, [&] { check_entries(graph, every(20'000, 3), entries); });
  }
}
