// SPDX-License-Identifier: MIT
#include "tessera/graph/builders.hpp"

#include <map>
#include <utility>
#include <vector>

#include "support/catch.hpp"
#include "tessera/core/rng.hpp"

using namespace tessera;

namespace {

struct Links {
  std::vector<NodeId> source;
  std::vector<NodeId> target;
  std::vector<float> weight;
  EdgeList list() const { return {source, target, weight}; }
};

Links random_links(std::size_t nodes, std::size_t count, bool weighted, std::uint64_t seed) {
  Links links;
  CounterRng rng(make_key(seed, 0, Purpose::generic), 0, 0);
  for (std::size_t e = 0; e < count; ++e) {
    links.source.push_back(static_cast<NodeId>(rng.below(nodes)));
    links.target.push_back(static_cast<NodeId>(rng.below(nodes)));
    if (weighted) links.weight.push_back(static_cast<float>(rng.below(7)) * 0.25f);
  }
  return links;
}

/// The slow twin: a map from (row, col) to the weights in the order of the list.
std::map<std::pair<NodeId, NodeId>, std::vector<float>> naive(std::size_t nodes, const Links& links,
                                                              const BuildOptions& options) {
  std::map<std::pair<NodeId, NodeId>, std::vector<float>> entries;
  for (std::size_t e = 0; e < links.source.size(); ++e) {
    const NodeId s = links.source[e];
    const NodeId t = links.target[e];
    const float w = links.weight.empty() ? 1.0f : links.weight[e];
    if (s == t && options.self_loops == SelfLoops::drop) continue;
    entries[{t, s}].push_back(w);
    if (options.symmetrize && s != t) entries[{s, t}].push_back(w);
  }
  for (auto& [place, weights] : entries) {
    if (options.duplicates == Duplicates::merge) weights.resize(1);
    if (options.duplicates == Duplicates::sum) {
      double sum = 0;
      for (const float w : weights) sum += static_cast<double>(w);
      weights.assign(1, static_cast<float>(sum));
    }
  }
  if (options.self_loops == SelfLoops::add_missing) {
    for (NodeId i = 0; i < nodes; ++i) {
      if (!entries.contains({i, i})) entries[{i, i}].push_back(1.0f);
    }
  }
  return entries;
}

}  // namespace

TEST_CASE("build_csr equals the naive builder for every option") {
  const bool weighted = GENERATE(false, true);
  const bool symmetrize = GENERATE(false, true);
  const Duplicates duplicates = GENERATE(Duplicates::merge, Duplicates::sum, Duplicates::keep);
  const SelfLoops self_loops = GENERATE(SelfLoops::drop, SelfLoops::keep, SelfLoops::add_missing);
  const std::size_t nodes = GENERATE(1u, 7u, 5000u);
  const Links links = random_links(nodes, 3 * nodes + 5, weighted, nodes);
  const BuildOptions options{symmetrize, duplicates, self_loops};

  const BuiltGraph built = build_csr(nodes, links.list(), options);
  const auto want = naive(nodes, links, options);
  std::size_t stored = 0;
  for (const auto& [place, weights] : want) stored += weights.size();

  REQUIRE(built.graph.num_nodes() == nodes);
  REQUIRE(built.graph.num_cols == nodes);
  REQUIRE(built.graph.num_edges() == stored);
  std::size_t e = 0;
  for (const auto& [place, weights] : want) {
    for (const float w : weights) {
      const NodeId row = place.first;
      REQUIRE(e >= built.graph.row_ptr[row]);
      REQUIRE(e < built.graph.row_ptr[row + 1]);
      REQUIRE(built.graph.col[e] == place.second);
      REQUIRE((built.graph.weight.empty() ? 1.0f : built.graph.weight[e]) == w);
      ++e;
    }
  }
  std::size_t loops = 0;
  for (std::size_t l = 0; l < links.source.size(); ++l) loops += links.source[l] == links.target[l] ? 1u : 0u;
  const BuildCounts& counts = built.counts;
  CHECK(counts.links == links.source.size());
  CHECK(counts.dropped_loops == (self_loops == SelfLoops::drop ? loops : 0));
  CHECK(stored == (symmetrize ? 2 * counts.links - loops : counts.links) - counts.dropped_loops -
                      counts.merged_duplicates + counts.added_loops);
}

TEST_CASE("build_csr reports whether the graph is symmetric") {
  const std::vector<NodeId> a{0, 1, 1, 2};
  const std::vector<NodeId> b{1, 0, 2, 1};
  CHECK(build_csr(3, {a, b, {}}).graph.symmetric);
  CHECK_FALSE(build_csr(3, {std::span(a).first(3), std::span(b).first(3), {}}).graph.symmetric);
  const std::vector<float> same{2, 2, 3, 3};
  const std::vector<float> other{2, 2, 3, 4};
  CHECK(build_csr(3, {a, b, same}).graph.symmetric);
  CHECK_FALSE(build_csr(3, {a, b, other}).graph.symmetric);
  CHECK(build_csr(3, {a, b, other}, {.symmetrize = true}).graph.symmetric);
  const std::vector<NodeId> twice_a{0, 0, 1};
  const std::vector<NodeId> twice_b{1, 1, 0};
  CHECK_FALSE(build_csr(2, {twice_a, twice_b, {}}, {.duplicates = Duplicates::keep}).graph.symmetric);
  CHECK(build_csr(2, {twice_a, twice_b, {}}).graph.symmetric);
  CHECK(build_csr(0, {}).graph.symmetric);
}

TEST_CASE("build_csr gives the same bits for any number of threads") {
  const Links links = random_links(20'000, 400'000, true, 3);
  const BuildOptions options{true, Duplicates::sum, SelfLoops::add_missing};
  const BuiltGraph one = with_threads(1, [&] { return build_csr(20'000, links.list(), options); });
  for (const std::size_t threads : {2u, 4u, 16u}) {
    const BuiltGraph many = with_threads(threads, [&] { return build_csr(20'000, links.list(), options); });
    REQUIRE(std::equal(one.graph.row_ptr.begin(), one.graph.row_ptr.end(), many.graph.row_ptr.begin()));
    REQUIRE(one.graph.num_edges() == many.graph.num_edges());
    REQUIRE(std::equal(one.graph.col.begin(), one.graph.col.end(), many.graph.col.begin()));
    REQUIRE(std::equal(one.graph.weight.begin(), one.graph.weight.end(), many.graph.weight.begin()));
  }
}

TEST_CASE("build_csr refuses ends outside the graph and arrays of different lengths") {
  const std::vector<NodeId> a{0, 1, 4, 9};
  const std::vector<NodeId> b{1, 0, 2, 1};
  REQUIRE_THROWS_AS(build_csr(5, {a, b, {}}), IndexError);
  try {
    build_csr(4, {a, b, {}});
    FAIL("no error");
  } catch (const IndexError& error) {
    CHECK(std::string(error.what()) == "build_csr: source[2] is 4, want less than 4");
  }
  REQUIRE_THROWS_AS(build_csr(10, {a, std::span(b).first(3), {}}), ShapeError);
  const std::vector<float> w{1};
  REQUIRE_THROWS_AS(build_csr(10, {a, b, w}), ShapeError);
  REQUIRE_THROWS_AS(build_csr(0, {a, b, {}}), IndexError);
  REQUIRE_THROWS_AS(build_csr(std::size_t{1} << 32, {}), ShapeError);
}

TEST_CASE("rebuild_csr symmetrises a stored matrix") {
  const std::vector<NodeId> a{0, 1, 2};
  const std::vector<NodeId> b{1, 2, 2};
  const CsrGraph directed = build_csr(3, {a, b, {}}, {.self_loops = SelfLoops::keep}).graph;
  CHECK_FALSE(directed.symmetric);
  const BuiltGraph both = rebuild_csr(directed, {.symmetrize = true});
  CHECK(both.graph.symmetric);
  CHECK(both.graph.num_edges() == 4);
  CHECK(both.counts.dropped_loops == 1);
  REQUIRE_THROWS_AS(rebuild_csr({2, 3, {}, {}, {}}, {}), ShapeError);
}
