// SPDX-License-Identifier: MIT
#include "tessera/sampling/saint_sampler.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "support/batch_checks.hpp"
#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "support/saint_cases.hpp"
#include "tessera/sampling/full_graph_sampler.hpp"
#include "tessera/sampling/prefetch_loader.hpp"

using namespace tessera;
using namespace tessera::testing;

static_assert(Sampler<SaintNodeSampler> && Sampler<SaintEdgeSampler>);
static_assert(Sampler<SaintWalkSampler> && Sampler<SaintFrontierSampler>);

namespace {

/// Everything, every time: sampling that leaves nothing to correct.
struct WholeDraw {
  struct Options {};
  struct Workspace {};

  WholeDraw(const SampleSource&, const Options&) {}
  std::size_t budget() const { return std::size_t{1} << 30; }
  void draw(const SampleSource& source, BatchKey, Workspace&, Array<NodeId>& drawn) const {
    drawn.resize(source.graph.num_rows);
    for (std::size_t v = 0; v < drawn.size(); ++v) drawn[v] = static_cast<NodeId>(v);
  }
  template <class F>
  void visit_options(F&&) const {}
};
static_assert(SubgraphDraw<WholeDraw> && Sampler<SaintSampler<WholeDraw>>);

template <Sampler S>
MiniBatch one_batch(const S& sampler, const SampleSource& source, const AggregationSpec& spec,
                    BatchKey key = {}) {
  typename S::Workspace workspace;
  MiniBatch batch;
  sampler.sample(source, spec, key, workspace, batch);
  return batch;
}

const AggregationSpec kSpecs[] = {{Normalization::none, false, 0.0f},
                                  {Normalization::symmetric, true, 0.0f},
                                  {Normalization::row, false, 0.0f},
                                  {Normalization::row, true, 0.5f}};

/// Coefficients of the batch are those of the whole graph times 1 / alpha; loops that were inserted count 1.
void check_coefficients(const SampleSource& source, const AggregationSpec& spec,
                        const SaintNormalization& normalization, const MiniBatch& batch) {
  const PreparedAdjacency whole = prepare_adjacency(source.graph, source.symmetric, spec);
  const CsrView<> forward = whole.adjacency().forward;
  const Block& block = batch.blocks[0];
  for (std::size_t i = 0; i < block.num_dst; ++i) {
    const NodeId v = batch.node_id[i];
    for (auto e = block.row_ptr[i]; e < block.row_ptr[i + 1]; ++e) {
      const NodeId u = batch.node_id[block.col[e]];
      const auto row = forward.neighbors(v);
      const auto at = static_cast<std::size_t>(std::lower_bound(row.begin(), row.end(), u) - row.begin());
      double want = forward.weighted() ? static_cast<double>(forward.weights(v)[at]) : 1.0;
      if (block.edge_id[e] != kNoEdge) {
        want *= normalization.correction()(static_cast<double>(normalization.node[v]), block.edge_id[e]);
      }
      // The product is rounded to float once here and twice there.
      REQUIRE(std::abs(static_cast<double>(block.weight[e]) - want) <= 2 * 6e-8 * std::abs(want));
    }
  }
}

template <class S>
void check_sampler(const typename S::Options& options) {
  CsrGraph graphs[] = {graph_with_loops(400, 3000, 1), random_directed(400, 3000, 2),
                       with_random_weights(random_undirected(400, 3000, 3), 4)};
  for (CsrGraph& graph : graphs) {
    SaintSource source(std::move(graph));
    std::erase_if(source.targets, [](NodeId v) { return v % 5 == 0; });
    const SampleSource view = source;
    const S sampler(view, options, {.coverage = 3, .round = 8});
    for (const AggregationSpec& spec : kSpecs) {
      const MiniBatch batch = one_batch(sampler, view, spec, {1, 2, 0});
      check_subgraph_batch(view, spec, batch);
      check_coefficients(view, spec, sampler.normalization(), batch);
      REQUIRE(batch.loss_weight.size() == batch.num_nodes());
      for (std::size_t i = 0; i < batch.num_nodes(); ++i) {
        const NodeId v = batch.node_id[i];
        const float want = v % 5 == 0 ? 0.0f : sampler.normalization().loss_weight(v, view.targets.size());
        REQUIRE(batch.loss_weight[i] == want);
      }
    }
  }
}

}  // namespace

TEST_CASE("SaintSampler cuts whole-graph coefficients times 1 / alpha out of the graph") {
  check_sampler<SaintNodeSampler>({.nodes = 150});
  check_sampler<SaintEdgeSampler>({.edges = 80});
  check_sampler<SaintWalkSampler>({.roots = 50, .length = 3});
  check_sampler<SaintFrontierSampler>({.nodes = 150, .roots = 20});
}

TEST_CASE("SaintSampler of everything is the whole graph with nothing corrected") {
  SaintSource source(graph_with_loops(100, 500, 5));
  source.targets.resize(40);
  const SampleSource view = source;
  const SaintSampler<WholeDraw> sampler(view, {}, {.coverage = 2, .round = 3});
  for (const AggregationSpec& spec : kSpecs) {
    const MiniBatch got = one_batch(sampler, view, spec);
    const MiniBatch want = one_batch(FullGraphSampler{}, view, spec);
    REQUIRE(values(got.node_id) == values(want.node_id));
    REQUIRE(values(got.blocks[0].col) == values(want.blocks[0].col));
    const std::size_t stored = want.blocks[0].col.size();
    for (std::size_t e = 0; e < stored; ++e) {
      const float plain = want.blocks[0].weight.empty() ? 1.0f : want.blocks[0].weight[e];
      REQUIRE(got.blocks[0].weight[e] == plain);
    }
    for (std::size_t i = 0; i < 100; ++i) REQUIRE(got.loss_weight[i] == (i < 40 ? 1.0f / 40 : 0.0f));
  }
}

TEST_CASE("SaintSampler without an estimate normalises inside the block") {
  const SaintSource source(random_undirected(300, 2000, 6));
  const SaintEdgeSampler sampler(source, {.edges = 60}, {.estimate = SaintEstimate::none});
  for (const AggregationSpec& spec : kSpecs) {
    const MiniBatch batch = one_batch(sampler, source, spec);
    check_subgraph_batch(source, spec, batch);
    CHECK(batch.loss_weight.empty());
    InducedBlockWorkspace workspace;
    Block want;
    induced_block(source.graph, source.graph.symmetric, batch.node_id, spec, workspace, want);
    CHECK(same_bits(batch.blocks[0], want));
  }
}

TEST_CASE("SaintSampler makes ceil(targets / budget) batches") {
  const SaintSource source(random_undirected(1000, 5000, 7));
  const SaintNormalizationOptions none{.estimate = SaintEstimate::none};
  CHECK(SaintNodeSampler(source, {.nodes = 300}, none).num_batches(source) == 4);
  CHECK(SaintEdgeSampler(source, {.edges = 250}, none).num_batches(source) == 2);
  CHECK(SaintWalkSampler(source, {.roots = 100, .length = 4}, none).num_batches(source) == 3);
  CHECK(SaintWalkSampler(source, {.roots = 100, .length = 0}, none).num_batches(source) == 10);
  CHECK(SaintFrontierSampler(source, {.nodes = 2000, .roots = 10}, none).num_batches(source) == 1);
}

TEMPLATE_TEST_CASE("SaintSampler gives the same batches for any threads and any prefetching", "",
                   SaintNodeSampler, SaintEdgeSampler, SaintWalkSampler, SaintFrontierSampler) {
  const SaintSource source(random_undirected(20'000, 200'000, 8));
  const SampleSource view = source;
  const AggregationSpec spec{Normalization::row, false, 0.0f};
  const auto batches_of = [&](std::size_t threads) {
    return with_threads(threads, [&] {
      const TestType sampler(view, {}, {.coverage = 2, .round = 5});
      std::vector<MiniBatch> out;
      for (std::uint64_t b = 0; b < sampler.num_batches(view); ++b)
        out.push_back(one_batch(sampler, view, spec, {4, 1, b}));
      return out;
    });
  };
  const std::vector<MiniBatch> want = batches_of(1);
  for (const std::size_t threads : {2u, 4u}) {
    const std::vector<MiniBatch> got = batches_of(threads);
    REQUIRE(got.size() == want.size());
    for (std::size_t b = 0; b < want.size(); ++b) REQUIRE(same_bits(got[b], want[b]));
  }
  const TestType sampler(view, {}, {.coverage = 2, .round = 5});
  for (const std::size_t depth : {0u, 1u, 4u}) {
    PrefetchLoader loader(sampler, view, spec, {.depth = depth, .threads = 2});
    loader.start(4, 1);
    for (const MiniBatch& batch : want) REQUIRE(same_bits(*loader.next(), batch));
    CHECK(loader.next() == nullptr);
  }
}

TEST_CASE("SaintSampler allocates nothing once it has made some batches") {
  const SaintSource source(random_undirected(5000, 100'000, 9));
  const SampleSource view = source;
  const SaintFrontierSampler frontier(view, {.nodes = 800, .roots = 100}, {.coverage = 1, .round = 4});
  const SaintWalkSampler walks(view, {.roots = 200, .length = 3}, {.coverage = 1, .round = 4});
  const auto check = [&](const auto& sampler) {
    typename std::remove_cvref_t<decltype(sampler)>::Workspace workspace;
    MiniBatch batch;
    const auto some = [&](std::uint64_t epoch) {
      for (std::uint64_t b = 0; b < sampler.num_batches(view); ++b)
        sampler.sample(view, {Normalization::row, false, 0.0f}, {3, epoch, b}, workspace, batch);
    };
    for (std::uint64_t e = 0; e < 5; ++e) some(e);
    const auto before = BufferPool::global().stats().system_allocations;
    for (std::uint64_t e = 5; e < 15; ++e) some(e);
    CHECK(BufferPool::global().stats().system_allocations == before);
  };
  check(frontier);
  check(walks);
}

TEST_CASE("SaintSampler refuses sources, keys and normalisations that are not its own") {
  const SaintSource source(g6());
  const SampleSource view = source;
  const SaintNormalizationOptions none{.estimate = SaintEstimate::none};
  const SaintWalkSampler sampler(view, {.roots = 2}, none);
  SaintWalkSampler::Workspace workspace;
  MiniBatch batch;
  const SaintSource other(path(7));
  CHECK_THROWS_AS(sampler.sample(other, {}, {}, workspace, batch), ShapeError);
  CHECK_THROWS_AS(sampler.sample(view, {}, {0, 0, 2}, workspace, batch), IndexError);
  CHECK_THROWS_AS(sampler.sample(view, {Normalization::row, false, 1.0f}, {}, workspace, batch), ConfigError);
  CHECK_THROWS_AS(SaintWalkSampler(view, {.roots = 2}, {.estimate = SaintEstimate::closed_form}),
                  ConfigError);
  CHECK_THROWS_AS(SaintFrontierSampler(view, {.nodes = 2, .roots = 1}, {.coverage = -1}), ConfigError);
  CHECK_THROWS_AS(SaintEdgeSampler(view, {.edges = 2},
                                   saint_normalization(other, SaintEdgeDraw(other, {.edges = 2}),
                                                       {.estimate = SaintEstimate::closed_form})),
                  ShapeError);
  SaintSource no_target(g6());
  no_target.targets.clear();
  CHECK_THROWS_AS(SaintEdgeSampler(no_target, {.edges = 2}, none), ConfigError);
}

TEST_CASE("weights that sum to a negative degree are refused by SaintSampler") {
  SaintSource source(with_random_weights(g6(), 1));
  std::fill(source.graph.weight.begin(), source.graph.weight.end(), -1.0f);
  const SaintWalkSampler sampler(source, {.roots = 50}, {.estimate = SaintEstimate::none});
  CHECK_THROWS_AS(one_batch(sampler, source, {Normalization::row, false, 0.0f}), Error);
}
