// SPDX-License-Identifier: MIT
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "sampling/neighbor_rows.hpp"
#include "sampling/table.hpp"
#include "tessera/core/rng.hpp"
#include "tessera/sampling/cluster_sampler.hpp"
#include "tessera/sampling/control_variate_sampler.hpp"
#include "tessera/sampling/drop_edge_sampler.hpp"
#include "tessera/sampling/gttf_traverse.hpp"
#include "tessera/sampling/halo_sampler.hpp"
#include "tessera/sampling/neighbor_weighted.hpp"
#include "tessera/sampling/random_node_sampler.hpp"
#include "tessera/sampling/row_sampler.hpp"

namespace tessera::bench {

/// Neighbours by edge weight, weights drawn at random. Alias tables take 8 bytes per entry.
inline void add_weighted_rows(const SamplingShape& shape, SamplingTable& table) {
  if (!table.wanted("weighted 20, batch") && !table.wanted("alias 20, batch") &&
      !table.wanted("alias tables"))
    return;
  CsrView<> graph = shape.data->graph.view();
  Array<float> weight(graph.num_edges());
  parallel_for(weight.size(), 1 << 14, [&](std::size_t e, std::size_t end) {
    const RngKey key = make_key(1, 0, Purpose::pick);
    for (; e < end; ++e) weight[e] = static_cast<float>(0.1 + CounterRng(key, 0, e).uniform());
  });
  graph.weight = weight;
  const SampleSource source{graph, false, shape.targets.span()};
  const AggregationSpec plain{Normalization::none, false, 0.0f};
  const TargetBatches batches{.batch_size = 4096};
  detail::add_batches("weighted 20, batch",
                      WeightedNeighborSampler({.fanouts = {20}, .batches = batches, .rescale = false}),
                      source, plain, 4, table);
  if (table.wanted("alias tables")) {
    table.add({"alias tables", 1, [&](std::uint64_t) {
                 const NeighborAliasTables made(graph);
                 return std::uint64_t{made.num_edges()};
               }});
  }
  if (table.wanted("alias 20, batch")) {
    detail::add_batches("alias 20, batch",
                        AliasNeighborSampler({.fanouts = {20}, .batches = batches, .rescale = false},
                                             std::make_shared<NeighborAliasTables>(graph)),
                        source, plain, 16, table);
  }
}

/// Traversals, clusters, the simple baselines, rows. Edges of a traversal are draws, of rows are rows.
inline void add_other_rows(const SamplingShape& shape, SamplingTable& table) {
  const SampleSource source{shape.data->graph.view(), shape.data->graph.symmetric, shape.targets.span()};
  const AggregationSpec gcn{Normalization::symmetric, true, 0.0f};
  const std::size_t some = std::min<std::size_t>(shape.targets.size(), 1024);
  if (table.wanted("traverse 15, 10, adjacency")) {
    table.add({"traverse 15, 10, adjacency", 4, [&](std::uint64_t b) {
                 SampledAdjacency found;
                 traverse(source.graph, source.targets.first(some), std::vector<std::size_t>{15, 10},
                          UniformBias{}, found,
                          {make_key(1, 0, Purpose::walk), static_cast<std::uint32_t>(b)});
                 return std::uint64_t{found.num_links()};
               }});
  }
  if (table.wanted("cluster, 20 parts") || table.wanted("halo, 20 parts")) {
    // Ids follow communities, so ranges of them serve as parts of about 150 nodes.
    const std::size_t n = source.graph.num_rows;
    const std::size_t parts = std::max<std::size_t>(20, n / 150);
    Array<PartId> part(n);
    for (std::size_t v = 0; v < n; ++v) part[v] = PartId(static_cast<std::uint32_t>(v * parts / n));
    detail::add_batches("cluster, 20 parts", ClusterSampler(part, {.clusters_per_batch = 20}), source, gcn, 8,
                        table);
    detail::add_batches("halo, 20 parts", HaloSampler(part, {.clusters_per_batch = 20}), source, gcn, 4,
                        table);
  }
  detail::add_batches("control variates 2, 2", ControlVariateSampler({.layers = 2, .fanout = 2}), source, gcn,
                      4, table);
  detail::add_batches("DropEdge 0.5", DropEdgeSampler({.probability = 0.5}), source, gcn, 1, table);
  detail::add_batches("random nodes, 50 parts", RandomNodeSampler({.parts = 50}), source, gcn, 2, table);
  if (table.wanted("rows 8192")) {
    const RowSampler sampler({.batch_size = 8192});
    RowSampler::Workspace workspace;
    MiniBatch batch;
    const std::size_t there = std::max<std::size_t>(1, sampler.num_batches(source));
    table.add({"rows 8192", 16, [&](std::uint64_t b) {
                 sampler.sample(source, gcn, {1, 0, b % there}, workspace, batch);
                 return std::uint64_t{batch.num_targets};
               }});
  }
}

}  // namespace tessera::bench
