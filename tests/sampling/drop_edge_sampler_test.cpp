// SPDX-License-Identifier: MIT
#include "tessera/sampling/drop_edge_sampler.hpp"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "support/block_checks.hpp"
#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/normalization.hpp"

namespace {

using namespace tessera;
using namespace tessera::testing;

MiniBatch drawn(const CsrGraph& graph, const DropEdgeSampler::Options& options, const AggregationSpec& spec,
                std::uint64_t epoch) {
  const DropEdgeSampler sampler(options);
  DropEdgeSampler::Workspace workspace;
  MiniBatch batch;
  sampler.sample({graph.view(), graph.symmetric, {}}, spec, {3, epoch, 0}, workspace, batch);
  return batch;
}

TEST_CASE("DropEdge keeps an exact number of links, both directions together or each by itself") {
  const CsrGraph graph = random_undirected(60, 200, 1);
  const std::size_t links = graph.num_edges() / 2;
  for (const double p : {0.0, 0.3, 0.5, 0.99}) {
    const auto kept = [&](std::size_t all) {
      return static_cast<std::size_t>(std::floor(static_cast<double>(all) * (1.0 - p)));
    };
    for (std::uint64_t epoch = 0; epoch < 5; ++epoch) {
      const MiniBatch together = drawn(graph, {.probability = p}, kPlain, epoch);
      CHECK(together.blocks[0].col.size() == 2 * kept(links));
      CHECK(together.blocks[0].symmetric);
      const MiniBatch apart = drawn(graph, {.probability = p, .pairs_together = false}, kPlain, epoch);
      CHECK(apart.blocks[0].col.size() == kept(2 * links));
      CHECK((p > 0.0 || std::ranges::equal(apart.blocks[0].col, graph.col)));
      for (const MiniBatch* batch : {&together, &apart}) {
        const Block& block = batch->blocks[0];
        for (std::size_t i = 0; i < 60; ++i) {
          for (auto e = block.row_ptr[i]; e < block.row_ptr[i + 1]; ++e) {
            CHECK(graph.col[block.edge_id[e]] == block.col[e]);
            const bool in_row =
                block.edge_id[e] >= graph.row_ptr[i] && block.edge_id[e] < graph.row_ptr[i + 1];
            CHECK(in_row);
          }
        }
      }
    }
  }
}

TEST_CASE("DropEdge normalises what is left") {
  const CsrGraph graph = random_undirected(40, 120, 2);
  const MiniBatch plain = drawn(graph, {.probability = 0.4}, kPlain, 1);
  CsrGraph left;
  left.num_cols = 40;
  left.symmetric = true;
  left.row_ptr = Array<EdgeId>::copy_of(plain.blocks[0].row_ptr);
  left.col = Array<NodeId>::copy_of(plain.blocks[0].col);
  const AggregationSpec spec{Normalization::symmetric, true, 0.0f};
  const PreparedAdjacency want = prepare_adjacency(left, spec);
  const MiniBatch got = drawn(graph, {.probability = 0.4}, spec, 1);
  CHECK(std::ranges::equal(got.blocks[0].col, want.adjacency().forward.col));
  CHECK(std::ranges::equal(got.blocks[0].weight, want.adjacency().forward.weight));
}

TEST_CASE("DropEdge draws every link as often, anew every epoch, the same at any number of threads") {
  const CsrGraph graph = random_undirected(30, 60, 3);
  constexpr int kEpochs = 400;
  std::vector<int> seen(graph.num_edges(), 0);
  for (std::uint64_t epoch = 0; epoch < kEpochs; ++epoch) {
    const MiniBatch one = with_threads(1, [&] { return drawn(graph, {.probability = 0.5}, kPlain, epoch); });
    const MiniBatch four = with_threads(4, [&] { return drawn(graph, {.probability = 0.5}, kPlain, epoch); });
    CHECK(std::ranges::equal(one.blocks[0].col, four.blocks[0].col));
    for (const EdgeId e : one.blocks[0].edge_id) ++seen[e];
  }
  // A link stays with probability 1/2 (at most one link less of the 60 or so): within 5 standard deviations of 200,
  // which is 50, and the missing half link.
  for (const int count : seen) CHECK(std::abs(count - kEpochs / 2) <= 54);
}

TEST_CASE("DropEdge of a graph of many rows does not depend on threads") {
  const AggregationSpec spec{Normalization::symmetric, true, 0.0f};
  check_determinism(DropEdgeSampler({.probability = 0.3}), random_undirected(5000, 40'000, 4), spec);
  check_determinism(DropEdgeSampler({.probability = 0.3}), random_directed(5000, 40'000, 5), spec);
}

TEST_CASE("DropEdge refuses what cannot be") {
  CHECK_THROWS_AS(DropEdgeSampler({.probability = 1.0}), ConfigError);
  CHECK_THROWS_AS(DropEdgeSampler({.probability = -0.1}), ConfigError);
  const CsrGraph empty = empty_graph(0);
  CHECK_THROWS_AS(drawn(empty, {}, kPlain, 0), IndexError);
  const CsrGraph lonely = empty_graph(3);
  CHECK(drawn(lonely, {}, {Normalization::symmetric, true, 0.0f}, 0).blocks[0].col.size() == 3);
}

}  // namespace
