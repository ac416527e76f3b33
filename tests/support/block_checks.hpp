// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <set>
#include <vector>

#include "support/batch_checks.hpp"
#include "support/catch.hpp"
#include "support/graph_factories.hpp"
#include "tessera/core/buffer_pool.hpp"
#include "tessera/core/parallel.hpp"
#include "tessera/graph/normalization.hpp"
#include "tessera/sampling/concepts.hpp"
#include "tessera/sampling/mini_batch.hpp"

// What samplers of one block per layer promise, checked the slow way for any of them.

namespace tessera::testing {

inline constexpr AggregationSpec kPlain{Normalization::none, false, 0.0f};

inline std::vector<NodeId> all_nodes(const CsrGraph& graph) {
  std::vector<NodeId> out(graph.num_nodes());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = static_cast<NodeId>(i);
  return out;
}

inline SampleSource source_with(const CsrGraph& graph, std::span<const NodeId> targets) {
  return {graph.view(), graph.symmetric, targets};
}

/// A small zoo: undirected, directed, weighted, without edges, a star, loops in the data, one node.
inline std::vector<CsrGraph> block_test_graphs(bool weighted_only = false) {
  std::vector<CsrGraph> out;
  out.push_back(with_random_weights(random_directed(300, 3000, 7), 8));
  out.push_back(with_random_weights(random_undirected(300, 3000, 9), 10));
  if (weighted_only) return out;
  out.push_back(random_undirected(300, 3000, 5));
  out.push_back(random_directed(300, 3000, 6));
  out.push_back(empty_graph(300));
  out.push_back(star(300));
  out.push_back(empty_graph(1));
  out.push_back(
      from_links(50, random_links(50, 300, 11), {.symmetrize = true, .self_loops = SelfLoops::add_missing}));
  return out;
}

/// Chaining, existence of every entry, loops, and the transpose.
inline void check_block_batch(const SampleSource& source, const AggregationSpec& spec, const MiniBatch& batch,
                              std::size_t layers) {
  REQUIRE(batch.blocks.size() == layers);
  REQUIRE(batch.halo_begin == batch.num_nodes());
  const std::set<NodeId> distinct(batch.node_id.begin(), batch.node_id.end());
  REQUIRE(distinct.size() == batch.num_nodes());
  REQUIRE(batch.blocks.front().num_src == batch.num_nodes());
  REQUIRE(batch.blocks.back().num_dst == batch.num_targets);
  for (std::size_t l = 0; l < layers; ++l) {
    const Block& block = batch.blocks[l];
    if (l + 1 < layers) REQUIRE(block.num_dst == batch.blocks[l + 1].num_src);
    REQUIRE(block.num_dst <= block.num_src);
    REQUIRE(block.row_ptr.size() == block.num_dst + 1);
    REQUIRE(block.row_ptr[0] == 0);
    REQUIRE(block.col.size() == block.row_ptr[block.num_dst]);
    REQUIRE(block.edge_id.size() == block.col.size());
    REQUIRE((block.weight.empty() || block.weight.size() == block.col.size()));
    std::set<NodeId> used;
    for (std::size_t i = 0; i < block.num_dst; ++i) {
      const NodeId node = batch.node_id[i];
      const auto row = source.graph.neighbors(node);
      const bool adds_loop = spec.self_loops && !std::binary_search(row.begin(), row.end(), node);
      std::size_t loops = 0;
      for (auto e = block.row_ptr[i]; e < block.row_ptr[i + 1]; ++e) {
        REQUIRE(block.col[e] < block.num_src);
        used.insert(block.col[e]);
        if (block.edge_id[e] == kNoEdge) {
          REQUIRE(block.col[e] == i);
          ++loops;
          continue;
        }
        REQUIRE(block.edge_id[e] >= source.graph.begin(node));
        REQUIRE(block.edge_id[e] < source.graph.end(node));
        REQUIRE(source.graph.col[block.edge_id[e]] == batch.node_id[block.col[e]]);
      }
      REQUIRE(loops == (adds_loop ? 1u : 0u));
    }
    // No source but the destinations without somebody who aggregates from it.
    for (std::size_t j = block.num_dst; j < block.num_src; ++j)
      REQUIRE(used.count(static_cast<NodeId>(j)) == 1);
    const Adjacency a = block.adjacency();
    REQUIRE(a.transpose.num_rows == block.num_src);
    REQUIRE(a.transpose.num_cols == block.num_dst);
    REQUIRE(a.transpose.num_edges() == block.col.size());
    REQUIRE(a.transpose_edge.size() == block.col.size());
    std::vector<int> seen(block.col.size());
    for (std::size_t j = 0; j < block.num_src; ++j) {
      for (auto e = a.transpose.begin(j); e < a.transpose.end(j); ++e) {
        const EdgeId forward = a.transpose_edge[e];
        REQUIRE(++seen[forward] == 1);
        REQUIRE(block.col[forward] == j);
        REQUIRE(block.row_ptr[a.transpose.col[e]] <= forward);
        REQUIRE(forward < block.row_ptr[a.transpose.col[e] + 1]);
        if (!block.weight.empty()) REQUIRE(a.transpose.weight[e] == block.weight[forward]);
      }
    }
  }
}

/// Every batch of an epoch on every graph; each target once per epoch.
template <class S>
void check_epochs(const S& sampler, const CsrGraph& graph, const AggregationSpec& spec, std::size_t layers) {
  const std::vector<NodeId> targets = all_nodes(graph);
  const SampleSource source = source_with(graph, targets);
  typename S::Workspace workspace;
  MiniBatch batch;
  for (std::uint64_t epoch = 0; epoch < 2; ++epoch) {
    std::vector<int> seen(graph.num_nodes());
    for (std::uint64_t b = 0; b < sampler.num_batches(source); ++b) {
      sampler.sample(source, spec, {3, epoch, b}, workspace, batch);
      check_block_batch(source, spec, batch, layers);
      for (std::size_t i = 0; i < batch.num_targets; ++i) ++seen[batch.node_id[i]];
    }
    for (const int count : seen) REQUIRE(count == 1);
  }
}

/// The same bits at any number of threads, whatever the workspace did before.
template <class S>
void check_determinism(const S& sampler, const CsrGraph& graph, const AggregationSpec& spec) {
  const std::vector<NodeId> targets = all_nodes(graph);
  const SampleSource source = source_with(graph, targets);
  const std::size_t batches = std::min<std::size_t>(3, sampler.num_batches(source));
  std::vector<MiniBatch> want(batches);
  for (std::uint64_t b = 0; b < batches; ++b) {
    with_threads(1, [&] {
      typename S::Workspace workspace;
      sampler.sample(source, spec, {1, 2, b}, workspace, want[b]);
    });
  }
  for (const std::size_t threads : {1u, 2u, 4u, 8u}) {
    with_threads(threads, [&] {
      typename S::Workspace workspace;
      MiniBatch batch;
      for (std::uint64_t b = batches; b-- > 0;) {
        sampler.sample(source, spec, {1, 1, b}, workspace, batch);
        sampler.sample(source, spec, {1, 2, b}, workspace, batch);
        CHECK(same_bits(batch, want[b]));
      }
    });
  }
}

/// Nothing is asked of the system after the first epoch.
template <class S>
void check_steady_state(const S& sampler, const CsrGraph& graph, const AggregationSpec& spec) {
  const std::vector<NodeId> targets = all_nodes(graph);
  const SampleSource source = source_with(graph, targets);
  typename S::Workspace workspace;
  MiniBatch batch;
  const auto epoch = [&](std::uint64_t number) {
    for (std::uint64_t b = 0; b < sampler.num_batches(source); ++b)
      sampler.sample(source, spec, {24, number, b}, workspace, batch);
  };
  // How many threads hold scratch at the same time is chance; what a batch asks for itself is not.
  with_threads(1, [&] {
    epoch(0);
    const auto before = BufferPool::global().stats().system_allocations;
    for (std::uint64_t e = 1; e < 6; ++e) epoch(e);
    CHECK(BufferPool::global().stats().system_allocations == before);
  });
}

/// The mean of the sampled coefficients over `draws` batches of all nodes, against those of the prepared whole
/// graph: every entry within 5 standard errors of its own sample, plus rounding.
template <class S>
void check_unbiased(const S& sampler, const CsrGraph& graph, const AggregationSpec& spec,
                    std::uint64_t draws) {
  const std::size_t n = graph.num_nodes();
  const std::vector<NodeId> targets = all_nodes(graph);
  const SampleSource source = source_with(graph, targets);
  std::vector<double> sum(n * n);
  std::vector<double> squares(n * n);
  std::vector<double> now(n * n);
  typename S::Workspace workspace;
  MiniBatch batch;
  for (std::uint64_t r = 0; r < draws; ++r) {
    sampler.sample_seeds(source, spec, targets, {5, 0, r}, workspace, batch);
    const Block& block = batch.blocks.back();
    std::fill(now.begin(), now.end(), 0.0);
    for (std::size_t i = 0; i < block.num_dst; ++i) {
      for (auto e = block.row_ptr[i]; e < block.row_ptr[i + 1]; ++e) {
        now[batch.node_id[i] * n + batch.node_id[block.col[e]]] +=
            block.weight.empty() ? 1.0 : static_cast<double>(block.weight[e]);
      }
    }
    for (std::size_t e = 0; e < now.size(); ++e) {
      sum[e] += now[e];
      squares[e] += now[e] * now[e];
    }
  }
  const PreparedAdjacency prepared = prepare_adjacency(graph, spec);
  const CsrView<> want = prepared.adjacency().forward;
  std::vector<double> dense(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (auto e = want.begin(i); e < want.end(i); ++e)
      dense[i * n + want.col[e]] = want.weighted() ? static_cast<double>(want.weight[e]) : 1.0;
  }
  const auto count = static_cast<double>(draws);
  for (std::size_t e = 0; e < dense.size(); ++e) {
    const double mean = sum[e] / count;
    const double variance = std::max(0.0, squares[e] / count - mean * mean);
    CAPTURE(e / n, e % n, mean, dense[e]);
    CHECK(std::abs(mean - dense[e]) <=
          5 * std::sqrt(variance / count) + 1e-5 * (std::abs(dense[e]) + 1 / count));
  }
}

/// Bad arguments every block sampler refuses in the same way, and odd ones it accepts. The graph must suit it.
template <class S>
void check_seed_handling(const S& sampler, const CsrGraph& graph, std::size_t layers) {
  const std::vector<NodeId> targets = all_nodes(graph);
  const SampleSource source = source_with(graph, targets);
  const auto n = static_cast<NodeId>(graph.num_nodes());
  typename S::Workspace workspace;
  MiniBatch batch;
  REQUIRE_THROWS_AS(sampler.sample(source, kPlain, {0, 0, sampler.num_batches(source)}, workspace, batch),
                    IndexError);
  const std::vector<NodeId> outside{0, n};
  REQUIRE_THROWS_AS(sampler.sample_seeds(source, kPlain, outside, {}, workspace, batch), IndexError);
  REQUIRE_THROWS_AS(sampler.sample(source, {Normalization::row, false, 1.0f}, {}, workspace, batch),
                    ConfigError);
  SECTION("no seeds") {
    CHECK(sampler.num_batches({graph.view(), graph.symmetric, {}}) == 0);
    sampler.sample_seeds(source, kPlain, {}, {}, workspace, batch);
    check_block_batch(source, kPlain, batch, layers);
    CHECK(batch.num_nodes() == 0);
  }
  SECTION("repeated seeds are merged, and the caller learns where they went") {
    const std::vector<NodeId> seeds{4, 2, 4, 4, 0, 2};
    sampler.sample_seeds(source, kPlain, seeds, {}, workspace, batch);
    check_block_batch(source, kPlain, batch, layers);
    CHECK(batch.num_targets == 3);
    CHECK(values(workspace.seed_row) == std::vector<NodeId>{0, 1, 0, 0, 2, 1});
    for (std::size_t k = 0; k < seeds.size(); ++k) CHECK(batch.node_id[workspace.seed_row[k]] == seeds[k]);
  }
  SECTION("more seeds than nodes") {
    std::vector<NodeId> seeds(3 * n);
    for (std::size_t k = 0; k < seeds.size(); ++k) seeds[k] = static_cast<NodeId>(k * 7 % n);
    sampler.sample_seeds(source, kPlain, seeds, {}, workspace, batch);
    check_block_batch(source, kPlain, batch, layers);
    CHECK(batch.num_targets <= n);
  }
}

}  // namespace tessera::testing
