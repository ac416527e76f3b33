// SPDX-License-Identifier: MIT
#include "tessera/sampling/neighbor_sampler.hpp"

#include <map>

#include "support/block_checks.hpp"

using namespace tessera;
using namespace tessera::testing;

namespace {

static_assert(Sampler<NeighborSampler>);
static_assert(NeighborPicker<UniformPicker>);

/// Picks nothing and says so to nobody: no `scales`.
struct NoScales {
  using Options = NeighborSamplerOptions;
  struct Workspace {};
  static constexpr bool kExact = true;
  static constexpr const char* kName = "NoScales";
  std::size_t num_layers() const { return 1; }
  void check(CsrView<>) const {}
  void begin_layer(const LayerView&, Workspace&) const {}
  std::size_t capacity(const LayerView&, const Workspace&, std::size_t) const { return 0; }
  PickedRow pick(const LayerView&, const Workspace&, std::size_t, std::uint32_t*, float*) const { return {}; }
};
static_assert(!NeighborPicker<NoScales>);

NeighborSampler sampler_of(std::vector<int> fanouts, std::size_t batch_size = 64) {
  return NeighborSampler({.fanouts = std::move(fanouts), .batches = {.batch_size = batch_size}});
}

}  // namespace

TEST_CASE("pick_without_replacement chooses every set of k equally often") {
  // Chi-square over positions and over pairs: 5 sigma of each frequency, for all d <= 12 and k <= d.
  constexpr double kDraws = 20'000;
  for (std::uint32_t d = 1; d <= 12; ++d) {
    for (std::uint32_t k = 1; k <= d; ++k) {
      std::vector<double> single(d);
      std::vector<double> pair(d * d);
      for (std::uint64_t r = 0; r < static_cast<std::uint64_t>(kDraws); ++r) {
        CounterRng rng(make_key(d * 100 + k, 0, Purpose::pick), 0, r);
        std::vector<std::uint32_t> out(k);
        pick_without_replacement(d, k, rng, out.data());
        for (const std::uint32_t x : out) {
          REQUIRE(x < d);
          ++single[x];
          for (const std::uint32_t y : out) ++pair[x * d + y];
        }
      }
      const double p = static_cast<double>(k) / d;
      const double q = d == 1 ? 1 : p * (k - 1.0) / (d - 1.0);
      const auto near = [&](double count, double want) {
        return std::abs(count / kDraws - want) <= 5 * std::sqrt(want * (1 - want) / kDraws) + 1 / kDraws;
      };
      double chi = 0;
      for (std::uint32_t x = 0; x < d; ++x) {
        CAPTURE(d, k, x, single[x]);
        REQUIRE(near(single[x], p));
        if (p < 1) chi += std::pow(single[x] - kDraws * p, 2) / (kDraws * p * (1 - p));
        for (std::uint32_t y = 0; y < d; ++y) {
          if (x != y) REQUIRE(near(pair[x * d + y], q));
        }
      }
      // The statistic has mean at most d and variance 2 d: 6 sigma.
      REQUIRE(chi <= d + 6 * std::sqrt(2.0 * d));
    }
  }
}

TEST_CASE("pick_without_replacement: every algorithm gives different positions in range") {
  for (const auto& [d, k] : std::vector<std::pair<std::uint32_t, std::uint32_t>>{{1000, 32},
                                                                                 {1000, 33},
                                                                                 {1000, 64},
                                                                                 {1000, 65},
                                                                                 {1000, 125},
                                                                                 {1000, 999},
                                                                                 {100'000, 1000},
                                                                                 {100'000, 1024},
                                                                                 {100'000, 1025},
                                                                                 {1 << 20, 5000},
                                                                                 {70, 64},
                                                                                 {33, 33},
                                                                                 {0, 0},
                                                                                 {5, 0}}) {
    std::vector<double> hits(d == 0 ? 1 : 8);
    for (std::uint64_t r = 0; r < 20; ++r) {
      CounterRng rng(make_key(1, r, Purpose::pick), 0, d);
      std::vector<std::uint32_t> out(k);
      pick_without_replacement(d, k, rng, out.data());
      CHECK(std::set<std::uint32_t>(out.begin(), out.end()).size() == k);
      for (const std::uint32_t x : out) {
        REQUIRE(x < d);
        hits[std::size_t{x} * 8 / d] += 1;
      }
    }
    if (k < 32) continue;
    // Eighths of the range: a hypergeometric count has less variance than a binomial one.
    const double want = 20.0 * k / 8;
    for (const double h : hits) CHECK(std::abs(h - want) <= 6 * std::sqrt(want) + 1 + 20 * 8.0 * k / d);
  }
}

TEST_CASE("NeighborSampler: every batch keeps the promises of a block sampler") {
  const AggregationSpec spec{GENERATE(Normalization::none, Normalization::symmetric, Normalization::row),
                             GENERATE(false, true), 0.0f};
  const bool replace = GENERATE(false, true);
  const bool expand_once = GENERATE(false, true);
  for (const CsrGraph& graph : block_test_graphs()) {
    const NeighborSampler sampler({.fanouts = {4, 3, 2},
                                   .batches = {.batch_size = 64},
                                   .replace = replace,
                                   .expand_once = expand_once});
    check_epochs(sampler, graph, spec, 3);
  }
}

TEST_CASE("NeighborSampler picks min(k, d) different neighbours, or k with replacement") {
  const CsrGraph graph = random_directed(200, 1500, 3);
  const std::vector<NodeId> targets = all_nodes(graph);
  const SampleSource source = source_with(graph, targets);
  for (const int k : {0, 1, 5, 1000, -1}) {
    NeighborSampler::Workspace workspace;
    MiniBatch batch;
    sampler_of({k}).sample_seeds(source, kPlain, targets, {}, workspace, batch);
    const Block& block = batch.blocks[0];
    for (std::size_t i = 0; i < 200; ++i) {
      const std::set<EdgeId> picked(block.edge_id.begin() + block.row_ptr[i],
                                    block.edge_id.begin() + block.row_ptr[i + 1]);
      const std::size_t d = graph.degree(batch.node_id[i]);
      REQUIRE(picked.size() == block.row_ptr[i + 1] - block.row_ptr[i]);
      REQUIRE(picked.size() == (k < 0 ? d : std::min<std::size_t>(static_cast<std::size_t>(k), d)));
    }
    if (k < 0) continue;
    NeighborSampler({.fanouts = {k}, .replace = true})
        .sample_seeds(source, kPlain, targets, {}, workspace, batch);
    for (std::size_t i = 0; i < 200; ++i) {
      const bool isolated = graph.degree(batch.node_id[i]) == 0;
      REQUIRE(batch.blocks[0].row_ptr[i + 1] - batch.blocks[0].row_ptr[i] ==
              (isolated ? 0u : static_cast<unsigned>(k)));
    }
  }
}

TEST_CASE("NeighborSampler with all neighbours is the whole graph, coefficients bit for bit") {
  const AggregationSpec spec{GENERATE(Normalization::none, Normalization::symmetric, Normalization::row),
                             GENERATE(false, true), 0.0f};
  for (const CsrGraph& graph : block_test_graphs()) {
    const PreparedAdjacency prepared = prepare_adjacency(graph, spec);
    const CsrView<> want = prepared.adjacency().forward;
    const std::vector<NodeId> targets = all_nodes(graph);
    NeighborSampler::Workspace workspace;
    MiniBatch batch;
    sampler_of({-1}).sample_seeds(source_with(graph, targets), spec, targets, {}, workspace, batch);
    const Block& block = batch.blocks[0];
    REQUIRE(block.num_src == graph.num_nodes());
    REQUIRE(block.col.size() == want.num_edges());
    for (std::size_t i = 0; i < graph.num_nodes(); ++i) {
      REQUIRE(batch.node_id[i] == i);
      std::map<NodeId, float> row;
      for (auto e = block.row_ptr[i]; e < block.row_ptr[i + 1]; ++e)
        row[block.col[e]] = block.weight.empty() ? 1.0f : block.weight[e];
      for (auto e = want.begin(i); e < want.end(i); ++e)
        REQUIRE(row.at(want.col[e]) == (want.weighted() ? want.weight[e] : 1.0f));
    }
  }
}

TEST_CASE("NeighborSampler with all neighbours reaches the k-hop ball") {
  const CsrGraph graph = random_directed(400, 900, 12);
  const std::vector<NodeId> seeds{17, 3, 250};
  NeighborSampler::Workspace workspace;
  MiniBatch batch;
  sampler_of({-1, -1, -1}).sample_seeds(source_with(graph, seeds), kPlain, seeds, {}, workspace, batch);
  std::set<NodeId> ball(seeds.begin(), seeds.end());
  for (int hop = 0; hop < 3; ++hop) {
    std::set<NodeId> wider = ball;
    for (const NodeId i : ball) {
      const auto row = graph.view().neighbors(i);
      wider.insert(row.begin(), row.end());
    }
    ball = wider;
  }
  CHECK(std::set<NodeId>(batch.node_id.begin(), batch.node_id.end()) == ball);
}

TEST_CASE("NeighborSampler: expand_once keeps a node's neighbours in all hops, the default draws anew") {
  const CsrGraph graph = random_undirected(100, 2000, 13);
  const std::vector<NodeId> seeds{1, 2, 3};
  const auto repeats = [&](bool expand_once) {
    NeighborSampler::Workspace workspace;
    MiniBatch batch;
    NeighborSampler({.fanouts = {5, 5, 5}, .expand_once = expand_once})
        .sample_seeds(source_with(graph, seeds), kPlain, seeds, {}, workspace, batch);
    bool same = true;
    for (std::size_t l = 0; l + 1 < 3; ++l) {
      const Block& outer = batch.blocks[l];
      const Block& inner = batch.blocks[l + 1];
      for (std::size_t e = 0; e < inner.col.size(); ++e) same &= outer.edge_id[e] == inner.edge_id[e];
    }
    return same;
  };
  CHECK(repeats(true));
  CHECK(!repeats(false));
}

TEST_CASE("NeighborSampler estimates the coefficients of the whole graph without bias") {
  const bool replace = GENERATE(false, true);
  const bool weighted = GENERATE(false, true);
  const AggregationSpec spec{GENERATE(Normalization::none, Normalization::symmetric, Normalization::row),
                             true, 0.0f};
  const CsrGraph graph = weighted ? with_random_weights(g6(), 2) : g6();
  const NeighborSampler sampler({.fanouts = {2}, .replace = replace});
  check_unbiased(sampler, graph, spec, 20'000);
}

TEST_CASE("NeighborSampler does not depend on threads") {
  const AggregationSpec spec{Normalization::symmetric, true, 0.0f};
  check_determinism(sampler_of({15, 10}, 2000), random_directed(20'000, 300'000, 14), spec);
}

TEST_CASE("NeighborSampler asks the system for nothing in the steady state") {
  const AggregationSpec spec{Normalization::symmetric, true, 0.0f};
  check_steady_state(sampler_of({10, 5}, 256), random_undirected(5000, 50'000, 15), spec);
}

TEST_CASE("NeighborSampler: seeds") { check_seed_handling(sampler_of({3, 2}), g6(), 2); }

TEST_CASE("NeighborSampler: isolated seeds have empty rows, a fan-out of 0 leaves the node itself") {
  const CsrGraph graph = g6();
  const std::vector<NodeId> seeds{5};
  NeighborSampler::Workspace workspace;
  MiniBatch batch;
  sampler_of({2, 2}).sample_seeds(source_with(graph, seeds), kPlain, seeds, {}, workspace, batch);
  CHECK(batch.num_nodes() == 1);
  CHECK(batch.blocks[0].col.empty());
  const AggregationSpec gcn{Normalization::symmetric, true, 0.0f};
  sampler_of({2, 2}).sample_seeds(source_with(graph, seeds), gcn, seeds, {}, workspace, batch);
  CHECK(batch.blocks[0].weight[0] == 1.0f);
  const std::vector<NodeId> all = all_nodes(graph);
  sampler_of({0, 0}).sample_seeds(source_with(graph, all), kPlain, all, {}, workspace, batch);
  check_block_batch(source_with(graph, all), kPlain, batch, 2);
  CHECK(batch.num_nodes() == 6);
}

TEST_CASE("NeighborSampler: an empty graph has no batches") {
  const CsrGraph graph = empty_graph(0);
  CHECK(sampler_of({2}).num_batches(source_with(graph, {})) == 0);
}

TEST_CASE("NeighborSampler shuffles targets every epoch unless told not to") {
  const CsrGraph graph = random_undirected(100, 300, 16);
  const std::vector<NodeId> targets = all_nodes(graph);
  const auto first = [&](bool shuffle, std::uint64_t epoch) {
    NeighborSampler::Workspace workspace;
    MiniBatch batch;
    NeighborSampler({.fanouts = {1}, .batches = {.batch_size = 10, .shuffle = shuffle}})
        .sample(source_with(graph, targets), kPlain, {1, epoch, 0}, workspace, batch);
    return std::vector<NodeId>(batch.node_id.begin(), batch.node_id.begin() + 10);
  };
  CHECK(first(true, 0) != first(true, 1));
  CHECK(first(true, 0) == first(true, 0));
  CHECK(first(false, 1) == std::vector<NodeId>(targets.begin(), targets.begin() + 10));
}

TEST_CASE("NeighborSampler refuses options it cannot work with") {
  REQUIRE_THROWS_AS(sampler_of({}), ConfigError);
  REQUIRE_THROWS_AS(sampler_of({-2}), ConfigError);
  REQUIRE_THROWS_AS(sampler_of({2}, 0), ConfigError);
  REQUIRE_THROWS_AS(NeighborSampler({.fanouts = {-1}, .replace = true}), ConfigError);
}

TEST_CASE("FirstAppearanceIds numbers lists as reading them in order would, at any number of threads") {
  constexpr std::size_t kNodes = 5000;
  for (const std::size_t threads : {1u, 2u, 4u, 8u}) {
    with_threads(threads, [&] {
      FirstAppearanceIds ids;
      for (std::uint64_t round = 0; round < 5; ++round) {
        ids.begin(kNodes);
        Array<NodeId> nodes;
        std::map<NodeId, NodeId> number;
        for (const std::size_t count : {3u, 20'000u, 0u, 50'000u}) {
          Array<NodeId> list(count);
          CounterRng rng(make_key(7, round, Purpose::generate), 0, count);
          for (NodeId& v : list) v = static_cast<NodeId>(rng.below(kNodes));
          const std::vector<NodeId> before = values(list);
          ids.append(list.span(), nodes);
          for (std::size_t e = 0; e < count; ++e) {
            const auto found = number.emplace(before[e], static_cast<NodeId>(number.size())).first;
            REQUIRE(list[e] == found->second);
          }
        }
        REQUIRE(nodes.size() == number.size());
        for (std::size_t k = 0; k < nodes.size(); ++k) REQUIRE(number.at(nodes[k]) == k);
        CHECK(ids[nodes[0]] == 0);
      }
    });
  }
}

TEST_CASE("InOrderSteps does every step once, in order, and leaves none") {
  for (const std::size_t threads : {1u, 2u, 4u, 8u}) {
    with_threads(threads, [&] {
      for (const std::size_t ranges : {1u, 2u, 100u, 3000u}) {
        InOrderSteps steps(ranges);
        std::vector<std::size_t> done;
        std::vector<int> ready(ranges);
        parallel_blocks(ranges, [&](std::size_t k) {
          ready[k] = 1;
          steps.finished(k,
                         [&](std::size_t step) { done.push_back(step + (ready[step] == 1 ? 0u : ranges)); });
        });
        REQUIRE(done.size() == ranges);
        for (std::size_t k = 0; k < ranges; ++k) REQUIRE(done[k] == k);
      }
    });
  }
}
